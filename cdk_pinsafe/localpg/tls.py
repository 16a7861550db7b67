"""TLS for a PostgreSQL server that was built without it: as strict as on RDS.

`CertificateAuthority` issues certificates that pass Python's VERIFY_X509_STRICT. `TlsTerminator` listens in front of a
plain server, answers PostgreSQL's SSLRequest and forwards the decrypted bytes. It rejects clients without TLS with
PostgreSQL's own message, as `rds.force_ssl` does, and forwards cancel requests, which need no TLS.

Not supported: TLS from the first byte (`sslnegotiation=direct`), client certificates, channel binding.
"""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from ..protocol import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    MAX_STARTUP_PACKET_LENGTH,
    SSL_REQUEST,
    FatalError,
    startup_parameters,
)

__all__ = ["CertificateAuthority", "TlsTerminator"]

HOST = "127.0.0.1"


class CertificateAuthority:
    """A certificate authority whose key stays in this process.

    Attributes:
        certificate: the PEM file that clients trust (libpq's `sslrootcert`).
    """

    def __init__(self, directory: Path, *, name: str = "cdk-pinsafe local CA") -> None:
        """Create the authority and write its certificate to `directory`."""
        self._directory = directory
        self._authority = trustme.CA(path_length=0, organization_name="cdk-pinsafe", organization_unit_name=name)
        self._issued = 0
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.certificate)

    def issue(self, *names: str, not_after: datetime.datetime | None = None) -> tuple[Path, Path]:
        """Issue a server certificate and return its files: certificate, key.

        Args:
            names: the server's host names and IP addresses, such as `localhost` or `127.0.0.1`.
            not_after: when it expires; by default with the authority. A time in the past gives an expired certificate.
        """
        issued = self._authority.issue_cert(*names, not_after=not_after)
        self._issued += 1
        certificate_file = self._directory / f"server-{self._issued}.crt"
        key_file = self._directory / f"server-{self._issued}.key"
        issued.cert_chain_pems[0].write_to_path(certificate_file)
        key_file.touch(mode=0o600)
        issued.private_key_pem.write_to_path(key_file)
        return certificate_file, key_file


class TlsTerminator:
    """Terminates TLS in front of a plain PostgreSQL server. A context manager; runs in its own thread.

    Attributes:
        host: always 127.0.0.1.
        port: the port that clients connect to.
    """

    def __init__(self, target_host: str, target_port: int, certificate: Path, key: Path) -> None:
        self.host = HOST
        self._target = (target_host, target_port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"tls-{self.port}", daemon=True)
        self._serving: asyncio.Task[None] | None = None
        self._started = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start to serve. Connections made earlier wait in the listener's backlog."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Close the listener and all connections, and end the thread."""
        if self._serving is not None:
            self._loop.call_soon_threadsafe(self._serving.cancel)
            self._thread.join()
            self._serving = None

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        self._started.set()
        connections: set[asyncio.Task[None]] = set()
        try:
            while True:
                client, _ = await self._loop.sock_accept(self._listener)
                connection = asyncio.create_task(_serve_client(client, self._target, self._context))
                connections.add(connection)
                connection.add_done_callback(connections.discard)
        finally:
            self._listener.close()
            for connection in connections:
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)


_CHUNK = 65_536
_TIMEOUT = 15.0


async def _serve_client(client: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    """Serve one connection."""
    try:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if await asyncio.wait_for(_negotiate(client, target), _TIMEOUT):
            await _forward(client, target, context)
    except (OSError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError):
        pass  # the client disconnected, was too slow or broke the protocol: the connection is closed either way
    finally:
        client.close()


async def _negotiate(client: socket.socket, target: tuple[str, int]) -> bool:
    """Read start-up packets until the client requests TLS (true) or was answered in full (false).

    This reads exactly one packet at a time: bytes that a client, or an attacker in between, sends ahead in plain text
    must not be taken for TLS data.
    """
    loop = asyncio.get_running_loop()
    for _ in range(3):  # GSSENCRequest, SSLRequest and a start-up message, at most one each
        head = await _read(client, 8)
        length, code = struct.unpack("!ii", head)
        if not 8 <= length <= MAX_STARTUP_PACKET_LENGTH:
            return False
        if code == SSL_REQUEST and length == 8:
            await loop.sock_sendall(client, b"S")
            return True
        if code == GSS_REQUEST and length == 8:
            await loop.sock_sendall(client, b"N")
            continue
        body = await _read(client, length - 8)
        if code == CANCEL_REQUEST:
            await _send_alone(target, head + body)
        else:
            await loop.sock_sendall(client, _rejection(body).response())
        return False
    return False


async def _forward(client: socket.socket, target: tuple[str, int], context: ssl.SSLContext) -> None:
    """Terminate TLS and copy bytes both ways until either side closes; then close both."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    transport, protocol = await loop.connect_accepted_socket(
        lambda: asyncio.StreamReaderProtocol(reader),
        client,
        ssl=context,
        ssl_handshake_timeout=_TIMEOUT,
        ssl_shutdown_timeout=1.0,
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    server_writer: asyncio.StreamWriter | None = None
    try:
        server_reader, server_writer = await asyncio.open_connection(*target, limit=_CHUNK)
        copies = {asyncio.create_task(_copy(reader, server_writer)), asyncio.create_task(_copy(server_reader, writer))}
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
    finally:
        ends = [end for end in (writer, server_writer) if end is not None]
        for end in ends:
            end.close()
        for end in ends:
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def _read(client: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        more = await loop.sock_recv(client, length - len(data))
        if not more:
            raise asyncio.IncompleteReadError(data, length)
        data += more
    return data


async def _send_alone(target: tuple[str, int], message: bytes) -> None:
    """Send a message on its own connection, and wait until the server closes that."""
    reader, writer = await asyncio.open_connection(*target)
    writer.write(message)
    await writer.drain()
    await reader.read(1)
    writer.close()
    await writer.wait_closed()


def _rejection(body: bytes) -> FatalError:
    """The error of a server that accepts TLS only, for the body of a start-up message."""
    try:
        given = startup_parameters(body)
    except FatalError as malformed:
        return malformed
    user = given.get("user", "")
    database = given.get("database", user)
    text = f'no pg_hba.conf entry for host "{HOST}", user "{user}", database "{database}", no encryption'
    return FatalError("28000", text)
