"""A client's prepared statements, and how they follow it to other database connections.

A statement has the client's own name on every connection. Before a message that needs it, it is prepared where it is
missing, and another client's statement of the same name is closed.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from ..protocol import FatalError, close_statement, message, parse
from .connection import CLOSED, FAILED, PARSED, DatabaseConnection
from .message_rewriter import MessageRewriter
from .pending import SYNC_INTERNAL, PreparedStatement, StatementChange

__all__ = ["MAX_KEPT_BYTES", "MAX_PREPARED", "ClientStatements"]

MAX_PREPARED: Final = 500
"""The number of statements that a shared connection keeps prepared; above it the least recently used are closed."""

MAX_KEPT_BYTES: Final = 8 << 20
"""The limit of a client's prepared statements in bytes: queries, types and names. More is an error."""

_OVERHEAD: Final = 250  # bytes of a statement besides its text
_EMPTY: Final = b"\0\0\0"  # the definition of an empty statement

# SQL that finds prepared statements by name: EXECUTE (in EXPLAIN and CREATE TABLE AS, too), PREPARE, DEALLOCATE,
# DISCARD, and the view pg_prepared_statements.
_SQL_WORDS: Final = (b"execute", b"prepare", b"deallocate", b"discard")
_VIEW: Final = b"pg_prepared_statement"
_DEALLOCATE: Final = re.compile(rb"\s*deallocate\b").match
_DROPS_ALL: Final = re.compile(rb"\b(?:deallocate(?:\s+prepare)?|discard)\s+all\b").search


class ClientStatements:
    """The prepared statements of one client.

    Attributes:
        named: the statements by name; the unnamed statement has the name b"".
        portals: the statements of open portals that pin when they are executed, by portal name.
        kept_bytes: the memory that counts against `MAX_KEPT_BYTES`.
        dropping: DEALLOCATE ALL or DISCARD ALL was sent. If it succeeds, statements that are missing on the connection
            are dropped, too; if it fails, later messages of its batch are skipped.
    """

    __slots__ = ("_numbers", "dropping", "kept_bytes", "named", "portals")

    def __init__(self, numbers: Iterator[int]) -> None:
        """Create it; `numbers` yields the numbers of the statements that are prepared for the client."""
        self.named: dict[bytes, PreparedStatement] = {}
        self.portals: dict[bytes, PreparedStatement] = {}
        self.kept_bytes = 0
        self.dropping = False
        self._numbers = numbers

    def restore(self, name: bytes, statement: PreparedStatement | None) -> None:
        """Make this the statement of that name; with None there is none."""
        before = self.named.pop(name, None)
        if before is not None:
            self.kept_bytes -= len(name) + len(before.definition) + _OVERHEAD
        if statement is not None:
            self.named[name] = statement
            self.kept_bytes += len(name) + len(statement.definition) + _OVERHEAD

    def bind_portal(self, portal: bytes, statement: PreparedStatement | None) -> None:
        """Store the statement of a portal, if it pins."""
        if statement is not None and statement.pin_reason is not None:
            self.portals[portal] = statement
        elif self.portals:
            self.portals.pop(portal, None)

    # Messages of the client. Those that the emulator adds are inserted at `position`.

    def parse(
        self,
        connection: DatabaseConnection,
        rewriter: MessageRewriter,
        position: int,
        name: bytes,
        statement: PreparedStatement,
        *,
        pinned: bool,
    ) -> None:
        """Handle a Parse.

        Raises:
            FatalError: the client exceeds `MAX_KEPT_BYTES`.
        """
        if name:
            # A name that is in use gets the database's own error.
            self.ensure_prepared(connection, rewriter, position, name)
        self._change(connection, PARSED, name, statement, statement, internal=False)
        while self.kept_bytes > MAX_KEPT_BYTES:
            if not pinned:
                raise FatalError("54000", f"the client keeps more than {MAX_KEPT_BYTES} bytes of prepared statements")
            # It may have dropped statements with DEALLOCATE, which is not tracked, and needs them nowhere else.
            oldest = next(iter(self.named))
            connection.prepared.pop(oldest, None)
            self.restore(oldest, None)

    def close(self, connection: DatabaseConnection, name: bytes, *, internal: bool = False) -> None:
        """Handle a Close of a statement: the client's, or with `internal` one that was inserted for it."""
        self._change(connection, CLOSED, name, None, None, internal=internal)

    def drop_unnamed(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int) -> None:
        """Handle that a Query drops the unnamed statement."""
        if connection.open_batch:
            # If an earlier message of the batch fails, the database skips the Query; this Close, too.
            rewriter.insert(position, close_statement(b""))
            self.close(connection, b"", internal=True)
        else:
            connection.prepared.pop(b"", None)
            if b"" in self.named:
                self.restore(b"", None)

    def ensure_prepared(
        self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, name: bytes
    ) -> None:
        """Make the client's statement of that name the connection's."""
        statement, present = self.named.get(name), connection.prepared.get(name)
        if not _serves(present, statement):
            if present is not None:
                self._close_other(connection, rewriter, position, name)
            if statement is not None and not self.dropping:
                self._prepare(connection, rewriter, position, name, statement, statement.definition)
        elif present is not None and name:
            del connection.prepared[name]
            connection.prepared[name] = present

    def before_sql(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, sql: bytes) -> None:
        """Make the connection's statements the client's, as far as the SQL can find them by name.

        A missing statement that the SQL does not mention is not prepared, because that can fail, and would fail the
        client's transaction.
        """
        prepared = connection.prepared
        if not (prepared or self.named) or not _finds_statements(text := sql.lower()):
            return
        for name, present in list(prepared.items()):
            if name and not _serves(present, self.named.get(name)):
                self._close_other(connection, rewriter, position, name)
        if self.dropping or _DEALLOCATE(text):
            return
        shows_all = _VIEW in text
        alone = shows_all and not (connection.open_batch or connection.in_transaction or connection.pending)
        for name, statement in self.named.items():
            if name and name not in prepared and (shows_all or _mentions(text, name)):
                self._prepare(connection, rewriter, position, name, statement, statement.definition)
                if alone:  # so that one that fails does not affect the others
                    rewriter.insert(position, message(b"S"))
                    connection.pending.append(SYNC_INTERNAL)

    def run_sql(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, sql: bytes) -> None:
        """Handle that SQL is run which drops statements, also those that are missing on the connection."""
        if connection.status == FAILED or not self.named:
            return
        text = sql.lower()
        if _DROPS_ALL(text):
            self.dropping = connection.unsettled = True
        elif _DEALLOCATE(text):
            for name, statement in self.named.items():
                if name and name not in connection.prepared and _mentions(text, name):
                    # An empty statement can be prepared whatever became of the statement's tables.
                    self._prepare(connection, rewriter, position, name, statement, _EMPTY)

    def drop_missing(self, connection: DatabaseConnection) -> None:
        """Handle that the database has dropped all statements."""
        for name in [name for name in self.named if name and name not in connection.prepared]:
            self.restore(name, None)

    def close_excess(self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int) -> None:
        """Close the least recently used statements above `MAX_PREPARED`."""
        prepared = connection.prepared
        for name in list(islice(prepared, max(0, len(prepared) - MAX_PREPARED))):
            self._close_other(connection, rewriter, position, name)

    # Internal.

    def _change(
        self,
        connection: DatabaseConnection,
        response: int,
        name: bytes,
        statement: PreparedStatement | None,
        prepared: PreparedStatement | None,
        *,
        internal: bool,
    ) -> None:
        """Note a Parse or Close that is sent: the client's and the connection's statement of that name change."""
        before, client_before = connection.prepared.pop(name, None), self.named.get(name)
        connection.pending.append(StatementChange(response, name, internal, client_before, before))
        if prepared is not None:
            connection.prepared[name] = prepared
        if statement is not client_before:
            self.restore(name, statement)
        if internal or not _serves(before, client_before):
            # If it is skipped, the connection again has another statement of that name than the client.
            connection.unsettled = True

    def _prepare(
        self,
        connection: DatabaseConnection,
        rewriter: MessageRewriter,
        position: int,
        name: bytes,
        statement: PreparedStatement,
        definition: bytes,
    ) -> None:
        rewriter.insert(position, parse(name, definition))
        again = PreparedStatement(next(self._numbers), statement.definition, statement.sql, statement.pin_reason)
        self._change(connection, PARSED, name, statement, again, internal=True)

    def _close_other(
        self, connection: DatabaseConnection, rewriter: MessageRewriter, position: int, name: bytes
    ) -> None:
        """Close the connection's statement; the client's is not affected."""
        rewriter.insert(position, close_statement(name))
        self._change(connection, CLOSED, name, self.named.get(name), None, internal=True)


def _serves(present: PreparedStatement | None, statement: PreparedStatement | None) -> bool:
    """Whether a connection's statement can serve as the client's of the same name; None means that there is none.

    It must not be older than the client's, which may have seen a table's later definition.
    """
    if present is None or statement is None:
        return present is statement
    return present.number >= statement.number and present.definition == statement.definition


def _finds_statements(text: bytes) -> bool:
    return any(word in text for word in _SQL_WORDS)


def _mentions(text: bytes, name: bytes) -> bool:
    name = name.lower().replace(b'"', b'""')
    return name in text and re.search(rb"(?<![\w$])" + re.escape(name) + rb"(?![\w$])", text) is not None
