"""What was asked of a database connection and not been answered yet: the entries of its queue. See `connection`."""

from typing import Final, TypeAlias

__all__ = [
    "BIND",
    "CLOSE_OURS",
    "CLOSE_PORTAL",
    "COPY_END",
    "DESCRIBE",
    "EXECUTE",
    "QUERY",
    "QUERY_OURS",
    "SYNC",
    "SYNC_OURS",
    "UNKNOWN",
    "Asked",
    "Closing",
    "PreparedStatement",
    "Preparing",
]

QUERY: Final = 1  # FunctionCall, too
SYNC: Final = 2
BIND: Final = 3
DESCRIBE: Final = 4
EXECUTE: Final = 5
COPY_END: Final = 6
CLOSE_OURS: Final = 7
SYNC_OURS: Final = 8
CLOSE_PORTAL: Final = 9
QUERY_OURS: Final = 10


class PreparedStatement:
    """A statement that a client prepared through the protocol.

    Attributes:
        name: what it is called on database connections that are shared; no other has it, nor can a client guess it.
        rest: what follows the name in its Parse message.
        sql: its text.
        pins: whether running it pins.
    """

    __slots__ = ("name", "pins", "rest", "sql")

    def __init__(self, name: bytes, rest: bytes, sql: bytes, pins: object) -> None:
        self.name = name
        self.rest = rest
        self.sql = sql
        self.pins = pins


UNKNOWN: Final = PreparedStatement(b"", b"", b"", None)
"""Stands for an unnamed statement of which it is not known whose it is, nor whether it is there."""


class Preparing:
    """A Parse that was sent.

    Attributes:
        statement: what it prepares.
        wire: the name that it was sent with.
        name: the client's name for it; None if the stand-in prepares it by itself.
        before: what the client called so before.
    """

    __slots__ = ("before", "name", "statement", "wire")

    def __init__(
        self, statement: PreparedStatement, wire: bytes, name: bytes | None, before: PreparedStatement | None
    ) -> None:
        self.statement = statement
        self.wire = wire
        self.name = name
        self.before = before


class Closing:
    """A client's Close of a prepared statement.

    Attributes:
        name: the client's name for it.
        before: what it was; None if nothing.
        shared: it was closed under its `PreparedStatement.name`.
    """

    __slots__ = ("before", "name", "shared")

    def __init__(self, name: bytes, before: PreparedStatement | None, shared: bool) -> None:
        self.name = name
        self.before = before
        self.shared = shared


Asked: TypeAlias = int | Preparing | Closing
