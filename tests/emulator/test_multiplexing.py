"""Which client gets which database connection, and what clients notice of it."""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, ThreadedEmulator, run_in_thread

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .wire import SYNC, Client, bind, clients, errors, execute, parse, query, rows

Connect = Callable[..., Awaitable[Client]]


def run_clients(proxy: ThreadedEmulator, scenario: Callable[[Connect], Awaitable[None]], seconds: float = 60) -> None:
    """Run a scenario, which receives a function that connects a client."""

    async def go() -> None:
        async with asyncio.timeout(seconds), clients(proxy.port, USER, DATABASE) as connect:
            await scenario(connect)

    asyncio.run(go())


def test_clients_share_connection_between_transactions(
    proxy: ThreadedEmulator, admin: pg8000.native.Connection
) -> None:
    """A connection passes between clients between transactions, and stays with one inside."""

    async def scenario(connect: Connect) -> None:
        one, two = await connect(), await connect()
        first = await one.run("SELECT pg_backend_pid()")
        assert await two.run("SELECT pg_backend_pid()") == first
        await one.run("BEGIN")
        assert await one.run("SELECT pg_backend_pid()") == first
        assert await two.run("SELECT pg_backend_pid()") != first
        await one.run("COMMIT")

    run_clients(proxy, scenario)
    assert backends(admin) == 2
    assert proxy.pins == ()


def test_waiting_clients_are_served_in_order(target: ProxyTarget) -> None:
    async def scenario(connect: Connect) -> None:
        holder, *others = [await connect() for _ in range(6)]
        await holder.run("BEGIN")
        served: list[int] = []

        async def wait(number: int, client: Client) -> None:
            await client.run(f"SELECT {number}")
            served.append(number)

        tasks = []
        for number, client in enumerate(others):
            tasks.append(asyncio.create_task(wait(number, client)))
            while proxy.snapshot().waiting <= number:
                await asyncio.sleep(0.005)
        assert served == []
        await holder.run("COMMIT")
        await asyncio.gather(*tasks)
        assert served == list(range(5))

    with run_in_thread(target, pool_size=1, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        run_clients(proxy, scenario)


def test_startup_parameters_apply_on_every_connection(proxy: ThreadedEmulator) -> None:
    """A client's start-up parameters apply in each of its transactions and in no other client's."""

    async def scenario(connect: Connect) -> None:
        plain = await connect()
        special = await connect(
            application_name="it's \\ special",
            TimeZone="Asia/Tokyo",
            datestyle="German",
            extra_float_digits="0",
            search_path="pg_catalog",
            client_encoding="LATIN1",
        )
        assert special.parameters["TimeZone"] == "Asia/Tokyo"
        assert special.parameters["client_encoding"] == "LATIN1"
        assert special.parameters["application_name"] == "it's \\ special"
        show = (
            "SELECT current_setting('application_name'), current_setting('TimeZone'), current_setting('DateStyle'), "
            "current_setting('extra_float_digits'), current_setting('search_path'), current_setting('client_encoding')"
        )
        for _ in range(3):
            assert await plain.run(show) == [["", "UTC", "ISO, MDY", "1", '"$user", public', "UTF8"]]
            assert await special.run(show) == [
                ["it's \\ special", "Asia/Tokyo", "German, DMY", "0", "pg_catalog", "LATIN1"]
            ]
        other = await connect(application_name="another")
        pid = await other.run("SELECT pg_backend_pid()")
        assert await plain.run("SELECT pg_backend_pid()") == pid
        assert await other.run("SHOW application_name") == [["another"]]
        await other.run("RESET application_name")  # it pins; the name is no other client's
        assert await other.run("SHOW application_name") == [[""]]

    run_clients(proxy, scenario)


def test_full_pool_makes_room_for_other_keys(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """An idle connection is closed if another key needs a connection; the limit holds for all keys together."""

    async def scenario(connect: Connect) -> None:
        for turn in range(3):
            for zone in ("UTC", "Asia/Tokyo", "Europe/Paris"):
                client = await connect(TimeZone=zone)
                assert await client.run("SHOW TimeZone") == [[zone]], turn
                assert backends(admin) <= 2
                await client.close()

    with run_in_thread(target, pool_size=2, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        run_clients(proxy, scenario)


def test_other_key_does_not_starve(target: ProxyTarget) -> None:
    """A client that needs another key gets a connection, although those of the first key are never idle."""

    async def scenario(connect: Connect) -> None:
        busy = [await connect() for _ in range(4)]
        other = await connect(TimeZone="Asia/Tokyo")
        stop = asyncio.Event()

        async def keep_querying(client: Client) -> int:
            count = 0
            while not stop.is_set():
                await client.run("SELECT pg_sleep(0.001)")
                count += 1
            return count

        tasks = [asyncio.create_task(keep_querying(client)) for client in busy]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            for _ in range(5):
                assert await other.run("SHOW TimeZone") == [["Asia/Tokyo"]]
        stop.set()
        assert min(await asyncio.gather(*tasks)) > 1

    with run_in_thread(target, pool_size=2, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        run_clients(proxy, scenario)


def test_clients_wait_if_database_is_full(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """If the database allows fewer connections than the pool, clients wait for the existing ones."""
    assert eventually(lambda: backends(admin) == 0)

    async def scenario(connect: Connect) -> None:
        four = [await connect() for _ in range(4)]
        await asyncio.gather(*(client.run("SELECT pg_sleep(0.3)") for client in four))

    admin.run(f"ALTER ROLE {USER} CONNECTION LIMIT 2")
    try:
        with run_in_thread(target, pool_size=5, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
            run_clients(proxy, scenario)
            assert proxy.metrics()["DatabaseConnectionsSetupFailed"] > 0
    finally:
        admin.run(f"ALTER ROLE {USER} CONNECTION LIMIT -1")


def test_pipeline_across_sync(proxy: ThreadedEmulator) -> None:
    """Batches sent at once are answered in order; an error in one does not affect the others."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        batch = [parse("SELECT $1::int / $2::int", "d"), SYNC]
        for divisor in ("1", "0", "2"):
            batch += [bind("d", "", ["8", divisor]), execute(), SYNC]
        answer = await client.request(*batch, query("SELECT 5"), times=5)
        assert rows(answer) == [["8"], ["4"], ["5"]]
        assert errors(answer) == ["22012"]

    run_clients(proxy, scenario)
    assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_statement_sees_altered_table(proxy: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """A statement that was prepared before a table changed sees the new table if another client prepares it later."""
    admin.run("CREATE TABLE altered (a integer)")
    admin.run(f"GRANT ALL ON altered TO {USER}")

    async def scenario(connect: Connect) -> None:
        for columns in (1, 2):
            client = await connect()
            await client.request(parse("SELECT * FROM altered", "s"), SYNC)
            answer = await client.request(bind("s"), execute(), SYNC)
            assert errors(answer) == [], columns
            await client.close()
            if columns == 1:
                admin.run("ALTER TABLE altered ADD COLUMN b integer")

    run_clients(proxy, scenario)


def test_prepared_statements_are_bounded(proxy: ThreadedEmulator) -> None:
    """A client can use more statements than a connection keeps prepared."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        for number in range(1200):
            answer = await client.request(parse(f"SELECT {number}", f"s{number}"), SYNC)
            assert errors(answer) == []
        for number in (0, 1199, 600, 0):
            assert rows(await client.request(bind(f"s{number}"), execute(), SYNC)) == [[str(number)]]
        assert max(one.prepared for one in proxy.snapshot().connections) <= 502

    run_clients(proxy, scenario)


def test_slow_reader_delays_only_itself(proxy: ThreadedEmulator) -> None:
    """A result that is not read stays in the database: the memory does not grow, and others are served."""

    def resident() -> int:
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    async def scenario(connect: Connect) -> None:
        slow, other = await connect(), await connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = resident()
        slow.writer.write(query("SELECT repeat('x', 1000) FROM generate_series(1, 400000)"))
        await slow.writer.drain()
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert await other.run("SELECT 1") == [["1"]]
        assert resident() - before < 40 << 20
        slow.abort()

    run_clients(proxy, scenario)
    assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_slow_reader_releases_a_working_connection(target: ProxyTarget) -> None:
    """A client whose buffer is full when its transaction ends releases a connection that is still read."""

    async def scenario(connect: Connect) -> None:
        slow, other = await connect(), await connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        # More in total than the kernel buffers; each response is one piece, so the one that fills the buffer is
        # complete.
        for _ in range(1000):
            slow.writer.write(query("SELECT repeat('x', 8000)"))
            async with asyncio.timeout(10):
                assert await other.run("SELECT 1") == [["1"]]
        assert proxy.metrics()["QueryRequests"] < 2000  # the slow client's requests are not read any more
        slow.abort()

    with run_in_thread(target, pool_size=1, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        run_clients(proxy, scenario)


@pytest.mark.parametrize("pool_size", [1, 2])
def test_long_pipeline_does_not_starve_others(target: ProxyTarget, pool_size: int) -> None:
    """A client that sends many queries at once takes turns with others, also on the only connection."""
    total = 20_000

    async def scenario(connect: Connect) -> None:
        greedy, other = await connect(), await connect()
        greedy.writer.write(query("SELECT 1") * total)
        answers = asyncio.create_task(greedy.until_ready(total))
        for _ in range(3):
            assert await other.run("SELECT 2") == [["2"]]
        assert not answers.done()
        assert len(rows(await answers)) == total

    users = {USER: PASSWORD}
    with run_in_thread(target, pool_size=pool_size, authentication=Authentication.TRUST, users=users) as proxy:
        run_clients(proxy, scenario)


def test_large_copy(proxy: ThreadedEmulator) -> None:
    """A COPY of many megabytes works in both directions."""
    block = "x" * 9_999 + "\n"
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS lines; CREATE TABLE lines (line text)")
        with connection.cursor() as cursor:
            with cursor.copy("COPY lines FROM STDIN") as copy:
                for _ in range(3_000):
                    copy.write(block)
            with cursor.copy("COPY lines TO STDOUT") as copy:
                assert sum(len(piece) for piece in copy) == 3_000 * len(block)
        connection.execute("DROP TABLE lines")
    assert proxy.pins == ()


def test_server_errors_are_forwarded(proxy: ThreadedEmulator) -> None:
    """The session continues after the server's errors, but ends after a protocol violation."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        assert errors(await client.request(bind("nothing"), execute(), SYNC)) == ["26000"]
        assert errors(await client.request(execute("nothing"), SYNC)) == ["34000"]
        assert errors(await client.request(parse("SELECT 1; SELECT 2"), SYNC)) == ["42601"]
        assert await client.run("SELECT 1") == [["1"]]
        client.writer.write(b"!\0\0\0\4")
        kind, body = await client.read()
        assert kind == "E"
        assert b"C08P01\0" in body
        assert b"SFATAL\0" in body
        with pytest.raises(asyncio.IncompleteReadError):
            await client.read()

    run_clients(proxy, scenario)


def test_requests_before_terminate_are_executed(proxy: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """Requests sent before Terminate are executed; an open transaction is rolled back."""
    admin.run("CREATE TABLE IF NOT EXISTS terminate_test (what text)")
    admin.run(f"GRANT ALL ON terminate_test TO {USER}")

    async def scenario(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("SELECT pg_sleep(0.2); INSERT INTO terminate_test VALUES ('kept')"))
        await client.close()
        client = await connect()
        client.writer.write(query("BEGIN") + query("INSERT INTO terminate_test VALUES ('lost')"))

    run_clients(proxy, scenario)
    assert eventually(lambda: admin.run("SELECT what FROM terminate_test") == [["kept"]])
    assert eventually(lambda: proxy.metrics()["DatabaseConnections"] <= 1)
    assert admin.run("SELECT what FROM terminate_test") == [["kept"]]


def test_request_of_vanished_client_is_canceled(proxy: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """A long query does not hold its connection once its client is gone."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("SELECT pg_sleep(60)"))
        await client.writer.drain()
        await asyncio.sleep(0.2)
        client.abort()

    run_clients(proxy, scenario)
    assert eventually(lambda: backends(admin) == 0, seconds=5)


def test_cancel_requests_have_no_effect(proxy: ThreadedEmulator) -> None:
    """As with RDS Proxy, the connection of a cancel request is closed, and nothing changes."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("SELECT pg_sleep(0.3)"))
        await client.writer.drain()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(struct.pack(">IIII", 16, 80877102, 1, 1))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert errors(await client.until_ready()) == []

    run_clients(proxy, scenario)


def test_terminated_connection_disconnects_its_client(proxy: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """A client in a transaction receives the database's last error; an idle client is not affected."""

    async def scenario(connect: Connect) -> None:
        busy, idle = await connect(), await connect()
        await idle.run("SELECT 1")
        await busy.run("BEGIN")
        admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :user", user=USER)
        kind, body = await busy.read()
        assert kind == "E"
        assert b"C57P01\0" in body
        with pytest.raises(asyncio.IncompleteReadError):
            await busy.read()
        await asyncio.sleep(0.1)
        assert await idle.run("SELECT 1") == [["1"]]

    run_clients(proxy, scenario)
