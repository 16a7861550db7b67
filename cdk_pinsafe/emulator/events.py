"""What happens in a stand-in, as records for whoever watches: the log, the metrics, the view, the timeline, a test.

It must not know how anything of it comes about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..pinning.conditions import Condition, Evidence

__all__ = ["Observer", "Observers", "Pin"]


@dataclass(frozen=True, slots=True)
class Pin:
    """A statement that pins, at the moment the client runs it.

    Attributes:
        statement: its text; of one that is longer than 16 KB the first 1000 characters.
        condition: what it meets; None for a Parse message in legacy mode.
        evidence: how well it is known that RDS Proxy pins on it, best first.
        reason: the reason as RDS Proxy's log gives it.
        digest: the normalised statement as in the log; None where the log has none.
        remedy: what to write instead.
        start, end: the part of `statement` that pins, in characters.
        client_connection: the client connection's number, as in the log.
        db_connection: the database connection's number.
        user, database, application_name: the client's.
        client_address: where it came from, as `127.0.0.1:50412`.
        when: the time, with its zone.
        repeated: the session was pinned before: this statement would have pinned it, too.
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
    """Is told what happens, in the thread of the stand-in. Does nothing by itself; every method returns quickly.

    Connections are told by their numbers, which count from 1 and are never used twice.
    """

    def client_connected(self, client: int, address: str) -> None:
        """A client opened a connection; it is not logged in yet."""

    def client_ready(self, client: int, user: str, database: str, application_name: str) -> None:
        """A client is logged in."""

    def client_closed(self, client: int, reason: str) -> None:
        """A client's connection ended."""

    def connection_opened(self, connection: int, user: str, database: str) -> None:
        """A database connection is ready."""

    def connection_closed(self, connection: int) -> None:
        """A database connection ended."""

    def borrowed(self, client: int, connection: int) -> None:
        """A client's transaction begins on a database connection."""

    def released(self, client: int, connection: int) -> None:
        """It is over, and the connection is in the pool again."""

    def may_pin(self, pin: Pin) -> None:
        """A client prepared a statement that pins when it runs."""

    def pinned(self, pin: Pin) -> None:
        """A client ran a statement that pins; `pin.repeated` tells whether it was pinned already."""


class Observers(Observer):
    """Several as one."""

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

    def may_pin(self, pin: Pin) -> None:
        for one in self._observers:
            one.may_pin(pin)

    def pinned(self, pin: Pin) -> None:
        for one in self._observers:
            one.pinned(pin)
