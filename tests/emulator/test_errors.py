"""What an error in the midst leaves behind: nothing that another client could see, or would wait for in vain."""

import asyncio
from collections.abc import Iterator

import pg8000.native
import pytest

from cdk_pinsafe.emulator import Authentication, RunningStandIn, Target, running
from cdk_pinsafe.emulator.prepared import LONGEST_KEPT

from .conftest import PASSWORD, USER
from .test_multiplexing import Connect, serve
from .wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    bind,
    close,
    copy_data,
    errors,
    execute,
    kinds,
    parse,
    query,
    rows,
)


@pytest.fixture
def single(target: Target) -> Iterator[RunningStandIn]:
    """A stand-in with one database connection."""
    with running(target, pool_size=1, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        yield proxy


@pytest.mark.parametrize("at_once", [True, False])
def test_a_query_in_a_failed_batch_is_passed_over(single: RunningStandIn, at_once: bool) -> None:
    """The database passes over all requests up to Sync: none of them is waited for or pins, and the batch holds on."""

    async def story(connect: Connect) -> None:
        failing, other = await connect(), await connect()
        requests = query("SELECT 1") + query("SET work_mem = '5MB'") + execute()
        failing.writer.write(parse("wrong") + FLUSH + (query("SELECT 1") if at_once else b""))
        assert (await failing.read())[0] == "E"
        failing.writer.write(requests + FLUSH)
        waiting = asyncio.create_task(other.run("SELECT 2"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert kinds(await failing.ask(SYNC)) == "Z"
        async with asyncio.timeout(5):
            assert await waiting == [["2"]]
        assert errors(await failing.ask(bind("none"), execute(), SYNC)) == ["26000"]
        assert single.pins == ()

    serve(single, story)


@pytest.mark.parametrize("left_out", [parse("SELECT 1"), close(), query("SELECT 1"), bind() + SYNC + bind()])
def test_nobody_runs_another_clients_unnamed_statement(single: RunningStandIn, left_out: bytes) -> None:
    """What would have replaced or dropped an unnamed statement did not, after an error: it is still not the next's."""

    async def story(connect: Connect) -> None:
        first, second = await connect(), await connect()
        assert errors(await first.ask(parse("SELECT 'secret'"), SYNC)) == []
        answer = await first.ask(execute("none"), left_out, SYNC, times=1 + left_out.count(SYNC))
        assert errors(answer) == ["34000"]
        for _ in range(2):
            assert errors(await second.ask(execute("none"), bind(), SYNC)) == ["34000"]
            answer = await second.ask(bind(), execute(), SYNC)
            assert rows(answer) == []
            assert errors(answer) == ["26000"]

    serve(single, story)


def test_the_end_of_a_copy_that_did_not_begin_is_not_waited_for(single: RunningStandIn) -> None:
    """A COPY that fails at once leaves its data and their end unanswered, in a transaction as well as outside."""

    async def story(connect: Connect) -> None:
        failing, other = await connect(), await connect()
        copy = query("COPY none FROM STDIN") + copy_data(b"1\n") + COPY_DONE
        assert errors(await failing.ask(copy)) == ["42P01"]
        async with asyncio.timeout(5):
            assert await other.run("SELECT 1") == [["1"]]
        await failing.run("BEGIN")
        assert errors(await failing.ask(copy)) == ["42P01"]
        failing.writer.write(COPY_DONE)
        await failing.run("ROLLBACK")
        async with asyncio.timeout(5):
            assert await other.run("SELECT 1") == [["1"]]

    serve(single, story)


def test_a_statement_that_cannot_be_prepared_any_more_leaves_the_others(
    single: RunningStandIn, admin: pg8000.native.Connection
) -> None:
    """A client that is pinned finds its other statements, though the table of one of them is gone."""
    admin.run("CREATE TABLE gone (a integer)")
    admin.run(f"GRANT ALL ON gone TO {USER}")

    async def story(connect: Connect) -> None:
        client, other = await connect(), await connect()
        assert errors(await other.ask(parse("SELECT 'other'", "other"), SYNC)) == []
        statements = [parse("SELECT 1", "first"), parse("SELECT * FROM gone", "gone"), parse("SELECT 2", "last")]
        assert errors(await client.ask(*statements, SYNC)) == []
        admin.run("DROP TABLE gone")
        await client.run("SET work_mem = '5MB'")
        assert rows(await client.ask(bind("first"), execute(), bind("last"), execute(), SYNC)) == [["1"], ["2"]]
        assert await client.run("SELECT name FROM pg_prepared_statements ORDER BY 1") == [["first"], ["last"]]

    serve(single, story)


def test_a_portal_outlives_the_pin_of_its_client(single: RunningStandIn) -> None:
    """A client that is pinned within a transaction goes on with a portal that it opened before."""

    async def story(connect: Connect) -> None:
        client = await connect()
        await client.run("BEGIN")
        portal = [parse("SELECT generate_series(1, 4)", "s"), bind("s", "p"), execute("p", 2)]
        assert rows(await client.ask(*portal, SYNC)) == [["1"], ["2"]]
        await client.run("SET work_mem = '5MB'")
        assert rows(await client.ask(execute("p"), SYNC)) == [["3"], ["4"]]

    serve(single, story)


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT set_config('work_mem', '5MB', false)"])
def test_a_pinned_client_may_prepare_without_end(single: RunningStandIn, sql: str) -> None:
    """What a pinned client drops by DEALLOCATE, as drivers do, is not held against it."""
    text = f"{sql} /*{'x' * 16_000}*/"

    async def story(connect: Connect) -> None:
        client = await connect()
        await client.run("SET work_mem = '5MB'")
        for number in range(LONGEST_KEPT // 16_000 + 10):
            answer = await client.ask(parse(text, f"s{number}"), query("DEALLOCATE ALL"), bind(""), SYNC, times=2)
            assert errors(answer) == ["26000"]
        assert errors(await client.ask(parse(text, "s"), bind("s"), execute(), SYNC)) == []

    serve(single, story)
    assert single.statements[-1].statement == (text if "set" in sql else "DEALLOCATE ALL")


def test_a_portal_that_is_gone_does_not_pin(single: RunningStandIn) -> None:
    """Portals end with their transaction: to execute one afterwards is an error, whatever it was of."""

    async def story(connect: Connect) -> None:
        client = await connect()
        assert errors(await client.ask(parse("SET work_mem = '5MB'", "s"), bind("s", "p"), SYNC)) == []
        assert errors(await client.ask(execute("p"), SYNC)) == ["34000"]
        assert errors(await client.ask(bind("s", "p"), close("p", "P"), execute("p"), SYNC)) == ["34000"]
        assert single.pins == ()
        await client.run("BEGIN")
        assert errors(await client.ask(bind("s", "p"), SYNC)) == []
        assert errors(await client.ask(execute("p"), SYNC)) == []
        assert len(single.pins) == 1

    serve(single, story)


def test_an_error_may_be_long(single: RunningStandIn) -> None:
    """An error that holds a value of megabytes reaches its client like any other, and the session goes on."""

    async def story(connect: Connect) -> None:
        client, other = await connect(), await connect()
        value = "x" * 3_000_000
        answer = await client.ask(parse("SELECT $1::text::int"), bind("", "", [value]), execute(), SYNC)
        assert errors(answer) == ["22P02"]
        assert sum(value.encode() in body for _, body in answer) == 1
        assert await other.run("SELECT 1") == [["1"]]

    serve(single, story)


def test_a_client_is_read_again_after_its_copy_failed(single: RunningStandIn, admin: pg8000.native.Connection) -> None:
    """A COPY that fails while its data wait for the database leaves a client that is read, to its last piece."""
    admin.run("CREATE TABLE slow (line text)")
    admin.run(f"GRANT ALL ON slow TO {USER}")
    admin.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.5); RAISE 'not wanted'; END $$"
    )
    admin.run("CREATE TRIGGER fail BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION fail()")

    async def story(connect: Connect) -> None:
        client = await connect()
        client.writer.write(query("COPY slow FROM STDIN"))
        while (await client.read())[0] != "G":
            pass
        # The smallest messages: wherever a piece of the bytes ends, one of them is likely to end, too.
        client.writer.write(copy_data(b"line\n" * 20_000))
        for _ in range(20):
            client.writer.write(copy_data(b"") * 100_000)
            await client.writer.drain()
        client.writer.write(COPY_DONE)
        assert errors(await client.until_ready()) == ["P0001"]
        assert await client.run("SELECT 1") == [["1"]]

    serve(single, story, seconds=20)


def test_an_unnamed_statement_lasts_until_its_own_client_replaces_it(single: RunningStandIn) -> None:
    """As without a proxy: what other clients do leaves it alone; one's own Query, or a Parse that fails, drops it."""

    async def story(connect: Connect) -> None:
        first, second = await connect(application_name="first"), await connect(application_name="second")
        for others in (query("SELECT 2"), parse("SELECT 2") + SYNC, SYNC):
            assert errors(await first.ask(parse("SELECT 1"), SYNC)) == []
            await second.ask(others)
            assert rows(await first.ask(bind(), execute(), SYNC)) == [["1"]]
        alike = await connect(application_name="first")
        assert errors(await first.ask(parse("SELECT 1"), SYNC)) == []
        assert await alike.run("SELECT 2") == [["2"]]
        assert rows(await first.ask(bind(), execute(), SYNC)) == [["1"]]
        for own in (query("SELECT 2"), parse("wrong") + SYNC):
            assert errors(await first.ask(parse("SELECT 1"), SYNC)) == []
            await first.ask(own)
            assert errors(await first.ask(bind(), execute(), SYNC)) == ["26000"]

    serve(single, story)


@pytest.mark.parametrize("batch", [True, False])
def test_a_pin_in_a_failed_transaction_is_settled_after_it(
    single: RunningStandIn, admin: pg8000.native.Connection, batch: bool
) -> None:
    """The client's statements get its own names outside a transaction: one that is gone fails nothing of it."""
    admin.run("CREATE TABLE gone (a integer)")
    admin.run(f"GRANT ALL ON gone TO {USER}")

    async def story(connect: Connect) -> None:
        client = await connect()
        statements = [parse("SELECT * FROM gone", "gone"), parse("SELECT 2", "last")]
        assert errors(await client.ask(*statements, SYNC)) == []
        admin.run("DROP TABLE gone")
        await client.run("BEGIN")
        assert errors(await client.ask(query("wrong"))) == ["42601"]
        assert errors(await client.ask(query("SET work_mem = '5MB'"))) == ["25P02"]
        await client.run("ROLLBACK")
        if batch:
            assert rows(await client.ask(parse("SELECT 1"), bind(), execute(), SYNC)) == [["1"]]
        await client.run("BEGIN")
        assert await client.run("EXECUTE last") == [["2"]]
        await client.run("COMMIT")

    serve(single, story)
    assert [pin.condition.id for pin in single.pins if pin.condition] == ["set"]


def test_a_name_that_is_taken_stays_with_its_client(single: RunningStandIn) -> None:
    """The database refuses a name that is taken in its own words, and the next client finds no trace of that name."""

    async def story(connect: Connect) -> None:
        owner, other = await connect(), await connect()
        assert errors(await owner.ask(parse("SELECT 1", "mine"), SYNC)) == []
        assert errors(await owner.ask(parse("SELECT 2", "mine"), SYNC)) == ["42P05"]
        assert rows(await owner.ask(bind("mine"), execute(), SYNC)) == [["1"]]
        assert await other.run("SELECT name FROM pg_prepared_statements") == []

    serve(single, story)


def test_an_idle_connection_that_ends_is_lent_to_nobody(
    single: RunningStandIn, admin: pg8000.native.Connection
) -> None:
    """A client between transactions notices nothing of a database that ended the connection in the pool."""

    async def story(connect: Connect) -> None:
        client = await connect()
        first = await client.run("SELECT pg_backend_pid()")
        admin.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = :user", user=USER)
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await client.run("SELECT pg_backend_pid()") != first

    serve(single, story)
