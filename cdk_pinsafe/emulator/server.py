"""The emulator itself: listens for clients, and connects their sessions with the pool. Runs in one event loop."""

import asyncio
import contextlib
import itertools
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from .. import rds_proxy
from ..errors import EmulatorError
from ..protocol import FatalError
from .backend import DatabaseProtocol, connect
from .connection import Borrower, DatabaseConnection
from .events import Observer, Observers, PinEvent
from .frontend import ClientProtocol
from .frontend_login import Authentication, ClientLogin, LoginRules, PoolKey
from .metrics import ClientCounters, Metrics, collect
from .pool import ConnectionPool
from .session import ClientSession
from .shared import SharedState
from .target import ProxyTarget

if TYPE_CHECKING:
    from .flow_control import FlowControlledProtocol

__all__ = ["EmulatorOptions", "ProxyEmulator"]

_LOGIN_TIMEOUT: Final = 60.0  # PostgreSQL's authentication_timeout
_MAX_PINS: Final = 10_000
_SHUTDOWN_TIMEOUT: Final = 2.0  # seconds until sockets are aborted at shutdown

# RDS Proxy's messages and SQLSTATEs for these are not known; these are PostgreSQL's nearest.
_IDLE: Final = FatalError("57P05", "terminating connection due to idle client timeout")
_LIFETIME: Final = FatalError("57P01", "terminating connection due to maximum client connection lifetime")
_SHUTDOWN: Final = FatalError("57P01", "terminating connection: the emulator is shutting down")


@dataclass(frozen=True)
class EmulatorOptions:
    """How the emulator behaves. Times are in seconds; the defaults are RDS Proxy's.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        pool_size: the maximum number of database connections; for MaxConnectionsPercent of the database's
            max_connections.
        max_idle: how many connections may stay idle; for MaxIdleConnectionsPercent. None means half of `pool_size`.
        authentication: how clients authenticate; RDS Proxy's default is SCRAM-SHA-256.
        users: the passwords by user, as the secrets of an RDS Proxy; None means the target's own user.
        tls: the files of a certificate and its key, to offer TLS to clients; None offers none.
        require_tls: reject clients without TLS, as RequireTLS.
        legacy: pin on every Parse message, as RDS Proxy did before November 2023.
        borrow_timeout: how long a client waits for a database connection: ConnectionBorrowTimeout.
        idle_client_timeout: how long a client may be idle: IdleClientTimeout.
        client_lifetime: how long a client may stay connected; 24 hours on RDS Proxy, not configurable.
        connection_lifetime: after what time a database connection is closed at its next release.
        idle_connection_timeout: how long a connection beyond `max_idle` stays idle; RDS Proxy's value is not known.
        endpoint: the name of the endpoint in log lines.
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
    borrow_timeout: float = float(rds_proxy.DEFAULT_BORROW_TIMEOUT)
    idle_client_timeout: float = float(rds_proxy.DEFAULT_IDLE_CLIENT_TIMEOUT)
    client_lifetime: float = float(rds_proxy.CLIENT_LIFETIME)
    connection_lifetime: float = float(rds_proxy.CONNECTION_LIFETIME)
    idle_connection_timeout: float = 300.0
    endpoint: str = "default"

    def __post_init__(self) -> None:
        """Validate the options."""
        if self.pool_size < 1:
            raise EmulatorError(f"pool_size should be at least 1, got {self.pool_size}")
        if self.max_idle is not None and not 0 <= self.max_idle <= self.pool_size:
            raise EmulatorError(f"max_idle should be from 0 to pool_size, {self.pool_size}, got {self.max_idle}")
        for name in ("borrow_timeout", "idle_client_timeout", "client_lifetime", "connection_lifetime"):
            if not getattr(self, name) > 0:
                raise EmulatorError(f"{name} should be more than 0 seconds, got {getattr(self, name)}")
        if self.require_tls and self.tls is None:
            raise EmulatorError("require_tls needs tls: the files of a certificate and its key")


class ProxyEmulator:
    """An RDS Proxy emulator in front of one PostgreSQL server. An async context manager.

    ::

        async with ProxyEmulator(ProxyTarget.from_dsn("postgresql://app:secret@localhost/app"), pool_size=30) as proxy:
            ...  # clients connect to proxy.port
            print(proxy.pins, proxy.metrics())

    Attributes:
        port: the port that it listens on, once started.
        pool: the database connections.
        clients: the client connections by number.
        sockets: the protocols of all open sockets.
        pins: the last 10,000 statements that pinned a session.
        repeats: the last 10,000 statements that pin, run by a session that was already pinned (`PinEvent.repeated`).
    """

    def __init__(
        self,
        target: ProxyTarget,
        options: EmulatorOptions | None = None,
        *,
        observers: Sequence[Observer] = (),
        **changes: object,
    ) -> None:
        """Create an emulator; `start` makes it listen.

        Args:
            target: the database.
            options: how it behaves.
            observers: receive the events.
            changes: attributes of `EmulatorOptions`, instead of `options`.
        """
        self.target = target
        self.options = options or EmulatorOptions(**changes)  # type: ignore[arg-type]
        self.port = 0
        self.clients: dict[int, ClientProtocol] = {}
        self.pins: deque[PinEvent] = deque(maxlen=_MAX_PINS)
        self.repeats: deque[PinEvent] = deque(maxlen=_MAX_PINS)
        self.tls_context: ssl.SSLContext | None = None
        self.sockets: set[FlowControlledProtocol] = set()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._client_counters = ClientCounters()
        self._observer = Observers([_PinRecorder(self.pins, self.repeats), *observers])
        options = self.options
        self.pool = ConnectionPool(
            size=options.pool_size,
            max_idle=options.pool_size // 2 if options.max_idle is None else options.max_idle,
            borrow_timeout=options.borrow_timeout,
            idle_timeout=options.idle_connection_timeout,
            lifetime=options.connection_lifetime,
            observers=[one for one in observers if type(one).borrowed is not Observer.borrowed],
        )
        self.pool.open = self._open
        self.pool.close = _close
        self.pool.grant = self._grant
        self.pool.fail = self._fail_session
        self.shared = SharedState(self._observer, legacy=options.legacy)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start to listen.

        Raises:
            EmulatorError: the port is in use, or a certificate cannot be read.
        """
        options = self.options
        if options.tls is not None:
            self.tls_context = _server_context(*options.tls)
        if self.target.requests_tls:
            self.target.tls_context()  # an error is raised here, not at the first client
        rules = LoginRules(options.authentication, self._users(), options.tls is not None, options.require_tls)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ClientProtocol(next(self._numbers), self, rules), options.host, options.port, backlog=1024
            )
        except OSError as error:
            raise EmulatorError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}") from None
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
            client.close_with_error(_SHUTDOWN)
        for connection in list(self.pool.connections.values()):
            self.pool.retire(connection)
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self._until_closed(_SHUTDOWN_TIMEOUT)
        for socket in list(self.sockets):
            socket.abort()
        # An event loop that is closed before its sockets may hang.
        await self._until_closed(_SHUTDOWN_TIMEOUT)

    async def _until_closed(self, seconds: float) -> None:
        end = monotonic() + seconds
        while self.sockets and monotonic() < end:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)

    def dsn(self, database: str | None = None) -> str:
        """Return a DSN for clients: the target's user, password and database, through the emulator."""
        from urllib.parse import quote

        user, password = self.target.user, self.target.password
        account = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        name = quote(database or self.target.database, safe="")
        mode = "" if self.tls_context is not None else "?sslmode=disable"
        return f"postgresql://{account}@{self.options.host}:{self.port}/{name}{mode}"

    def metrics(self) -> Metrics:
        """Return the current metrics; counts are since the start."""
        return collect(self.clients.values(), self._client_counters, self.pool, self.shared.counters)

    def forget_pins(self) -> None:
        """Clear `pins` and `repeats`. Sessions stay pinned."""
        self.pins.clear()
        self.repeats.clear()

    # Callbacks of the clients' protocols.

    def client_connected(self, client: ClientProtocol) -> None:
        """Register a client that has opened a connection.

        :meta private:
        """
        self.clients[client.number] = client
        self._client_counters.received += 1
        self._observer.client_connected(client.number, client.address)

    def client_ready(self, client: ClientProtocol) -> None:
        """Record that a client has logged in.

        :meta private:
        """
        self._client_counters.succeeded += 1
        assert client.session is not None  # noqa: S101 - a client that is ready has a session
        login = client.session.login
        self._observer.client_ready(client.number, login.key.user, login.key.database, login.application_name or "")

    def login_failed(self) -> None:
        """Count a failed login.

        :meta private:
        """
        self._client_counters.failed += 1

    def client_disconnected(self, client: ClientProtocol, reason: str) -> None:
        """Remove a client, and close the database connection that it holds.

        :meta private:
        """
        del self.clients[client.number]
        self._client_counters.closed += 1
        session = client.session
        if session is not None:
            self.pool.cancel_wait(session)
            connection = session.connection
            if connection is not None:
                # After Terminate the pending requests are still executed, as in PostgreSQL.
                connection.client_gone = not session.terminated and bool(connection.pending)
                connection.mid_message = bool(session.streaming_bytes)
                self.pool.retire(connection)
        self._observer.client_closed(client.number, reason)

    def client_identified(self, client: ClientProtocol, login: ClientLogin) -> None:
        """Create the session of a client that has authenticated, and welcome it once its login is complete.

        :meta private:
        """
        client.session = ClientSession(
            client.number,
            login,
            self.shared,
            self.pool.borrow,
            client.write,
            address=client.address,
            tls=client.tls,
            protocol=client,
        )
        client.session.waiting = True
        client.update_reading()
        if self.options.authentication is Authentication.PASS_THROUGH:
            self._start(self._verify(client, client.session))
        else:
            self._admit(client, client.session)

    def _admit(self, client: ClientProtocol, session: ClientSession) -> None:
        """Welcome a client, as soon as the parameters that the database reports are known."""
        if (parameters := self.pool.parameters(session.key)) is not None:
            client.welcome(parameters)
        else:
            connection = self.pool.borrow(session)
            if connection is not None:
                self._grant(session, connection)

    # Callbacks of the pool.

    def _open(self, key: PoolKey, session: ClientSession) -> None:
        self._start(self._open_connection(key, session.login.password))

    async def _open_connection(self, key: PoolKey, password: str | None) -> None:
        try:
            protocol, info = await connect(self.target, key, password, self.sockets)
        except FatalError as error:
            self.pool.open_failed(key, error)
            return
        except EmulatorError as error:
            self.pool.open_failed(key, FatalError("08001", str(error)))
            return
        connection = protocol.connection = self.pool.add(key, info, protocol.write, protocol)
        protocol.lost = lambda: self._lost(connection)
        protocol.broken = lambda error: self._broken(connection, error)
        self._observer.connection_opened(connection.number, key.user, key.database)
        self.pool.release(connection)

    def _grant(self, session: ClientSession, connection: DatabaseConnection) -> None:
        client = self.clients[session.number]
        if not client.ready:
            session.connection, connection.session = connection, session
            self.pool.release(connection)
            client.welcome(connection.info.parameters)
            return
        try:
            session.connection_granted(connection)
        except FatalError as error:
            client.close_with_error(error)
            return
        client.session_changed()

    def _lost(self, connection: DatabaseConnection) -> None:
        session = connection.session
        if session is not None:
            # The database's last message was already forwarded.
            self.clients[session.number].end("The database connection was lost")
        self.pool.lost(connection)
        self._observer.connection_closed(connection.number)

    def _broken(self, connection: DatabaseConnection, error: FatalError) -> None:
        if connection.session is not None:
            self._fail_session(connection.session, error)
        self.pool.retire(connection)

    def _fail_session(self, session: Borrower, error: FatalError) -> None:
        self.clients[session.number].close_with_error(error)

    # Internal.

    def _users(self) -> Mapping[str, str]:
        if self.options.users is not None:
            return self.options.users
        if self.target.password is not None:
            return {self.target.user: self.target.password}
        if self.options.authentication in (Authentication.SCRAM, Authentication.MD5):
            raise EmulatorError(
                "the target's DSN has no password, so clients cannot be authenticated: add one, set users, or use "
                "authentication 'trust' or 'password'"
            )
        return {}

    async def _verify(self, client: ClientProtocol, session: ClientSession) -> None:
        """Check a password by a login at the database, on a connection of its own.

        The database is asked at every login, because the password can change, and the role can lose its LOGIN.
        """
        try:
            protocol, _ = await connect(self.target, session.key, session.login.password, self.sockets)
        except (FatalError, EmulatorError) as error:
            self.login_failed()
            client.close_with_error(error if isinstance(error, FatalError) else FatalError("08001", str(error)))
            return
        protocol.close(cancel=False, terminate=True)
        if not client.closed:
            self._admit(client, session)

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _sweep(self) -> None:
        options = self.options
        times = (
            options.borrow_timeout,
            options.idle_client_timeout,
            options.client_lifetime,
            options.connection_lifetime,
        )
        pause = min(1.0, *(each / 4 for each in times))
        while True:
            await asyncio.sleep(pause)
            now = monotonic()
            self.pool.sweep(now)
            for client in list(self.clients.values()):
                self._sweep_client(client, now)

    def _sweep_client(self, client: ClientProtocol, now: float) -> None:
        session = client.session
        if session is None or not client.ready:
            if now - client.connected_at > _LOGIN_TIMEOUT and session is None:
                client.end("The client did not log in in time")
            return
        connection = session.connection
        if now - client.connected_at > self.options.client_lifetime:
            client.close_with_error(_LIFETIME)
        elif (
            now - session.last_active > self.options.idle_client_timeout
            and not session.waiting
            and (connection is None or not connection.pending)
        ):
            client.close_with_error(_IDLE)


class _PinRecorder(Observer):
    def __init__(self, pins: deque[PinEvent], repeats: deque[PinEvent]) -> None:
        self._pins = pins
        self._repeats = repeats

    def pinned(self, pin: PinEvent) -> None:
        (self._repeats if pin.repeated else self._pins).append(pin)


def _close(connection: DatabaseConnection) -> None:
    cast("DatabaseProtocol", connection.protocol).close(
        cancel=connection.client_gone, terminate=not connection.mid_message
    )


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise EmulatorError(f"the certificate {certificate} or its key {key} cannot be read") from None
    return context
