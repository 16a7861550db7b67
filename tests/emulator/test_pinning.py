"""What pins, when, for how long, and what is reported, on a real server with real drivers."""

import asyncio
import contextlib
from collections.abc import Iterator

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.emulator.log import LogWriter
from cdk_pinsafe.pinning.log_lines import LineKind, parse_line

from .conftest import DATABASE, PASSWORD, USER, eventually
from .wire import SYNC, Client, bind, errors, execute, parse, query, rows

LIMIT = 16_384


@contextlib.contextmanager
def client(proxy: ThreadedEmulator) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        yield connection


def backend(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def test_pin_lasts_until_client_disconnects(proxy: ThreadedEmulator) -> None:
    """A SET pins its client to its connection; other clients get other connections, also afterwards."""
    with client(proxy) as pinned, client(proxy) as other:
        assert backend(pinned) == backend(other)
        pinned.execute("SET timezone TO 'Asia/Tokyo'")
        pinned_backend = backend(pinned)
        assert backend(other) != pinned_backend
        assert [backend(pinned) for _ in range(3)] == [pinned_backend] * 3
        assert other.execute("SHOW timezone").fetchone() == ("UTC",)
        assert proxy.metrics()["DatabaseConnectionsCurrentlySessionPinned"] == 1
    assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlySessionPinned"] == 0)
    with client(proxy) as later:
        assert backend(later) != pinned_backend
        assert later.execute("SHOW timezone").fetchone() == ("UTC",)


def test_pin_event(proxy: ThreadedEmulator) -> None:
    """A pin has the statement, the part that pins, the condition with its evidence, and the remedy."""
    with psycopg.connect(proxy.dsn() + "&application_name=orders", autocommit=True) as connection:
        connection.execute("SELECT 1; SET search_path TO app, public")
        connection.execute("SET statement_timeout = '3s'")
    (pin,) = proxy.pins
    assert pin.statement == "SELECT 1; SET search_path TO app, public"
    assert pin.statement[pin.start : pin.end] == "SET search_path TO app, public"
    assert pin.condition is not None
    assert pin.condition.id == "set"
    assert pin.evidence == pin.condition.evidence
    assert '"search_path": ["app", "public"]' in pin.remedy
    assert (pin.user, pin.database, pin.application_name) == (USER, DATABASE, "orders")
    assert pin.client_connection == 1
    assert pin.when.tzinfo is not None
    again = proxy.statements[1]
    assert again.repeated
    assert again.statement == "SET statement_timeout = '3s'"
    proxy.clear()
    assert proxy.statements == ()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; COMMIT",
        "DO $$ BEGIN SET LOCAL timezone TO 'Asia/Tokyo'; END $$",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT 'SET timezone TO UTC' -- SET x",
        "SELECT '" + "x" * (LIMIT - 9) + "'",
    ],
)
def test_what_does_not_pin(proxy: ThreadedEmulator, sql: str) -> None:
    """Look-alikes, function bodies, and statements of exactly 16 KB do not pin."""
    with client(proxy) as connection:
        connection.execute(sql)
    assert proxy.pins == ()


def test_statement_over_16_kb_pins(proxy: ThreadedEmulator) -> None:
    """A simple query and a prepared statement pin by their size, whatever pieces they come in."""

    async def one(*messages: bytes, pieces: int) -> None:
        wire = await Client.connect(proxy.port, USER, DATABASE)
        data = b"".join(messages)
        for position in range(0, len(data), pieces):
            wire.writer.write(data[position : position + pieces])
            await wire.writer.drain()
            await asyncio.sleep(0)
        answer = await wire.until_ready()
        assert errors(answer) == []
        assert len(rows(answer)[0][0] or "") == 300_000
        await wire.close()

    text = "SELECT '" + "ä" * 300_000 + "'"
    whole = 10_000_000
    for messages in (
        (query(text),),
        (parse(text), bind(), execute(), SYNC),
        (parse(text, "s"), bind("s"), execute(), SYNC),
    ):
        for pieces in (whole, 4096):
            asyncio.run(one(*messages, pieces=pieces))
    assert len(proxy.pins) == 6
    for pin in proxy.pins:
        assert pin.condition is not None
        assert pin.condition.id == "oversized"
        assert pin.digest is None
        assert pin.statement.startswith("SELECT 'ää")
        assert len(pin.statement) <= 1000


def test_prepared_statement_pins_at_execute(target: ProxyTarget) -> None:
    """A pinning statement is logged at INFO when parsed, and at WARN when it is executed and pins."""
    lines: list[str] = []
    users = {USER: PASSWORD}
    with run_in_thread(
        target, authentication=Authentication.TRUST, users=users, observers=[LogWriter(lines.append)]
    ) as proxy:

        async def go() -> None:
            wire = await Client.connect(proxy.port, USER, DATABASE)
            await wire.request(parse("SET timezone TO 'Asia/Tokyo'", "s"), SYNC)
            assert proxy.pins == ()
            await wire.request(bind("s", "p"), SYNC)
            assert proxy.pins == ()
            await wire.request(bind("s"), execute(), SYNC)
            assert len(proxy.pins) == 1
            await wire.close()

        asyncio.run(go())
        assert eventually(lambda: len(lines) == 4)
    read = [parse_line(line) for line in lines]
    assert [(line.kind, line.level) for line in read if line] == [
        (LineKind.CONNECTED, "INFO"),
        (LineKind.MAY_PIN, "INFO"),
        (LineKind.PINNED, "WARN"),
        (LineKind.CLOSED, "INFO"),
    ]
    assert all(line and line.client_connection == "1" and line.endpoint == "default" for line in read)
    assert read[1] is not None
    assert read[2] is not None
    assert read[1].digest == read[2].digest == "set timezone to $1"
    assert read[1].db_connection == read[2].db_connection == "1"


def test_legacy_mode_pins_on_parse(target: ProxyTarget) -> None:
    """As before November 2023, any Parse message pins, with its own reason; a simple query does not."""
    lines: list[str] = []
    with run_in_thread(target, legacy=True, observers=[LogWriter(lines.append)]) as proxy:
        with client(proxy) as connection:
            connection.execute("SELECT 1")
            assert not proxy.pins
            connection.execute("SELECT %s::int", (1,))
            (pin,) = proxy.pins
        assert pin.condition is None
        assert "Reason: A parse message was detected." in next(line for line in lines if "[WARN]" in line)


def test_pinned_session_finds_its_statements_by_name(proxy: ThreadedEmulator) -> None:
    """EXECUTE, DEALLOCATE and pg_prepared_statements find the client's statements by its names, and no others."""

    async def go() -> None:
        other = await Client.connect(proxy.port, USER, DATABASE)
        await other.request(parse("SELECT 'theirs'", "theirs"), SYNC)
        wire = await Client.connect(proxy.port, USER, DATABASE)
        await wire.request(parse("SELECT 'one'::text", "one"), SYNC)
        await wire.request(parse("SELECT $1::text", "two"), SYNC)
        names = await wire.run("SELECT name FROM pg_prepared_statements ORDER BY 1")
        assert names == [["one"], ["two"]]
        assert await wire.run("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%theirs%'") == [["0"]]
        assert await wire.run("EXECUTE one") == [["one"]]
        assert rows(await wire.request(bind("two", "", ["x"]), execute(), SYNC)) == [["x"]]
        await wire.run("DEALLOCATE two")
        assert errors(await wire.request(bind("two", "", ["x"]), execute(), SYNC)) == ["26000"]
        await wire.run("DISCARD ALL")
        assert errors(await wire.request(bind("one"), execute(), SYNC)) == ["26000"]
        assert rows(await other.request(bind("theirs"), execute(), SYNC)) == [["theirs"]]
        await wire.close()
        await other.close()

    asyncio.run(go())


def test_pin_in_failed_transaction(proxy: ThreadedEmulator) -> None:
    """A statement that pins in a failed transaction fails as without a proxy; the names are restored later."""

    async def go() -> None:
        wire = await Client.connect(proxy.port, USER, DATABASE)
        await wire.request(parse("SELECT 'one'::text", "one"), SYNC)
        await wire.run("BEGIN")
        assert errors(await wire.request(query("SELECT 1/0"))) == ["22012"]
        assert errors(await wire.request(query("DEALLOCATE ALL"))) == ["25P02"]
        assert len(proxy.pins) == 1
        assert errors(await wire.request(bind("one"), execute(), SYNC)) == ["25P02"]
        await wire.run("ROLLBACK")
        assert await wire.run("EXECUTE one") == [["one"]]
        assert rows(await wire.request(bind("one"), execute(), SYNC)) == [["one"]]
        await wire.close()

    asyncio.run(go())


def test_pg8000_does_not_pin(proxy: ThreadedEmulator) -> None:
    """pg8000 sends no statements of its own; a query with parameters does not pin."""
    connection = pg8000.native.Connection(USER, host=proxy.host, port=proxy.port, database=DATABASE, password=PASSWORD)
    with contextlib.closing(connection):
        assert connection.run("SELECT CAST(:n AS int) + 1", n=1) == [[2]]
    assert proxy.pins == ()
