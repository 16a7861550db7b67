"""A moment of a stand-in, for people: its clients and database connections, and who is pinned and why."""

from dataclasses import dataclass
from time import monotonic

from .client_edge import ClientEdge
from .connection import DatabaseConnection
from .events import Pin
from .server import StandIn

__all__ = ["ClientState", "ConnectionState", "Snapshot"]


@dataclass(frozen=True)
class ClientState:
    """A client connection.

    Attributes:
        number: as in the log.
        address: where it comes from.
        name: its application_name; may be empty.
        user, database: what it logged in as; empty before that.
        state: `logging in`, `idle`, `waiting`, `in transaction` or `pinned`.
        connection: the database connection that it has; None if none.
        seconds: since it asked last.
        pin: why it is pinned.
    """

    number: int
    address: str
    name: str
    user: str
    database: str
    state: str
    connection: int | None
    seconds: float
    pin: Pin | None


@dataclass(frozen=True)
class ConnectionState:
    """A database connection.

    Attributes:
        number: as in the log.
        user, database: what it logged in as.
        state: `idle`, `borrowed` or `pinned`.
        client: the client that has it; None if none.
        prepared: how many of its clients' statements are prepared on it.
    """

    number: int
    user: str
    database: str
    state: str
    client: int | None
    prepared: int


@dataclass(frozen=True)
class Snapshot:
    """All of them.

    Attributes:
        clients, connections: by number.
        size: how many database connections there may be.
        most: how many there were at a time.
        waiting: how many clients wait for one.
        queries: how many requests there were.
        pins: what pins, as `StandIn.pins`.
    """

    clients: tuple[ClientState, ...]
    connections: tuple[ConnectionState, ...]
    size: int
    most: int
    waiting: int
    queries: int
    pins: tuple[Pin, ...]

    @classmethod
    def of(cls, stand_in: StandIn) -> "Snapshot":
        """Look."""
        return cls(
            clients=tuple(_client(client) for client in stand_in.clients.values()),
            connections=tuple(_connection(one) for one in stand_in.pool.connections.values()),
            size=stand_in.pool.size,
            most=stand_in.pool.most,
            waiting=stand_in.pool.waiting,
            queries=stand_in.surroundings.counters.queries,
            pins=tuple(stand_in.pins),
        )


def _client(client: ClientEdge) -> ClientState:
    session = client.session
    if session is None:
        return ClientState(
            client.number, client.address, "", "", "", "logging in", None, monotonic() - client.born, None
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
        monotonic() - session.active,
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
