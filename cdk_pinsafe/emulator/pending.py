"""The requests that the database has not answered yet: the entries of `DatabaseConnection.pending`."""

from typing import Final, TypeAlias

__all__ = [
    "BIND",
    "CLOSE_INTERNAL",
    "CLOSE_PORTAL",
    "COPY_END",
    "DESCRIBE",
    "EXECUTE",
    "QUERY",
    "QUERY_INTERNAL",
    "SYNC",
    "SYNC_INTERNAL",
    "UNKNOWN_STATEMENT",
    "PendingClose",
    "PendingParse",
    "PendingRequest",
    "PreparedStatement",
]

QUERY: Final = 1  # also FunctionCall
SYNC: Final = 2
BIND: Final = 3
DESCRIBE: Final = 4
EXECUTE: Final = 5
COPY_END: Final = 6
CLOSE_INTERNAL: Final = 7
SYNC_INTERNAL: Final = 8
CLOSE_PORTAL: Final = 9
QUERY_INTERNAL: Final = 10


class PreparedStatement:
    """A statement that a client prepared through the extended protocol.

    Attributes:
        name: its name on shared database connections; unique, and not guessable by clients.
        definition: what follows the name in its Parse message: the query, NUL, and the parameter types.
        sql: the query.
        pin_reason: why running it pins; None if it does not.
    """

    __slots__ = ("definition", "name", "pin_reason", "sql")

    def __init__(self, name: bytes, definition: bytes, sql: bytes, pin_reason: object) -> None:
        self.name = name
        self.definition = definition
        self.sql = sql
        self.pin_reason = pin_reason


UNKNOWN_STATEMENT: Final = PreparedStatement(b"", b"", b"", None)
"""Marks that it is not known which unnamed statement a connection has, if any."""


class PendingParse:
    """A Parse.

    Attributes:
        statement: the statement that it prepares.
        wire_name: the name in the message that was sent.
        name: the client's name of the statement; None if the emulator prepares it on its own.
        previous: the statement that had the client's name before.
    """

    __slots__ = ("name", "previous", "statement", "wire_name")

    def __init__(
        self, statement: PreparedStatement, wire_name: bytes, name: bytes | None, previous: PreparedStatement | None
    ) -> None:
        self.statement = statement
        self.wire_name = wire_name
        self.name = name
        self.previous = previous


class PendingClose:
    """A client's Close of a prepared statement.

    Attributes:
        name: the client's name of the statement.
        previous: the statement; None if there was none.
        shared: it was closed by its `PreparedStatement.name`.
    """

    __slots__ = ("name", "previous", "shared")

    def __init__(self, name: bytes, previous: PreparedStatement | None, shared: bool) -> None:
        self.name = name
        self.previous = previous
        self.shared = shared


PendingRequest: TypeAlias = int | PendingParse | PendingClose
