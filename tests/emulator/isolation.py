"""Random concurrent sessions, each of which knows what it may see. Used by the isolation test at any length."""

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

SECONDS = 30.0  # longer than any statement may take; what takes longer hangs

TABLES = """
DROP TABLE IF EXISTS committed, holders;
CREATE TABLE committed (who text NOT NULL);
CREATE TABLE holders (lock integer PRIMARY KEY, who text NOT NULL);
"""

# Statements that must find nothing of another's, in a session that did not do the like itself: what they find.
UNTOUCHED: dict[str, tuple[str, list[list[str | None]] | str]] = {
    "setting": ("SELECT current_setting('iso.who', true)", [[None]]),
    "table": ("SELECT who FROM scratch", "42P01"),
    "sql": ("EXECUTE own", "26000"),
    "zone": ("SELECT current_setting('TimeZone')", [["UTC"]]),
    "sequence": ("SELECT currval('steps')", "42P01"),
}


@dataclass
class Totals:
    """What all sessions together came to."""

    statements: int = 0
    sessions: int = 0
    committed: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)


class Life:
    """One session, from its login to its end. `who` is in every value that it leaves anywhere."""

    def __init__(self, client: Client, who: str, name: str, rng: random.Random, totals: Totals) -> None:
        self.client = client
        self.who = who
        self.name = name
        self.rng = rng
        self.totals = totals
        self.has: dict[str, str] = {}
        self.prepared: dict[str, str] = {}
        self.unnamed: str | None = None
        self.inserted: list[str] = []
        self.listens = False
        self.counter = 0

    def value(self) -> str:
        self.counter += 1
        return f"{self.who}.{self.counter}"

    async def ask(self, *messages: bytes, times: int = 1) -> list[tuple[str, bytes]]:
        data = b"".join(messages)
        self.totals.statements += max(1, sum(1 for part in messages if part[:1] in b"QE"))
        if self.rng.random() < 0.02:
            for position in range(0, len(data), 7):
                self.client.writer.write(data[position : position + 7])
                await asyncio.sleep(0)
        else:
            self.client.writer.write(data)
        try:
            async with asyncio.timeout(SECONDS):
                return await self.client.until_ready(times)
        except TimeoutError:
            raise AssertionError(f"{self.who} hangs on {data[:200]!r}") from None

    async def run(self, sql: str, expected: list[list[str | None]] | str | None = None) -> None:
        """Run a simple query, and compare its rows or its error's SQLSTATE."""
        self.unnamed = None
        await self.check(await self.ask(query(sql)), expected, sql)

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

    # What a session does. Outside a transaction, unless told.

    async def plain(self) -> None:
        value = self.value()
        await self.run(f"SELECT '{value}'", [[value]])

    async def look(self) -> None:
        kind = self.rng.choice(list(UNTOUCHED))
        sql, nothing = UNTOUCHED[kind]
        if kind in self.has:
            await self.run(sql, [[self.has[kind]]])
        elif kind == "sql":
            # It pins by itself: from now on the session is alone with its connection, and still finds nothing.
            await self.run(sql, nothing)
        else:
            await self.run(sql, nothing)

    async def look_at_name(self) -> None:
        await self.run("SELECT current_setting('application_name')", [[self.name]])

    async def set(self) -> None:
        self.has["setting"] = self.value()
        await self.run(f"SET iso.who = '{self.has['setting']}'")

    async def set_zone(self) -> None:
        self.has["zone"] = "Asia/Tokyo"
        await self.run("SET TIME ZONE 'Asia/Tokyo'")

    async def temporary(self) -> None:
        if "table" not in self.has:
            self.has["table"] = self.value()
            await self.run(f"CREATE TEMP TABLE scratch AS SELECT '{self.has['table']}'::text AS who")

    async def sequence(self) -> None:
        if "sequence" not in self.has:
            self.has["sequence"] = str(self.rng.randrange(1, 1000))
            await self.run(f"CREATE TEMP SEQUENCE steps START {self.has['sequence']}; SELECT nextval('pg_temp.steps')")

    async def prepare_in_sql(self) -> None:
        if "sql" not in self.has:
            self.has["sql"] = self.value()
            await self.run(f"PREPARE own AS SELECT '{self.has['sql']}'::text")

    async def prepare(self) -> None:
        name = self.rng.choice("abc")
        value = self.value()
        answer = await self.ask(parse(f"SELECT '{value}'::text", name), SYNC)
        await self.check(answer, "42P05" if name in self.prepared else None, f"parse {name}")
        self.prepared.setdefault(name, value)

    async def use(self) -> None:
        name = self.rng.choice("abc")
        answer = await self.ask(bind(name), execute(), SYNC)
        known = self.prepared.get(name)
        await self.check(answer, "26000" if known is None else [[known]], f"bind {name}")

    async def use_by_describing(self) -> None:
        name = self.rng.choice("abc")
        answer = await self.ask(describe(name), SYNC)
        await self.check(answer, None if name in self.prepared else "26000", f"describe {name}")

    async def forget(self) -> None:
        name = self.rng.choice("abc")
        await self.check(await self.ask(close(name), SYNC), None, f"close {name}")
        self.prepared.pop(name, None)

    async def prepare_unnamed(self) -> None:
        value = self.value()
        await self.check(await self.ask(parse(f"SELECT '{value}'::text"), SYNC), None, "parse")
        self.unnamed = value

    async def use_unnamed(self) -> None:
        answer = await self.ask(bind(), execute(), SYNC)
        await self.check(answer, "26000" if self.unnamed is None else [[self.unnamed]], "bind unnamed")

    async def batch(self) -> None:
        values = [self.value() for _ in range(self.rng.randrange(1, 5))]
        messages = [part for value in values for part in (parse(f"SELECT '{value}'::text"), bind(), execute(), SYNC)]
        answer = await self.ask(*messages, times=len(values))
        self.unnamed = values[-1]
        await self.check(answer, [[value] for value in values], "pipeline")

    async def failing_batch(self) -> None:
        name = self.rng.choice("abc")
        before = self.prepared.get(name)
        answer = await self.ask(
            parse("SELECT 1/0"), bind(), execute(), parse(f"SELECT '{self.value()}'::text", name), bind(name),
            execute(), close("a"), SYNC,
        )  # fmt: skip
        await self.check(answer, "22012", "failing batch")
        assert self.prepared.get(name) == before
        self.unnamed = None
        await self.ask(parse("SELECT"), SYNC)
        self.unnamed = None
        await self.run("SELECT 1", [["1"]])

    async def flushed(self) -> None:
        """A batch in two parts: the second is sent after the first was answered."""
        value = self.value()
        self.client.writer.write(parse(f"SELECT '{value}'::text", "flushed") + describe("flushed") + FLUSH)
        async with asyncio.timeout(SECONDS):
            seen = [await self.client.read() for _ in range(3)]
        assert kinds(seen) == "1tT", (self.who, seen)
        answer = await self.ask(bind("flushed"), execute(), close("flushed"), SYNC)
        await self.check(answer, [[value]], "flushed")

    async def transaction(self) -> None:
        value = self.value()
        name = self.rng.choice("abc")
        await self.run("BEGIN")
        await self.run(f"INSERT INTO committed VALUES ('{value}')")
        if name in self.prepared:
            await self.use_in_transaction(name)
        await self.run("SELECT count(*) FROM committed WHERE who = '" + value + "'", [["1"]])
        if self.rng.random() < 0.5:
            await self.run("COMMIT")
            self.totals.committed.append(value)
        else:
            await self.run("ROLLBACK")
            self.totals.undone.append(value)

    async def use_in_transaction(self, name: str) -> None:
        answer = await self.ask(bind(name), execute(), SYNC)
        await self.check(answer, [[self.prepared[name]]], f"bind {name} in transaction")

    async def portal(self) -> None:
        """A portal that is read in parts, across Sync, within a transaction."""
        value = self.value()
        sql = f"SELECT '{value}' || '-' || i FROM generate_series(1, 5) AS i"
        answer = await self.ask(
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
        self.totals.undone.append(value)

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
        """A session-level lock keeps others out until it is released, or its session ends."""
        number = self.rng.randrange(5)
        answer = await self.ask(query(f"SELECT pg_try_advisory_lock({number})"))
        self.unnamed = None
        if rows(answer) == [["t"]]:
            # Nobody else is there: whoever was there before has let go of its row with its lock.
            await self.run(f"INSERT INTO holders VALUES ({number}, '{self.who}')")
            await self.run(f"DELETE FROM holders WHERE lock = {number} AND who = '{self.who}'")
            if self.rng.random() < 0.5:
                await self.run(f"SELECT pg_advisory_unlock({number})", [["t"]])
            else:
                self.has[f"lock {number}"] = ""
                # It is given back with the session; within it, it may be taken again.

    async def copy(self) -> None:
        values = [self.value() for _ in range(3)]
        data = "".join(f"{value}\n" for value in values).encode()
        if self.rng.random() < 0.5:
            self.client.writer.write(query("COPY committed FROM STDIN"))
            self.unnamed = None
            seen = await self.client.read()
            assert seen[0] == "G"
            answer = await self.ask(copy_data(data), COPY_DONE)
        else:
            # As libpq does it: Sync is sent with Execute, before it is known that data are wanted.
            self.client.writer.write(parse("COPY committed FROM STDIN") + bind() + execute() + SYNC)
            async with asyncio.timeout(SECONDS):
                assert kinds([await self.client.read() for _ in range(3)]) == "12G"
            answer = await self.ask(copy_data(data), COPY_DONE, SYNC)
            self.unnamed = ""
        await self.check(answer, None, "copy in")
        self.totals.committed.extend(values)
        answer = await self.ask(query(f"COPY (SELECT '{values[0]}') TO STDOUT"))
        self.unnamed = None
        assert [body for kind, body in answer if kind == "d"] == [values[0].encode() + b"\n"]

    async def bad_copy(self) -> None:
        self.client.writer.write(query("COPY committed FROM STDIN"))
        self.unnamed = None
        assert (await self.client.read())[0] == "G"
        answer = await self.ask(copy_data(b"a\tb\n"), copy_data(b"c\n"), COPY_DONE)
        await self.check(answer, "22P04", "bad copy")

    async def big(self) -> None:
        answer = await self.ask(query("SELECT repeat('x', 200000)"))
        self.unnamed = None
        assert len(rows(answer)[0][0] or "") == 200_000

    def steps(self, *, calm: bool) -> list[Callable[[], Awaitable[None]]]:
        steps: list[Callable[[], Awaitable[None]]] = [
            self.plain, self.plain, self.look, self.look_at_name, self.prepare, self.use, self.use,
            self.use_by_describing, self.forget, self.prepare_unnamed, self.use_unnamed, self.batch,
            self.failing_batch, self.flushed, self.transaction, self.portal, self.failed_transaction, self.notify,
            self.copy, self.bad_copy, self.big,
        ]  # fmt: skip
        if not calm:
            steps += [
                self.set, self.set_zone, self.temporary, self.sequence, self.prepare_in_sql, self.cursor, self.listen,
                self.lock,
            ]  # fmt: skip
        return steps

    async def end(self) -> None:
        """Leave, one way or another."""
        way = self.rng.randrange(6)
        writer = self.client.writer
        value = self.value()
        if way == 0:
            writer.write(query(f"BEGIN; INSERT INTO committed VALUES ('{value}')"))
            self.totals.undone.append(value)
            async with asyncio.timeout(SECONDS):
                await self.client.until_ready()
            self.client.cut()
        elif way == 1:
            writer.write(query(f"INSERT INTO committed VALUES ('{value}')")[:-9])
            self.totals.undone.append(value)
            await writer.drain()
            self.client.cut()
        elif way == 2:
            writer.write(query("SELECT pg_sleep(20)"))
            await writer.drain()
            await asyncio.sleep(self.rng.random() * 0.01)
            self.client.cut()
        elif way == 3:
            big = parse("SELECT $1::text") + bind("", "", ["y" * 300_000])
            writer.write(big[: self.rng.randrange(1, len(big))])
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            self.client.cut()
        elif way == 4:
            writer.write(query("BEGIN") + query(f"INSERT INTO committed VALUES ('{value}')"))
            self.totals.undone.append(value)
            await self.client.leave()
        else:
            await self.client.leave()


async def live(port: int, user: str, database: str, *, statements: int, sessions: int, seed: int) -> Totals:
    """Let a number of sessions live at a time until so many statements were run."""
    totals = Totals()

    async def worker(number: int) -> None:
        rng = random.Random(f"{seed}.{number}")
        while totals.statements < statements:
            totals.sessions += 1
            name = rng.choice(["one", "two"])
            who = f"w{number}x{totals.sessions}"
            async with asyncio.timeout(SECONDS):
                client = await Client.connect(port, user, database, application_name=name)
            life = Life(client, who, name, rng, totals)
            # Most sessions stay calm, so that connections are shared.
            steps = life.steps(calm=rng.random() < 0.7)
            for _ in range(rng.randrange(1, 60)):
                await rng.choice(steps)()
            await life.end()

    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(worker(number))
    return totals
