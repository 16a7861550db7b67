"""After an error, no client sees another's state, and none waits in vain."""

import asyncio
from collections.abc import Iterator

import pg8000.native
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.emulator.prepared_statements import MAX_KEPT_BYTES

from .conftest import PASSWORD, USER
from .test_multiplexing import Connect, run_clients
from .wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    bind,
    close,
    copy_data,
    describe,
    errors,
    execute,
    fields,
    kinds,
    parse,
    query,
    rows,
)


@pytest.fixture
def single(target: ProxyTarget) -> Iterator[ThreadedEmulator]:
    """An emulator with one database connection."""
    with run_in_thread(target, pool_size=1, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        yield proxy


@pytest.mark.parametrize("at_once", [True, False])
def test_query_in_failed_batch_is_skipped(single: ThreadedEmulator, at_once: bool) -> None:
    """The database skips all requests up to Sync: none is waited for, none pins, and the batch stays open."""

    async def scenario(connect: Connect) -> None:
        failing, other = await connect(), await connect()
        requests = query("SELECT 1") + query("SET work_mem = '5MB'") + execute()
        failing.writer.write(parse("wrong") + FLUSH + (query("SELECT 1") if at_once else b""))
        assert (await failing.read())[0] == "E"
        failing.writer.write(requests + FLUSH)
        waiting = asyncio.create_task(other.run("SELECT 2"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert kinds(await failing.request(SYNC)) == "Z"
        async with asyncio.timeout(5):
            assert await waiting == [["2"]]
        assert errors(await failing.request(bind("none"), execute(), SYNC)) == ["26000"]
        assert single.pins == ()

    run_clients(single, scenario)


@pytest.mark.parametrize("skipped", [parse("SELECT 1"), close(), query("SELECT 1"), bind() + SYNC + bind()])
def test_unnamed_statement_is_private_after_error(single: ThreadedEmulator, skipped: bytes) -> None:
    """A message that would have replaced the unnamed statement was skipped: the next client still cannot run it."""

    async def scenario(connect: Connect) -> None:
        first, second = await connect(), await connect()
        assert errors(await first.request(parse("SELECT 'secret'"), SYNC)) == []
        answer = await first.request(execute("none"), skipped, SYNC, times=1 + skipped.count(SYNC))
        assert errors(answer) == ["34000"]
        for _ in range(2):
            assert errors(await second.request(execute("none"), bind(), SYNC)) == ["34000"]
            answer = await second.request(bind(), execute(), SYNC)
            assert rows(answer) == []
            assert errors(answer) == ["26000"]

    run_clients(single, scenario)


def test_end_of_failed_copy_is_not_pending(single: ThreadedEmulator) -> None:
    """A COPY that fails at once leaves its data unanswered, inside a transaction and outside."""

    async def scenario(connect: Connect) -> None:
        failing, other = await connect(), await connect()
        copy = query("COPY none FROM STDIN") + copy_data(b"1\n") + COPY_DONE
        assert errors(await failing.request(copy)) == ["42P01"]
        async with asyncio.timeout(5):
            assert await other.run("SELECT 1") == [["1"]]
        await failing.run("BEGIN")
        assert errors(await failing.request(copy)) == ["42P01"]
        failing.writer.write(COPY_DONE)
        await failing.run("ROLLBACK")
        async with asyncio.timeout(5):
            assert await other.run("SELECT 1") == [["1"]]

    run_clients(single, scenario)


def test_pin_keeps_statement_of_dropped_table(single: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """A pinned client finds all its statements, as without a proxy, although the table of one of them was dropped."""
    admin.run("CREATE TABLE gone (a integer)")
    admin.run(f"GRANT ALL ON gone TO {USER}")

    async def scenario(connect: Connect) -> None:
        client, other = await connect(), await connect()
        assert errors(await other.request(parse("SELECT 'other'", "other"), SYNC)) == []
        statements = [parse("SELECT 1", "first"), parse("SELECT * FROM gone", "gone"), parse("SELECT 2", "last")]
        assert errors(await client.request(*statements, SYNC)) == []
        admin.run("DROP TABLE gone")
        await client.run("SET work_mem = '5MB'")
        assert rows(await client.request(bind("first"), execute(), bind("last"), execute(), SYNC)) == [["1"], ["2"]]
        assert await client.run("SELECT name FROM pg_prepared_statements ORDER BY 1") == [["first"], ["gone"], ["last"]]

    run_clients(single, scenario)


def test_portal_survives_pin(single: ThreadedEmulator) -> None:
    """A client that is pinned inside a transaction continues to read a portal that it opened before."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.run("BEGIN")
        portal = [parse("SELECT generate_series(1, 4)", "s"), bind("s", "p"), execute("p", 2)]
        assert rows(await client.request(*portal, SYNC)) == [["1"], ["2"]]
        await client.run("SET work_mem = '5MB'")
        assert rows(await client.request(execute("p"), SYNC)) == [["3"], ["4"]]

    run_clients(single, scenario)


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT set_config('work_mem', '5MB', false)"])
def test_pinned_client_prepares_unlimited_statements(single: ThreadedEmulator, sql: str) -> None:
    """Statements that a pinned client drops with DEALLOCATE, as drivers do, do not count against its limit."""
    text = f"{sql} /*{'x' * 16_000}*/"

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.run("SET work_mem = '5MB'")
        for number in range(MAX_KEPT_BYTES // 16_000 + 10):
            answer = await client.request(parse(text, f"s{number}"), query("DEALLOCATE ALL"), bind(""), SYNC, times=2)
            assert errors(answer) == ["26000"]
        assert errors(await client.request(parse(text, "s"), bind("s"), execute(), SYNC)) == []

    run_clients(single, scenario)
    assert single.statements[-1].statement == (text if "set" in sql else "DEALLOCATE ALL")


def test_closed_portal_does_not_pin(single: ThreadedEmulator) -> None:
    """Portals end with their transaction: executing one later is an error, whatever its statement."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        assert errors(await client.request(parse("SET work_mem = '5MB'", "s"), bind("s", "p"), SYNC)) == []
        assert errors(await client.request(execute("p"), SYNC)) == ["34000"]
        assert errors(await client.request(bind("s", "p"), close("p", "P"), execute("p"), SYNC)) == ["34000"]
        assert single.pins == ()
        await client.run("BEGIN")
        assert errors(await client.request(bind("s", "p"), SYNC)) == []
        assert errors(await client.request(execute("p"), SYNC)) == []
        assert len(single.pins) == 1

    run_clients(single, scenario)


def test_long_error_is_forwarded(single: ThreadedEmulator) -> None:
    """An error with a value of megabytes reaches its client, and the session continues."""

    async def scenario(connect: Connect) -> None:
        client, other = await connect(), await connect()
        value = "x" * 3_000_000
        answer = await client.request(parse("SELECT $1::text::int"), bind("", "", [value]), execute(), SYNC)
        assert errors(answer) == ["22P02"]
        assert sum(value.encode() in body for _, body in answer) == 1
        assert await other.run("SELECT 1") == [["1"]]

    run_clients(single, scenario)


def test_reading_resumes_after_failed_copy(single: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """A COPY that fails while its client is paused does not leave the client paused."""
    admin.run("CREATE TABLE slow (line text)")
    admin.run(f"GRANT ALL ON slow TO {USER}")
    admin.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.5); RAISE 'not wanted'; END $$"
    )
    admin.run("CREATE TRIGGER fail BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION fail()")

    async def scenario(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("COPY slow FROM STDIN"))
        while (await client.read())[0] != "G":
            pass
        # The smallest messages: wherever a piece of data ends, a message is likely to end, too.
        client.writer.write(copy_data(b"line\n" * 20_000))
        for _ in range(20):
            client.writer.write(copy_data(b"") * 100_000)
            await client.writer.drain()
        client.writer.write(COPY_DONE)
        assert errors(await client.until_ready()) == ["P0001"]
        assert await client.run("SELECT 1") == [["1"]]

    run_clients(single, scenario, seconds=20)


def test_unnamed_statement_lasts_until_replaced(single: ThreadedEmulator) -> None:
    """As without a proxy: other clients do not affect it; the client's own Query, or failed Parse, drops it."""

    async def scenario(connect: Connect) -> None:
        first, second = await connect(application_name="first"), await connect(application_name="second")
        for others in (query("SELECT 2"), parse("SELECT 2") + SYNC, SYNC):
            assert errors(await first.request(parse("SELECT 1"), SYNC)) == []
            await second.request(others)
            assert rows(await first.request(bind(), execute(), SYNC)) == [["1"]]
        same_name = await connect(application_name="first")
        assert errors(await first.request(parse("SELECT 1"), SYNC)) == []
        assert await same_name.run("SELECT 2") == [["2"]]
        assert rows(await first.request(bind(), execute(), SYNC)) == [["1"]]
        for own in (query("SELECT 2"), parse("wrong") + SYNC):
            assert errors(await first.request(parse("SELECT 1"), SYNC)) == []
            await first.request(own)
            assert errors(await first.request(bind(), execute(), SYNC)) == ["26000"]

    run_clients(single, scenario)


@pytest.mark.parametrize("batch", [True, False])
def test_pin_in_failed_transaction_restores_names_later(
    single: ThreadedEmulator, admin: pg8000.native.Connection, batch: bool
) -> None:
    """Statements get the client's names outside the transaction: one that cannot be prepared fails none of it."""
    admin.run("CREATE TABLE gone (a integer)")
    admin.run(f"GRANT ALL ON gone TO {USER}")

    async def scenario(connect: Connect) -> None:
        client = await connect()
        statements = [parse("SELECT * FROM gone", "gone"), parse("SELECT 2", "last")]
        assert errors(await client.request(*statements, SYNC)) == []
        admin.run("DROP TABLE gone")
        await client.run("BEGIN")
        assert errors(await client.request(query("wrong"))) == ["42601"]
        assert errors(await client.request(query("SET work_mem = '5MB'"))) == ["25P02"]
        await client.run("ROLLBACK")
        if batch:
            assert rows(await client.request(parse("SELECT 1"), bind(), execute(), SYNC)) == [["1"]]
        await client.run("BEGIN")
        assert await client.run("EXECUTE last") == [["2"]]
        await client.run("COMMIT")

    run_clients(single, scenario)
    assert [pin.condition.id for pin in single.pins if pin.condition] == ["set"]


def test_duplicate_name_is_rejected_and_private(single: ThreadedEmulator) -> None:
    """The client gets the database's own error for a name in use, and the next client finds no trace of the name."""

    async def scenario(connect: Connect) -> None:
        owner, other = await connect(), await connect()
        assert errors(await owner.request(parse("SELECT 1", "mine"), SYNC)) == []
        assert errors(await owner.request(parse("SELECT 2", "mine"), SYNC)) == ["42P05"]
        assert rows(await owner.request(bind("mine"), execute(), SYNC)) == [["1"]]
        assert await other.run("SELECT name FROM pg_prepared_statements") == []

    run_clients(single, scenario)


def test_terminated_idle_connection_is_replaced(single: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
    """A client between transactions does not notice that the database ended an idle connection."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        first = await client.run("SELECT pg_backend_pid()")
        admin.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = :user", user=USER)
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await client.run("SELECT pg_backend_pid()") != first

    run_clients(single, scenario)


def test_pin_keeps_the_transaction(proxy: ThreadedEmulator) -> None:
    """A statement of a table that the transaction has dropped does not fail the transaction when it pins.

    Also if the statement was prepared on another connection. psycopg sends DEALLOCATE ALL after DROP by itself.
    """

    async def scenario(connect: Connect) -> None:
        for number, pin in enumerate(("SET work_mem = '5MB'", "DEALLOCATE ALL", "DEALLOCATE s", "EXECUTE other")):
            for moved in (False, True):
                client, other = await connect(), await connect()
                table = f"staging_{number}_{moved}".lower()
                await client.run(f"CREATE TABLE {table} (i int)")
                await client.request(parse(f"INSERT INTO {table} VALUES (1)", "s"), parse("SELECT 2", "other"), SYNC)
                if moved:
                    await other.run("BEGIN")
                await client.run("BEGIN")
                await client.run(f"DROP TABLE {table}")
                await client.run(pin)
                await client.run("COMMIT")
                assert client.status == "I"
                if moved:
                    await other.run("COMMIT")
                await client.close()
                await other.close()

    run_clients(proxy, scenario)


def test_execute_of_protocol_statement_returns_rows(proxy: ThreadedEmulator) -> None:
    """SQL EXECUTE through the extended protocol finds a statement that was prepared through it, at the first pin."""

    async def scenario(connect: Connect) -> None:
        for moved in (False, True):
            client, other = await connect(), await connect()
            assert errors(await client.request(parse("SELECT 1 AS one", "foo"), SYNC)) == []
            if moved:
                await other.run("BEGIN")
            for _ in range(2):
                answer = await client.request(parse("EXECUTE foo"), bind(), describe("", "P"), execute(), SYNC)
                assert kinds(answer) == "12TDCZ"
                assert rows(answer) == [["1"]]
            await client.close()
            await other.close()

    run_clients(proxy, scenario)


def test_skipped_query_that_pins_is_not_run(single: ThreadedEmulator) -> None:
    """PostgreSQL skips a Query after a failed message of the extended protocol, up to Sync."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        assert errors(await client.request(parse("SELECT 1", "s"), SYNC)) == []
        answer = await client.request(parse("wrong"), query("CREATE TABLE skipped (); SET work_mem = '5MB'"), SYNC)
        assert kinds(answer) == "EZ"
        assert errors(answer) == ["42601"]
        assert await client.run("SELECT to_regclass('skipped')") == [[None]]

    run_clients(single, scenario)


def test_errors_have_the_clients_names(proxy: ThreadedEmulator) -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        assert errors(await client.request(parse("SELECT $1::int", "mine"), SYNC)) == []
        for messages in ((bind("mine"),), (parse("SELECT 1", "mine"),), (bind("none"),)):
            answer = await client.request(*messages, SYNC)
            ((text,),) = [[fields(body)["M"]] for kind, body in answer if kind == "E"]
            assert '"mine"' in text or '"none"' in text

    run_clients(proxy, scenario)


def test_prepared_statements_view_shows_the_clients(single: ThreadedEmulator) -> None:
    """pg_prepared_statements shows no statement of another client that uses the same connection."""

    async def scenario(connect: Connect) -> None:
        other, client = await connect(), await connect()
        assert errors(await other.request(parse("SELECT 1", "one"), parse("SELECT 2", "two"), SYNC)) == []
        assert await client.run("SELECT name FROM pg_prepared_statements") == []

    run_clients(single, scenario)
