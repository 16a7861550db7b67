"""The asyncio protocol of a client connection: carries bytes between the socket and the `ClientSession`.

This module does not interpret the bytes.
"""

import asyncio
import secrets
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from ..protocol import (
    FatalError,
    ProtocolViolation,
    authentication,
    backend_key_data,
    parameter_status,
    ready_for_query,
)
from .flow_control import FlowControlledProtocol
from .frontend_login import ClientLogin, LoginRules, frontend_handshake
from .handshake import HandshakeRunner

if TYPE_CHECKING:
    from .session import ClientSession

__all__ = ["ClientProtocol", "ProxyCallbacks"]

_TLS_TIMEOUT: Final = 15.0
_CLOSE_TIMEOUT: Final = 5.0
_MAX_BEFORE_LOGIN: Final = 65_536  # bytes that a client may send before its login is complete


class ProxyCallbacks(Protocol):
    """The server, as a client's protocol sees it.

    Attributes:
        sockets: the protocols of all open sockets.
        tls_context: the TLS context for clients; None if TLS is not offered.
    """

    sockets: set[FlowControlledProtocol]
    tls_context: ssl.SSLContext | None

    def client_connected(self, client: "ClientProtocol") -> None:
        """A client opened a connection."""

    def client_identified(self, client: "ClientProtocol", login: ClientLogin) -> None:
        """A client has proved its identity: create its session, then call `welcome` or `close_with_error`."""

    def login_failed(self) -> None:
        """A client's login failed."""

    def client_ready(self, client: "ClientProtocol") -> None:
        """A client has logged in."""

    def client_disconnected(self, client: "ClientProtocol", reason: str) -> None:
        """A client connection ended."""


class ClientProtocol(FlowControlledProtocol):
    """The asyncio protocol of one client connection.

    Attributes:
        number: the number of the client connection, as in the log.
        session: receives the bytes; None before authentication.
        ready: the client has logged in.
        address: the client's address.
        connected_at: when it connected, on the monotonic clock.
        closed: the connection ended.
    """

    def __init__(self, number: int, callbacks: ProxyCallbacks, rules: LoginRules) -> None:
        super().__init__(callbacks.sockets)
        self.number = number
        self.session: ClientSession | None = None
        self.ready = False
        self.address = ""
        self.connected_at = monotonic()
        self.closed = False
        self._callbacks = callbacks
        self._rules = rules
        self._handshake_runner: HandshakeRunner | None = None
        self._tls_task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._handshake_runner is None:
            peer = transport.get_extra_info("peername") or ("", 0)
            self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "local"
            self._callbacks.client_connected(self)
            self._handshake_runner = HandshakeRunner(frontend_handshake(self._rules), self.write)

    def data_received(self, data: bytes) -> None:
        session = self.session
        if session is None or not self.ready:
            self._log_in(data)
            return
        try:
            session.receive(data)
        except FatalError as error:
            self.close_with_error(error)
            return
        if session.waiting or session.held or session.terminated:
            self.session_changed()

    def proceed(self) -> None:
        session = self.session
        if session is not None and session.held and not self.closed:
            try:
                session.proceed()
            except FatalError as error:
                self.close_with_error(error)
                return
            self.session_changed()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        self.end("The client disconnected" if exc is None else "The client connection broke")

    # Called by the server.

    def session_changed(self) -> None:
        """React to a change of the session's state: close, pause or resume."""
        session = self.session
        if session is not None and session.terminated:
            self.end("The client disconnected")
        else:
            self.update_reading()

    def welcome(self, parameters: Mapping[str, str]) -> None:
        """Send AuthenticationOk, the parameters that the database reported, and ReadyForQuery."""
        session = self.session
        if session is None or self._transport is None:
            return
        session.waiting = False
        session.last_active = monotonic()
        self.ready = True
        name = session.login.application_name
        self._transport.write(
            authentication(0)
            + parameter_status(parameters if name is None else {**parameters, "application_name": name})
            + backend_key_data(self.number & 0x7FFFFFFF, secrets.token_bytes(4))
            + ready_for_query()
        )
        self._callbacks.client_ready(self)
        if self._handshake_runner is not None and self._handshake_runner.rest:
            rest, self._handshake_runner = self._handshake_runner.rest, None
            self.data_received(rest)
        self.update_reading()

    def close_with_error(self, error: FatalError) -> None:
        """Send a FATAL error and close the connection."""
        if not self.closed and self._transport is not None:
            self._transport.write(error.response())
            self.end(error.message.rstrip("."))

    def end(self, reason: str) -> None:
        """Close the connection."""
        if self.closed:
            return
        self.closed = True
        if self._transport is not None and self in self._sockets:
            self._transport.close()
            # A client that does not read would keep the socket open forever.
            self._deadline = asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT, self.abort)
        if self._tls_task is not None:
            self._tls_task.cancel()
        self._callbacks.client_disconnected(self, reason)

    # Internal.

    def _peer(self) -> FlowControlledProtocol | None:
        connection = self.session.connection if self.session is not None else None
        return connection.protocol if connection is not None else None

    def _should_pause(self) -> bool:
        return (
            self.write_full
            or (self.session is not None and (self.session.waiting or self.session.held))
            or super()._should_pause()
        )

    def _log_in(self, data: bytes) -> None:
        handshake = self._handshake_runner
        if handshake is None or self.closed:
            return
        try:
            handshake.receive(data)
            if handshake.wants_tls:
                # Data that arrives before `_begin_tls` resumes came through TLS, with the last handshake message.
                if self._tls_task is None:
                    self._tls_task = asyncio.get_running_loop().create_task(self._begin_tls(handshake))
            elif handshake.done and self.session is None:
                self._handshake_done(handshake.result)
            if handshake.done and len(handshake.rest) > _MAX_BEFORE_LOGIN:
                raise ProtocolViolation("the client sent too much data before its login was complete")
        except FatalError as error:
            self._callbacks.login_failed()
            self.close_with_error(error)

    async def _begin_tls(self, handshake: HandshakeRunner) -> None:
        context = self._callbacks.tls_context
        assert self._transport is not None and context is not None  # noqa: S101, PT018 - TLS is offered only with a context
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=_TLS_TIMEOUT
            )
        except (OSError, ssl.SSLError):
            transport = None
        if transport is None:
            self.end("The TLS handshake failed")
            return
        self.tls = True
        self._transport = transport
        handshake.tls_established(transport.write)
        self._log_in(b"")

    def _handshake_done(self, result: object) -> None:
        if not isinstance(result, ClientLogin):
            self.end("The client sent a cancel request, which is not supported")
            return
        self._callbacks.client_identified(self, result)
