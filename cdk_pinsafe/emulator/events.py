"""The events of the emulator, for observers: the log, the metrics, the terminal view, the timeline, a test.

This module does not know what causes the events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..pinning.conditions import Condition, Evidence

__all__ = ["Observer", "Observers", "PinEvent"]


@dataclass(frozen=True, slots=True)
class PinEvent:
    """A client ran a statement that pins.

    Attributes:
        statement: the SQL text; its first 1000 characters if it is longer than 16 KB.
        condition: the condition that it meets; None for a Parse message in legacy mode.
        evidence: how well it is known that RDS Proxy pins on it, best first.
        reason: the reason in RDS Proxy's log.
        digest: the normalized statement in the log; None if the log has none.
        remedy: what to write instead.
        start: where the part of `statement` that pins begins, in characters.
        end: where it ends, exclusively.
        client_connection: the number of the client connection, as in the log.
        db_connection: the number of the database connection.
        user: the client's user.
        database: the client's database.
        application_name: the client's `application_name`.
        client_address: the client's address, as `127.0.0.1:50412`.
        when: the time, with time zone.
        repeated: the session was already pinned; this statement would have pinned it, too.
    """

    statement: str
    condition: Condition | None
    evidence: tuple[Evidence, ...]
    reason: str
    digest: str | None
    remedy: str
    start: int
    end: int
    client_connection: int
    db_connection: int
    user: str
    database: str
    application_name: str
    client_address: str
    when: datetime
    repeated: bool


class Observer:
    """Receives events in the emulator's thread. The methods of this class do nothing; overrides must return quickly.

    Connections are identified by their numbers, which count from 1 and are never reused.
    """

    def client_connected(self, client: int, address: str) -> None:
        """A client opened a connection; it has not logged in yet."""

    def client_ready(self, client: int, user: str, database: str, application_name: str) -> None:
        """A client has logged in."""

    def client_closed(self, client: int, reason: str) -> None:
        """A client connection ended."""

    def connection_opened(self, connection: int, user: str, database: str) -> None:
        """A database connection is ready."""

    def connection_closed(self, connection: int) -> None:
        """A database connection ended."""

    def borrowed(self, client: int, connection: int) -> None:
        """A client has borrowed a database connection for a transaction."""

    def released(self, client: int, connection: int) -> None:
        """A client has released a database connection."""

    def pin_announced(self, pin: PinEvent) -> None:
        """A client prepared a statement that pins when it is executed."""

    def pinned(self, pin: PinEvent) -> None:
        """A client ran a statement that pins; `pin.repeated` is true if its session was already pinned."""


class Observers(Observer):
    """Forwards each event to several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def client_connected(self, client: int, address: str) -> None:
        for one in self._observers:
            one.client_connected(client, address)

    def client_ready(self, client: int, user: str, database: str, application_name: str) -> None:
        for one in self._observers:
            one.client_ready(client, user, database, application_name)

    def client_closed(self, client: int, reason: str) -> None:
        for one in self._observers:
            one.client_closed(client, reason)

    def connection_opened(self, connection: int, user: str, database: str) -> None:
        for one in self._observers:
            one.connection_opened(connection, user, database)

    def connection_closed(self, connection: int) -> None:
        for one in self._observers:
            one.connection_closed(connection)

    def borrowed(self, client: int, connection: int) -> None:
        for one in self._observers:
            one.borrowed(client, connection)

    def released(self, client: int, connection: int) -> None:
        for one in self._observers:
            one.released(client, connection)

    def pin_announced(self, pin: PinEvent) -> None:
        for one in self._observers:
            one.pin_announced(pin)

    def pinned(self, pin: PinEvent) -> None:
        for one in self._observers:
            one.pinned(pin)
