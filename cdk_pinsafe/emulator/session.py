"""A client's session after login, without its socket: from its messages to those that a database connection gets.

States, by what the session holds:

=========  =====================================  ==============================================================
state      holds                                  leaves it
=========  =====================================  ==============================================================
idle       nothing                                a message that the database has to answer: the session borrows
waiting    its unread messages                    a connection is granted, or the borrow timeout comes
borrowing  a database connection                  ReadyForQuery outside a transaction, with nothing left to answer
pinned     a database connection, for good        the client's end; the connection ends with it
=========  =====================================  ==============================================================

A statement pins when it is run: a Query at once, a prepared one at Execute. From then on messages go through as they
came. Before, prepared statements travel: the database knows them by names of the stand-in, and one that is missing
where it is needed is prepared in the same batch, before the message that needs it. When a session is pinned, its
statements get the client's own names on its connection, and no others stay there, so that from then on EXECUTE,
DEALLOCATE and pg_prepared_statements find what they would find without a proxy.

It must not know sockets, nor how the pool chooses.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from ..pinning.conditions import STATEMENT_LIMIT
from .asked import (
    BIND,
    CLOSE_PORTAL,
    COPY_END,
    DESCRIBE,
    EXECUTE,
    QUERY,
    QUERY_OURS,
    SYNC,
    Closing,
    PreparedStatement,
    Preparing,
)
from .connection import FAILED, DatabaseConnection
from .edge import Edge
from .events import Pin
from .judgement import LEGACY, OVERSIZED, Verdict
from .login import Key, Login
from .messages import FRONTEND_LIMITS, ProtocolViolation, close_statement, message, naming, parse
from .outgoing import Outgoing, can_stream, named, refuse, string_end
from .prepared import MOST_PREPARED, Statements, trim
from .surroundings import Surroundings

__all__ = ["Session"]

_KEPT_OF_PIN: Final = 1000
_HEADER = struct.Struct(">I").unpack_from
_Q: Final = ord("Q")


class Session:
    """One client.

    Attributes:
        number: the client connection's number, as in the log.
        login: who it is.
        address: where it comes from.
        write: takes bytes for the client.
        edge: its socket, for the one of its connection's; it does not look at it itself.
        connection: what it has borrowed.
        statements: what it has prepared.
        pinned: why it is pinned; None if it is not.
        waiting: it waits for a connection, and must not be fed.
        streaming: bytes still to come of a message whose head went on already.
        ended: the client said that it is leaving.
        active: when it last asked or was answered something, on the monotonic clock.
    """

    __slots__ = (
        "_asked_at",
        "_buffer",
        "_lend",
        "_sent_at",
        "_surroundings",
        "_unsettled",
        "active",
        "address",
        "connection",
        "edge",
        "ended",
        "key",
        "login",
        "number",
        "pinned",
        "statements",
        "streaming",
        "tls",
        "waiting",
        "write",
    )

    def __init__(
        self,
        number: int,
        login: Login,
        surroundings: Surroundings,
        lend: "Callable[[Session], DatabaseConnection | None]",
        write: Callable[[bytes], object],
        *,
        address: str = "",
        tls: bool = False,
        edge: Edge | None = None,
    ) -> None:
        """Begin one. `lend` gives it a connection now, or None: then `granted` is called later."""
        self.number = number
        self.login = login
        self.key: Key = login.key
        self.address = address
        self.tls = tls
        self.write = write
        self.edge = edge
        self.connection: DatabaseConnection | None = None
        self.pinned: Pin | None = None
        self.waiting = False
        self.ended = False
        self.active = monotonic()
        self._surroundings = surroundings
        self._lend = lend
        self._buffer = b""
        self.streaming = 0
        self.statements = Statements()
        self._unsettled = False  # pinned, and its statements do not have the client's names yet
        self._asked_at = 0.0
        self._sent_at = 0.0

    # From the client.

    def receive(self, data: bytes) -> None:
        """Take bytes of the client.

        Raises:
            Refusal: it is to be told so, and its connection closed.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        if self.waiting:
            self._buffer = data
            return
        if (
            data[0] == _Q
            and not self.streaming
            and len(data) >= 6
            and _HEADER(data, 1)[0] == len(data) - 1 <= STATEMENT_LIMIT
            and self._unsettled is False
        ):
            # The way that most bytes take: one Query, whole.
            if data[-1] or data.find(b"\0", 5) != len(data) - 1:
                raise ProtocolViolation("invalid string in message")
            connection = self.connection
            if connection is None:
                connection = self._borrow(data)
                if connection is None:
                    return
            elif connection.skipping:
                connection.write(data)
                return
            elif not connection.asked:
                self._asked_at = self._sent_at = monotonic()
            elif connection.copying_in:
                _no_copy(connection)
            verdict = self._surroundings.judge.verdict(data[5:-1])
            if verdict is not None:
                self._pin(connection, verdict, data[5:-1])
                self._settle(connection)
            self.statements.unnamed = connection.unnamed = None
            connection.open_batch = False
            self._ask()
            connection.asked.append(QUERY)
            connection.write(data)
        else:
            self._scan(data)

    def granted(self, connection: DatabaseConnection) -> None:
        """Take the connection that was waited for, and go on.

        Raises:
            Refusal: as `receive`.
        """
        self.waiting = False
        self._took(connection)
        data, self._buffer = self._buffer, b""
        self._scan(data)

    # To the client.

    def answer(self, data: bytes) -> None:
        """Pass answers on."""
        self.write(data)

    def answered(self) -> None:
        """Everything that was asked is answered."""
        self.active = now = monotonic()
        if self.connection is not None and not self.connection.in_transaction:
            self.statements.portals.clear()  # they ended with the transaction
        counters = self._surroundings.counters
        counters.answered += 1
        counters.response_seconds += now - self._asked_at
        counters.database_seconds += now - self._sent_at

    def restore(self, name: bytes, before: PreparedStatement | None) -> None:
        """Call `before` by that name again: what changed it failed or was left out."""
        self.statements.restore(name, before)

    # Within.

    def _borrow(self, data: bytes) -> DatabaseConnection | None:
        """A connection; or None, and `data` are kept until there is one."""
        self._asked_at = monotonic()
        connection = self._lend(self)
        if connection is None:
            self.waiting = True
            self._buffer = data
            return None
        self._took(connection)
        return connection

    def _took(self, connection: DatabaseConnection) -> None:
        self.connection = connection
        connection.session = self
        self._sent_at = monotonic()
        counters = self._surroundings.counters
        counters.borrows += 1
        counters.borrow_seconds += self._sent_at - self._asked_at
        name = self.login.application_name
        if connection.name != name:
            connection.name = name
            connection.unnamed = None
            connection.asked.append(QUERY_OURS)
            connection.write(message(b"Q", naming(name)))

    def _ask(self) -> None:
        """Count a request."""
        counters = self._surroundings.counters
        counters.queries += 1
        if self.tls:
            counters.queries_tls += 1

    def _scan(self, data: bytes) -> None:
        """Go through messages, whole ones and the beginning of one that is not."""
        size = len(data)
        position = min(self.streaming, size)
        self.streaming -= position
        out = Outgoing(data)
        if position and self.connection is None:
            out.start = position
        while size - position >= 5:
            kind = data[position]
            length = _HEADER(data, position + 1)[0]
            if not 4 <= length <= FRONTEND_LIMITS.get(kind, -1):
                refuse(kind, length)
            end = position + 1 + length
            if end > size and not can_stream(kind, data, position, end):
                break
            connection = self.connection
            if kind == _X:
                self.ended = True
                out.flush(position)
                break
            if connection is None:
                if kind in _UNASKED:
                    position = min(end, size)
                    self.streaming = end - position
                    out.start = position
                    continue
                connection = self._borrow(data[position:])
                if connection is None:
                    return
            elif not connection.asked:
                self._asked_at = self._sent_at = monotonic()
            if self._unsettled and not connection.open_batch:
                self._settle(connection, out, position)
            _HANDLERS[kind](self, connection, out, position, end)
            position = min(end, size)
            self.streaming = end - position
        out.flush(position)
        self._buffer = data[position:]
        connection = self.connection
        if connection is not None:
            out.send(connection.write)
            connection.free_if_done()

    def _query(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        if connection.skipping:
            return
        _no_copy(connection)
        begin = position + 5
        verdict: Verdict | None
        if end - begin - 1 > STATEMENT_LIMIT:
            sql, verdict = out.data[begin : begin + _KEPT_OF_PIN], OVERSIZED
        else:
            sql = out.data[begin : end - 1]
            if out.data[end - 1] or b"\0" in sql:
                raise ProtocolViolation("invalid string in message")
            verdict = self._surroundings.judge.verdict(sql)
        if verdict is not None:
            self._pin(connection, verdict, sql)
            self._settle(connection, out, position)
        self.statements.unnamed = connection.unnamed = None
        connection.open_batch = False
        self._ask()
        connection.asked.append(QUERY)

    def _function_call(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        if connection.skipping:
            return
        _no_copy(connection)
        connection.open_batch = False
        self._ask()
        connection.asked.append(QUERY)

    def _parse(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        data = out.data
        name_end = string_end(data, position + 5, end)
        name = data[position + 5 : name_end]
        self._begin_batch(connection, out, position)
        sql_end = data.find(b"\0", name_end + 1, min(end, name_end + 2 + STATEMENT_LIMIT))
        if sql_end < 0:
            if min(end, len(data)) - name_end - 1 <= STATEMENT_LIMIT:
                raise ProtocolViolation("invalid string in message")
            # The stand-in would have to keep it to prepare it elsewhere: it is what the limit is for.
            sql, rest = data[name_end + 1 : name_end + 1 + _KEPT_OF_PIN], b""
            verdict: Verdict | None = OVERSIZED
            self._pin(connection, OVERSIZED, sql)
        else:
            sql, rest = data[name_end + 1 : sql_end], data[name_end + 1 : end]
            verdict = self._surroundings.judge.verdict(sql)
            if self._surroundings.legacy:
                self._pin(connection, LEGACY, sql)
            elif verdict is not None and self.pinned is None:
                self._surroundings.observer.may_pin(self._record(connection, verdict, sql))
        self._settle(connection, out, position)
        statement = PreparedStatement(next(self._surroundings.names) if name else b"", rest, sql, verdict)
        before = self.statements.get(name)
        wire = name
        if name == b"":
            self.statements.unnamed = connection.unnamed = statement
        elif verdict is OVERSIZED or (self.pinned is not None and not self._unsettled):
            self.statements.keep_verdict(name, statement)
        elif before is None:
            wire = statement.name
            connection.prepared[statement] = None
            self.statements.keep(name, statement)
            out.replace(position, end, parse(wire, rest))
        else:
            # The server knows it by another name; so that it refuses this one in its own words, it gets both.
            connection.spoilt = True
            out.insert(position, parse(name, b"\0\0\0"))
            connection.asked.append(Preparing(statement, name, None, None))
        connection.asked.append(Preparing(statement, wire, name, before))

    def _bind(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        data = out.data
        portal_end = string_end(data, position + 5, end)
        name_end = string_end(data, portal_end + 1, end)
        self._begin_batch(connection, out, position)
        portal, name = data[position + 5 : portal_end], data[portal_end + 1 : name_end]
        statement, wire = self._need(connection, out, position, name)
        self.statements.bound(portal, statement)
        if wire is not name:
            length = end - position - 1 + len(wire) - len(name)
            head = b"B" + length.to_bytes(4, "big") + portal + b"\0" + wire
            out.replace(position, name_end, head)
        connection.asked.append(BIND)

    def _describe(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        name = named(out.data, position, end)
        self._begin_batch(connection, out, position)
        if out.data[position + 5] == _S:
            _, wire = self._need(connection, out, position, name)
            if wire is not name:
                out.replace(position, end, message(b"D", b"S" + wire + b"\0"))
        connection.asked.append(DESCRIBE)

    def _execute(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        name_end = string_end(out.data, position + 5, end)
        if name_end + 5 != end:
            raise ProtocolViolation("invalid message format")
        if connection.skipping:
            return
        self._begin_batch(connection, out, position)
        self._ask()
        if self.statements.portals:
            statement = self.statements.portals.get(out.data[position + 5 : name_end])
            if statement is not None and isinstance(statement.pins, Verdict):
                self._pin(connection, statement.pins, statement.sql)
                self._settle(connection, out, position)
        connection.asked.append(EXECUTE)

    def _close(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        name = named(out.data, position, end)
        self._begin_batch(connection, out, position)
        if out.data[position + 5] != _S:
            self.statements.portals.pop(name, None)
            connection.asked.append(CLOSE_PORTAL)
            return
        shared = False
        if name == b"":
            before = self.statements.unnamed
            self.statements.unnamed = connection.unnamed = None
        else:
            before = self.statements.forget(name)
            if before is not None and before in connection.prepared:
                shared = True
                del connection.prepared[before]
                out.replace(position, end, close_statement(before.name))
        connection.asked.append(Closing(name, before, shared))

    def _sync(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        if connection.copying_in:
            return  # the database passes over it
        connection.open_batch = connection.skipping = False
        connection.asked.append(SYNC)

    def _flush(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        """It only passes, as do a COPY's data."""

    def _copy_end(self, connection: DatabaseConnection, out: Outgoing, position: int, end: int) -> None:
        if connection.copying_in:
            connection.copying_in = False
        elif connection.asked:  # else there is no COPY that it could end
            connection.asked.append(COPY_END)

    def _begin_batch(self, connection: DatabaseConnection, out: Outgoing, position: int) -> None:
        _no_copy(connection)
        if not connection.open_batch:
            connection.open_batch = True
            if self.pinned is None and len(connection.prepared) > MOST_PREPARED and not connection.in_transaction:
                trim(connection, out, position)

    def _need(
        self, connection: DatabaseConnection, out: Outgoing, position: int, name: bytes
    ) -> tuple[PreparedStatement | None, bytes]:
        own_names = self.pinned is not None and not self._unsettled
        return self.statements.need(connection, out, position, name, own_names=own_names)

    # Pinning.

    def _record(self, connection: DatabaseConnection, verdict: Verdict, sql: bytes) -> Pin:
        text = sql.decode(errors="replace")
        return Pin(
            statement=text,
            condition=verdict.condition,
            evidence=verdict.evidence,
            reason=verdict.reason,
            digest=verdict.digest,
            remedy=verdict.remedy,
            start=verdict.start,
            end=len(text) if verdict.end is None else verdict.end,
            client_connection=self.number,
            db_connection=connection.number,
            user=self.key.user,
            database=self.key.database,
            application_name=self.login.application_name or "",
            client_address=self.address,
            when=datetime.now(UTC),
            repeated=self.pinned is not None,
        )

    def _pin(self, connection: DatabaseConnection, verdict: Verdict, sql: bytes) -> None:
        pin = self._record(connection, verdict, sql)
        if self.pinned is None:
            self.pinned = pin
            self._unsettled = bool(self.statements) or bool(connection.prepared)
        self._surroundings.observer.pinned(pin)

    def _settle(self, connection: DatabaseConnection, out: Outgoing | None = None, position: int = 0) -> None:
        """Give a pinned client's statements their own names; in a failed transaction, where none can be, later."""
        if not self._unsettled or connection.status == FAILED:
            return
        self._unsettled = False
        messages = self.statements.hand_over(connection)
        if out is None:
            connection.write(messages)
        else:
            out.insert(position, messages)


_Handler = Callable[[Session, DatabaseConnection, Outgoing, int, int], None]
_S, _X = ord("S"), ord("X")

_HANDLERS: Final[dict[int, _Handler]] = {
    ord("Q"): Session._query,
    ord("P"): Session._parse,
    ord("B"): Session._bind,
    ord("D"): Session._describe,
    ord("E"): Session._execute,
    ord("C"): Session._close,
    ord("S"): Session._sync,
    ord("H"): Session._flush,
    ord("F"): Session._function_call,
    ord("d"): Session._flush,
    ord("c"): Session._copy_end,
    ord("f"): Session._copy_end,
}
_UNASKED: Final = frozenset(b"Hdcf")  # of no consequence outside a request: nothing is borrowed for them


def _no_copy(connection: DatabaseConnection) -> None:
    """Refuse a request while the database reads a COPY's data: it would take it for one of them."""
    if connection.copying_in:
        raise ProtocolViolation("unexpected message during COPY from stdin")
