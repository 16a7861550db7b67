"""A database connection, without its socket: tracks pending requests and decides when the connection can be released.

The database answers requests in order, so `DatabaseConnection.pending` is a queue:

=============  ===============================================  ==================================================
pending        the response that completes it                   if an earlier message of its batch failed
=============  ===============================================  ==================================================
Query          ReadyForQuery                                    skipped, as everything up to Sync
FunctionCall   ReadyForQuery                                    skipped
Sync           ReadyForQuery                                    answered: it ends the batch
Parse          ParseComplete                                    skipped: the statement was not prepared
Bind           BindComplete                                     skipped
Describe       RowDescription or NoData                         skipped
Execute        CommandComplete, PortalSuspended, EmptyQueryR.   skipped
Close          CloseComplete                                    skipped: the statement or portal still exists
CopyDone/Fail  none: it only marks the end of the COPY data     skipped
=============  ===============================================  ==================================================

While the database reads COPY data it ignores Sync, so Syncs are removed from the queue then.

Responses are forwarded to the client in pieces of any size; only headers are inspected. The responses to the emulator's
own requests (an internal `StatementChange`, `SYNC_INTERNAL`, `QUERY_INTERNAL`) are not forwarded, except for an error
that skips the client's messages.

This module does not know the rules of the pool, nor what pins.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from ..protocol import ProtocolViolation, error_fields, message
from .backend_login import BackendInfo
from .events import PinEvent
from .flow_control import FlowControlledProtocol
from .frontend_login import PoolKey
from .pending import (
    BIND,
    CLOSE_PORTAL,
    COPY_END,
    DESCRIBE,
    EXECUTE,
    QUERY,
    QUERY_INTERNAL,
    SYNC,
    SYNC_INTERNAL,
    PendingRequest,
    PreparedStatement,
    StatementChange,
)

__all__ = ["CLOSED", "FAILED", "IDLE", "PARSED", "Borrower", "DatabaseConnection"]

IDLE: Final = ord("I")
FAILED: Final = ord("E")

# The responses to Parse and Close.
PARSED: Final = ord("1")
CLOSED: Final = ord("3")

# invalid_sql_statement_name and duplicate_prepared_statement: the database's statements may differ from `prepared`.
_PREPARED_STATEMENT_ERRORS: Final = frozenset({"26000", "42P05"})
_MAX_BUFFERED: Final = 1 << 20  # upper bound of a message that is buffered whole

_HEADER = struct.Struct(">I").unpack_from

# The responses to inspect, by type. All others are forwarded without a look.
_Z, _E, _S, _G = b"Z"[0], b"E"[0], b"S"[0], b"G"[0]
_BOUND = b"2"[0]
_CHANGED = frozenset((PARSED, CLOSED))
_C = b"C"[0]
_ENDS_EXECUTE = frozenset(b"CIs")
_DROP_ALL_TAGS = frozenset((b"DEALLOCATE ALL\0", b"DISCARD ALL\0"))
_ENDS_DESCRIBE = frozenset(b"Tn")
_INSPECT_SIMPLE = frozenset(b"ZG")
_INSPECT_PINNED = frozenset(b"ZGC")
_INSPECT_ALL = frozenset(range(256))
_INSPECT_EXTENDED = frozenset(b"ZGE123CIsTn")


class Borrower(Protocol):
    """The client that has borrowed a connection: a `ClientSession`, as far as the connection and the pool need it."""

    number: int
    connection: "DatabaseConnection | None"
    pinned: PinEvent | None
    held: bool
    streaming_bytes: int
    protocol: FlowControlledProtocol | None

    def answer(self, data: bytes) -> None:
        """Forward responses to the client."""

    def answered(self) -> None:
        """Called when all pending requests are answered."""

    def statements_dropped(self) -> None:
        """Called when DEALLOCATE ALL or DISCARD ALL has succeeded."""

    def restore_statement(self, name: bytes, statement: PreparedStatement | None) -> None:
        """Make this the statement of that name again: the message that changed it failed or was skipped."""


class DatabaseConnection:
    """One database connection after login.

    Attributes:
        number: the connection's number, as in the log.
        key: the sessions with an equal key may use it.
        info: what the database reported at login.
        protocol: the asyncio protocol of its socket; kept here for the client's protocol, not used by this class.
        write: sends bytes to the database.
        release: called when the connection can go back to the pool.
        session: the session that has borrowed it; None in the pool.
        status: the transaction status of the last ReadyForQuery: `I`, `T` or `E`.
        pending: the requests that are not answered yet.
        open_batch: extended-protocol messages were sent after the last Sync.
        skipping: one of them failed, and the database skips all messages up to Sync.
        unsettled: the prepared statements of later messages depend on whether the pending ones are skipped.
        copying_in: the database reads COPY data, and the client has not ended them.
        application_name: the application_name that was set on it; None if none was set since it was opened.
        prepared: the statements that clients prepared on it, by name; the least recently used first.
        tainted: no other client may use it.
        client_gone: its client disconnected without Terminate while requests were pending.
        mid_message: its client disconnected in the middle of a message.
        released_at: when it was last released, on the monotonic clock.
        created_at: when it was opened, on the monotonic clock.
    """

    __slots__ = (
        "_buffer",
        "_skip_bytes",
        "application_name",
        "client_gone",
        "copying_in",
        "created_at",
        "info",
        "key",
        "mid_message",
        "number",
        "open_batch",
        "pending",
        "prepared",
        "protocol",
        "release",
        "released_at",
        "session",
        "skipping",
        "status",
        "tainted",
        "unsettled",
        "write",
    )

    def __init__(
        self,
        number: int,
        key: PoolKey,
        info: BackendInfo,
        write: Callable[[bytes], object],
        protocol: FlowControlledProtocol | None = None,
    ) -> None:
        self.number = number
        self.key = key
        self.info = info
        self.write = write
        self.protocol = protocol
        self.release: Callable[[DatabaseConnection], object] = _noop
        self.session: Borrower | None = None
        self.status = IDLE
        self.pending: deque[PendingRequest] = deque()
        self.open_batch = False
        self.skipping = False
        self.unsettled = False
        self.copying_in = False
        self.prepared: dict[bytes, PreparedStatement] = {}
        self.application_name: str | None = None
        self.tainted = False
        self.client_gone = False
        self.mid_message = False
        self.released_at = 0.0
        self.created_at = 0.0
        self._buffer = b""
        self._skip_bytes = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.status != IDLE

    def receive(self, data: bytes) -> None:
        """Take bytes from the database.

        Raises:
            ProtocolViolation: the bytes are not PostgreSQL's protocol; the connection cannot be used any more.
        """
        if self.session is None:
            self._receive_idle(data)
            return
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        size = len(data)
        skip = self._skip_bytes
        if skip >= size:
            self._skip_bytes = skip - size
            self.session.answer(data)
            return
        position = skip
        start = 0  # the bytes before it were forwarded
        pending = self.pending
        ready = False
        pinned = self.session.pinned is not None
        inspected = _inspected_types(pending, pinned)
        while size - position >= 5:
            kind = data[position]
            after = position + 1 + _HEADER(data, position + 1)[0]
            if after < position + 5:
                raise ProtocolViolation("the database sent a message with an invalid length")
            if kind not in inspected:
                position = after
                ready = False
                if after > size:
                    break
                continue
            if after > size:
                if kind == _E and size - position > _MAX_BUFFERED and not self._inspect(kind, data, position + 5, size):
                    position = after  # the fields that matter come first; the rest is forwarded in pieces
                break
            if kind == _Z:
                if after != position + 6:
                    raise ProtocolViolation("the database sent a message with an invalid length")
                internal = self._ready()
                self.status = data[position + 5]
                ready = True
                inspected = _inspected_types(pending, pinned)
            else:
                internal = self._inspect(kind, data, position + 5, after)
                ready = False
            if internal:
                if start < position:
                    self.session.answer(data[start:position])
                start = after
            position = after
        if position > size:
            self._skip_bytes = position - size
            position = size
        else:
            self._skip_bytes = 0
            if position < size:
                if size - position > _MAX_BUFFERED:
                    raise ProtocolViolation("the database sent a message that is too long")
                self._buffer = data[position:]
        if start == 0 and position == size:
            self.session.answer(data)
        elif start < position:
            self.session.answer(data[start:position])
        if ready and not pending:
            self.session.answered()
            self.release_if_done()

    def release_if_done(self) -> None:
        """Return the connection to the pool if its client's transaction and batch are over."""
        session = self.session
        if (
            self.status == IDLE
            and not self.pending
            and not self.open_batch
            and not self._buffer
            and not self._skip_bytes
            and session is not None
            and session.pinned is None
            and not session.streaming_bytes
        ):
            self.release(self)

    def _receive_idle(self, data: bytes) -> None:
        """Read unsolicited messages: ParameterStatus, notices; anything else closes the connection."""
        data = self._buffer + data
        position = 0
        while len(data) - position >= 5:
            after = position + 1 + _HEADER(data, position + 1)[0]
            if after > len(data):
                break
            kind = data[position]
            if kind == _S:
                name, _, value = data[position + 5 : after - 1].partition(b"\0")
                self.info.parameters[name.decode(errors="replace")] = value.decode(errors="replace")
            elif kind not in b"NA":
                raise ProtocolViolation("the database sent a message that was not requested")
            position = after
        self._buffer = data[position:]
        if len(self._buffer) > _MAX_BUFFERED:
            raise ProtocolViolation("the database sent a message that is too long")

    def _ready(self) -> bool:
        """Remove what a ReadyForQuery completes from the queue. Return whether the request was internal."""
        pending = self.pending
        self.copying_in = False
        discarded = []
        internal = False
        while pending:
            one = pending.popleft()
            if one is QUERY or one is SYNC:
                break
            if one is SYNC_INTERNAL or one is QUERY_INTERNAL:
                internal = True
                break
            discarded.append(one)
        while pending and pending[0] is COPY_END:
            pending.popleft()  # of a COPY that failed before it started: the database ignores it
        self._roll_back(discarded)
        return internal

    def _inspect(self, kind: int, data: bytes, begin: int, end: int) -> bool:
        """Process one response. Return whether it is kept from the client."""
        pending = self.pending
        head = pending[0] if pending else None
        if head is QUERY_INTERNAL:
            return True
        if kind == _BOUND:
            if head is BIND:
                pending.popleft()
        elif kind in _ENDS_EXECUTE:
            if kind == _C and data[begin:end] in _DROP_ALL_TAGS and self.session is not None:
                self.session.statements_dropped()
            if head is EXECUTE:
                pending.popleft()
        elif kind in _ENDS_DESCRIBE:
            if head is DESCRIBE:
                pending.popleft()
        elif kind in _CHANGED:
            if type(head) is StatementChange:
                pending.popleft()
                return head.internal
            if head is CLOSE_PORTAL:
                pending.popleft()
        elif kind == _G:
            self._copy_in_begins()
        elif kind == _E:
            return self._failed(error_fields(data[begin:end]))
        return False

    def _failed(self, fields: dict[str, str]) -> bool:
        """Remove the requests that an error skips from the queue. Return whether the error is kept from the client."""
        pending = self.pending
        if fields.get("C") in _PREPARED_STATEMENT_ERRORS:
            self.tainted = True
        head = pending[0] if pending else None
        if head is None or head is QUERY or head is SYNC:
            return False
        discarded = []
        while pending and pending[0] is not SYNC and pending[0] is not SYNC_INTERNAL:
            discarded.append(pending.popleft())
        internal = type(head) is StatementChange and head.internal
        if type(head) is StatementChange and head.name == b"":
            # Even a Parse that fails drops the unnamed statement.
            head.connection_before = None
            if not internal:
                head.client_before = None
        self._roll_back(discarded)
        self.copying_in = False
        if not pending:
            self.skipping = self.open_batch = not (internal and QUERY in discarded)
            if not self.skipping:
                # A statement that the client's Query needs cannot be prepared any more. Without the emulator, the Query
                # would fail and end with ReadyForQuery.
                self.write(message(b"S"))
                pending.append(SYNC)
        return bool(pending) and pending[0] is SYNC_INTERNAL

    def _roll_back(self, discarded: list[PendingRequest]) -> None:
        """Undo the bookkeeping of messages that were skipped, in reverse order."""
        session = self.session
        # A change that was sent later is still in force; what was there before it has changed.
        later = {one.name: one for one in reversed(self.pending) if type(one) is StatementChange}
        for one in reversed(discarded):
            if type(one) is not StatementChange:
                continue
            if one.name in later:
                later[one.name].client_before = one.client_before
                later[one.name].connection_before = one.connection_before
                continue
            self.prepared.pop(one.name, None)
            if one.connection_before is not None:
                self.prepared[one.name] = one.connection_before
            if session is not None:
                session.restore_statement(one.name, one.client_before)

    def _copy_in_begins(self) -> None:
        """Handle CopyInResponse: from here to the end of the data the database ignores Sync."""
        pending = self.pending
        copy_request = [pending.popleft()] if pending else []
        while pending:
            one = pending.popleft()
            if one is COPY_END:
                break
            if one is not SYNC:
                raise ProtocolViolation("the client sent another request before the data of its COPY")
        else:
            self.copying_in = True
        pending.extendleft(copy_request)


def _inspected_types(pending: deque[PendingRequest], pinned: bool) -> frozenset[int]:
    """Return the message types to inspect."""
    head = pending[0] if pending else None
    if head is QUERY:
        return _INSPECT_PINNED if pinned else _INSPECT_SIMPLE
    return _INSPECT_ALL if head is QUERY_INTERNAL else _INSPECT_EXTENDED


def _noop(connection: DatabaseConnection) -> None:
    """Default callback until the pool sets one."""
