"""Random concurrent sessions, each of which knows what it may see. The isolation test runs them at any length."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from .wire import (
    COPY_DONE,
    FLUSH,
    SYNC,
    Client,
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

TIMEOUT = 30.0  # seconds; no statement takes longer unless it hangs

TABLES = """
DROP TABLE IF EXISTS committed, holders;
CREATE TABLE committed (who text NOT NULL);
CREATE TABLE holders (lock integer PRIMARY KEY, who text NOT NULL);
"""

# Queries for session state, and what they return in a session that has not created that state itself.
DEFAULT_STATE: dict[str, tuple[str, list[list[str | None]] | str]] = {
    "setting": ("SELECT current_setting('iso.who', true)", [[None]]),
    "table": ("SELECT who FROM scratch", "42P01"),
    "sql": ("EXECUTE own", "26000"),
    "zone": ("SELECT current_setting('TimeZone')", [["UTC"]]),
    "sequence": ("SELECT currval('steps')", "42P01"),
}


@dataclass
class Totals:
    """The results of all sessions."""

    statements: int = 0
    sessions: int = 0
    committed: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)


class SimulatedClient:
    """One session, from login to disconnect. Every value that it writes contains `who`."""

    def __init__(self, client: Client, who: str, name: str, rng: random.Random, totals: Totals) -> None:
        self.client = client
        self.who = who
        self.name = name
        self.rng = rng
        self.totals = totals
        self.state: dict[str, str] = {}
        self.prepared: dict[str, str] = {}
        self.unnamed: str | None = None
        self.listens = False
        self.counter = 0

    def value(self) -> str:
        self.counter += 1
        return f"{self.who}.{self.counter}"

    async def request(self, *messages: bytes, times: int = 1) -> list[tuple[str, bytes]]:
        data = b"".join(messages)
        self.totals.statements += max(1, sum(1 for part in messages if part[:1] in b"QE"))
        if self.rng.random() < 0.02:
            for position in range(0, len(data), 7):
                self.client.writer.write(data[position : position + 7])
                await asyncio.sleep(0)
        else:
            self.client.writer.write(data)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self.client.until_ready(times)
        except TimeoutError:
            raise AssertionError(f"{self.who} hangs on {data[:200]!r}") from None

    async def run(self, sql: str, expected: list[list[str | None]] | str | None = None) -> None:
        """Run a simple query and compare its rows, or the SQLSTATE of its error."""
        self.unnamed = None
        await self.check(await self.request(query(sql)), expected, sql)

    async def check(
        self, answer: list[tuple[str, bytes]], expected: list[list[str | None]] | str | None, what: str
    ) -> None:
        found = errors(answer)
        if isinstance(expected, str):
            assert found == [expected], (self.who, what, answer)
        else:
            assert found == [], (self.who, what, [fields(body) for kind, body in answer if kind == "E"])
            if expected is not None:
                assert rows(answer) == expected, (self.who, what, rows(answer))
        assert all(channel == f"ch_{self.who}" for channel, _ in self.client.notifications), self.client.notifications
        assert self.listens or not self.client.notifications

    # Steps of a session; all start outside a transaction.

    async def select(self) -> None:
        value = self.value()
        await self.run(f"SELECT '{value}'", [[value]])

    async def read_state(self) -> None:
        kind = self.rng.choice(list(DEFAULT_STATE))
        sql, nothing = DEFAULT_STATE[kind]
        if kind in self.state:
            await self.run(sql, [[self.state[kind]]])
        else:
            # EXECUTE pins; the session has its own connection from here on, and must still find nothing.
            await self.run(sql, nothing)

    async def read_application_name(self) -> None:
        await self.run("SELECT current_setting('application_name')", [[self.name]])

    async def set(self) -> None:
        self.state["setting"] = self.value()
        await self.run(f"SET iso.who = '{self.state['setting']}'")

    async def set_time_zone(self) -> None:
        self.state["zone"] = "Asia/Tokyo"
        await self.run("SET TIME ZONE 'Asia/Tokyo'")

    async def create_temporary_table(self) -> None:
        if "table" not in self.state:
            self.state["table"] = self.value()
            await self.run(f"CREATE TEMP TABLE scratch AS SELECT '{self.state['table']}'::text AS who")

    async def create_temporary_sequence(self) -> None:
        if "sequence" not in self.state:
            self.state["sequence"] = str(self.rng.randrange(1, 1000))
            await self.run(
                f"CREATE TEMP SEQUENCE steps START {self.state['sequence']}; SELECT nextval('pg_temp.steps')"
            )

    async def prepare_in_sql(self) -> None:
        if "sql" not in self.state:
            self.state["sql"] = self.value()
            await self.run(f"PREPARE own AS SELECT '{self.state['sql']}'::text")

    async def prepare(self) -> None:
        name = self.rng.choice("abc")
        value = self.value()
        answer = await self.request(parse(f"SELECT '{value}'::text", name), SYNC)
        await self.check(answer, "42P05" if name in self.prepared else None, f"parse {name}")
        self.prepared.setdefault(name, value)

    async def execute_prepared(self) -> None:
        name = self.rng.choice("abc")
        answer = await self.request(bind(name), execute(), SYNC)
        known = self.prepared.get(name)
        await self.check(answer, "26000" if known is None else [[known]], f"bind {name}")

    async def describe_prepared(self) -> None:
        name = self.rng.choice("abc")
        answer = await self.request(describe(name), SYNC)
        await self.check(answer, None if name in self.prepared else "26000", f"describe {name}")

    async def close_prepared(self) -> None:
        name = self.rng.choice("abc")
        await self.check(await self.request(close(name), SYNC), None, f"close {name}")
        self.prepared.pop(name, None)

    async def prepare_unnamed(self) -> None:
        value = self.value()
        await self.check(await self.request(parse(f"SELECT '{value}'::text"), SYNC), None, "parse")
        self.unnamed = value

    async def execute_unnamed(self) -> None:
        answer = await self.request(bind(), execute(), SYNC)
        await self.check(answer, "26000" if self.unnamed is None else [[self.unnamed]], "bind unnamed")

    async def batch(self) -> None:
        values = [self.value() for _ in range(self.rng.randrange(1, 5))]
        messages = [part for value in values for part in (parse(f"SELECT '{value}'::text"), bind(), execute(), SYNC)]
        answer = await self.request(*messages, times=len(values))
        self.unnamed = values[-1]
        await self.check(answer, [[value] for value in values], "pipeline")

    async def failing_batch(self) -> None:
        name = self.rng.choice("abc")
        before = self.prepared.get(name)
        answer = await self.request(
            parse("SELECT 1/0"), bind(), execute(), parse(f"SELECT '{self.value()}'::text", name), bind(name),
            execute(), close("a"), SYNC,
        )  # fmt: skip
        await self.check(answer, "22012", "failing batch")
        assert self.prepared.get(name) == before
        self.unnamed = None
        await self.request(parse("SELECT"), SYNC)
        self.unnamed = None
        await self.run("SELECT 1", [["1"]])

    async def flushed(self) -> None:
        """A batch in two parts: the second is sent after the first is answered."""
        value = self.value()
        self.client.writer.write(parse(f"SELECT '{value}'::text", "flushed") + describe("flushed") + FLUSH)
        async with asyncio.timeout(TIMEOUT):
            seen = [await self.client.read() for _ in range(3)]
        assert kinds(seen) == "1tT", (self.who, seen)
        answer = await self.request(bind("flushed"), execute(), close("flushed"), SYNC)
        await self.check(answer, [[value]], "flushed")

    async def transaction(self) -> None:
        value = self.value()
        name = self.rng.choice("abc")
        await self.run("BEGIN")
        await self.run(f"INSERT INTO committed VALUES ('{value}')")
        if name in self.prepared:
            await self.execute_in_transaction(name)
        await self.run("SELECT count(*) FROM committed WHERE who = '" + value + "'", [["1"]])
        if self.rng.random() < 0.5:
            await self.run("COMMIT")
            self.totals.committed.append(value)
        else:
            await self.run("ROLLBACK")
            self.totals.rolled_back.append(value)

    async def execute_in_transaction(self, name: str) -> None:
        answer = await self.request(bind(name), execute(), SYNC)
        await self.check(answer, [[self.prepared[name]]], f"bind {name} in transaction")

    async def portal(self) -> None:
        """A portal that is read in parts, across Sync, inside a transaction."""
        value = self.value()
        sql = f"SELECT '{value}' || '-' || i FROM generate_series(1, 5) AS i"
        answer = await self.request(
            query("BEGIN"), parse(sql), bind("", "part"), execute("part", 2), SYNC, execute("part", 2), SYNC,
            close("part", "P"), SYNC, query("COMMIT"), times=5,
        )  # fmt: skip
        self.unnamed = None
        await self.check(answer, [[f"{value}-{number}"] for number in range(1, 5)], "portal")

    async def cursor(self) -> None:
        value = self.value()
        await self.run("BEGIN")
        await self.run(f"DECLARE reader CURSOR FOR SELECT '{value}' FROM generate_series(1, 3)")
        await self.run("FETCH 2 FROM reader", [[value], [value]])
        await self.run("COMMIT")
        await self.run("FETCH 1 FROM reader", "34000")

    async def failed_transaction(self) -> None:
        value = self.value()
        await self.run("BEGIN")
        await self.run(f"INSERT INTO committed VALUES ('{value}')")
        await self.run("SELECT 1/0", "22012")
        await self.run("SELECT 1", "25P02")
        if self.rng.random() < 0.2:
            await self.run("SET iso.who = 'never'", "25P02")
        await self.run("COMMIT")
        self.totals.rolled_back.append(value)

    async def listen(self) -> None:
        self.listens = True
        await self.run(f"LISTEN ch_{self.who}")
        value = self.value()
        await self.run(f"NOTIFY ch_{self.who}, '{value}'")
        await self.run("SELECT 1", [["1"]])
        assert (f"ch_{self.who}", value) in self.client.notifications

    async def notify(self) -> None:
        await self.run(f"NOTIFY ch_{self.rng.choice('xyz')}")

    async def lock(self) -> None:
        """A session-level lock excludes other sessions until it is released or its session ends."""
        number = self.rng.randrange(5)
        answer = await self.request(query(f"SELECT pg_try_advisory_lock({number})"))
        self.unnamed = None
        if rows(answer) == [["t"]]:
            # The lock is exclusive: the previous holder's row was deleted before its lock was released.
            await self.run(f"INSERT INTO holders VALUES ({number}, '{self.who}')")
            await self.run(f"DELETE FROM holders WHERE lock = {number} AND who = '{self.who}'")
            if self.rng.random() < 0.5:
                await self.run(f"SELECT pg_advisory_unlock({number})", [["t"]])
            else:
                self.state[f"lock {number}"] = ""
                # It is released when the session ends; the session itself can take it again.

    async def copy(self) -> None:
        values = [self.value() for _ in range(3)]
        data = "".join(f"{value}\n" for value in values).encode()
        if self.rng.random() < 0.5:
            self.client.writer.write(query("COPY committed FROM STDIN"))
            self.unnamed = None
            seen = await self.client.read()
            assert seen[0] == "G"
            answer = await self.request(copy_data(data), COPY_DONE)
        else:
            # As libpq does: Sync is sent with Execute, before the server requests data.
            self.client.writer.write(parse("COPY committed FROM STDIN") + bind() + execute() + SYNC)
            async with asyncio.timeout(TIMEOUT):
                assert kinds([await self.client.read() for _ in range(3)]) == "12G"
            answer = await self.request(copy_data(data), COPY_DONE, SYNC)
            self.unnamed = ""
        await self.check(answer, None, "copy in")
        self.totals.committed.extend(values)
        answer = await self.request(query(f"COPY (SELECT '{values[0]}') TO STDOUT"))
        self.unnamed = None
        assert [body for kind, body in answer if kind == "d"] == [values[0].encode() + b"\n"]

    async def bad_copy(self) -> None:
        self.client.writer.write(query("COPY committed FROM STDIN"))
        self.unnamed = None
        assert (await self.client.read())[0] == "G"
        answer = await self.request(copy_data(b"a\tb\n"), copy_data(b"c\n"), COPY_DONE)
        await self.check(answer, "22P04", "bad copy")

    async def large_result(self) -> None:
        answer = await self.request(query("SELECT repeat('x', 200000)"))
        self.unnamed = None
        assert len(rows(answer)[0][0] or "") == 200_000

    def steps(self, *, only_unpinned: bool) -> list[Callable[[], Awaitable[None]]]:
        steps: list[Callable[[], Awaitable[None]]] = [
            self.select, self.select, self.read_state, self.read_application_name, self.prepare, self.execute_prepared,
            self.execute_prepared, self.describe_prepared, self.close_prepared, self.prepare_unnamed,
            self.execute_unnamed, self.batch, self.failing_batch, self.flushed, self.transaction, self.portal,
            self.failed_transaction, self.notify, self.copy, self.bad_copy, self.large_result,
        ]  # fmt: skip
        if not only_unpinned:
            steps += [
                self.set, self.set_time_zone, self.create_temporary_table, self.create_temporary_sequence,
                self.prepare_in_sql, self.cursor, self.listen, self.lock,
            ]  # fmt: skip
        return steps

    async def end(self) -> None:
        """Disconnect in one of several ways."""
        variant = self.rng.randrange(6)
        writer = self.client.writer
        value = self.value()
        if variant == 0:
            writer.write(query(f"BEGIN; INSERT INTO committed VALUES ('{value}')"))
            self.totals.rolled_back.append(value)
            async with asyncio.timeout(TIMEOUT):
                await self.client.until_ready()
            self.client.abort()
        elif variant == 1:
            writer.write(query(f"INSERT INTO committed VALUES ('{value}')")[:-9])
            self.totals.rolled_back.append(value)
            await writer.drain()
            self.client.abort()
        elif variant == 2:
            writer.write(query("SELECT pg_sleep(20)"))
            await writer.drain()
            await asyncio.sleep(self.rng.random() * 0.01)
            self.client.abort()
        elif variant == 3:
            big = parse("SELECT $1::text") + bind("", "", ["y" * 300_000])
            writer.write(big[: self.rng.randrange(1, len(big))])
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            self.client.abort()
        elif variant == 4:
            writer.write(query("BEGIN") + query(f"INSERT INTO committed VALUES ('{value}')"))
            self.totals.rolled_back.append(value)
            await self.client.close()
        else:
            await self.client.close()


async def run_sessions(port: int, user: str, database: str, *, statements: int, sessions: int, seed: int) -> Totals:
    """Run concurrent sessions until the given number of statements is reached."""
    totals = Totals()

    async def worker(number: int) -> None:
        rng = random.Random(f"{seed}.{number}")
        while totals.statements < statements:
            totals.sessions += 1
            name = rng.choice(["one", "two"])
            who = f"w{number}x{totals.sessions}"
            async with asyncio.timeout(TIMEOUT):
                client = await Client.connect(port, user, database, application_name=name)
            simulated = SimulatedClient(client, who, name, rng, totals)
            # Most sessions do not pin, so that connections are shared.
            steps = simulated.steps(only_unpinned=rng.random() < 0.7)
            for _ in range(rng.randrange(1, 60)):
                await rng.choice(steps)()
            await simulated.end()

    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(worker(number))
    return totals
