"""Every limit that RDS Proxy has, shortened, with what a client is told."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, Options, RunningStandIn, StandIn, Target, running
from cdk_pinsafe.errors import StandInError

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .wire import Client, Message, clients, fields, query


@contextlib.contextmanager
def limited(target: Target, **limits: float) -> Iterator[RunningStandIn]:
    users = {USER: PASSWORD}
    options = Options(authentication=Authentication.TRUST, users=users, **limits)  # type: ignore[arg-type]
    with running(target, options) as proxy:
        yield proxy


async def last_words(client: Client) -> dict[str, str]:
    """The error with which a client is sent away."""
    seen: list[Message] = []
    with contextlib.suppress(asyncio.IncompleteReadError):
        async with asyncio.timeout(10):
            while True:
                seen.append(await client.read())
    kind, body = seen[-1]
    assert kind == "E"
    told = fields(body)
    assert told["S"] == told["V"] == "FATAL"
    return told


def test_borrow_timeout(target: Target) -> None:
    """A client that gets no connection in time is told so in RDS Proxy's words; the others go on."""

    async def go(proxy: RunningStandIn) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            holder, waiter = await connect(), await connect()
            await holder.run("BEGIN")
            start = time.monotonic()
            waiter.writer.write(query("SELECT 1"))
            told = await last_words(waiter)
            assert 0.25 <= time.monotonic() - start < 5
            assert (told["C"], told["M"]) == ("08000", "Timed-out waiting to acquire database connection.")
            await holder.run("COMMIT")
            assert await (await connect()).run("SELECT 1") == [["1"]]

    with limited(target, pool_size=1, borrow_timeout=0.3) as proxy:
        asyncio.run(go(proxy))


def test_idle_client_timeout(target: Target) -> None:
    """A client that asks nothing for too long is sent away, one that is answered is not."""

    async def go(proxy: RunningStandIn) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            idle, in_transaction, busy = await connect(), await connect(), await connect()
            await in_transaction.run("BEGIN")
            await busy.run("SELECT pg_sleep(1)")
            for client in (idle, in_transaction):
                assert (await last_words(client))["C"] == "57P05"
            await busy.run("SELECT 1")

    with limited(target, idle_client_timeout=0.5) as proxy:
        asyncio.run(go(proxy))
        assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_client_lifetime(target: Target) -> None:
    """A client that has lived too long is sent away."""

    async def until_sent_away(proxy: RunningStandIn) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            assert (await last_words(await connect()))["C"] == "57P01"

    with limited(target, client_lifetime=0.4) as proxy:
        asyncio.run(until_sent_away(proxy))


def test_connection_lifetime_and_idle_connections(target: Target, admin: pg8000.native.Connection) -> None:
    """A database connection that has lived too long is closed when it is free, as are idle ones beyond the limit."""

    async def go(proxy: RunningStandIn) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            three = [await connect() for _ in range(3)]
            for client in three:
                await client.run("BEGIN")
            assert backends(admin) == 3
            for client in three:
                await client.run("COMMIT")
            assert eventually(lambda: backends(admin) == left)
            assert await three[0].run("SELECT 1") == [["1"]]

    left = 1
    with limited(target, pool_size=3, max_idle=1, idle_connection_timeout=0.2, connection_lifetime=60) as proxy:
        asyncio.run(go(proxy))
    left = 0
    with limited(target, pool_size=3, connection_lifetime=0.3) as proxy:
        asyncio.run(go(proxy))


def test_stopping_tells_clients(target: Target, admin: pg8000.native.Connection) -> None:
    """When the stand-in stops, clients are told, and no backend is left."""

    async def go() -> None:
        async with StandIn(target, Options(authentication=Authentication.TRUST, users={USER: PASSWORD})) as stand_in:
            client = await Client.connect(stand_in.port, USER, DATABASE)
            await client.run("BEGIN")
        async with client:
            assert (await last_words(client))["C"] == "57P01"

    asyncio.run(go())
    assert eventually(lambda: backends(admin) == 0)


def test_a_database_that_is_away_is_told_to_the_client(target: Target) -> None:
    """Without the database a login fails with the reason, and succeeds once it is there."""
    away = Target("127.0.0.1", 1, USER, PASSWORD, DATABASE, sslmode="disable")
    with running(away) as proxy, pytest.raises(psycopg.OperationalError, match="cannot be reached"):
        psycopg.connect(proxy.dsn())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool_size": 0}, "pool_size should be at least 1, got 0"),
        ({"pool_size": 2, "max_idle": 3}, "max_idle should be from 0 to pool_size, 2, got 3"),
        ({"borrow_timeout": 0}, "borrow_timeout should be more than 0 seconds, got 0"),
        ({"require_tls": True}, "require_tls needs tls"),
    ],
)
def test_what_cannot_be_is_refused(target: Target, changes: dict[str, object], message: str) -> None:
    """Options that contradict themselves are refused with what was given."""
    with pytest.raises(StandInError, match=message), running(target, Options(**changes)):  # type: ignore[arg-type]
        pass


def test_a_port_that_is_taken_is_named(target: Target, proxy: RunningStandIn) -> None:
    """Two stand-ins cannot listen on one port."""
    with (
        pytest.raises(StandInError, match=f"cannot listen on 127.0.0.1:{proxy.port}"),
        running(target, port=proxy.port),
    ):
        pass


def test_a_client_that_reads_nothing_is_let_go(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has to leave and does not read is cut off in the end; its socket does not stay open."""
    monkeypatch.setattr("cdk_pinsafe.emulator.client_edge._CLOSE_PATIENCE", 0.2)

    async def story() -> None:
        async with StandIn(
            target, client_lifetime=0.3, authentication=Authentication.TRUST, users={USER: PASSWORD}
        ) as proxy:
            slow = await Client.connect(proxy.port, USER, DATABASE)
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            slow.writer.write(query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"))
            await slow.writer.drain()
            async with asyncio.timeout(10):
                while proxy.sockets:
                    await asyncio.sleep(0.02)
            slow.cut()

    asyncio.run(story())
