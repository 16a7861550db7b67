"""The stand-in: a listener, its clients, its pool, and what is known of them. Runs in one event loop."""

import asyncio
import contextlib
import itertools
import secrets
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from ..errors import StandInError
from .client_edge import ClientEdge
from .connection import Borrower, DatabaseConnection
from .database_edge import DatabaseEdge, connect
from .events import Observer, Observers, Pin
from .login import Authentication, ClientRules, Key, Login
from .messages import Refusal
from .metrics import Metrics, Tally
from .pool import Pool
from .session import Session
from .surroundings import Surroundings
from .target import Target

if TYPE_CHECKING:
    from .edge import Edge

__all__ = ["Options", "StandIn"]

_LOGIN_PATIENCE: Final = 60.0  # PostgreSQL's authentication_timeout
_MOST_PINS: Final = 10_000
_GRACE: Final = 2.0  # seconds that sockets have to close when the stand-in stops

# Neither the texts nor the codes of these are known of RDS Proxy; PostgreSQL's own nearest are taken.
_IDLE: Final = Refusal("57P05", "terminating connection due to idle client timeout")
_LIFETIME: Final = Refusal("57P01", "terminating connection due to maximum client connection lifetime")
_SHUTDOWN: Final = Refusal("57P01", "terminating connection: the stand-in is shutting down")
_LOST: Final = Refusal("08006", "the database connection was lost")


@dataclass(frozen=True)
class Options:
    """How a stand-in behaves. Times are in seconds; those of RDS Proxy are the defaults.

    Attributes:
        host: where it listens.
        port: its port; 0 takes a free one.
        pool_size: the most database connections, for MaxConnectionsPercent of the database's max_connections.
        max_idle: how many may stay idle for long, for MaxIdleConnectionsPercent; None for half of `pool_size`.
        authentication: how clients prove who they are; RDS Proxy's default is SCRAM-SHA-256.
        users: the passwords by user, for the secrets of an RDS Proxy; None for the target's own user.
        tls: the files of a certificate and its key, with which clients are offered TLS; None offers none.
        require_tls: refuse clients without TLS, as RequireTLS.
        legacy: pin on every Parse message, as RDS Proxy did before November 2023.
        borrow_timeout: how long a client waits for a database connection: ConnectionBorrowTimeout.
        idle_client_timeout: how long a client may ask nothing: IdleClientTimeout.
        client_lifetime: how long a client may stay; fixed on RDS Proxy.
        connection_lifetime: how long a database connection lives before it is closed in a free moment.
        idle_connection_timeout: how long a database connection beyond `max_idle` stays idle; not known of RDS Proxy.
        endpoint: the endpoint's name, in log lines.
    """

    host: str = "127.0.0.1"
    port: int = 0
    pool_size: int = 30
    max_idle: int | None = None
    authentication: Authentication = Authentication.SCRAM
    users: Mapping[str, str] | None = field(default=None, repr=False)
    tls: tuple[Path, Path] | None = None
    require_tls: bool = False
    legacy: bool = False
    borrow_timeout: float = 120.0
    idle_client_timeout: float = 1800.0
    client_lifetime: float = 86_400.0
    connection_lifetime: float = 86_400.0
    idle_connection_timeout: float = 300.0
    endpoint: str = "default"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.pool_size < 1:
            raise StandInError(f"pool_size should be at least 1, got {self.pool_size}")
        if self.max_idle is not None and not 0 <= self.max_idle <= self.pool_size:
            raise StandInError(f"max_idle should be from 0 to pool_size, {self.pool_size}, got {self.max_idle}")
        for name in ("borrow_timeout", "idle_client_timeout", "client_lifetime", "connection_lifetime"):
            if not getattr(self, name) > 0:
                raise StandInError(f"{name} should be more than 0 seconds, got {getattr(self, name)}")
        if self.require_tls and self.tls is None:
            raise StandInError("require_tls needs tls, a certificate's file and its key's")


class StandIn:
    """A stand-in for RDS Proxy before one PostgreSQL server. An async context manager.

    ::

        async with StandIn(Target.from_dsn("postgresql://app:secret@localhost/app"), pool_size=30) as proxy:
            ...  # clients connect to proxy.port
            print(proxy.pins, proxy.metrics())

    Attributes:
        port: where it listens, once it was started.
        pool: the database connections.
        clients: the clients by number.
        sockets: all that are open.
        pins: what pinned a session, the last 10,000 of them.
        repeats: what would have pinned a session that was pinned already (`Pin.repeated`), the last 10,000 of them.
    """

    def __init__(
        self, target: Target, options: Options | None = None, *, observers: Sequence[Observer] = (), **changes: object
    ) -> None:
        """Prepare a stand-in; nothing listens yet.

        Args:
            target: the database.
            options: how it behaves.
            observers: who is told what happens.
            changes: attributes of `Options`, in place of `options`.
        """
        self.target = target
        self.options = options or Options(**changes)  # type: ignore[arg-type]
        self.port = 0
        self.clients: dict[int, ClientEdge] = {}
        self.pins: deque[Pin] = deque(maxlen=_MOST_PINS)
        self.repeats: deque[Pin] = deque(maxlen=_MOST_PINS)
        self.tls_context: ssl.SSLContext | None = None
        self.sockets: set[Edge] = set()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._verified: dict[str, str] = {}
        self._tally = Tally()
        self._observer = Observers([_Recorder(self.pins, self.repeats), *observers])
        chosen = self.options
        self.pool = Pool(
            size=chosen.pool_size,
            max_idle=chosen.pool_size // 2 if chosen.max_idle is None else chosen.max_idle,
            borrow_timeout=chosen.borrow_timeout,
            idle_timeout=chosen.idle_connection_timeout,
            lifetime=chosen.connection_lifetime,
            observers=[one for one in observers if type(one).borrowed is not Observer.borrowed],
        )
        self.pool.open = self._open
        self.pool.close = _close
        self.pool.grant = self._grant
        self.pool.refuse = self._refuse
        self.surroundings = Surroundings(self._observer, legacy=chosen.legacy)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            StandInError: the port is taken, or the certificate cannot be read.
        """
        chosen = self.options
        if chosen.tls is not None:
            self.tls_context = _server_context(*chosen.tls)
        if self.target.asks_for_tls:
            self.target.tls_context()  # fails here rather than at the first client
        rules = ClientRules(chosen.authentication, self._users(), chosen.tls is not None, chosen.require_tls)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ClientEdge(next(self._numbers), self, rules), chosen.host, chosen.port, backlog=1024
            )
        except OSError as error:
            raise StandInError(f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror or error}") from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for client in list(self.clients.values()):
            client.refuse(_SHUTDOWN)
        for connection in list(self.pool.connections.values()):
            self.pool.retire(connection)
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self._until_closed(_GRACE)
        for socket in list(self.sockets):
            socket.abort()
        # A loop that is closed before its sockets are may wait for them in vain.
        await self._until_closed(_GRACE)

    async def _until_closed(self, seconds: float) -> None:
        end = monotonic() + seconds
        while self.sockets and monotonic() < end:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)

    def dsn(self, database: str | None = None) -> str:
        """A DSN for clients: the target's user, password and database, through the stand-in."""
        from urllib.parse import quote

        user, password = self.target.user, self.target.password
        account = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        name = quote(database or self.target.database, safe="")
        mode = "" if self.tls_context is not None else "?sslmode=disable"
        return f"postgresql://{account}@{self.options.host}:{self.port}/{name}{mode}"

    def metrics(self) -> Metrics:
        """What CloudWatch would be told, as of now; counts are since the start."""
        return Metrics.of(self.clients.values(), self._tally, self.pool, self.surroundings.counters)

    def forget_pins(self) -> None:
        """Forget the pins so far. Sessions stay pinned."""
        self.pins.clear()
        self.repeats.clear()

    # For the clients.

    def client_arrived(self, client: ClientEdge) -> None:
        """A client opened a connection."""
        self.clients[client.number] = client
        self._tally.received += 1
        self._observer.client_connected(client.number, client.address)

    def client_ready(self, client: ClientEdge) -> None:
        """A client is logged in."""
        self._tally.succeeded += 1
        assert client.session is not None  # noqa: S101 - it has been let in
        login = client.session.login
        self._observer.client_ready(client.number, login.key.user, login.key.database, login.application_name or "")

    def login_failed(self) -> None:
        """A client was not let in."""
        self._tally.failed += 1

    def client_left(self, client: ClientEdge, reason: str) -> None:
        """A client's connection ended."""
        del self.clients[client.number]
        self._tally.closed += 1
        session = client.session
        if session is not None:
            self.pool.cancel(session)
            connection = session.connection
            if connection is not None:
                # Who says goodbye leaves its requests to be carried out, as PostgreSQL does.
                connection.abandoned = not session.ended and bool(connection.asked)
                connection.cut = bool(session.streaming)
                self.pool.retire(connection)
        self._observer.client_closed(client.number, reason)

    def log_in(self, client: ClientEdge, login: Login) -> None:
        """Give a client that told who it is a session, and welcome it once it may come in."""
        client.session = Session(
            client.number,
            login,
            self.surroundings,
            self.pool.borrow,
            client.write,
            address=client.address,
            tls=client.tls,
            edge=client,
        )
        self._admit(client, client.session)

    def _admit(self, client: ClientEdge, session: Session) -> None:
        """Welcome a client, as soon as it is known what the database tells its clients."""
        session.waiting = True
        client.update_reading()
        if self.options.authentication is Authentication.PASS_THROUGH and not self._is_verified(session):
            self._start(self._verify(client, session))
        elif (parameters := self.pool.parameters(session.key)) is not None:
            client.welcome(parameters)
        else:
            connection = self.pool.borrow(session)
            if connection is not None:
                self._grant(session, connection)

    # For the pool.

    def _open(self, key: Key, session: Session) -> None:
        self._start(self._open_connection(key, session.login.password))

    async def _open_connection(self, key: Key, password: str | None) -> None:
        try:
            edge, login = await connect(self.target, key, password, self.sockets)
        except Refusal as refusal:
            self.pool.could_not_open(key, refusal)
            return
        except StandInError as error:
            self.pool.could_not_open(key, Refusal("08001", str(error)))
            return
        connection = edge.connection = self.pool.add(key, login, edge.write, edge)
        edge.lost = lambda: self._lost(connection)
        edge.broken = lambda refusal: self._broken(connection, refusal)
        self._observer.connection_opened(connection.number, key.user, key.database)
        self.pool.free(connection)

    def _grant(self, session: Session, connection: DatabaseConnection) -> None:
        client = self.clients[session.number]
        if not client.ready:
            session.connection, connection.session = connection, session
            self.pool.free(connection)
            client.welcome(connection.login.parameters)
            return
        try:
            session.granted(connection)
        except Refusal as refusal:
            client.refuse(refusal)
            return
        client.after()

    def _lost(self, connection: DatabaseConnection) -> None:
        session = connection.session
        if session is not None:
            # What the database said last was passed on.
            self.clients[session.number].end("The database connection was lost")
        self.pool.lost(connection)
        self._observer.connection_closed(connection.number)

    def _broken(self, connection: DatabaseConnection, refusal: Refusal) -> None:
        if connection.session is not None:
            self._refuse(connection.session, refusal)
        self.pool.retire(connection)

    def _refuse(self, session: Borrower, refusal: Refusal) -> None:
        self.clients[session.number].refuse(refusal)

    # Within.

    def _users(self) -> Mapping[str, str]:
        if self.options.users is not None:
            return self.options.users
        if self.target.password is not None:
            return {self.target.user: self.target.password}
        if self.options.authentication in (Authentication.SCRAM, Authentication.MD5):
            raise StandInError(
                "the target's DSN has no password, so no client can be checked: add one, give users, or choose the "
                "authentication 'trust' or 'password'"
            )
        return {}

    def _is_verified(self, session: Session) -> bool:
        known = self._verified.get(session.key.user)
        password = session.login.password
        return known is not None and password is not None and secrets.compare_digest(known.encode(), password.encode())

    async def _verify(self, client: ClientEdge, session: Session) -> None:
        """Let the database say whether a password is right, on a connection that is used for nothing else."""
        try:
            edge, _ = await connect(self.target, session.key, session.login.password, self.sockets)
        except (Refusal, StandInError) as error:
            self.login_failed()
            client.refuse(error if isinstance(error, Refusal) else Refusal("08001", str(error)))
            return
        edge.close(cancel=False, terminate=True)
        self._verified[session.key.user] = session.login.password or ""
        if not client.closed:
            self._admit(client, session)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _sweep(self) -> None:
        chosen = self.options
        times = (chosen.borrow_timeout, chosen.idle_client_timeout, chosen.client_lifetime, chosen.connection_lifetime)
        pause = min(1.0, *(each / 4 for each in times))
        while True:
            await asyncio.sleep(pause)
            now = monotonic()
            self.pool.sweep(now)
            for client in list(self.clients.values()):
                self._sweep_client(client, now)

    def _sweep_client(self, client: ClientEdge, now: float) -> None:
        session = client.session
        if session is None or not client.ready:
            if now - client.born > _LOGIN_PATIENCE and session is None:
                client.end("The client did not log in in time")
            return
        connection = session.connection
        if now - client.born > self.options.client_lifetime:
            client.refuse(_LIFETIME)
        elif (
            now - session.active > self.options.idle_client_timeout
            and not session.waiting
            and (connection is None or not connection.asked)
        ):
            client.refuse(_IDLE)


class _Recorder(Observer):
    def __init__(self, pins: deque[Pin], repeats: deque[Pin]) -> None:
        self._pins = pins
        self._repeats = repeats

    def pinned(self, pin: Pin) -> None:
        (self._repeats if pin.repeated else self._pins).append(pin)


def _close(connection: DatabaseConnection) -> None:
    cast("DatabaseEdge", connection.edge).close(cancel=connection.abandoned, terminate=not connection.cut)


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise StandInError(f"the certificate {certificate} or its key {key} cannot be read") from None
    return context
