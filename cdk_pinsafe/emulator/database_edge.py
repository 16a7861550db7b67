"""A database connection's socket: an asyncio protocol that carries bytes between the database and its connection.

It must not know what the bytes mean.
"""

import asyncio
import contextlib
import ssl
import struct
from typing import TYPE_CHECKING, Final, cast

from .conversation import Talk
from .database_login import DatabaseLogin, DatabaseRefusal, database_login
from .edge import Edge
from .login import Key
from .messages import CANCEL_REQUEST, ProtocolViolation, Refusal, message
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import DatabaseConnection

__all__ = ["DatabaseEdge", "connect"]

_CLOSE_PATIENCE: Final = 5.0
_TLS_PATIENCE: Final = 15.0
_TERMINATE: Final = message(b"X")


class DatabaseEdge(Edge):
    """A database connection's socket.

    Attributes:
        connection: what its bytes go to; None before it is in the pool.
        logged_in: what the database told at login, or why there was none.
        lost: is called when it is closed.
        broken: is called when the database said what cannot be understood.
    """

    def __init__(self, target: Target, key: Key, password: str | None, sockets: set[Edge]) -> None:
        super().__init__(sockets)
        self.connection: DatabaseConnection | None = None
        self.logged_in: asyncio.Future[DatabaseLogin] = asyncio.get_running_loop().create_future()
        self.lost: Callable[[], object] = _nothing
        self.broken: Callable[[Refusal], object] = _nothing
        self._target = target
        self._key = key
        self._password = password
        self._talk: Talk | None = None
        self._tls_task: asyncio.Task[None] | None = None
        self._closing = False
        self._cancelling: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._talk is None:
            login = database_login(
                self._key,
                self._password,
                ask_for_tls=self._target.asks_for_tls,
                insist_on_tls=self._target.insists_on_tls,
            )
            self._talk = Talk(login, self.write)

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        if connection is None or self._closing:
            if self._talk is not None and not self._closing:
                self._log_in(self._talk, data)
            return
        borrower = connection.session
        try:
            connection.receive(data)
        except ProtocolViolation as violation:
            self.broken(violation)
        if self.read_paused:
            self.update_reading()  # the answer that was too much for its client may have been the transaction's last
        if borrower is not None and borrower is not connection.session:
            edge = borrower.edge
            if edge is not None and edge.read_paused:
                edge.update_reading()  # it sent a COPY's data faster than they were read, and the COPY failed

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.logged_in.done():
            self.logged_in.set_exception(DatabaseRefusal("08006", "the database closed the connection during login"))
            self.logged_in.exception()  # it may be that nobody waits for it any more
        for work in (self._tls_task, self._cancelling, self._deadline):
            if work is not None:
                work.cancel()
        super().connection_lost(exc)
        self.lost()

    def close(self, *, cancel: bool, terminate: bool) -> None:
        """Close the connection once the database has let go of it, so that it does not have more than it was promised.

        Args:
            cancel: a request is running whose client is gone.
            terminate: the database expects a message, and is told that none comes.
        """
        transport = self._transport
        if self._closing or transport is None:
            return
        self._closing = True
        if self.read_paused:
            self.read_paused = False
            transport.resume_reading()
        loop = asyncio.get_running_loop()
        if cancel and self.connection is not None:
            self._cancelling = loop.create_task(self._cancel(self.connection.login))
        if terminate:
            transport.write(_TERMINATE)
        if transport.can_write_eof():
            with contextlib.suppress(OSError):
                transport.write_eof()
            self._deadline = loop.call_later(_CLOSE_PATIENCE, transport.abort)
        else:
            transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        self._closing = True
        super().abort()

    async def _cancel(self, login: DatabaseLogin) -> None:
        """Have the database stop what it is doing. One that has not begun yet does not hear it: so again and again."""
        request = struct.pack(">III", 12 + len(login.secret), CANCEL_REQUEST, login.process) + login.secret
        for _ in range(10):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_PATIENCE):
                    if self._target.host.startswith("/"):
                        path = f"{self._target.host}/.s.PGSQL.{self._target.port}"
                        reader, writer = await asyncio.open_unix_connection(path)
                    else:
                        reader, writer = await asyncio.open_connection(self._target.host, self._target.port)
                    try:
                        writer.write(request)
                        await reader.read(1)
                    finally:
                        writer.transport.abort()
            await asyncio.sleep(0.2)

    def _other(self) -> Edge | None:
        session = self.connection.session if self.connection is not None else None
        return session.edge if session is not None else None

    def _log_in(self, talk: Talk, data: bytes) -> None:
        try:
            talk.receive(data)
        except Refusal as refusal:
            if not self.logged_in.done():
                self.logged_in.set_exception(refusal)
            self.abort()
            return
        if talk.wants_tls and self._tls_task is None:
            self._tls_task = asyncio.get_running_loop().create_task(self._begin_tls(talk))
        elif talk.done and not self.logged_in.done():
            self.logged_in.set_result(cast("DatabaseLogin", talk.result))

    async def _begin_tls(self, talk: Talk) -> None:
        assert self._transport is not None  # noqa: S101 - the conversation came through it
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._target.tls_context(),
                server_hostname=self._target.host,
                ssl_handshake_timeout=_TLS_PATIENCE,
            )
        except (OSError, ssl.SSLError) as error:
            if not self.logged_in.done():
                reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
                self.logged_in.set_exception(DatabaseRefusal("08001", f"TLS with the database failed: {reason}"))
            self.abort()
            return
        if transport is not None:
            self.tls = True
            self._transport = transport
            talk.tls_began(transport.write)
            self._log_in(talk, b"")


async def connect(
    target: Target, key: Key, password: str | None, sockets: set[Edge]
) -> tuple[DatabaseEdge, DatabaseLogin]:
    """Open a database connection, which is among `sockets` until it is lost.

    Raises:
        DatabaseRefusal: the database is out of reach or does not let us in; with its own words where it has any.
    """
    loop = asyncio.get_running_loop()
    edge: DatabaseEdge | None = None
    try:
        async with asyncio.timeout(target.connect_timeout):
            if target.host.startswith("/"):
                path = f"{target.host}/.s.PGSQL.{target.port}"
                _, edge = await loop.create_unix_connection(lambda: DatabaseEdge(target, key, password, sockets), path)
            else:
                _, edge = await loop.create_connection(
                    lambda: DatabaseEdge(target, key, password, sockets), target.host, target.port
                )
            login = await edge.logged_in
    except (asyncio.CancelledError, TimeoutError) as error:
        if edge is not None:
            edge.abort()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise DatabaseRefusal("08001", f"the database did not answer within {target.connect_timeout:g} s") from None
    except OSError as error:
        raise DatabaseRefusal(
            "08001", f"the database at {target.host}:{target.port} cannot be reached: {error.strerror or error}"
        ) from None
    return edge, login


def _nothing(*_: object) -> None:
    """Stands where nobody listens yet."""
