"""The requests that the database has not answered yet: the entries of `DatabaseConnection.pending`."""

from typing import Final, TypeAlias

__all__ = [
    "BIND",
    "CLOSE_PORTAL",
    "COPY_END",
    "DESCRIBE",
    "EXECUTE",
    "QUERY",
    "QUERY_INTERNAL",
    "SYNC",
    "SYNC_INTERNAL",
    "PendingRequest",
    "PreparedStatement",
    "StatementChange",
]

QUERY: Final = 1  # also FunctionCall
SYNC: Final = 2
BIND: Final = 3
DESCRIBE: Final = 4
EXECUTE: Final = 5
COPY_END: Final = 6
SYNC_INTERNAL: Final = 7
CLOSE_PORTAL: Final = 8
QUERY_INTERNAL: Final = 9


class PreparedStatement:
    """A statement that a client prepared through the extended protocol.

    Attributes:
        number: when it was prepared: a later Parse has a higher number.
        definition: what follows the name in its Parse message: the query, NUL, and the parameter types.
        sql: the query.
        pin_reason: why running it pins; None if it does not.
    """

    __slots__ = ("definition", "number", "pin_reason", "sql")

    def __init__(self, number: int, definition: bytes, sql: bytes, pin_reason: object) -> None:
        self.number = number
        self.definition = definition
        self.sql = sql
        self.pin_reason = pin_reason


class StatementChange:
    """A Parse, or a Close of a prepared statement.

    Attributes:
        response: the type of the response that completes it: ParseComplete or CloseComplete.
        name: the name of the statement.
        internal: the emulator sent it on its own; its response is not forwarded.
        client_before: the client's statement of that name before; None if there was none.
        connection_before: the connection's statement of that name before; None if there was none.
    """

    __slots__ = ("client_before", "connection_before", "internal", "name", "response")

    def __init__(
        self,
        response: int,
        name: bytes,
        internal: bool,
        client_before: PreparedStatement | None,
        connection_before: PreparedStatement | None,
    ) -> None:
        self.response = response
        self.name = name
        self.internal = internal
        self.client_before = client_before
        self.connection_before = connection_before


PendingRequest: TypeAlias = int | StatementChange
