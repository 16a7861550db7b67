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
statements get the client's own names on its connection, and those of other clients are closed there, so that from then
on EXECUTE, DEALLOCATE and pg_prepared_statements find what they would find without a proxy.

It must not know sockets, nor how the pool chooses.
"""

import itertools
import secrets
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol

from ..pinning.conditions import STATEMENT_LIMIT
from .connection import (
    BIND,
    CLOSE_OURS,
    CLOSE_PORTAL,
    COPY_END,
    DESCRIBE,
    EXECUTE,
    FAILED,
    QUERY,
    QUERY_OURS,
    SYNC,
    SYNC_OURS,
    Closing,
    DatabaseConnection,
    PreparedStatement,
    Preparing,
)
from .events import Observer, Pin
from .judgement import LEGACY, OVERSIZED, Judge, Verdict
from .login import Key, Login
from .messages import FRONTEND_LIMITS, ProtocolViolation, Refusal, close_statement, message, parse

__all__ = ["Counters", "Lender", "Session", "Surroundings"]

MOST_PREPARED: Final = 500
"""Statements that a shared database connection keeps prepared; then the least recently used ones are closed."""

LONGEST_KEPT: Final = 8 << 20
"""Bytes of prepared statements that are kept for a client, their texts and types. One that wants more is refused."""

_LONGEST_NAME: Final = 8192
_LONGEST_TYPES: Final = 2 + 4 * 65_535
_KEPT_OF_PIN: Final = 1000
_OVERHEAD: Final = 250  # bytes that a statement takes beside its text
_HEADER = struct.Struct(">I").unpack_from
_Q: Final = ord("Q")


class Lender(Protocol):
    """What a session needs of the pool."""

    def borrow(self, session: "Session") -> DatabaseConnection | None:
        """A connection now, or None: then `Session.granted` or `Session.refused` is called later."""


@dataclass
class Counters:
    """What is counted as messages go through; `metrics` gives them CloudWatch's names.

    Times are in seconds; those of answers are summed over `answered` requests, those of borrowing over `borrows`.
    """

    queries: int = 0
    queries_tls: int = 0
    answered: int = 0
    response_seconds: float = 0.0
    database_seconds: float = 0.0
    borrows: int = 0
    borrow_seconds: float = 0.0


@dataclass
class Surroundings:
    """What all sessions of a stand-in share.

    Attributes:
        pool: lends database connections.
        observer: is told of pins.
        legacy: pin on every Parse message, as before November 2023.
    """

    pool: Lender
    observer: Observer
    legacy: bool = False
    judge: Judge = field(default_factory=Judge)
    counters: Counters = field(default_factory=Counters)
    names: Iterator[bytes] = field(default_factory=lambda: _names())


def _names() -> Iterator[bytes]:
    """Names for prepared statements. Not to be guessed: by such a name a client could reach another's statement."""
    prefix = f"pinsafe_{secrets.token_hex(8)}_".encode()
    return (prefix + str(number).encode() for number in itertools.count(1))


class Session:
    """One client.

    Attributes:
        number: the client connection's number, as in the log.
        login: who it is.
        address: where it comes from.
        write: takes bytes for the client.
        connection: what it has borrowed.
        pinned: why it is pinned; None if it is not.
        waiting: it waits for a connection, and must not be fed.
        streaming: bytes still to come of a message whose head went on already.
        ended: the client said that it is leaving.
        active: when it last asked or was answered something, on the monotonic clock.
    """

    __slots__ = (
        "_asked_at",
        "_buffer",
        "_kept",
        "_portals",
        "_sent_at",
        "_statements",
        "_surroundings",
        "_unnamed",
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
        write: Callable[[bytes], object],
        *,
        address: str = "",
        tls: bool = False,
        edge: object = None,
    ) -> None:
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
        self._buffer = b""
        self.streaming = 0
        self._statements: dict[bytes, PreparedStatement] = {}
        self._kept = 0
        self._unnamed: PreparedStatement | None = None
        self._portals: dict[bytes, PreparedStatement] = {}  # only those whose statement pins
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
            elif not connection.asked:
                self._asked_at = self._sent_at = monotonic()
            verdict = self._surroundings.judge.verdict(data[5:-1])
            if verdict is not None:
                self._pin(connection, verdict, data[5:-1])
                self._settle(connection)
            self._unnamed = connection.unnamed = None
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

    def restore(self, name: bytes, before: PreparedStatement | None) -> None:
        """Undo a change of what is called `name`: its message failed or was left out."""
        if name == b"":
            self._unnamed = before
            return
        self._forget(name)
        if before is not None:
            self._remember(name, before)

    # To the client.

    def answer(self, data: bytes) -> None:
        """Pass answers on."""
        self.write(data)

    def answered(self) -> None:
        """Everything that was asked is answered."""
        self.active = now = monotonic()
        counters = self._surroundings.counters
        counters.answered += 1
        counters.response_seconds += now - self._asked_at
        counters.database_seconds += now - self._sent_at

    # Within.

    def _borrow(self, data: bytes) -> DatabaseConnection | None:
        """A connection; or None, and `data` are kept until there is one."""
        self._asked_at = monotonic()
        connection = self._surroundings.pool.borrow(self)
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
            connection.write(message(b"Q", _naming(name)))

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
        out = _Out(data)
        if position and self.connection is None:
            out.start = position
        while size - position >= 5:
            kind = data[position]
            length = _HEADER(data, position + 1)[0]
            if not 4 <= length <= FRONTEND_LIMITS.get(kind, -1):
                _refuse(kind, length)
            end = position + 1 + length
            if end > size and not self._can_stream(kind, data, position, end):
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
            out.send(connection)
            connection.free_if_done()

    def _can_stream(self, kind: int, data: bytes, position: int, end: int) -> bool:
        """Whether so much of a message is there that it can be judged, and sent on in pieces.

        What is held back until then is at most a statement that does not pin, with its types.
        """
        begin = position + 5
        if kind in _PASSING:
            return True
        if kind == _Q:
            return end - begin - 1 > STATEMENT_LIMIT
        if kind not in _NAMED:
            return False
        first = data.find(b"\0", begin, begin + _LONGEST_NAME)
        if first < 0:
            return len(data) - begin >= _LONGEST_NAME  # it will be refused
        if kind == _B:
            second = data.find(b"\0", first + 1, first + 1 + _LONGEST_NAME)
            return second >= 0 or len(data) - first > _LONGEST_NAME
        sql_end = data.find(b"\0", first + 1, first + 2 + STATEMENT_LIMIT)
        if sql_end < 0:
            return len(data) - first - 1 > STATEMENT_LIMIT
        if end - sql_end - 1 > _LONGEST_TYPES:
            raise ProtocolViolation("invalid message format")
        return False

    def _query(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
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
        self._unnamed = connection.unnamed = None
        connection.open_batch = False
        self._ask()
        connection.asked.append(QUERY)

    def _function_call(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        connection.open_batch = False
        self._ask()
        connection.asked.append(QUERY)

    def _parse(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        data = out.data
        name_end = _string(data, position + 5, end)
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
        before = self._unnamed if name == b"" else self._statements.get(name)
        wire = name
        if name == b"":
            self._unnamed = connection.unnamed = statement
        elif self.pinned is not None and not self._unsettled:
            self._keep(name, statement)
        elif before is None:
            wire = statement.name
            connection.prepared[statement] = None
            self._keep(name, statement)
            out.replace(position, end, parse(wire, rest))
        else:
            # The server knows it by another name; so that it refuses this one in its own words, it gets both.
            connection.spoilt = True
            out.insert(position, parse(name, b"\0\0\0"))
            connection.asked.append(Preparing(statement, name, None, None))
        connection.asked.append(Preparing(statement, wire, name, before))

    def _bind(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        data = out.data
        portal_end = _string(data, position + 5, end)
        name_end = _string(data, portal_end + 1, end)
        self._begin_batch(connection, out, position)
        portal, name = data[position + 5 : portal_end], data[portal_end + 1 : name_end]
        statement, wire = self._need(connection, out, position, name)
        if statement is not None and statement.pins is not None:
            self._portals[portal] = statement
        elif self._portals:
            self._portals.pop(portal, None)
        if wire is not name:
            length = end - position - 1 + len(wire) - len(name)
            head = b"B" + length.to_bytes(4, "big") + portal + b"\0" + wire
            out.replace(position, name_end, head)
        connection.asked.append(BIND)

    def _describe(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        name = _named(out.data, position, end)
        self._begin_batch(connection, out, position)
        if out.data[position + 5] == _S:
            _, wire = self._need(connection, out, position, name)
            if wire is not name:
                out.replace(position, end, message(b"D", b"S" + wire + b"\0"))
        connection.asked.append(DESCRIBE)

    def _execute(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        name_end = _string(out.data, position + 5, end)
        if name_end + 5 != end:
            raise ProtocolViolation("invalid message format")
        self._begin_batch(connection, out, position)
        self._ask()
        if self._portals:
            statement = self._portals.get(out.data[position + 5 : name_end])
            if statement is not None and isinstance(statement.pins, Verdict):
                self._pin(connection, statement.pins, statement.sql)
                self._settle(connection, out, position)
        connection.asked.append(EXECUTE)

    def _close(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        name = _named(out.data, position, end)
        self._begin_batch(connection, out, position)
        if out.data[position + 5] != _S:
            self._portals.pop(name, None)
            connection.asked.append(CLOSE_PORTAL)
            return
        shared = False
        if name == b"":
            before, self._unnamed, connection.unnamed = self._unnamed, None, None
        else:
            before = self._forget(name)
            if before is not None and before in connection.prepared:
                shared = True
                del connection.prepared[before]
                out.replace(position, end, close_statement(before.name))
        connection.asked.append(Closing(name, before, shared))

    def _sync(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        if connection.copying_in:
            return  # the database passes over it
        connection.open_batch = False
        connection.asked.append(SYNC)

    def _flush(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        """It only passes, as do a COPY's data."""

    def _copy_end(self, connection: DatabaseConnection, out: "_Out", position: int, end: int) -> None:
        if connection.copying_in:
            connection.copying_in = False
        else:
            connection.asked.append(COPY_END)

    def _begin_batch(self, connection: DatabaseConnection, out: "_Out", position: int) -> None:
        if connection.copying_in:
            raise ProtocolViolation("unexpected message during COPY from stdin")
        if connection.open_batch:
            return
        connection.open_batch = True
        prepared = connection.prepared
        if self.pinned is None and len(prepared) > MOST_PREPARED and not connection.in_transaction:
            for statement in list(itertools.islice(prepared, len(prepared) - MOST_PREPARED)):
                del prepared[statement]
                out.insert(position, close_statement(statement.name))
                connection.asked.append(CLOSE_OURS)

    def _need(
        self, connection: DatabaseConnection, out: "_Out", position: int, name: bytes
    ) -> tuple[PreparedStatement | None, bytes]:
        """What the client calls `name`, and what the connection does: prepared there now, if it was not."""
        if name == b"":
            statement = self._unnamed
            if connection.unnamed is not statement:
                if statement is None:
                    # What is unnamed there is another client's.
                    out.insert(position, close_statement(b""))
                    connection.asked.append(CLOSE_OURS)
                else:
                    out.insert(position, parse(b"", statement.rest))
                    connection.asked.append(Preparing(statement, b"", None, None))
                connection.unnamed = statement
            return statement, name
        statement = self._statements.get(name)
        if statement is None or (self.pinned is not None and not self._unsettled):
            return statement, name
        prepared = connection.prepared
        if statement in prepared:
            del prepared[statement]
        else:
            out.insert(position, parse(statement.name, statement.rest))
            connection.asked.append(Preparing(statement, statement.name, None, None))
        prepared[statement] = None
        return statement, statement.name

    def _keep(self, name: bytes, statement: PreparedStatement) -> None:
        self._remember(name, statement)
        if self._kept > LONGEST_KEPT:
            raise Refusal("54000", f"the client keeps more than {LONGEST_KEPT} bytes of prepared statements")

    def _remember(self, name: bytes, statement: PreparedStatement) -> None:
        self._statements[name] = statement
        self._kept += len(name) + len(statement.rest) + _OVERHEAD

    def _forget(self, name: bytes) -> PreparedStatement | None:
        statement = self._statements.pop(name, None)
        if statement is not None:
            self._kept -= len(name) + len(statement.rest) + _OVERHEAD
        return statement

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
            self._unsettled = bool(self._statements) or len(connection.prepared) > 0
        self._surroundings.observer.pinned(pin)

    def _settle(self, connection: DatabaseConnection, out: "_Out | None" = None, position: int = 0) -> None:
        """Give a pinned client's statements their own names on its connection, and close those of others there.

        Within a batch no Sync may follow, as it would end the batch's transaction; a statement that cannot be prepared
        any more then fails the batch. Outside it fails nothing, unless a transaction is open. In a failed transaction
        nothing can be prepared: it is put off.
        """
        if not self._unsettled or connection.status == FAILED:
            return
        self._unsettled = False
        own = set(self._statements.values())
        messages = []
        for statement in connection.prepared:
            if statement not in own:
                messages.append(close_statement(statement.name))
                connection.asked.append(CLOSE_OURS)
        for name, statement in self._statements.items():
            messages.append(parse(name, statement.rest))
            connection.asked.append(Preparing(statement, name, None, None))
        connection.prepared.clear()
        if not connection.open_batch:
            messages.append(message(b"S"))
            connection.asked.append(SYNC_OURS)
        if out is None:
            connection.write(b"".join(messages))
        else:
            out.insert(position, b"".join(messages))


class _Out:
    """What goes to the database of a piece of the client's bytes: most of it as it came, some replaced or added."""

    __slots__ = ("data", "pieces", "start")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.start = 0  # what is before was dealt with
        self.pieces: list[bytes] = []

    def flush(self, position: int) -> None:
        """Everything before `position` goes as it came."""
        if self.start < position:
            self.pieces.append(self.data[self.start : position])
            self.start = position

    def insert(self, position: int, extra: bytes) -> None:
        """Send something before what stands at `position`."""
        self.flush(position)
        self.pieces.append(extra)

    def replace(self, position: int, end: int, other: bytes) -> None:
        """Send something instead of what stands there."""
        self.insert(position, other)
        self.start = end

    def send(self, connection: DatabaseConnection) -> None:
        """Send what has gathered."""
        if self.pieces:
            connection.write(b"".join(self.pieces) if len(self.pieces) > 1 else self.pieces[0])
            self.pieces.clear()


_Handler = Callable[[Session, DatabaseConnection, _Out, int, int], None]
_B, _S, _X = ord("B"), ord("S"), ord("X")

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
_PASSING: Final = frozenset(b"dF")
_NAMED: Final = frozenset(b"PB")
_UNASKED: Final = frozenset(b"Hdcf")  # of no consequence outside a request: nothing is borrowed for them


def _refuse(kind: int, length: int) -> None:
    if kind not in FRONTEND_LIMITS:
        raise ProtocolViolation(f"invalid frontend message type {kind}")
    raise ProtocolViolation(f"invalid message length {length} of message type {chr(kind)!r}")


def _naming(name: str | None) -> bytes:
    """The statement that gives a connection its borrower's application_name, and its end."""
    if name is None:
        return b"RESET application_name\0"
    # Its characters are printable ASCII; this form means the same whatever standard_conforming_strings says.
    quoted = name.replace("\\", "\\\\").replace("'", "''")
    return f"SET application_name TO E'{quoted}'\0".encode()


def _string(data: bytes, begin: int, end: int) -> int:
    """Where the string that begins there ends: its NUL."""
    found = data.find(b"\0", begin, min(end, begin + _LONGEST_NAME))
    if found < 0:
        raise ProtocolViolation("invalid string in message")
    return found


def _named(data: bytes, position: int, end: int) -> bytes:
    """The name in a Describe or Close."""
    if end - position < 7 or data[position + 5] not in b"SP" or _string(data, position + 6, end) != end - 1:
        raise ProtocolViolation("invalid message format")
    return data[position + 6 : end - 1]
