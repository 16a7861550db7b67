"""Parses a client's messages by position, and inserts messages on the way to the database.

This module knows neither sessions nor connections.
"""

from collections.abc import Callable
from typing import Final

from ..protocol import FRONTEND_LIMITS, ProtocolViolation
from ..rds_proxy import STATEMENT_LIMIT

__all__ = ["MAX_NAME_LENGTH", "MessageRewriter", "can_stream", "object_name", "reject_message", "string_end"]

MAX_NAME_LENGTH: Final = 8192
"""The longest statement or portal name in bytes, NUL included. PostgreSQL's SQL identifiers have at most 63."""

_MAX_TYPES_LENGTH: Final = 2 + 4 * 65_535
_QUERY, _BIND = ord("Q"), ord("B")
_PASSING: Final = frozenset(b"dF")
_NAMED: Final = frozenset(b"PB")


class MessageRewriter:
    """Collects what is sent to the database for a piece of client data: its messages, and inserted ones."""

    __slots__ = ("data", "pieces", "start")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.start = 0  # the bytes before it were already sent or dropped
        self.pieces: list[bytes] = []

    def flush(self, position: int) -> None:
        """Send everything before `position` unchanged."""
        if self.start < position:
            self.pieces.append(self.data[self.start : position])
            self.start = position

    def insert(self, position: int, extra: bytes) -> None:
        """Insert bytes at `position`."""
        self.flush(position)
        self.pieces.append(extra)

    def send(self, write: Callable[[bytes], object]) -> None:
        """Write the collected bytes."""
        if self.pieces:
            write(b"".join(self.pieces) if len(self.pieces) > 1 else self.pieces[0])
            self.pieces.clear()


def reject_message(kind: int, length: int) -> None:
    """Raise the error for an unknown message type or an invalid length."""
    if kind not in FRONTEND_LIMITS:
        raise ProtocolViolation(f"invalid frontend message type {kind}")
    raise ProtocolViolation(f"invalid message length {length} of message type {chr(kind)!r}")


def string_end(data: bytes, begin: int, end: int) -> int:
    """Return the position of the NUL that ends the string at `begin`."""
    found = data.find(b"\0", begin, min(end, begin + MAX_NAME_LENGTH))
    if found < 0:
        raise ProtocolViolation("invalid string in message")
    return found


def object_name(data: bytes, position: int, end: int) -> bytes:
    """Return the name in a Describe or Close message."""
    if end - position < 7 or data[position + 5] not in b"SP" or string_end(data, position + 6, end) != end - 1:
        raise ProtocolViolation("invalid message format")
    return data[position + 6 : end - 1]


def can_stream(kind: int, data: bytes, position: int, end: int) -> bool:
    """Whether enough of a message has arrived to classify it and to forward it in pieces.

    What is buffered until then is at most a statement within the 16 KB limit, with its parameter types.
    """
    begin = position + 5
    if kind in _PASSING:
        return True
    if kind == _QUERY:
        return end - begin - 1 > STATEMENT_LIMIT
    if kind not in _NAMED:
        return False
    first = data.find(b"\0", begin, begin + MAX_NAME_LENGTH)
    if first < 0:
        return len(data) - begin >= MAX_NAME_LENGTH  # the name is too long; the handler rejects it
    if kind == _BIND:
        second = data.find(b"\0", first + 1, first + 1 + MAX_NAME_LENGTH)
        return second >= 0 or len(data) - first > MAX_NAME_LENGTH
    sql_end = data.find(b"\0", first + 1, first + 2 + STATEMENT_LIMIT)
    if sql_end < 0:
        return len(data) - first - 1 > STATEMENT_LIMIT
    if end - sql_end - 1 > _MAX_TYPES_LENGTH:
        raise ProtocolViolation("invalid message format")
    return False
