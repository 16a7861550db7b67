"""The pool of database connections: who gets which, who waits, what is closed. Knows neither sockets nor SQL.

One limit holds for all connections, whatever they are for. A session gets an idle connection of its `Key` if there is
one, the one that was used last; else a new one, for which an idle connection of another key makes room if it must; else
it waits, first come first served. A connection that comes free goes to the first who waits for its key, unless somebody
has waited `PATIENCE` longer for another: then it makes room.

A connection that was pinned, or whose client left in mid-transaction, is closed and not used again: whatever its
session left there is seen by nobody.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final

from .connection import DatabaseConnection
from .database_login import DatabaseLogin
from .edge import Edge
from .events import Observer
from .login import Key
from .messages import Refusal

if TYPE_CHECKING:
    from .session import Session

__all__ = ["BORROW_TIMED_OUT", "Pool"]

PATIENCE: Final = 0.05

_TOO_MANY: Final = "53300"  # the database has all the connections that it, the database or the role may have

# AWS's words ("Troubleshooting RDS Proxy"); 08000 was measured by others. Whether the client's connection is closed,
# as here, is not known.
BORROW_TIMED_OUT: Final = Refusal("08000", "Timed-out waiting to acquire database connection.")


class Pool:
    """The database connections of one target.

    Attributes:
        size: the most that there may be, those that are being opened or closed included.
        opened, failed: how many were opened, or could not be.
        most: how many were open at a time.
    """

    def __init__(
        self,
        *,
        size: int,
        max_idle: int,
        borrow_timeout: float,
        idle_timeout: float,
        lifetime: float,
        observers: Iterable[Observer] = (),
    ) -> None:
        """Make an empty pool.

        Args:
            size: the most connections, as MaxConnectionsPercent of a database's max_connections.
            max_idle: how many idle ones stay open for longer than `idle_timeout`, as MaxIdleConnectionsPercent.
            borrow_timeout: seconds that a session waits.
            idle_timeout: seconds after which an idle connection beyond `max_idle` is closed.
            lifetime: seconds after which a connection is closed once it is free.
            observers: who is told of borrowing.
        """
        self.size = size
        self.opened = 0
        self.failed = 0
        self.most = 0
        self._max_idle = max_idle
        self._borrow_timeout = borrow_timeout
        self._idle_timeout = idle_timeout
        self._lifetime = lifetime
        self._observers = tuple(observers)
        self._numbers = itertools.count(1)
        self._idle: dict[Key, deque[DatabaseConnection]] = {}
        self._waiting: OrderedDict[Session, float] = OrderedDict()
        self._opening: dict[Key, int] = {}
        self._parameters: OrderedDict[Key, dict[str, str]] = OrderedDict()
        self.connections: dict[int, DatabaseConnection] = {}
        self.closing: set[DatabaseConnection] = set()
        # Set by the server.
        self.open: Callable[[Key, Session], object] = _unset
        self.close: Callable[[DatabaseConnection], object] = _unset
        self.grant: Callable[[Session, DatabaseConnection], object] = _unset
        self.refuse: Callable[[Session, Refusal], object] = _unset

    @property
    def total(self) -> int:
        """How many connections there are, those that are being opened or closed included."""
        return len(self.connections) + len(self.closing) + sum(self._opening.values())

    @property
    def waiting(self) -> int:
        """How many sessions wait."""
        return len(self._waiting)

    def parameters(self, key: Key) -> dict[str, str] | None:
        """The ParameterStatus that the last connection of this key was opened with; None if none was."""
        return self._parameters.get(key)

    def borrow(self, session: "Session") -> DatabaseConnection | None:
        """A connection for a session, or None: then `grant` or `refuse` is called for it later."""
        idle = self._idle.get(session.key)
        if idle:
            return self._lend(session, idle.pop())
        self._waiting[session] = monotonic()
        self._make_room(session.key)
        return None

    def cancel(self, session: "Session") -> None:
        """A session does not wait any more."""
        self._waiting.pop(session, None)

    def free(self, connection: DatabaseConnection) -> None:
        """A session has ended its transaction."""
        session = connection.session
        if session is not None:
            session.connection = None
            connection.session = None
            for observer in self._observers:
                observer.released(session.number, connection.number)
        now = connection.since = monotonic()
        if connection.spoilt or now - connection.born > self._lifetime:
            self.retire(connection)
        elif self._waiting:
            self._pass_on(connection, now)
        else:
            self._idle.setdefault(connection.key, deque()).append(connection)

    def add(self, key: Key, login: DatabaseLogin, write: Callable[[bytes], object], edge: Edge) -> DatabaseConnection:
        """A connection was opened. The caller gives it away with `free`."""
        self._opening_ended(key)
        self.opened += 1
        connection = DatabaseConnection(next(self._numbers), key, login, write, edge)
        connection.free = self.free
        connection.born = monotonic()
        self.connections[connection.number] = connection
        self.most = max(self.most, len(self.connections) + len(self.closing))
        self._parameters[key] = login.parameters
        self._parameters.move_to_end(key)
        while len(self._parameters) > _MOST_KEYS:
            self._parameters.popitem(last=False)
        return connection

    def could_not_open(self, key: Key, refusal: Refusal) -> None:
        """A connection could not be opened: who waits for one like it is told why."""
        self._opening_ended(key)
        self.failed += 1
        if refusal.sqlstate == _TOO_MANY and self.connections:
            return  # there will be room again; `sweep` tries
        for session in [session for session in self._waiting if session.key == key]:
            del self._waiting[session]
            self.refuse(session, refusal)
        self._serve()

    def retire(self, connection: DatabaseConnection) -> None:
        """Close a connection, whatever it is doing. It counts until `lost`."""
        session = connection.session
        if session is not None:
            session.connection = None
            connection.session = None
            for observer in self._observers:
                observer.released(session.number, connection.number)
        if self.connections.pop(connection.number, None) is None:
            return
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
        self.closing.add(connection)
        self.close(connection)

    def lost(self, connection: DatabaseConnection) -> None:
        """A connection's socket is closed. Nobody has it any more."""
        self.closing.discard(connection)
        self.connections.pop(connection.number, None)
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
        self._serve()

    def sweep(self, now: float) -> None:
        """Do what time asks for: refuse who waited too long, close what is old or not needed."""
        while self._waiting:
            session, since = next(iter(self._waiting.items()))
            if now - since < self._borrow_timeout:
                break
            del self._waiting[session]
            self.refuse(session, BORROW_TIMED_OUT)
        idle = [connection for each in self._idle.values() for connection in each]
        idle.sort(key=lambda connection: connection.since)
        excess = max(0, len(idle) - self._max_idle)
        for position, connection in enumerate(idle):
            old = now - connection.born > self._lifetime
            if old or (position < excess and now - connection.since > self._idle_timeout):
                self.retire(connection)
        for key in [key for key, each in self._idle.items() if not each]:
            del self._idle[key]
        self._serve()

    def _lend(self, session: "Session", connection: DatabaseConnection) -> DatabaseConnection:
        for observer in self._observers:
            observer.borrowed(session.number, connection.number)
        return connection

    def _pass_on(self, connection: DatabaseConnection, now: float) -> None:
        """Give a connection that came free to somebody who waits."""
        first, since = next(iter(self._waiting.items()))
        alike = next((session for session in self._waiting if session.key == connection.key), None)
        patient = alike is not None and (alike is first or since + PATIENCE >= min(now, self._waiting[alike]))
        if not patient and self._lacks_room_for_others(connection.key):
            self.retire(connection)
        elif alike is None:
            self._idle.setdefault(connection.key, deque()).append(connection)
        else:
            del self._waiting[alike]
            self._lend(alike, connection)
            self.grant(alike, connection)

    def _lacks_room_for_others(self, key: Key) -> bool:
        """Whether somebody waits for another key, and nothing is on its way to give room."""
        others = sum(1 for session in self._waiting if session.key != key)
        coming = len(self.closing) + sum(self._opening.values())
        return self.total >= self.size and coming < others

    def _serve(self) -> None:
        """Open connections for those who wait, as far as there is room."""
        if not self._waiting:
            return
        wanted: dict[Key, int] = {}
        for session in self._waiting:
            wanted[session.key] = wanted.get(session.key, 0) + 1
        for key, number in wanted.items():
            for _ in range(number - self._opening.get(key, 0)):
                if not self._make_room(key):
                    return

    def _make_room(self, key: Key) -> bool:
        """Open a connection for those who wait for this key, if there is room or room can be made."""
        if self.total >= self.size:
            others = [each[0] for each in self._idle.values() if each]
            if not others or len(self.closing) >= len(self._waiting):
                return False
            self.retire(min(others, key=lambda connection: connection.since))
            return False  # there is room once it is closed
        if self._opening.get(key, 0) >= sum(1 for session in self._waiting if session.key == key):
            return True
        session = next(session for session in self._waiting if session.key == key)
        self._opening[key] = self._opening.get(key, 0) + 1
        self.open(key, session)
        return True

    def _opening_ended(self, key: Key) -> None:
        self._opening[key] -= 1
        if not self._opening[key]:
            del self._opening[key]


_MOST_KEYS: Final = 1000


def _unset(*_: object) -> None:
    raise RuntimeError("nobody opens or closes the pool's connections")
