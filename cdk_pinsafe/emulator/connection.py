"""A database connection, without its socket: what was sent to it, what it answers, when it is free again.

The database answers in the order in which it was asked, so what was asked stands in a queue:

=============  ==================================================  ====================================
asked          the answer that ends it                             when an earlier message of its batch failed
=============  ==================================================  ====================================
Query          ReadyForQuery                                       left out, as everything up to Sync
FunctionCall   ReadyForQuery                                       left out
Sync           ReadyForQuery                                       answered: it ends the batch
Parse          ParseComplete                                       left out: what it prepared is not there
Bind           BindComplete                                        left out
Describe       RowDescription or NoData                            left out
Execute        CommandComplete, PortalSuspended, EmptyQueryResp.   left out
Close          CloseComplete                                       left out: what it closed is still there
CopyDone/Fail  none: it only tells where a COPY's data end         left out
=============  ==================================================  ====================================

While the database reads a COPY's data it passes over Sync, so those are taken out of the queue.

Answers go to the client as they came, in pieces of any size, only headers are looked at. The answers to what the
stand-in asked by itself (`Preparing` without a name, `CLOSE_OURS`, `SYNC_OURS`, `QUERY_OURS`) are kept from the client.

It must not know the pool's rules nor what pins.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from .asked import (
    BIND,
    CLOSE_OURS,
    CLOSE_PORTAL,
    COPY_END,
    DESCRIBE,
    EXECUTE,
    QUERY,
    QUERY_OURS,
    SYNC,
    SYNC_OURS,
    UNKNOWN,
    Asked,
    Closing,
    PreparedStatement,
    Preparing,
)
from .database_login import DatabaseLogin
from .edge import Edge
from .events import Pin
from .login import Key
from .messages import ProtocolViolation, error_fields

__all__ = ["FAILED", "IDLE", "IN_TRANSACTION", "Borrower", "DatabaseConnection"]

IDLE: Final = ord("I")
IN_TRANSACTION: Final = ord("T")
FAILED: Final = ord("E")

_STATEMENT_GONE: Final = frozenset({"26000", "42P05"})  # not what our own book says: the connection is not trusted then
_LONGEST_HEADED: Final = 1 << 20  # a message of a kind that has to be whole is never longer

_HEADER = struct.Struct(">I").unpack_from

# Which answers need a look, by type. The others pass.
_Z, _E, _S, _G = b"Z"[0], b"E"[0], b"S"[0], b"G"[0]
_PARSED, _BOUND, _CLOSED = b"1"[0], b"2"[0], b"3"[0]
_ENDS_EXECUTE = frozenset(b"CIs")
_ENDS_DESCRIBE = frozenset(b"Tn")
_LOOK_SIMPLE = frozenset(b"ZG")
_LOOK_ALL = frozenset(range(256))
_LOOK_EXTENDED = frozenset(b"ZGE123CIsTn")


class Borrower(Protocol):
    """Who has borrowed a connection: a `Session`, as far as it matters to the connection and to who lends it."""

    number: int
    connection: "DatabaseConnection | None"
    pinned: Pin | None
    streaming: int
    edge: Edge | None

    def answer(self, data: bytes) -> None:
        """Pass answers on."""

    def answered(self) -> None:
        """Everything that was asked is answered."""

    def restore(self, name: bytes, before: PreparedStatement | None) -> None:
        """Call `before` by that name again: what changed it failed or was left out."""


class DatabaseConnection:
    """One connection to the database, after login.

    Attributes:
        number: as in the log.
        key: who may use it.
        login: what the database told when it was opened.
        edge: its socket, for the one of its client's; it does not look at it itself.
        write: takes bytes for the database.
        session: who has borrowed it; None in the pool.
        status: of the last ReadyForQuery: `I`, `T` or `E`.
        asked: what has not been answered yet.
        open_batch: extended messages were sent after the last Sync.
        skipping: one of them failed, and the database passes over whatever comes before a Sync.
        copying_in: the database reads a COPY's data, and the client has not ended them.
        name: the application_name that it was given; None for the one that it came with.
        prepared: the clients' statements that are prepared on it by their `name`, the least recently used first.
        unnamed: the statement that is its unnamed one, `UNKNOWN` if that is not known; None if it has none.
        spoilt: it must not be used by another client.
        abandoned: its client vanished while it was busy for it.
        cut: its client left in the middle of a message.
        since: when it got into its present state, on the pool's clock.
        born: when it was opened.
    """

    __slots__ = (
        "_rest",
        "_skip",
        "abandoned",
        "asked",
        "born",
        "copying_in",
        "cut",
        "edge",
        "free",
        "key",
        "login",
        "name",
        "number",
        "open_batch",
        "prepared",
        "session",
        "since",
        "skipping",
        "spoilt",
        "status",
        "unnamed",
        "write",
    )

    def __init__(
        self, number: int, key: Key, login: DatabaseLogin, write: Callable[[bytes], object], edge: Edge | None = None
    ) -> None:
        self.number = number
        self.key = key
        self.login = login
        self.write = write
        self.edge = edge
        self.free: Callable[[DatabaseConnection], object] = _nothing
        self.session: Borrower | None = None
        self.status = IDLE
        self.asked: deque[Asked] = deque()
        self.open_batch = False
        self.skipping = False
        self.copying_in = False
        self.prepared: dict[PreparedStatement, None] = {}
        self.unnamed: PreparedStatement | None = None
        self.name: str | None = None
        self.spoilt = False
        self.abandoned = False
        self.cut = False
        self.since = 0.0
        self.born = 0.0
        self._rest = b""
        self._skip = 0

    @property
    def in_transaction(self) -> bool:
        """Whether its client's transaction is not over."""
        return self.status != IDLE

    def receive(self, data: bytes) -> None:
        """Take the database's answers.

        Raises:
            ProtocolViolation: they are none; the connection is useless.
        """
        if self.session is None:
            self._receive_idle(data)
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        size = len(data)
        skip = self._skip
        if skip >= size:
            self._skip = skip - size
            self.session.answer(data)
            return
        position = skip
        start = 0  # from here on it is still to be passed on
        asked = self.asked
        free = False
        look = _looks(asked)
        while size - position >= 5:
            kind = data[position]
            after = position + 1 + _HEADER(data, position + 1)[0]
            if after < position + 5:
                raise ProtocolViolation("the database sent a message of an impossible length")
            if kind not in look:
                position = after
                free = False
                if after > size:
                    break
                continue
            if after > size:
                if kind == _E and size - position > _LONGEST_HEADED and not self._look(kind, data, position + 5, size):
                    position = after  # what matters stands at its beginning; the rest passes in pieces
                break
            if kind == _Z:
                if after != position + 6:
                    raise ProtocolViolation("the database sent a message of an impossible length")
                ours = self._ready()
                self.status = data[position + 5]
                free = not ours
                look = _looks(asked)
            else:
                ours = self._look(kind, data, position + 5, after)
                free = False
            if ours:
                if start < position:
                    self.session.answer(data[start:position])
                start = after
            position = after
        if position > size:
            self._skip = position - size
            position = size
        else:
            self._skip = 0
            if position < size:
                if size - position > _LONGEST_HEADED:
                    raise ProtocolViolation("the database sent an overlong message")
                self._rest = data[position:]
        if start == 0 and position == size:
            self.session.answer(data)
        elif start < position:
            self.session.answer(data[start:position])
        if free and not asked:
            self.session.answered()
            self.free_if_done()

    def free_if_done(self) -> None:
        """Give it back to the pool if nothing is left of its client's transaction."""
        session = self.session
        if (
            self.status == IDLE
            and not self.asked
            and not self.open_batch
            and not self._rest
            and not self._skip
            and session is not None
            and session.pinned is None
            and not session.streaming
        ):
            self.free(self)

    def _receive_idle(self, data: bytes) -> None:
        """Read what a database says unasked: changed parameters, notices; or an error, after which it closes."""
        data = self._rest + data
        position = 0
        while len(data) - position >= 5:
            after = position + 1 + _HEADER(data, position + 1)[0]
            if after > len(data):
                break
            kind = data[position]
            if kind == _S:
                name, _, value = data[position + 5 : after - 1].partition(b"\0")
                self.login.parameters[name.decode(errors="replace")] = value.decode(errors="replace")
            elif kind not in b"NA":
                raise ProtocolViolation("the database sent an answer that nobody asked for")
            position = after
        self._rest = data[position:]
        if len(self._rest) > _LONGEST_HEADED:
            raise ProtocolViolation("the database sent an overlong message")

    def _ready(self) -> bool:
        """Take what a ReadyForQuery ends from the queue; return whether it was ours."""
        asked = self.asked
        self.copying_in = False
        left_out = []
        ours = False
        while asked:
            one = asked.popleft()
            if one is QUERY or one is SYNC:
                break
            if one is SYNC_OURS or one is QUERY_OURS:
                ours = True
                break
            left_out.append(one)
        while asked and asked[0] is COPY_END:
            asked.popleft()  # of a COPY that failed before it began: the database passes over it
        self._undo(left_out)
        return ours

    def _look(self, kind: int, data: bytes, begin: int, end: int) -> bool:
        """Look at an answer, and return whether it is one that the client did not ask for."""
        asked = self.asked
        head = asked[0] if asked else None
        if head is QUERY_OURS:
            return True
        if kind == _BOUND:
            if head is BIND:
                asked.popleft()
        elif kind in _ENDS_EXECUTE:
            if head is EXECUTE:
                asked.popleft()
        elif kind in _ENDS_DESCRIBE:
            if head is DESCRIBE:
                asked.popleft()
        elif kind == _PARSED:
            if type(head) is Preparing:
                asked.popleft()
                return head.name is None
        elif kind == _CLOSED:
            if head is CLOSE_OURS or head is CLOSE_PORTAL or type(head) is Closing:
                asked.popleft()
                return head is CLOSE_OURS
        elif kind == _G:
            self._copy_in_begins()
        elif kind == _E:
            return self._failed(error_fields(data[begin:end]))
        return False

    def _failed(self, fields: dict[str, str]) -> bool:
        """Take what an error leaves unanswered from the queue; return whether the client is not to see it."""
        asked = self.asked
        if fields.get("C") in _STATEMENT_GONE:
            self.spoilt = True
        head = asked[0] if asked else None
        if head is None or head is QUERY or head is SYNC:
            return False
        left_out = []
        while asked and asked[0] is not SYNC and asked[0] is not SYNC_OURS:
            left_out.append(asked.popleft())
        self._undo(left_out)
        if not asked:
            self.skipping = self.open_batch = True
        if self.session is not None and type(head) is Preparing and head.name == b"":
            self.session.restore(b"", None)  # a Parse that fails has dropped the unnamed statement already
        self.copying_in = False
        return bool(asked) and asked[0] is SYNC_OURS

    def _undo(self, left_out: list[Asked]) -> None:
        """Undo what was noted of messages that did nothing, the last one first."""
        session = self.session
        for one in reversed(left_out):
            if type(one) is Preparing:
                self.prepared.pop(one.statement, None)
                if one.wire == b"":
                    self.unnamed = UNKNOWN
                if one.name is not None and session is not None:
                    session.restore(one.name, one.before)
            elif type(one) is Closing:
                if one.shared and one.before is not None:
                    self.prepared[one.before] = None
                if one.name == b"":
                    self.unnamed = UNKNOWN
                if session is not None:
                    session.restore(one.name, one.before)
            elif one is QUERY or one is CLOSE_OURS:
                self.unnamed = UNKNOWN  # it would have dropped it

    def _copy_in_begins(self) -> None:
        """The database reads data from now on, and passes over Sync until they end."""
        asked = self.asked
        head = [asked.popleft()] if asked else []
        while asked:
            one = asked.popleft()
            if one is COPY_END:
                break
            if one is not SYNC:
                raise ProtocolViolation("the client sent another request before the data of its COPY")
        else:
            self.copying_in = True
        asked.extendleft(head)


def _looks(asked: deque[Asked]) -> frozenset[int]:
    """The kinds of answers to look at."""
    head = asked[0] if asked else None
    if head is QUERY:
        return _LOOK_SIMPLE
    return _LOOK_ALL if head is QUERY_OURS else _LOOK_EXTENDED


def _nothing(connection: DatabaseConnection) -> None:
    """Stands where the pool is not known yet."""
