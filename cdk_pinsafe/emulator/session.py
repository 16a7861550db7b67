"""A client's session after login, without its socket: turns its messages into those for a database connection.

The states, by what the session holds:

=========  ==================================  ====================================================================
state      holds                               ends with
=========  ==================================  ====================================================================
idle       nothing                             a message that the database must answer: the session borrows
waiting    its unread messages                 a granted connection, or the borrow timeout
borrowing  a database connection               ReadyForQuery outside a transaction, if nothing is pending
pinned     a database connection, permanently  the client's disconnect, which also closes the database connection
=========  ==================================  ====================================================================

A statement pins when it is run: a Query at once, a prepared statement at Execute. The client's messages are forwarded
unchanged. Its prepared statements follow it: one that is missing on a connection is prepared there before the message,
or the SQL, that needs it (`prepared_statements`).

This module knows neither sockets, nor how the pool chooses connections.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from ..protocol import FRONTEND_LIMITS, ProtocolViolation, message, set_application_name
from ..rds_proxy import STATEMENT_LIMIT
from .classifier import LEGACY, OVERSIZED, PinReason
from .connection import DatabaseConnection
from .events import PinEvent
from .flow_control import FlowControlledProtocol
from .frontend_login import ClientLogin, PoolKey
from .message_rewriter import MessageRewriter, can_stream, object_name, reject_message, string_end
from .pending import (
    BIND,
    CLOSE_PORTAL,
    COPY_END,
    DESCRIBE,
    EXECUTE,
    QUERY,
    QUERY_INTERNAL,
    SYNC,
    PreparedStatement,
)
from .prepared_statements import MAX_PREPARED, ClientStatements
from .shared import SharedState

__all__ = ["ClientSession"]

_MAX_PIN_TEXT: Final = 1000
_MAX_PENDING: Final = 1000  # requests of one client in a row, so that others get their turn
_HEADER = struct.Struct(">I").unpack_from
_Q: Final = ord("Q")


class ClientSession:
    """The session of one client.

    Attributes:
        number: the number of the client connection, as in the log.
        login: the result of its login.
        address: the client's address.
        write: sends bytes to the client.
        protocol: the asyncio protocol of its socket; kept here for the connection's protocol, not used by this class.
        connection: the database connection that it has borrowed.
        statements: its prepared statements.
        pinned: why it is pinned; None if it is not.
        waiting: it waits for a connection; more data must not be passed to it.
        held: messages that it has received wait until the database has answered the earlier ones; more data must not be
            passed to it.
        streaming_bytes: the bytes still to come of a message that is forwarded in pieces.
        terminated: the client has sent Terminate.
        last_active: the time of its last request or response, on the monotonic clock.
    """

    __slots__ = (
        "_buffer",
        "_lend",
        "_requested_at",
        "_sent_at",
        "_shared",
        "address",
        "connection",
        "held",
        "key",
        "last_active",
        "login",
        "number",
        "pinned",
        "protocol",
        "statements",
        "streaming_bytes",
        "terminated",
        "tls",
        "waiting",
        "write",
    )

    def __init__(
        self,
        number: int,
        login: ClientLogin,
        shared: SharedState,
        lend: "Callable[[ClientSession], DatabaseConnection | None]",
        write: Callable[[bytes], object],
        *,
        address: str = "",
        tls: bool = False,
        protocol: FlowControlledProtocol | None = None,
    ) -> None:
        """Create a session. `lend` returns a connection, or None: then `connection_granted` is called later."""
        self.number = number
        self.login = login
        self.key: PoolKey = login.key
        self.address = address
        self.tls = tls
        self.write = write
        self.protocol = protocol
        self.connection: DatabaseConnection | None = None
        self.pinned: PinEvent | None = None
        self.waiting = False
        self.held = False
        self.terminated = False
        self.last_active = monotonic()
        self._shared = shared
        self._lend = lend
        self._buffer = b""
        self.streaming_bytes = 0
        self.statements = ClientStatements(shared.numbers)
        self._requested_at = 0.0
        self._sent_at = 0.0

    # From the client to the database.

    def receive(self, data: bytes) -> None:
        """Take bytes from the client.

        Raises:
            FatalError: send its response to the client and close the connection.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if self.waiting or self.held:
            self._buffer = data
            return
        if (
            data[0] == _Q
            and not self.streaming_bytes
            and len(data) >= 6
            and _HEADER(data, 1)[0] == len(data) - 1 <= STATEMENT_LIMIT
        ):
            # Fast path: exactly one complete Query message.
            if data[-1] or data.find(b"\0", 5) != len(data) - 1:
                raise ProtocolViolation("invalid string in message")
            connection = self.connection
            if connection is None:
                connection = self._borrow(data)
                if connection is None:
                    return
            elif connection.pending or connection.open_batch:
                self._scan(data)
                return
            else:
                self._requested_at = self._sent_at = monotonic()
            if self._shared.classifier.classify(data[5:-1]) is not None:
                self._scan(data)
                return
            if connection.prepared:
                connection.prepared.pop(b"", None)
            if b"" in self.statements.named:
                self.statements.restore(b"", None)
            self._count_request()
            connection.pending.append(QUERY)
            connection.write(data)
        else:
            self._scan(data)

    def connection_granted(self, connection: DatabaseConnection) -> None:
        """Continue with the connection that the session waited for.

        Raises:
            FatalError: as in `receive`.
        """
        self.waiting = False
        self._attach(connection)
        data, self._buffer = self._buffer, b""
        self._scan(data)

    def proceed(self) -> None:
        """Continue with the messages that are held: the earlier ones are answered.

        Raises:
            FatalError: as in `receive`.
        """
        self.held = False
        data, self._buffer = self._buffer, b""
        self._scan(data)

    # From the database to the client.

    def answer(self, data: bytes) -> None:
        """Forward responses to the client."""
        self.write(data)

    def answered(self) -> None:
        """Called when all pending requests are answered."""
        self.last_active = now = monotonic()
        if self.connection is not None and not self.connection.in_transaction:
            self.statements.portals.clear()  # portals end with the transaction
        counters = self._shared.counters
        counters.answered += 1
        counters.response_seconds += now - self._requested_at
        counters.database_seconds += now - self._sent_at

    def restore_statement(self, name: bytes, statement: PreparedStatement | None) -> None:
        """Make this the statement of that name again: the message that changed it failed or was skipped."""
        self.statements.restore(name, statement)

    def statements_dropped(self) -> None:
        """Handle that DEALLOCATE ALL or DISCARD ALL has succeeded."""
        if self.connection is not None:
            self.statements.drop_missing(self.connection)

    # Internal.

    def _borrow(self, data: bytes) -> DatabaseConnection | None:
        """Return a connection, or None: then `data` is kept until one is granted."""
        self._requested_at = monotonic()
        connection = self._lend(self)
        if connection is None:
            self.waiting = True
            self._buffer = data
            return None
        self._attach(connection)
        return connection

    def _attach(self, connection: DatabaseConnection) -> None:
        self.connection = connection
        connection.session = self
        connection.unsettled = False
        self._sent_at = monotonic()
        counters = self._shared.counters
        counters.borrows += 1
        counters.borrow_seconds += self._sent_at - self._requested_at
        name = self.login.application_name
        if connection.application_name != name:
            connection.application_name = name
            connection.prepared.pop(b"", None)
            connection.pending.append(QUERY_INTERNAL)
            connection.write(message(b"Q", set_application_name(name)))

    def _count_request(self) -> None:
        """Count a request."""
        counters = self._shared.counters
        counters.queries += 1
        if self.tls:
            counters.queries_tls += 1

    def _scan(self, data: bytes) -> None:
        """Process messages: complete ones, and the beginning of an incomplete one."""
        size = len(data)
        position = min(self.streaming_bytes, size)
        self.streaming_bytes -= position
        rewriter = MessageRewriter(data)
        if position and self.connection is None:
            rewriter.start = position
        while size - position >= 5:
            kind = data[position]
            length = _HEADER(data, position + 1)[0]
            if not 4 <= length <= FRONTEND_LIMITS.get(kind, -1):
                reject_message(kind, length)
            end = position + 1 + length
            if end > size and not can_stream(kind, data, position, end):
                break
            connection = self.connection
            if kind == _X:
                self.terminated = True
                rewriter.flush(position)
                break
            if connection is None:
                if kind in _NO_RESPONSE:
                    position = min(end, size)
                    self.streaming_bytes = end - position
                    rewriter.start = position
                    continue
                connection = self._borrow(data[position:])
                if connection is None:
                    return
            elif not connection.pending:
                self._requested_at = self._sent_at = monotonic()
                connection.unsettled = self.statements.dropping = False
            elif (
                (connection.unsettled or len(connection.pending) >= _MAX_PENDING)
                and not connection.open_batch
                and kind in _REQUESTS
            ):
                self.held = True
                break
            _HANDLERS[kind](self, connection, rewriter, position, end)
            position = min(end, size)
            self.streaming_bytes = end - position
        rewriter.flush(position)
        self._buffer = data[position:]
        connection = self.connection
        if connection is not None:
            rewriter.send(connection.write)
            connection.release_if_done()

    def _query(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        if connection.skipping:
            return
        _reject_during_copy(connection)
        begin = position + 5
        reason: PinReason | None
        if end - begin - 1 > STATEMENT_LIMIT:
            sql, reason = rewriter.data[begin : begin + _MAX_PIN_TEXT], OVERSIZED
        else:
            sql = rewriter.data[begin : end - 1]
            if rewriter.data[end - 1] or b"\0" in sql:
                raise ProtocolViolation("invalid string in message")
            reason = self._shared.classifier.classify(sql)
        if reason is not None:
            self._pin(connection, reason, sql)
            self.statements.before_sql(connection, rewriter, position, sql)
            self.statements.run_sql(connection, rewriter, position, sql)
        self.statements.drop_unnamed(connection, rewriter, position)
        connection.open_batch = False
        self._count_request()
        connection.pending.append(QUERY)

    def _function_call(
        self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int
    ) -> None:
        if connection.skipping:
            return
        _reject_during_copy(connection)
        connection.open_batch = False
        self._count_request()
        connection.pending.append(QUERY)

    def _parse(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        data = rewriter.data
        name_end = string_end(data, position + 5, end)
        name = data[position + 5 : name_end]
        self._begin_batch(connection, rewriter, position)
        sql_end = data.find(b"\0", name_end + 1, min(end, name_end + 2 + STATEMENT_LIMIT))
        if sql_end < 0:
            if min(end, len(data)) - name_end - 1 <= STATEMENT_LIMIT:
                raise ProtocolViolation("invalid string in message")
            # Too long to keep for other connections; this is why the 16 KB limit exists.
            sql, definition = data[name_end + 1 : name_end + 1 + _MAX_PIN_TEXT], b""
            reason: PinReason | None = OVERSIZED
            self._pin(connection, OVERSIZED, sql)
        else:
            sql, definition = data[name_end + 1 : sql_end], data[name_end + 1 : end]
            reason = self._shared.classifier.classify(sql)
            if self._shared.legacy:
                self._pin(connection, LEGACY, sql)
            elif reason is not None and self.pinned is None:
                self._shared.observer.pin_announced(self._pin_event(connection, reason, sql))
        statement = PreparedStatement(next(self._shared.numbers), definition, sql, reason)
        pinned = self.pinned is not None
        if reason is not None:
            self.statements.before_sql(connection, rewriter, position, sql)
        self.statements.parse(connection, rewriter, position, name, statement, pinned=pinned)

    def _bind(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        data = rewriter.data
        portal_end = string_end(data, position + 5, end)
        name_end = string_end(data, portal_end + 1, end)
        self._begin_batch(connection, rewriter, position)
        portal, name = data[position + 5 : portal_end], data[portal_end + 1 : name_end]
        statement = self._need(connection, rewriter, position, name)
        self.statements.bind_portal(portal, statement)
        connection.pending.append(BIND)

    def _describe(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        name = object_name(rewriter.data, position, end)
        self._begin_batch(connection, rewriter, position)
        if rewriter.data[position + 5] == _S:
            self._need(connection, rewriter, position, name)
        connection.pending.append(DESCRIBE)

    def _execute(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        name_end = string_end(rewriter.data, position + 5, end)
        if name_end + 5 != end:
            raise ProtocolViolation("invalid message format")
        if connection.skipping:
            return
        self._begin_batch(connection, rewriter, position)
        self._count_request()
        if self.statements.portals:
            statement = self.statements.portals.get(rewriter.data[position + 5 : name_end])
            if statement is not None and isinstance(statement.pin_reason, PinReason):
                self._pin(connection, statement.pin_reason, statement.sql)
                self.statements.run_sql(connection, rewriter, position, statement.sql)
        connection.pending.append(EXECUTE)

    def _close(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        name = object_name(rewriter.data, position, end)
        self._begin_batch(connection, rewriter, position)
        if rewriter.data[position + 5] != _S:
            self.statements.portals.pop(name, None)
            connection.pending.append(CLOSE_PORTAL)
        else:
            self.statements.close(connection, name)

    def _sync(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        if connection.copying_in:
            return  # the database ignores it
        connection.open_batch = connection.skipping = False
        connection.pending.append(SYNC)

    def _flush(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        """Forward the message unchanged; also used for CopyData."""

    def _copy_end(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, end: int) -> None:
        if connection.copying_in:
            connection.copying_in = False
        elif connection.pending:  # otherwise there is no COPY to end
            connection.pending.append(COPY_END)

    def _begin_batch(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int) -> None:
        _reject_during_copy(connection)
        if not connection.open_batch:
            connection.open_batch = True
            if self.pinned is None and len(connection.prepared) > MAX_PREPARED and not connection.in_transaction:
                self.statements.close_excess(connection, rewriter, position)

    def _need(
        self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, name: bytes
    ) -> PreparedStatement | None:
        """Return the statement of that name, prepared on the connection with what its SQL needs."""
        statement = self.statements.named.get(name)
        if statement is not None and statement.pin_reason is not None:
            self.statements.before_sql(connection, rewriter, position, statement.sql)
        self.statements.ensure_prepared(connection, rewriter, position, name)
        return statement

    # Pinning.

    def _pin_event(self, connection: DatabaseConnection, reason: PinReason, sql: bytes) -> PinEvent:
        text = sql.decode(errors="replace")
        return PinEvent(
            statement=text,
            condition=reason.condition,
            evidence=reason.evidence,
            reason=reason.log_reason,
            digest=reason.digest,
            remedy=reason.remedy,
            start=reason.start,
            end=len(text) if reason.end is None else reason.end,
            client_connection=self.number,
            db_connection=connection.number,
            user=self.key.user,
            database=self.key.database,
            application_name=self.login.application_name or "",
            client_address=self.address,
            when=datetime.now(UTC),
            repeated=self.pinned is not None,
        )

    def _pin(self, connection: DatabaseConnection, reason: PinReason, sql: bytes) -> None:
        pin = self._pin_event(connection, reason, sql)
        if self.pinned is None:
            self.pinned = pin
        self._shared.observer.pinned(pin)


_Handler = Callable[[ClientSession, DatabaseConnection, MessageRewriter, int, int], None]
_S, _X = ord("S"), ord("X")

_HANDLERS: Final[dict[int, _Handler]] = {
    ord("Q"): ClientSession._query,
    ord("P"): ClientSession._parse,
    ord("B"): ClientSession._bind,
    ord("D"): ClientSession._describe,
    ord("E"): ClientSession._execute,
    ord("C"): ClientSession._close,
    ord("S"): ClientSession._sync,
    ord("H"): ClientSession._flush,
    ord("F"): ClientSession._function_call,
    ord("d"): ClientSession._flush,
    ord("c"): ClientSession._copy_end,
    ord("f"): ClientSession._copy_end,
}
_REQUESTS: Final = frozenset(b"QFPBDEC")
_NO_RESPONSE: Final = frozenset(b"Hdcf")  # no effect outside a request, so no connection is borrowed for them


def _reject_during_copy(connection: DatabaseConnection) -> None:
    """Raise if the database reads COPY data: it would take the request for data."""
    if connection.copying_in:
        raise ProtocolViolation("unexpected message during COPY from stdin")
