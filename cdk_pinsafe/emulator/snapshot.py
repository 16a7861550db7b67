"""The state of an emulator at one moment: its clients and database connections, who is pinned and why."""

from dataclasses import dataclass
from time import monotonic

from .connection import DatabaseConnection
from .events import PinEvent
from .frontend import ClientProtocol
from .server import ProxyEmulator

__all__ = ["ClientState", "ConnectionState", "Snapshot"]


@dataclass(frozen=True)
class ClientState:
    """A client connection.

    Attributes:
        number: its number, as in the log.
        address: the client's address.
        name: its application_name; may be empty.
        user: the user that it logged in as; empty before the login.
        database: the database that it logged in to; empty before the login.
        state: `logging in`, `idle`, `waiting`, `in transaction` or `pinned`.
        connection: the number of the database connection that it holds; None if none.
        seconds: the time since its last request or response.
        pin: why it is pinned; None if it is not.
    """

    number: int
    address: str
    name: str
    user: str
    database: str
    state: str
    connection: int | None
    seconds: float
    pin: PinEvent | None


@dataclass(frozen=True)
class ConnectionState:
    """A database connection.

    Attributes:
        number: its number, as in the log.
        user: the user that it logged in as.
        database: the database that it logged in to.
        state: `idle`, `borrowed` or `pinned`.
        client: the number of the client that holds it; None if none.
        prepared: how many statements of clients are prepared on it.
    """

    number: int
    user: str
    database: str
    state: str
    client: int | None
    prepared: int


@dataclass(frozen=True)
class Snapshot:
    """The state of an emulator.

    Attributes:
        clients: the clients, in the order of their numbers.
        connections: the database connections, in the order of their numbers.
        size: the maximum number of database connections.
        peak: the highest number of database connections so far.
        waiting: how many clients wait for a connection.
        queries: how many requests there were.
        pins: as `ProxyEmulator.pins`.
    """

    clients: tuple[ClientState, ...]
    connections: tuple[ConnectionState, ...]
    size: int
    peak: int
    waiting: int
    queries: int
    pins: tuple[PinEvent, ...]

    @classmethod
    def take(cls, emulator: ProxyEmulator) -> "Snapshot":
        """Return the current state."""
        return cls(
            clients=tuple(_client(client) for client in emulator.clients.values()),
            connections=tuple(_connection(one) for one in emulator.pool.connections.values()),
            size=emulator.pool.size,
            peak=emulator.pool.peak,
            waiting=emulator.pool.waiting,
            queries=emulator.shared.counters.queries,
            pins=tuple(emulator.pins),
        )


def _client(client: ClientProtocol) -> ClientState:
    session = client.session
    if session is None:
        return ClientState(
            client.number, client.address, "", "", "", "logging in", None, monotonic() - client.connected_at, None
        )
    connection = session.connection
    if session.pinned:
        state = "pinned"
    elif session.waiting:
        state = "waiting"
    else:
        state = "idle" if connection is None else "in transaction"
    return ClientState(
        client.number,
        client.address,
        session.login.application_name or "",
        session.key.user,
        session.key.database,
        state,
        connection.number if connection is not None else None,
        monotonic() - session.last_active,
        session.pinned,
    )


def _connection(one: DatabaseConnection) -> ConnectionState:
    session = one.session
    return ConnectionState(
        one.number,
        one.key.user,
        one.key.database,
        "idle" if session is None else "pinned" if session.pinned else "borrowed",
        session.number if session is not None else None,
        len(one.prepared),
    )
