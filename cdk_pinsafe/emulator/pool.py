"""The pool of database connections: who borrows which, who waits, what is closed. Knows neither sockets nor SQL.

One limit holds for all connections together. A session gets the most recently used idle connection of its `PoolKey`. If
there is none, a new connection is opened; if the pool is full, an idle connection of another key is closed first. If
neither is possible, the session waits, first come, first served. A released connection goes to the first session that
waits for its key, unless another session has waited longer, by at least `FAIRNESS_MARGIN`, for another key: then the
connection is closed to free a place.

A connection that was pinned, or whose client disconnected inside a transaction, is closed and not reused, so that no
other client sees the state of its session.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..protocol import FatalError
from .backend_login import BackendInfo
from .connection import DatabaseConnection
from .events import Observer
from .flow_control import FlowControlledProtocol
from .frontend_login import PoolKey

if TYPE_CHECKING:
    from .session import ClientSession

__all__ = ["BORROW_TIMED_OUT", "ConnectionPool"]

FAIRNESS_MARGIN: Final = 0.05  # seconds
_MAX_KEYS: Final = 1000  # keys whose ParameterStatus values are remembered

_TOO_MANY_CONNECTIONS: Final = "53300"  # too_many_connections: a limit of the server, the database or the role

# AWS's message ("Troubleshooting RDS Proxy"); 08000 was measured by others. It is not known whether RDS Proxy closes
# the client's connection, as the emulator does.
BORROW_TIMED_OUT: Final = FatalError("08000", "Timed-out waiting to acquire database connection.")


class ConnectionPool:
    """The database connections of one target.

    Attributes:
        size: the maximum number of connections, including those that are being opened or closed.
        opened, failed: how many were opened, and how many attempts failed.
        peak: the highest number of open connections so far.
        connections: the open connections by number.
        closing: the connections whose sockets are being closed.
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
        """Create an empty pool.

        Args:
            size: the maximum number of connections, as MaxConnectionsPercent of a database's max_connections.
            max_idle: how many idle connections are kept beyond `idle_timeout`, as MaxIdleConnectionsPercent.
            borrow_timeout: how long a session waits for a connection, in seconds.
            idle_timeout: after how many seconds an idle connection beyond `max_idle` is closed.
            lifetime: after how many seconds a connection is closed at its next release.
            observers: receive `borrowed` and `released`.
        """
        self.size = size
        self.opened = 0
        self.failed = 0
        self.peak = 0
        self._max_idle = max_idle
        self._borrow_timeout = borrow_timeout
        self._idle_timeout = idle_timeout
        self._lifetime = lifetime
        self._observers = tuple(observers)
        self._numbers = itertools.count(1)
        self._idle: dict[PoolKey, deque[DatabaseConnection]] = {}
        self._waiting: OrderedDict[ClientSession, float] = OrderedDict()
        self._opening: dict[PoolKey, int] = {}
        self._parameters: OrderedDict[PoolKey, dict[str, str]] = OrderedDict()
        self.connections: dict[int, DatabaseConnection] = {}
        self.closing: set[DatabaseConnection] = set()
        # Callbacks, set by the server.
        self.open: Callable[[PoolKey, ClientSession], object] = _unset
        self.close: Callable[[DatabaseConnection], object] = _unset
        self.grant: Callable[[ClientSession, DatabaseConnection], object] = _unset
        self.fail: Callable[[ClientSession, FatalError], object] = _unset

    @property
    def total(self) -> int:
        """The number of connections, including those that are being opened or closed."""
        return len(self.connections) + len(self.closing) + sum(self._opening.values())

    @property
    def waiting(self) -> int:
        """The number of sessions that wait for a connection."""
        return len(self._waiting)

    def parameters(self, key: PoolKey) -> dict[str, str] | None:
        """Return the ParameterStatus values of the latest connection of this key; None if none was opened."""
        return self._parameters.get(key)

    def borrow(self, session: "ClientSession") -> DatabaseConnection | None:
        """Return a connection, or None: then `grant` or `fail` is called later."""
        idle = self._idle.get(session.key)
        if idle:
            return self._lend(session, idle.pop())
        self._waiting[session] = monotonic()
        self._make_room(session.key)
        return None

    def cancel_wait(self, session: "ClientSession") -> None:
        """Stop waiting for a connection."""
        self._waiting.pop(session, None)

    def release(self, connection: DatabaseConnection) -> None:
        """Return a connection to the pool, pass it to a waiting session, or close it."""
        self._detach(connection)
        now = connection.released_at = monotonic()
        if connection.tainted or now - connection.created_at > self._lifetime:
            self.retire(connection)
        elif self._waiting:
            self._pass_on(connection, now)
        else:
            self._idle.setdefault(connection.key, deque()).append(connection)

    def add(
        self, key: PoolKey, info: BackendInfo, write: Callable[[bytes], object], protocol: FlowControlledProtocol
    ) -> DatabaseConnection:
        """Add a connection that was opened. The caller makes it available with `release`."""
        self._opening_ended(key)
        self.opened += 1
        connection = DatabaseConnection(next(self._numbers), key, info, write, protocol)
        connection.release = self.release
        connection.created_at = monotonic()
        self.connections[connection.number] = connection
        self.peak = max(self.peak, len(self.connections) + len(self.closing))
        self._parameters[key] = info.parameters
        self._parameters.move_to_end(key)
        while len(self._parameters) > _MAX_KEYS:
            self._parameters.popitem(last=False)
        return connection

    def open_failed(self, key: PoolKey, error: FatalError) -> None:
        """Handle a connection that could not be opened: sessions that wait for one like it fail with the error."""
        self._opening_ended(key)
        self.failed += 1
        if error.sqlstate == _TOO_MANY_CONNECTIONS and self.connections:
            return  # wait for a connection to be released; `sweep` tries again
        for session in [session for session in self._waiting if session.key == key]:
            del self._waiting[session]
            self.fail(session, error)
        self._serve()

    def retire(self, connection: DatabaseConnection) -> None:
        """Close a connection, whatever its state. It counts until `lost`."""
        self._detach(connection)
        if self.connections.pop(connection.number, None) is None:
            return
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
        self.closing.add(connection)
        self.close(connection)

    def lost(self, connection: DatabaseConnection) -> None:
        """Forget a connection whose socket is closed."""
        self.closing.discard(connection)
        self.connections.pop(connection.number, None)
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
        self._serve()

    def sweep(self, now: float) -> None:
        """Apply the timeouts: fail sessions that waited too long, close connections that are old or idle too long."""
        while self._waiting:
            session, since = next(iter(self._waiting.items()))
            if now - since < self._borrow_timeout:
                break
            del self._waiting[session]
            self.fail(session, BORROW_TIMED_OUT)
        idle = [connection for each in self._idle.values() for connection in each]
        idle.sort(key=lambda connection: connection.released_at)
        excess = max(0, len(idle) - self._max_idle)
        for position, connection in enumerate(idle):
            old = now - connection.created_at > self._lifetime
            if old or (position < excess and now - connection.released_at > self._idle_timeout):
                self.retire(connection)
        for key in [key for key, each in self._idle.items() if not each]:
            del self._idle[key]
        self._serve()

    def _lend(self, session: "ClientSession", connection: DatabaseConnection) -> DatabaseConnection:
        for observer in self._observers:
            observer.borrowed(session.number, connection.number)
        return connection

    def _detach(self, connection: DatabaseConnection) -> None:
        session = connection.session
        if session is not None:
            session.connection = None
            connection.session = None
            for observer in self._observers:
                observer.released(session.number, connection.number)

    def _pass_on(self, connection: DatabaseConnection, now: float) -> None:
        """Give a released connection to a waiting session."""
        first, since = next(iter(self._waiting.items()))
        same_key = next((session for session in self._waiting if session.key == connection.key), None)
        keeps_turn = same_key is not None and (
            same_key is first or since + FAIRNESS_MARGIN >= min(now, self._waiting[same_key])
        )
        if not keeps_turn and self._lacks_room_for_others(connection.key):
            self.retire(connection)
        elif same_key is None:
            self._idle.setdefault(connection.key, deque()).append(connection)
        else:
            del self._waiting[same_key]
            self._lend(same_key, connection)
            self.grant(same_key, connection)

    def _lacks_room_for_others(self, key: PoolKey) -> bool:
        """Whether a session waits for another key and no place is being freed for it."""
        others = sum(1 for session in self._waiting if session.key != key)
        coming = len(self.closing) + sum(self._opening.values())
        return self.total >= self.size and coming < others

    def _serve(self) -> None:
        """Open connections for waiting sessions, as long as there are free places."""
        if not self._waiting:
            return
        waiting: dict[PoolKey, int] = {}
        for session in self._waiting:
            waiting[session.key] = waiting.get(session.key, 0) + 1
        for key, number in waiting.items():
            for _ in range(number - self._opening.get(key, 0)):
                if not self._make_room(key):
                    return

    def _make_room(self, key: PoolKey) -> bool:
        """Open a connection for sessions that wait for this key; in a full pool, first close one of another key."""
        if self.total >= self.size:
            others = [each[0] for each in self._idle.values() if each]
            if not others or len(self.closing) >= len(self._waiting):
                return False
            self.retire(min(others, key=lambda connection: connection.released_at))
            return False  # `lost` continues once it is closed
        if self._opening.get(key, 0) >= sum(1 for session in self._waiting if session.key == key):
            return True
        session = next(session for session in self._waiting if session.key == key)
        self._opening[key] = self._opening.get(key, 0) + 1
        self.open(key, session)
        return True

    def _opening_ended(self, key: PoolKey) -> None:
        self._opening[key] -= 1
        if not self._opening[key]:
            del self._opening[key]


def _unset(*_: object) -> None:
    raise RuntimeError("the pool's callbacks are not set")
