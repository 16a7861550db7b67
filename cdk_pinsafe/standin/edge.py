"""The sockets: asyncio protocols that carry bytes between clients, sessions and database connections.

Memory is bounded by passing pressure on: a client that does not read stops its database connection from being read, a
database that does not read stops its client, and a client whose session waits for a connection is not read either.

It must not know what the bytes mean.
"""

import asyncio
import contextlib
import secrets
import ssl
import struct
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from .login import ClientRules, DatabaseLogin, DatabaseRefusal, Key, Login, Talk, client_login, database_login
from .messages import (
    CANCEL_REQUEST,
    ProtocolViolation,
    Refusal,
    authentication,
    backend_key_data,
    message,
    parameter_status,
    ready_for_query,
)
from .session import Session
from .target import Target

if TYPE_CHECKING:
    from .connection import DatabaseConnection
    from .server import StandIn

__all__ = ["ClientEdge", "DatabaseEdge", "connect"]

_CLOSE_PATIENCE: Final = 5.0
_TLS_PATIENCE: Final = 15.0
_TERMINATE: Final = message(b"X")


class ClientEdge(asyncio.Protocol):
    """A client's socket."""

    def __init__(self, house: "StandIn", rules: ClientRules) -> None:
        self.number = house.next_client()
        self.session: Session | None = None
        self.ready = False
        self.address = ""
        self.born = monotonic()
        self.closed = False
        self.tls = False
        self._house = house
        self._rules = rules
        self._transport: asyncio.Transport | None = None
        self._talk: Talk | None = None
        self._write_full = False
        self._read_paused = False
        self._tls_task: asyncio.Task[None] | None = None

    # asyncio's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._talk is None:
            peer = transport.get_extra_info("peername") or ("", 0)
            self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "local"
            self._house.client_arrived(self)
            self._talk = Talk(client_login(self._rules), self._transport.write)

    def data_received(self, data: bytes) -> None:
        session = self.session
        if session is None or not self.ready:
            self._log_in(data)
            return
        try:
            session.receive(data)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if session.waiting or session.ended:
            self.after()

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("The client disconnected" if exc is None else "The client connection broke")

    def pause_writing(self) -> None:
        self._write_full = True
        self.update_reading()
        if self.session is not None and self.session.connection is not None:
            cast("DatabaseEdge", self.session.connection.edge).update_reading()

    def resume_writing(self) -> None:
        self._write_full = False
        self.update_reading()
        if self.session is not None and self.session.connection is not None:
            cast("DatabaseEdge", self.session.connection.edge).update_reading()

    # The house's.

    @property
    def write_full(self) -> bool:
        """The client does not read as fast as it is answered."""
        return self._write_full

    def update_reading(self) -> None:
        """Read from the client, or do not."""
        session = self.session
        pause = self._write_full
        if session is not None:
            pause = pause or session.waiting
            if session.connection is not None:
                pause = pause or cast("DatabaseEdge", session.connection.edge).write_full
        if pause is not self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def after(self) -> None:
        """Do what the session's new state asks for."""
        session = self.session
        if session is not None and session.ended:
            self.end("The client disconnected")
        else:
            self.update_reading()

    def welcome(self) -> None:
        """Tell the client that it is logged in."""
        session = self.session
        parameters = self._house.pool.parameters(session.key) if session is not None else None
        if session is None or parameters is None or self._transport is None:
            return
        session.waiting = False
        session.active = monotonic()
        self.ready = True
        name = session.login.application_name
        self._transport.write(
            authentication(0)
            + parameter_status(parameters if name is None else {**parameters, "application_name": name})
            + backend_key_data(self.number & 0x7FFFFFFF, secrets.token_bytes(4))
            + ready_for_query()
        )
        self._house.client_ready(self)
        if self._talk is not None and self._talk.rest:
            rest, self._talk = self._talk.rest, None
            self.data_received(rest)
        self.update_reading()

    def refuse(self, refusal: Refusal) -> None:
        """Tell the client why it has to leave, and close its connection."""
        if not self.closed and self._transport is not None:
            self._transport.write(refusal.response())
            self.end(refusal.message.rstrip("."))

    def end(self, reason: str) -> None:
        """Close the client's connection."""
        if self.closed:
            return
        self.closed = True
        if self._transport is not None:
            self._transport.close()
        if self._tls_task is not None:
            self._tls_task.cancel()
        self._house.client_left(self, reason)

    def abort(self) -> None:
        """Close the socket without waiting until all is sent."""
        if self._transport is not None:
            self._transport.abort()

    def _log_in(self, data: bytes) -> None:
        talk = self._talk
        if talk is None or self.closed:
            return
        try:
            talk.receive(data)
            if talk.wants_tls:
                self._tls_task = asyncio.get_running_loop().create_task(self._begin_tls(talk))
            elif talk.done and self.session is None:
                self._came_in(talk.result)
            if talk.done and len(talk.rest) > 65_536:
                raise ProtocolViolation("the client sent too much before its login was over")
        except Refusal as refusal:
            self._house.login_failed()
            self.refuse(refusal)

    async def _begin_tls(self, talk: Talk) -> None:
        context = self._house.tls_context
        assert self._transport is not None and context is not None  # noqa: S101, PT018 - the rules offered it
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=_TLS_PATIENCE
            )
        except (OSError, ssl.SSLError):
            transport = None
        if transport is None:
            self.end("The TLS handshake failed")
            return
        self.tls = True
        self._transport = transport
        talk.tls_began(transport.write)

    def _came_in(self, result: object) -> None:
        if not isinstance(result, Login):
            self.end("A cancel request, which is not supported")
            return
        assert self._transport is not None  # noqa: S101 - the login came through it
        self.session = Session(
            self.number,
            result,
            self._house.surroundings,
            self._transport.write,
            address=self.address,
            tls=self.tls,
            edge=self,
        )
        self._house.log_in(self, self.session)


class DatabaseEdge(asyncio.Protocol):
    """A database connection's socket."""

    def __init__(self, target: Target, key: Key, password: str | None) -> None:
        self.connection: DatabaseConnection | None = None
        self.tls = False
        self.write_full = False
        self.logged_in: asyncio.Future[DatabaseLogin] = asyncio.get_running_loop().create_future()
        self.lost: Callable[[], object] = _nothing
        self.broken: Callable[[Refusal], object] = _nothing
        self._target = target
        self._key = key
        self._password = password
        self._transport: asyncio.Transport | None = None
        self._talk: Talk | None = None
        self._tls_task: asyncio.Task[None] | None = None
        self._read_paused = False
        self._closing = False
        self._cancelling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._talk is None:
            login = database_login(
                self._key,
                self._password,
                ask_for_tls=self._target.asks_for_tls,
                insist_on_tls=self._target.insists_on_tls,
            )
            self._talk = Talk(login, self._transport.write)

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        if connection is None or self._closing:
            if self._talk is not None and not self._closing:
                self._log_in(self._talk, data)
            return
        try:
            connection.receive(data)
        except ProtocolViolation as violation:
            self.broken(violation)

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.logged_in.done():
            self.logged_in.set_exception(DatabaseRefusal("08006", "the database closed the connection during login"))
            self.logged_in.exception()  # it may be that nobody waits for it any more
        for task in (self._tls_task, self._cancelling):
            if task is not None:
                task.cancel()
        self.lost()

    def pause_writing(self) -> None:
        self.write_full = True
        self._update_client()

    def resume_writing(self) -> None:
        self.write_full = False
        self._update_client()

    @property
    def write(self) -> Callable[[bytes], object]:
        """Takes bytes for the database."""
        assert self._transport is not None  # noqa: S101 - it is connected
        return self._transport.write

    def update_reading(self) -> None:
        """Read from the database, or do not."""
        session = self.connection.session if self.connection is not None else None
        pause = session is not None and cast("ClientEdge", session.edge).write_full
        if pause is not self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

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
        if self._read_paused:
            self._read_paused = False
            transport.resume_reading()
        loop = asyncio.get_running_loop()
        if cancel and self.connection is not None:
            self._cancelling = loop.create_task(self._cancel(self.connection.login))
        if terminate:
            transport.write(_TERMINATE)
        if transport.can_write_eof():
            with contextlib.suppress(OSError):
                transport.write_eof()
            loop.call_later(_CLOSE_PATIENCE, transport.abort)
        else:
            transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

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

    def _update_client(self) -> None:
        if self.connection is not None and self.connection.session is not None:
            cast("ClientEdge", self.connection.session.edge).update_reading()

    def _log_in(self, talk: Talk, data: bytes) -> None:
        try:
            talk.receive(data)
        except Refusal as refusal:
            if not self.logged_in.done():
                self.logged_in.set_exception(refusal)
            self.abort()
            return
        if talk.wants_tls:
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


async def connect(target: Target, key: Key, password: str | None) -> tuple[DatabaseEdge, DatabaseLogin]:
    """Open a database connection.

    Raises:
        DatabaseRefusal: the database is out of reach or does not let us in; with its own words where it has any.
    """
    loop = asyncio.get_running_loop()
    edge: DatabaseEdge | None = None
    try:
        async with asyncio.timeout(target.connect_timeout):
            if target.host.startswith("/"):
                path = f"{target.host}/.s.PGSQL.{target.port}"
                _, edge = await loop.create_unix_connection(lambda: DatabaseEdge(target, key, password), path)
            else:
                _, edge = await loop.create_connection(
                    lambda: DatabaseEdge(target, key, password), target.host, target.port
                )
            login = await edge.logged_in
    except TimeoutError:
        if edge is not None:
            edge.abort()
        raise DatabaseRefusal("08001", f"the database did not answer within {target.connect_timeout:g} s") from None
    except OSError as error:
        raise DatabaseRefusal(
            "08001", f"the database at {target.host}:{target.port} cannot be reached: {error.strerror or error}"
        ) from None
    return edge, login


def _nothing(*_: object) -> None:
    """Stands where nobody listens yet."""
