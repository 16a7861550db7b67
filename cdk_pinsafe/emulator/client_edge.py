"""A client's socket: an asyncio protocol that carries bytes between the client and its session.

It must not know what the bytes mean.
"""

import asyncio
import secrets
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from .conversation import Talk
from .edge import Edge
from .login import ClientRules, Login, client_login
from .messages import ProtocolViolation, Refusal, authentication, backend_key_data, parameter_status, ready_for_query

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ClientEdge", "House"]

_TLS_PATIENCE: Final = 15.0
_CLOSE_PATIENCE: Final = 5.0
_MOST_AHEAD: Final = 65_536  # bytes that a client may send before it knows that it is let in


class House(Protocol):
    """Whom a client comes to.

    Attributes:
        sockets: all that are open.
        tls_context: with which clients are offered TLS, where the rules say so.
    """

    sockets: set[Edge]
    tls_context: ssl.SSLContext | None

    def client_arrived(self, client: "ClientEdge") -> None:
        """A client opened a connection."""

    def log_in(self, client: "ClientEdge", login: Login) -> None:
        """A client told who it is: give it a session, and then welcome or refuse it."""

    def login_failed(self) -> None:
        """A client was not let in."""

    def client_ready(self, client: "ClientEdge") -> None:
        """A client is logged in."""

    def client_left(self, client: "ClientEdge", reason: str) -> None:
        """A client's connection ended."""


class ClientEdge(Edge):
    """A client's socket.

    Attributes:
        number: the client connection's number, as in the log.
        session: what its bytes go to, once it told who it is.
        ready: it is logged in.
        address: where it comes from.
        born: when it came, on the monotonic clock.
        closed: its connection ended.
    """

    def __init__(self, number: int, house: House, rules: ClientRules) -> None:
        super().__init__(house.sockets)
        self.number = number
        self.session: Session | None = None
        self.ready = False
        self.address = ""
        self.born = monotonic()
        self.closed = False
        self._house = house
        self._rules = rules
        self._talk: Talk | None = None
        self._tls_task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # asyncio's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._talk is None:
            peer = transport.get_extra_info("peername") or ("", 0)
            self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "local"
            self._house.client_arrived(self)
            self._talk = Talk(client_login(self._rules), self.write)

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

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        self.end("The client disconnected" if exc is None else "The client connection broke")

    # The house's.

    def after(self) -> None:
        """Do what the session's new state asks for."""
        session = self.session
        if session is not None and session.ended:
            self.end("The client disconnected")
        else:
            self.update_reading()

    def welcome(self, parameters: Mapping[str, str]) -> None:
        """Tell the client that it is logged in, and what the database reports."""
        session = self.session
        if session is None or self._transport is None:
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
        if self._transport is not None and self in self._sockets:
            self._transport.close()
            # One that reads nothing any more would never be sent all, and would stay open.
            self._deadline = asyncio.get_running_loop().call_later(_CLOSE_PATIENCE, self.abort)
        if self._tls_task is not None:
            self._tls_task.cancel()
        self._house.client_left(self, reason)

    # Within.

    def _other(self) -> Edge | None:
        connection = self.session.connection if self.session is not None else None
        return connection.edge if connection is not None else None

    def _must_pause(self) -> bool:
        return self.write_full or (self.session is not None and self.session.waiting) or super()._must_pause()

    def _log_in(self, data: bytes) -> None:
        talk = self._talk
        if talk is None or self.closed:
            return
        try:
            talk.receive(data)
            if talk.wants_tls:
                # What comes before `_begin_tls` goes on came through TLS already, with the handshake's last message.
                if self._tls_task is None:
                    self._tls_task = asyncio.get_running_loop().create_task(self._begin_tls(talk))
            elif talk.done and self.session is None:
                self._came_in(talk.result)
            if talk.done and len(talk.rest) > _MOST_AHEAD:
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
        self._log_in(b"")

    def _came_in(self, result: object) -> None:
        if not isinstance(result, Login):
            self.end("A cancel request, which is not supported")
            return
        self._house.log_in(self, result)
