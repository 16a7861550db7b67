"""Reading a client's bytes by positions, and what goes on of them. Knows neither sessions nor connections."""

from collections.abc import Callable
from typing import Final

from ..pinning.conditions import STATEMENT_LIMIT
from .messages import FRONTEND_LIMITS, ProtocolViolation

__all__ = ["LONGEST_NAME", "Outgoing", "can_stream", "named", "refuse", "string_end"]

LONGEST_NAME: Final = 8192
"""Bytes of a statement's or portal's name, its NUL included; PostgreSQL's own tables keep 63."""

_LONGEST_TYPES: Final = 2 + 4 * 65_535
_QUERY, _BIND = ord("Q"), ord("B")
_PASSING: Final = frozenset(b"dF")
_NAMED: Final = frozenset(b"PB")


class Outgoing:
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

    def send(self, write: Callable[[bytes], object]) -> None:
        """Send what has gathered."""
        if self.pieces:
            write(b"".join(self.pieces) if len(self.pieces) > 1 else self.pieces[0])
            self.pieces.clear()


def refuse(kind: int, length: int) -> None:
    """Refuse a message of an unknown type or an impossible length."""
    if kind not in FRONTEND_LIMITS:
        raise ProtocolViolation(f"invalid frontend message type {kind}")
    raise ProtocolViolation(f"invalid message length {length} of message type {chr(kind)!r}")


def string_end(data: bytes, begin: int, end: int) -> int:
    """Where the string that begins there ends: its NUL."""
    found = data.find(b"\0", begin, min(end, begin + LONGEST_NAME))
    if found < 0:
        raise ProtocolViolation("invalid string in message")
    return found


def named(data: bytes, position: int, end: int) -> bytes:
    """The name in a Describe or Close."""
    if end - position < 7 or data[position + 5] not in b"SP" or string_end(data, position + 6, end) != end - 1:
        raise ProtocolViolation("invalid message format")
    return data[position + 6 : end - 1]


def can_stream(kind: int, data: bytes, position: int, end: int) -> bool:
    """Whether so much of a message is there that it can be judged, and sent on in pieces.

    What is held back until then is at most a statement that does not pin, with its types.
    """
    begin = position + 5
    if kind in _PASSING:
        return True
    if kind == _QUERY:
        return end - begin - 1 > STATEMENT_LIMIT
    if kind not in _NAMED:
        return False
    first = data.find(b"\0", begin, begin + LONGEST_NAME)
    if first < 0:
        return len(data) - begin >= LONGEST_NAME  # it will be refused
    if kind == _BIND:
        second = data.find(b"\0", first + 1, first + 1 + LONGEST_NAME)
        return second >= 0 or len(data) - first > LONGEST_NAME
    sql_end = data.find(b"\0", first + 1, first + 2 + STATEMENT_LIMIT)
    if sql_end < 0:
        return len(data) - first - 1 > STATEMENT_LIMIT
    if end - sql_end - 1 > _LONGEST_TYPES:
        raise ProtocolViolation("invalid message format")
    return False
