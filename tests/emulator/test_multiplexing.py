"""Who gets which database connection, and what clients see of it."""

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, RunningStandIn, Target, running

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .wire import SYNC, Client, bind, clients, errors, execute, parse, query, rows

Connect = Callable[..., Awaitable[Client]]


def serve(proxy: RunningStandIn, story: Callable[[Connect], Awaitable[None]], seconds: float = 60) -> None:
    """Run a story of clients, which gets a function that connects one."""

    async def go() -> None:
        async with asyncio.timeout(seconds), clients(proxy.port, USER, DATABASE) as connect:
            await story(connect)

    asyncio.run(go())


def test_transactions_of_two_clients_share_one_connection(
    proxy: RunningStandIn, admin: pg8000.native.Connection
) -> None:
    """A connection goes from client to client between transactions, and stays with one within."""

    async def story(connect: Connect) -> None:
        one, two = await connect(), await connect()
        first = await one.run("SELECT pg_backend_pid()")
        assert await two.run("SELECT pg_backend_pid()") == first
        await one.run("BEGIN")
        assert await one.run("SELECT pg_backend_pid()") == first
        assert await two.run("SELECT pg_backend_pid()") != first
        await one.run("COMMIT")

    serve(proxy, story)
    assert backends(admin) == 2
    assert proxy.pins == ()


def test_clients_wait_for_a_connection_in_their_order(target: Target) -> None:
    """With one connection, clients are served in the order in which they asked."""

    async def story(connect: Connect) -> None:
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

    with running(target, pool_size=1, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        serve(proxy, story)


def test_start_up_parameters_hold_on_any_connection(proxy: RunningStandIn) -> None:
    """What a client asked for at start-up is so in each of its transactions, and in nobody else's."""

    async def story(connect: Connect) -> None:
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
        await other.run("RESET application_name")  # it pins, and finds no other client's
        assert await other.run("SHOW application_name") == [[""]]

    serve(proxy, story)


def test_a_pool_that_is_full_makes_room_for_other_users(target: Target, admin: pg8000.native.Connection) -> None:
    """An idle connection of one kind is closed when another kind needs its place, and the limit holds for all."""

    async def story(connect: Connect) -> None:
        for turn in range(3):
            for zone in ("UTC", "Asia/Tokyo", "Europe/Paris"):
                client = await connect(TimeZone=zone)
                assert await client.run("SHOW TimeZone") == [[zone]], turn
                assert backends(admin) <= 2
                await client.leave()

    with running(target, pool_size=2, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        serve(proxy, story)


def test_nobody_starves_while_others_share(target: Target) -> None:
    """One who needs another kind of connection gets one, though those of the first kind are never idle."""

    async def story(connect: Connect) -> None:
        busy = [await connect() for _ in range(4)]
        other = await connect(TimeZone="Asia/Tokyo")
        stop = asyncio.Event()

        async def keep_asking(client: Client) -> int:
            asked = 0
            while not stop.is_set():
                await client.run("SELECT pg_sleep(0.001)")
                asked += 1
            return asked

        tasks = [asyncio.create_task(keep_asking(client)) for client in busy]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            for _ in range(5):
                assert await other.run("SHOW TimeZone") == [["Asia/Tokyo"]]
        stop.set()
        assert min(await asyncio.gather(*tasks)) > 1

    with running(target, pool_size=2, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        serve(proxy, story)


def test_a_database_that_is_full_is_waited_for(target: Target, admin: pg8000.native.Connection) -> None:
    """Where the database gives fewer connections than the pool may have, clients wait for those that there are."""
    assert eventually(lambda: backends(admin) == 0)

    async def story(connect: Connect) -> None:
        four = [await connect() for _ in range(4)]
        await asyncio.gather(*(client.run("SELECT pg_sleep(0.3)") for client in four))

    admin.run(f"ALTER ROLE {USER} CONNECTION LIMIT 2")
    try:
        with running(target, pool_size=5, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
            serve(proxy, story)
            assert proxy.metrics()["DatabaseConnectionsSetupFailed"] > 0
    finally:
        admin.run(f"ALTER ROLE {USER} CONNECTION LIMIT -1")


def test_pipelines_may_go_over_sync(proxy: RunningStandIn) -> None:
    """Batches that were sent at once are answered in order, an error in one leaving the others alone."""

    async def story(connect: Connect) -> None:
        client = await connect()
        batch = [parse("SELECT $1::int / $2::int", "d"), SYNC]
        for divisor in ("1", "0", "2"):
            batch += [bind("d", "", ["8", divisor]), execute(), SYNC]
        answer = await client.ask(*batch, query("SELECT 5"), times=5)
        assert rows(answer) == [["8"], ["4"], ["5"]]
        assert errors(answer) == ["22012"]

    serve(proxy, story)
    assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_statements_that_were_altered_are_parsed_anew(proxy: RunningStandIn, admin: pg8000.native.Connection) -> None:
    """A client that prepares a statement like one that was prepared before a table changed finds the table as it is."""
    admin.run("CREATE TABLE altered (a integer)")
    admin.run(f"GRANT ALL ON altered TO {USER}")

    async def story(connect: Connect) -> None:
        for columns in (1, 2):
            client = await connect()
            await client.ask(parse("SELECT * FROM altered", "s"), SYNC)
            answer = await client.ask(bind("s"), execute(), SYNC)
            assert errors(answer) == [], columns
            await client.leave()
            if columns == 1:
                admin.run("ALTER TABLE altered ADD COLUMN b integer")

    serve(proxy, story)


def test_many_statements_are_prepared_within_bounds(proxy: RunningStandIn) -> None:
    """A client may use more prepared statements than a connection keeps; each is there when it is used."""

    async def story(connect: Connect) -> None:
        client = await connect()
        for number in range(1200):
            answer = await client.ask(parse(f"SELECT {number}", f"s{number}"), SYNC)
            assert errors(answer) == []
        for number in (0, 1199, 600, 0):
            assert rows(await client.ask(bind(f"s{number}"), execute(), SYNC)) == [[str(number)]]
        assert max(one.prepared for one in proxy.snapshot().connections) <= 502

    serve(proxy, story)


def test_a_client_that_does_not_read_holds_up_only_itself(proxy: RunningStandIn) -> None:
    """A result that nobody reads stays in the database: the stand-in's memory does not grow, others are served."""

    def resident() -> int:
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    async def story(connect: Connect) -> None:
        slow, other = await connect(), await connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = resident()
        slow.writer.write(query("SELECT repeat('x', 1000) FROM generate_series(1, 400000)"))
        await slow.writer.drain()
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert await other.run("SELECT 1") == [["1"]]
        assert resident() - before < 40 << 20
        slow.cut()

    serve(proxy, story)
    assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)


def test_a_client_that_stops_reading_leaves_a_connection_that_is_read(target: Target) -> None:
    """A client that is full just as its transaction ends gives its connection back as it was, to the next client."""

    async def story(connect: Connect) -> None:
        slow, other = await connect(), await connect()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        # In all more than the kernel keeps for it; each answer is one piece, so that the one that is too much is whole.
        for _ in range(1000):
            slow.writer.write(query("SELECT repeat('x', 8000)"))
            async with asyncio.timeout(10):
                assert await other.run("SELECT 1") == [["1"]]
        assert proxy.metrics()["QueryRequests"] < 2000  # the slow one's are not read any more
        slow.cut()

    with running(target, pool_size=1, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        serve(proxy, story)


def test_a_big_copy_passes(proxy: RunningStandIn) -> None:
    """A COPY of many megabytes goes both ways."""
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


def test_a_statement_may_be_an_error_of_the_protocol_for_the_server(proxy: RunningStandIn) -> None:
    """The server's own refusals come through, and the session goes on."""

    async def story(connect: Connect) -> None:
        client = await connect()
        assert errors(await client.ask(bind("nothing"), execute(), SYNC)) == ["26000"]
        assert errors(await client.ask(execute("nothing"), SYNC)) == ["34000"]
        assert errors(await client.ask(parse("SELECT 1; SELECT 2"), SYNC)) == ["42601"]
        assert await client.run("SELECT 1") == [["1"]]
        client.writer.write(b"!\0\0\0\4")
        kind, body = await client.read()
        assert kind == "E"
        assert b"C08P01\0" in body
        assert b"SFATAL\0" in body
        with pytest.raises(asyncio.IncompleteReadError):
            await client.read()

    serve(proxy, story)


def test_a_goodbye_leaves_its_requests_to_be_carried_out(
    proxy: RunningStandIn, admin: pg8000.native.Connection
) -> None:
    """What a client sent before it said goodbye is done; what it had not committed is not."""
    admin.run("CREATE TABLE IF NOT EXISTS goodbye (what text)")
    admin.run(f"GRANT ALL ON goodbye TO {USER}")

    async def story(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("SELECT pg_sleep(0.2); INSERT INTO goodbye VALUES ('kept')"))
        await client.leave()
        client = await connect()
        client.writer.write(query("BEGIN") + query("INSERT INTO goodbye VALUES ('lost')"))

    serve(proxy, story)
    assert eventually(lambda: admin.run("SELECT what FROM goodbye") == [["kept"]])
    assert eventually(lambda: proxy.metrics()["DatabaseConnections"] <= 1)
    assert admin.run("SELECT what FROM goodbye") == [["kept"]]


def test_a_request_of_a_client_that_vanished_is_cancelled(
    proxy: RunningStandIn, admin: pg8000.native.Connection
) -> None:
    """A long query does not keep its connection once its client is gone."""

    async def story(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("SELECT pg_sleep(60)"))
        await client.writer.drain()
        await asyncio.sleep(0.2)
        client.cut()

    serve(proxy, story)
    assert eventually(lambda: backends(admin) == 0, seconds=5)


def test_cancel_requests_have_no_effect(proxy: RunningStandIn) -> None:
    """As with RDS Proxy, a cancel request is hung up on, and changes nothing."""

    async def story(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("SELECT pg_sleep(0.3)"))
        await client.writer.drain()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(struct.pack(">IIII", 16, 80877102, 1, 1))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert errors(await client.until_ready()) == []

    serve(proxy, story)


def test_a_database_connection_that_ends_takes_its_client_with_it(
    proxy: RunningStandIn, admin: pg8000.native.Connection
) -> None:
    """A client in a transaction is told the database's last words; one between transactions notices nothing."""

    async def story(connect: Connect) -> None:
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

    serve(proxy, story)
