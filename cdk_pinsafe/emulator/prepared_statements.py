"""A client's prepared statements, and how they follow it to other database connections.

The database knows them by names of the emulator. If one is missing on a connection, it is prepared there in the same
batch, before the message that needs it.
"""

from itertools import islice
from typing import Final

from ..protocol import FatalError, close_statement, message, parse
from .connection import DatabaseConnection
from .message_rewriter import MessageRewriter
from .pending import CLOSE_INTERNAL, SYNC_INTERNAL, PendingParse, PreparedStatement

__all__ = ["MAX_KEPT_BYTES", "MAX_PREPARED", "ClientStatements", "close_excess"]

MAX_PREPARED: Final = 500
"""The number of statements that a shared connection keeps prepared; above it the least recently used are closed."""

MAX_KEPT_BYTES: Final = 8 << 20
"""The limit of a client's prepared statements in bytes: queries, types and names. More is an error."""

_OVERHEAD: Final = 250  # bytes of a statement besides its text


class ClientStatements:
    """The prepared statements of one client.

    Attributes:
        unnamed: the unnamed statement; None if there is none.
        portals: the statements of open portals that pin when they are executed, by portal name.
        kept_bytes: the memory that counts against `MAX_KEPT_BYTES`.
    """

    __slots__ = ("_named", "kept_bytes", "portals", "unnamed")

    def __init__(self) -> None:
        self.unnamed: PreparedStatement | None = None
        self.portals: dict[bytes, PreparedStatement] = {}
        self.kept_bytes = 0
        self._named: dict[bytes, PreparedStatement] = {}

    def __bool__(self) -> bool:
        return bool(self._named)

    def get(self, name: bytes) -> PreparedStatement | None:
        """Return the statement of that name, if there is one."""
        return self._named.get(name) if name else self.unnamed

    def keep(self, name: bytes, statement: PreparedStatement) -> None:
        """Store a statement.

        Raises:
            FatalError: the client exceeds `MAX_KEPT_BYTES`.
        """
        self._note(name, statement)
        if self.kept_bytes > MAX_KEPT_BYTES:
            raise FatalError("54000", f"the client keeps more than {MAX_KEPT_BYTES} bytes of prepared statements")

    def keep_pinning(self, name: bytes, statement: PreparedStatement) -> None:
        """Store a pinned client's statement if it pins, to report it again; it is never prepared elsewhere.

        The client may have dropped statements with DEALLOCATE, which is not tracked, so the oldest are forgotten.
        """
        self.forget(name)
        if statement.pin_reason is not None:
            self._note(name, statement)
            while self.kept_bytes > MAX_KEPT_BYTES:
                self.forget(next(iter(self._named)))

    def forget(self, name: bytes) -> PreparedStatement | None:
        """Remove and return the statement of that name."""
        statement = self._named.pop(name, None)
        if statement is not None:
            self.kept_bytes -= len(name) + len(statement.definition) + _OVERHEAD
        return statement

    def restore(self, name: bytes, previous: PreparedStatement | None) -> None:
        """Make `previous` the statement of that name again: the message that changed it failed or was skipped."""
        if name == b"":
            self.unnamed = previous
            return
        self.forget(name)
        if previous is not None:
            self._note(name, previous)

    def bind_portal(self, portal: bytes, statement: PreparedStatement | None) -> None:
        """Store the statement of a portal, if it pins."""
        if statement is not None and statement.pin_reason is not None:
            self.portals[portal] = statement
        elif self.portals:
            self.portals.pop(portal, None)

    def ensure_prepared(
        self,
        connection: DatabaseConnection,
        rewriter: MessageRewriter,
        position: int,
        name: bytes,
        *,
        client_names: bool,
    ) -> tuple[PreparedStatement | None, bytes]:
        """Return the statement and its name on the connection; prepare it there if it is missing.

        With `client_names` the connection already has the client's own names.
        """
        if name == b"":
            statement = self.unnamed
            if connection.unnamed is not statement:
                if statement is None:
                    # The connection's unnamed statement is another client's.
                    rewriter.insert(position, close_statement(b""))
                    connection.pending.append(CLOSE_INTERNAL)
                else:
                    rewriter.insert(position, parse(b"", statement.definition))
                    connection.pending.append(PendingParse(statement, b"", None, None))
                connection.unnamed = statement
            return statement, name
        statement = self._named.get(name)
        if statement is None or client_names:
            return statement, name
        prepared = connection.prepared
        if statement in prepared:
            del prepared[statement]
        else:
            rewriter.insert(position, parse(statement.name, statement.definition))
            connection.pending.append(PendingParse(statement, statement.name, None, None))
        prepared[statement] = None
        return statement, statement.name

    def rename_to_client_names(self, connection: DatabaseConnection) -> bytes:
        """Return messages that prepare all statements under the client's names, and close all others on the
        connection.

        Inside a batch no Sync may follow, because it would end the batch's transaction; a statement that cannot be
        prepared any more then fails the batch. Outside a batch each statement has its own Sync, so that one that fails
        affects no other, unless a transaction is open.
        """
        messages = []

        def sync() -> None:
            if not connection.open_batch:
                messages.append(message(b"S"))
                connection.pending.append(SYNC_INTERNAL)

        for statement in connection.prepared:
            messages.append(close_statement(statement.name))
            connection.pending.append(CLOSE_INTERNAL)
        if messages:
            sync()
        for name, statement in self._named.items():
            if statement.definition:
                messages.append(parse(name, statement.definition))
                connection.pending.append(PendingParse(statement, name, None, None))
                sync()
        connection.prepared.clear()
        return b"".join(messages)

    def _note(self, name: bytes, statement: PreparedStatement) -> None:
        self._named[name] = statement
        self.kept_bytes += len(name) + len(statement.definition) + _OVERHEAD


def close_excess(connection: DatabaseConnection, rewriter: MessageRewriter, position: int) -> None:
    """Close the least recently used statements above `MAX_PREPARED`."""
    prepared = connection.prepared
    for statement in list(islice(prepared, max(0, len(prepared) - MAX_PREPARED))):
        del prepared[statement]
        rewriter.insert(position, close_statement(statement.name))
        connection.pending.append(CLOSE_INTERNAL)
