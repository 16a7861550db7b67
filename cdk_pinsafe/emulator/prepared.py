"""A client's prepared statements, and how they get to whatever connection it has borrowed.

The database knows them by names of the stand-in. One that is missing where it is needed is prepared in the same batch,
before the message that needs it.
"""

from itertools import islice
from typing import Final

from .asked import CLOSE_OURS, SYNC_OURS, PreparedStatement, Preparing
from .connection import DatabaseConnection
from .messages import Refusal, close_statement, message, parse
from .outgoing import Outgoing

__all__ = ["LONGEST_KEPT", "MOST_PREPARED", "Statements", "trim"]

MOST_PREPARED: Final = 500
"""Statements that a shared database connection keeps prepared; then the least recently used ones are closed."""

LONGEST_KEPT: Final = 8 << 20
"""Bytes of prepared statements that are kept for a client, their texts and types. One that wants more is refused."""

_OVERHEAD: Final = 250  # bytes that a statement takes beside its text


class Statements:
    """One client's.

    Attributes:
        unnamed: its unnamed one.
        portals: of its portals those whose statement pins.
        kept: bytes that are kept for it.
    """

    __slots__ = ("_named", "kept", "portals", "unnamed")

    def __init__(self) -> None:
        self.unnamed: PreparedStatement | None = None
        self.portals: dict[bytes, PreparedStatement] = {}
        self.kept = 0
        self._named: dict[bytes, PreparedStatement] = {}

    def __bool__(self) -> bool:
        return bool(self._named)

    def get(self, name: bytes) -> PreparedStatement | None:
        """What the client calls so."""
        return self._named.get(name) if name else self.unnamed

    def keep(self, name: bytes, statement: PreparedStatement) -> None:
        """Note what the client prepared.

        Raises:
            Refusal: it keeps too much.
        """
        self._note(name, statement)
        if self.kept > LONGEST_KEPT:
            raise Refusal("54000", f"the client keeps more than {LONGEST_KEPT} bytes of prepared statements")

    def keep_verdict(self, name: bytes, statement: PreparedStatement) -> None:
        """Note what a pinned client prepared, if it pins: nobody has to prepare it again.

        The client may have dropped it by a DEALLOCATE, of which nothing is known here, so the oldest are forgotten.
        """
        self.forget(name)
        if statement.pins is not None:
            self._note(name, statement)
            while self.kept > LONGEST_KEPT:
                self.forget(next(iter(self._named)))

    def forget(self, name: bytes) -> PreparedStatement | None:
        """Note that the client closed it."""
        statement = self._named.pop(name, None)
        if statement is not None:
            self.kept -= len(name) + len(statement.rest) + _OVERHEAD
        return statement

    def restore(self, name: bytes, before: PreparedStatement | None) -> None:
        """Undo a change of what is called `name`: its message failed or was left out."""
        if name == b"":
            self.unnamed = before
            return
        self.forget(name)
        if before is not None:
            self._note(name, before)

    def bound(self, portal: bytes, statement: PreparedStatement | None) -> None:
        """Note what a portal is of."""
        if statement is not None and statement.pins is not None:
            self.portals[portal] = statement
        elif self.portals:
            self.portals.pop(portal, None)

    def need(
        self, connection: DatabaseConnection, out: Outgoing, position: int, name: bytes, *, own_names: bool
    ) -> tuple[PreparedStatement | None, bytes]:
        """What the client calls `name`, and what the connection does: prepared there now, if it was not.

        With `own_names` the connection knows the client's own.
        """
        if name == b"":
            statement = self.unnamed
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
        statement = self._named.get(name)
        if statement is None or own_names:
            return statement, name
        prepared = connection.prepared
        if statement in prepared:
            del prepared[statement]
        else:
            out.insert(position, parse(statement.name, statement.rest))
            connection.asked.append(Preparing(statement, statement.name, None, None))
        prepared[statement] = None
        return statement, statement.name

    def hand_over(self, connection: DatabaseConnection) -> bytes:
        """Give all of them the client's own names on a connection, and close all others there.

        Within a batch no Sync may follow, as it would end the batch's transaction; a statement that cannot be prepared
        any more then fails the batch. Outside, where each has its own, it fails nothing, unless a transaction is open.
        """
        messages = []

        def sync() -> None:
            if not connection.open_batch:
                messages.append(message(b"S"))
                connection.asked.append(SYNC_OURS)

        for statement in connection.prepared:
            messages.append(close_statement(statement.name))
            connection.asked.append(CLOSE_OURS)
        if messages:
            sync()
        for name, statement in self._named.items():
            if statement.rest:
                messages.append(parse(name, statement.rest))
                connection.asked.append(Preparing(statement, name, None, None))
                sync()
        connection.prepared.clear()
        return b"".join(messages)

    def _note(self, name: bytes, statement: PreparedStatement) -> None:
        self._named[name] = statement
        self.kept += len(name) + len(statement.rest) + _OVERHEAD


def trim(connection: DatabaseConnection, out: Outgoing, position: int) -> None:
    """Close what a connection has prepared too many of, those first that were not used for longest."""
    prepared = connection.prepared
    for statement in list(islice(prepared, max(0, len(prepared) - MOST_PREPARED))):
        del prepared[statement]
        out.insert(position, close_statement(statement.name))
        connection.asked.append(CLOSE_OURS)
