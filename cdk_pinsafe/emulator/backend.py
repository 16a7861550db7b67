"""The asyncio protocol of a database connection: carries bytes between the socket and the `DatabaseConnection`.

This module does not interpret the bytes.
"""

import asyncio
import contextlib
import ssl
import struct
from typing import TYPE_CHECKING, Final, cast

from ..protocol import CANCEL_REQUEST, FatalError, ProtocolViolation, message
from .backend_login import BackendInfo, DatabaseConnectError, backend_handshake
from .flow_control import FlowControlledProtocol
from .frontend_login import PoolKey
from .handshake import HandshakeRunner
from .target import ProxyTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import DatabaseConnection

__all__ = ["DatabaseProtocol", "connect"]

_CLOSE_TIMEOUT: Final = 5.0
_TLS_TIMEOUT: Final = 15.0
_TERMINATE: Final = message(b"X")


class DatabaseProtocol(FlowControlledProtocol):
    """The asyncio protocol of one database connection.

    Attributes:
        connection: receives the bytes; None until the connection is in the pool.
        logged_in: resolves to what the database reported at login, or to the reason why the login failed.
        lost: called when the socket is closed.
        broken: called with the error when the database violates the protocol.
    """

    def __init__(
        self, target: ProxyTarget, key: PoolKey, password: str | None, sockets: set[FlowControlledProtocol]
    ) -> None:
        super().__init__(sockets)
        self.connection: DatabaseConnection | None = None
        self.logged_in: asyncio.Future[BackendInfo] = asyncio.get_running_loop().create_future()
        self.lost: Callable[[], object] = _noop
        self.broken: Callable[[FatalError], object] = _noop
        self._target = target
        self._key = key
        self._password = password
        self._handshake_runner: HandshakeRunner | None = None
        self._tls_task: asyncio.Task[None] | None = None
        self._closing = False
        self._cancel_task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._handshake_runner is None:
            handshake = backend_handshake(
                self._key,
                self._password,
                request_tls=self._target.requests_tls,
                require_tls=self._target.requires_tls,
            )
            self._handshake_runner = HandshakeRunner(handshake, self.write)

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        if connection is None or self._closing:
            if self._handshake_runner is not None and not self._closing:
                self._log_in(self._handshake_runner, data)
            return
        borrower = connection.session
        try:
            connection.receive(data)
        except ProtocolViolation as violation:
            self.broken(violation)
        if self.read_paused:
            self.update_reading()  # the response that filled the client's buffer may have ended the transaction
        if borrower is not None and borrower is not connection.session:
            protocol = borrower.protocol
            if protocol is not None and protocol.read_paused:
                protocol.update_reading()  # paused while it sent COPY data; the COPY has failed
        released = borrower is not connection.session
        if borrower is not None and borrower.held and (released or not connection.pending) and borrower.protocol:
            # Others come first: what the loop has to do already, and who waits for a connection.
            asyncio.get_running_loop().call_soon(borrower.protocol.proceed)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.logged_in.done():
            self.logged_in.set_exception(
                DatabaseConnectError("08006", "the database closed the connection during login")
            )
            self.logged_in.exception()  # marks the exception as retrieved, in case nobody awaits the future
        for task in (self._tls_task, self._cancel_task, self._deadline):
            if task is not None:
                task.cancel()
        super().connection_lost(exc)
        self.lost()

    def close(self, *, cancel: bool, terminate: bool) -> None:
        """Close the connection after the database has closed its end, so that the pool limit is never exceeded.

        Args:
            cancel: also send a cancel request, because the client of the running request is gone.
            terminate: send Terminate; False if the last message was sent only in part.
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
            self._cancel_task = loop.create_task(self._cancel(self.connection.info))
        if terminate:
            transport.write(_TERMINATE)
        if transport.can_write_eof():
            with contextlib.suppress(OSError):
                transport.write_eof()
            self._deadline = loop.call_later(_CLOSE_TIMEOUT, transport.abort)
        else:
            transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        self._closing = True
        super().abort()

    async def _cancel(self, info: BackendInfo) -> None:
        """Send cancel requests until the connection ends: one that comes before the statement starts has no effect."""
        request = struct.pack(">III", 12 + len(info.secret), CANCEL_REQUEST, info.process) + info.secret
        for _ in range(10):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
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

    def _peer(self) -> FlowControlledProtocol | None:
        session = self.connection.session if self.connection is not None else None
        return session.protocol if session is not None else None

    def _log_in(self, handshake: HandshakeRunner, data: bytes) -> None:
        try:
            handshake.receive(data)
        except FatalError as error:
            if not self.logged_in.done():
                self.logged_in.set_exception(error)
            self.abort()
            return
        if handshake.wants_tls and self._tls_task is None:
            self._tls_task = asyncio.get_running_loop().create_task(self._begin_tls(handshake))
        elif handshake.done and not self.logged_in.done():
            self.logged_in.set_result(cast("BackendInfo", handshake.result))

    async def _begin_tls(self, handshake: HandshakeRunner) -> None:
        assert self._transport is not None  # noqa: S101 - the handshake runs over it
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._target.tls_context(),
                server_hostname=self._target.host,
                ssl_handshake_timeout=_TLS_TIMEOUT,
            )
        except (OSError, ssl.SSLError) as error:
            if not self.logged_in.done():
                reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
                self.logged_in.set_exception(DatabaseConnectError("08001", f"TLS with the database failed: {reason}"))
            self.abort()
            return
        if transport is not None:
            self.tls = True
            self._transport = transport
            handshake.tls_established(transport.write)
            self._log_in(handshake, b"")


async def connect(
    target: ProxyTarget, key: PoolKey, password: str | None, sockets: set[FlowControlledProtocol]
) -> tuple[DatabaseProtocol, BackendInfo]:
    """Open a database connection. Its protocol is in `sockets` until the socket is closed.

    Raises:
        DatabaseConnectError: the database cannot be reached or rejects the login; with the database's message, if any.
    """
    loop = asyncio.get_running_loop()
    protocol: DatabaseProtocol | None = None
    try:
        async with asyncio.timeout(target.connect_timeout):
            if target.host.startswith("/"):
                path = f"{target.host}/.s.PGSQL.{target.port}"
                _, protocol = await loop.create_unix_connection(
                    lambda: DatabaseProtocol(target, key, password, sockets), path
                )
            else:
                _, protocol = await loop.create_connection(
                    lambda: DatabaseProtocol(target, key, password, sockets), target.host, target.port
                )
            info = await protocol.logged_in
    except (asyncio.CancelledError, TimeoutError) as error:
        if protocol is not None:
            protocol.abort()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise DatabaseConnectError(
            "08001", f"the database did not answer within {target.connect_timeout:g} s"
        ) from None
    except OSError as error:
        raise DatabaseConnectError(
            "08001", f"the database at {target.host}:{target.port} cannot be reached: {error.strerror or error}"
        ) from None
    return protocol, info


def _noop(*_: object) -> None:
    """Default callback until the owner sets one."""
