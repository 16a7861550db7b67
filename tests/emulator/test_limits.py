"""Each limit of RDS Proxy, shortened, with the error that the client receives."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import (
    Authentication,
    EmulatorOptions,
    ProxyEmulator,
    ProxyTarget,
    ThreadedEmulator,
    run_in_thread,
)
from cdk_pinsafe.errors import EmulatorError

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .wire import Client, Message, clients, fields, query


@contextlib.contextmanager
def limited(target: ProxyTarget, **limits: float) -> Iterator[ThreadedEmulator]:
    users = {USER: PASSWORD}
    options = EmulatorOptions(authentication=Authentication.TRUST, users=users, **limits)  # type: ignore[arg-type]
    with run_in_thread(target, options) as proxy:
        yield proxy


async def fatal_error(client: Client) -> dict[str, str]:
    """Read up to the end of the connection; return the FATAL error."""
    seen: list[Message] = []
    with contextlib.suppress(asyncio.IncompleteReadError):
        async with asyncio.timeout(10):
            while True:
                seen.append(await client.read())
    kind, body = seen[-1]
    assert kind == "E"
    error = fields(body)
    assert error["S"] == error["V"] == "FATAL"
    return error


def test_borrow_timeout(target: ProxyTarget) -> None:
    """A client that waits too long for a connection receives RDS Proxy's error; other clients are not affected."""

    async def go(proxy: ThreadedEmulator) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            holder, waiter = await connect(), await connect()
            await holder.run("BEGIN")
            start = time.monotonic()
            waiter.writer.write(query("SELECT 1"))
            error = await fatal_error(waiter)
            assert 0.25 <= time.monotonic() - start < 5
            assert (error["C"], error["M"]) == ("08000", "Timed-out waiting to acquire database connection.")
            await holder.run("COMMIT")
            assert await (await connect()).run("SELECT 1") == [["1"]]

    with limited(target, pool_size=1, borrow_timeout=0.3) as proxy:
        asyncio.run(go(proxy))


def test_idle_client_timeout(target: ProxyTarget) -> None:
    """A client that is idle for too long is disconnected; one with a running query is not."""

    async def go(proxy: ThreadedEmulator) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            idle, in_transaction, busy = await connect(), await connect(), await connect()
            await in_transaction.run("BEGIN")
            await busy.run("SELECT pg_sleep(1)")
            for client in (idle, in_transaction):
                assert (await fatal_error(client))["C"] == "57P05"
            await busy.run("SELECT 1")

    with limited(target, idle_client_timeout=0.5) as proxy:
        asyncio.run(go(proxy))
        assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_client_lifetime(target: ProxyTarget) -> None:
    """A client that has reached its maximum lifetime is disconnected."""

    async def until_disconnected(proxy: ThreadedEmulator) -> None:
        async with clients(proxy.port, USER, DATABASE) as connect:
            assert (await fatal_error(await connect()))["C"] == "57P01"

    with limited(target, client_lifetime=0.4) as proxy:
        asyncio.run(until_disconnected(proxy))


def test_connection_lifetime_and_idle_timeout(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """Idle connections above the limit are closed, as are released ones above their lifetime."""

    async def go(proxy: ThreadedEmulator) -> None:
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


def test_stop_sends_clients_an_error(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """When the emulator stops, clients receive an error and no backend remains."""

    async def go() -> None:
        async with ProxyEmulator(
            target, EmulatorOptions(authentication=Authentication.TRUST, users={USER: PASSWORD})
        ) as emulator:
            client = await Client.connect(emulator.port, USER, DATABASE)
            await client.run("BEGIN")
        async with client:
            assert (await fatal_error(client))["C"] == "57P01"

    asyncio.run(go())
    assert eventually(lambda: backends(admin) == 0)


def test_login_fails_if_database_is_unreachable(target: ProxyTarget) -> None:
    away = ProxyTarget("127.0.0.1", 1, USER, PASSWORD, DATABASE, sslmode="disable")
    with run_in_thread(away) as proxy, pytest.raises(psycopg.OperationalError, match="cannot be reached"):
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
def test_invalid_options(target: ProxyTarget, changes: dict[str, object], message: str) -> None:
    """Contradictory options raise an error with the given values."""
    with pytest.raises(EmulatorError, match=message), run_in_thread(target, EmulatorOptions(**changes)):  # type: ignore[arg-type]
        pass


def test_port_in_use_is_named(target: ProxyTarget, proxy: ThreadedEmulator) -> None:
    with (
        pytest.raises(EmulatorError, match=f"cannot listen on 127.0.0.1:{proxy.port}"),
        run_in_thread(target, port=proxy.port),
    ):
        pass


def test_client_that_does_not_read_is_disconnected(target: ProxyTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that must be disconnected but does not read is aborted; its socket does not stay open."""
    monkeypatch.setattr("cdk_pinsafe.emulator.frontend._CLOSE_TIMEOUT", 0.2)

    async def scenario() -> None:
        async with ProxyEmulator(
            target, client_lifetime=0.3, authentication=Authentication.TRUST, users={USER: PASSWORD}
        ) as proxy:
            slow = await Client.connect(proxy.port, USER, DATABASE)
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            slow.writer.write(query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"))
            await slow.writer.drain()
            async with asyncio.timeout(10):
                while proxy.sockets:
                    await asyncio.sleep(0.02)
            slow.abort()

    asyncio.run(scenario())
