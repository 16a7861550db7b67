"""A relay before a server, which cuts a connection at a given point of what the client sends.

It cannot see statements, as the connection is encrypted. But each write of the client is one TLS record: cutting at
each record in turn cuts at each message of the driver, and so at each statement.
"""

import contextlib
import enum
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

_SSL_REQUEST_LENGTH: Final = 8
_RECORD_HEAD_LENGTH: Final = 5
_PATIENCE: Final = 0.3
"""Seconds for the server's response to the last record. Not every record has one."""


class After(enum.Enum):
    """What happens to the connection, and to later ones, at the cut."""

    WORKS_AGAIN = "it is closed, and the next one works"
    CLOSED = "it is closed, and so is the port"
    SILENT = "nothing gets through any more"


class TcpRelay:
    """Relays everything until the cut. A context manager.

    Attributes:
        port: the port for clients, on 127.0.0.1.
        records: how many requests for TLS and TLS records clients have sent, over all connections.
    """

    def __init__(
        self,
        backend: int,
        cut: int | None = None,
        *,
        arrives: bool = False,
        after: After = After.WORKS_AGAIN,
        at_the_cut: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin to listen.

        Args:
            backend: the server's port.
            cut: the number of the record at which to cut, from 0; None for never.
            arrives: whether the server still gets this record, and the client no response.
            after: what happens then.
            at_the_cut: called at that moment.
        """
        self.records = 0
        self._backend, self._cut, self._arrives, self._after = backend, cut, arrives, after
        self._at_the_cut = at_the_cut
        self._is_silent = False
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._sockets):
            _close(one)
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.create_connection(("127.0.0.1", self._backend))
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [client, server]
                is_mute = threading.Event()
                if self._is_silent:
                    is_mute.set()
                self._start(self._pass_requests, client, server, is_mute)
                self._start(self._pass_answers, server, client, is_mute)

    def _pass_requests(self, client: socket.socket, server: socket.socket, is_mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            for record in _records(client):
                with self._lock:
                    number = self.records
                    self.records += 1
                if number != self._cut:
                    if not is_mute.is_set():
                        server.sendall(record)
                    continue
                is_mute.set()
                if self._arrives:
                    server.sendall(record)
                    self._answered.wait(_PATIENCE)
                self._at_the_cut()
                self._is_silent = self._after is After.SILENT
                if self._after is After.CLOSED:
                    _close(self._listener)
                if not self._is_silent:
                    break
        _close(client)
        _close(server)

    def _pass_answers(self, server: socket.socket, client: socket.socket, is_mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if is_mute.is_set():
                    self._answered.set()
                else:
                    client.sendall(data)
        if not is_mute.is_set():
            _close(client)


def _records(client: socket.socket) -> Iterator[bytes]:
    """The client's request for TLS, then each of its TLS records. An incomplete one at the end is dropped."""
    buffer = b""
    length: int | None = _SSL_REQUEST_LENGTH
    while data := client.recv(65536):
        buffer += data
        while (length := length or _length(buffer)) and len(buffer) >= length:
            yield buffer[:length]
            buffer, length = buffer[length:], None


def _length(buffer: bytes) -> int | None:
    """The length of the first TLS record, if known yet (RFC 8446, 5.1: type, version, length of the rest)."""
    return _RECORD_HEAD_LENGTH + int.from_bytes(buffer[3:5], "big") if len(buffer) >= _RECORD_HEAD_LENGTH else None


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
