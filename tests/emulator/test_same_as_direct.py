"""Random messages, through the emulator and directly: the answers are the same.

Several clients take turns, so that they share connections and move between them. They prepare statements under the same
names, in transactions with savepoints, drop their tables, make errors in the middle of batches, and mix simple queries
with the extended protocol.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.localpg.server import PostgresServer

from .conftest import PASSWORD, USER
from .wire import SYNC, Client, Message, bind, close, describe, execute, fields, parse, query

CLIENTS = 3
PROXIED, DIRECT = "same_proxied", "same_direct"  # databases, because both run the same statements
TIMEOUT = 20.0  # seconds; nothing waits for a lock

# {t} is the client's own table.
STATEMENTS = (
    "SELECT 1", "SELECT 'two' UNION ALL SELECT 'three'", "SELECT i + 0 FROM {t}", "INSERT INTO {t} VALUES (4)",
    "SELECT $1::int", "SELECT 1/0", "wrong", "",
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "DROP TABLE IF EXISTS {t}",
    "CREATE TABLE IF NOT EXISTS {t} (i int)", "SET work_mem = '5MB'", "SET LOCAL work_mem = '6MB'", "SHOW work_mem",
    "PREPARE a AS SELECT 'sql'", "EXECUTE a", 'EXECUTE "B c"', "EXPLAIN (COSTS OFF) EXECUTE a", "DEALLOCATE a",
    "DEALLOCATE ALL", "DISCARD ALL", "SELECT name, statement FROM pg_prepared_statements ORDER BY name",
)  # fmt: skip
NAMES = ("", "a", "B c")
# Only unnamed: run by an EXECUTE, these recurse without end, or end the session with a FATAL error.
UNNAMED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "EXECUTE", "EXPLAIN", "PREPARE", "DEALLOCATE", "DISCARD")
IN_FAILED_TRANSACTION = "25P02"
PORTALS = ("", "p")

Program = list[tuple[int, list[bytes]]]  # each step: a client, and its messages up to Sync


def random_program(rng: random.Random) -> Program:
    return [random_step(rng, rng.randrange(CLIENTS)) for _ in range(rng.randrange(1, 30))]


def random_step(rng: random.Random, client: int) -> tuple[int, list[bytes]]:
    messages: list[bytes] = []
    for _ in range(rng.randrange(1, 5)):
        sql = rng.choice(STATEMENTS).format(t=f"t{client}")
        new = "" if sql.startswith(UNNAMED) else rng.choice(NAMES)
        name, portal, limit = rng.choice(NAMES), rng.choice(PORTALS), rng.choice((0, 0, 1))
        messages += rng.choice(
            (
                [query(sql)],
                [query(sql)],
                [parse(sql, new)],
                [parse(sql, new), SYNC],
                [parse(sql, new), bind(new), execute(), SYNC],
                [bind(name, portal)],
                [bind(name, portal), execute(portal, limit), SYNC],
                [execute(portal, limit)],
                [describe(name)],
                [describe(portal, "P")],
                [close(name)],
                [close(portal, "P")],
                [SYNC],
            )
        )
    return client, [*messages, SYNC]


async def answer(client: Client, messages: Sequence[bytes]) -> list[Message]:
    """Send messages, and read what PostgreSQL answers to each; after an error it skips all up to Sync.

    A FATAL error ends the session.
    """
    client.writer.write(b"".join(messages))
    found: list[Message] = []
    skipping = False
    for message in messages:
        kind = chr(message[0])
        if skipping and kind != "S":
            continue
        skipping = False
        last = {"Q": "Z", "S": "Z", "P": "1", "B": "2", "D": "Tn", "E": "CIs", "C": "3"}[kind]
        while True:
            found.append(await client.read())
            if found[-1][0] == "Z":
                client.status = found[-1][1].decode()
            if found[-1][0] == "E" and fields(found[-1][1])["V"] == "FATAL":
                return found
            if found[-1][0] in last:
                break
            if found[-1][0] == "E" and kind not in "QS":
                skipping = True
                break
    return found


def last_unnamed(messages: Sequence[bytes], before: bytes) -> bytes:
    """Return the query of the last Parse of the unnamed statement; there is another one before the messages."""
    return next((each[6:] for each in reversed(messages) if each[0] == ord("P") and each[5] == 0), before)


def comparable(messages: Sequence[Message]) -> list[object]:
    """Return what clients can rely on.

    A statement whose table was dropped fails when it is used: on a connection where the emulator prepares it again,
    before ParameterDescription or BindComplete; on the client's own connection, after it. Where in its source
    PostgreSQL noticed it differs, too.
    """
    found: list[object] = []
    for kind, body in messages:
        if kind != "E":
            found.append((kind, body))
            continue
        if found and isinstance(found[-1], tuple) and found[-1][0] in "t2":
            found.pop()
        error = fields(body)
        found.append({name: error.get(name) for name in "SVCMDH"})
    return found


@pytest.fixture(scope="module")
def proxy(server: PostgresServer) -> Iterator[ThreadedEmulator]:
    """An emulator in front of one database; clients connect to the other one directly, without a password."""
    with contextlib.closing(server.connect("postgres")) as admin:
        for name in (PROXIED, DIRECT):
            admin.run(f"CREATE DATABASE {name} OWNER {USER}")
        ((path,),) = admin.run("SHOW hba_file") or []
        rules = Path(path).read_text()
        Path(path).write_text(f"host {DIRECT} {USER} 127.0.0.1/32 trust\n{rules}")
        admin.run("SELECT pg_reload_conf()")
    target = ProxyTarget(server.host, server.port, USER, PASSWORD, PROXIED, sslmode="disable")
    users = {USER: PASSWORD}
    with run_in_thread(target, pool_size=CLIENTS, authentication=Authentication.TRUST, users=users) as proxy:
        yield proxy


async def play(proxy: ThreadedEmulator, server: PostgresServer, program: Program) -> None:
    """Play a program in new sessions, and compare the answers step by step."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(port: int, database: str) -> list[Client]:
            found = [
                await stack.enter_async_context(await Client.connect(port, USER, database)) for _ in range(CLIENTS)
            ]
            await found[0].run("".join(f"DROP TABLE IF EXISTS t{number};" for number in range(CLIENTS)))
            return found

        proxied, direct = await connect(proxy.port, PROXIED), await connect(server.port, DIRECT)
        unnamed = [b""] * CLIENTS
        for number, messages in program:
            failed = direct[number].status == "E"
            async with asyncio.timeout(TIMEOUT):
                found = comparable(await answer(proxied[number], messages))
                expected = comparable(await answer(direct[number], messages))
            failed = failed or ("Z", b"E") in expected
            if failed and found != expected and IN_FAILED_TRANSACTION in str(found):
                return  # a statement that is missing on the connection cannot be prepared in a failed transaction
            if unnamed[number].startswith(b"EXECUTE") and describe() in messages and found != expected:
                # PostgreSQL describes the statement that existed at Parse, or reports that it is gone. An EXECUTE that
                # moves to another connection is parsed again there, when the client may have changed that statement.
                return
            unnamed[number] = last_unnamed(messages, unnamed[number])
            assert found == expected, f"client {number} sends {messages}"
            if isinstance(found[-1], dict):
                return  # a FATAL error has ended the session


# Random programs that once got another answer or none, without the messages that do not matter.
FOUND: dict[str, Program] = {
    "a Query's statement cannot be prepared, and Sync was sent already": [
        # A name in use: the connection is not used again, and the statement is missing on the next one.
        (0, [parse("SET LOCAL work_mem = '6MB'", "B c"), parse("SET work_mem = '5MB'", "B c"), SYNC]),
        (0, [query("BEGIN"), query("DEALLOCATE a"), SYNC]),
        (0, [query("SELECT name, statement FROM pg_prepared_statements ORDER BY name"), SYNC]),
    ],
    "the same for PREPARE": [
        (2, [parse("SET LOCAL work_mem = '6MB'", "a"), SYNC]),
        (0, [query("SET LOCAL work_mem = '6MB'"), SYNC]),
        (2, [query("BEGIN"), bind("", "p"), SYNC]),
        (2, [query("PREPARE a AS SELECT 'sql'"), SYNC]),
    ],
    "two more Syncs and a Query": [
        (2, [parse("SELECT 1", "a"), SYNC]),
        (0, [query("SET work_mem = '5MB'"), SYNC]),
        (2, [query("BEGIN"), query("wrong"), SYNC]),
        (2, [query("EXECUTE a"), SYNC, SYNC, query("ROLLBACK"), query("EXECUTE a"), SYNC]),
    ],
    "Bind in a transaction that fails in the same step": [
        (2, [parse("SELECT $1::int", "B c"), describe(), SYNC]),
        (2, [parse("BEGIN"), SYNC]),
        (2, [bind(), execute(), bind("a"), SYNC, bind("B c"), SYNC]),
    ],
    "the name of a statement whose table was dropped": [
        (0, [query("CREATE TABLE t0 (i int)"), parse("INSERT INTO t0 VALUES (4)", "a"), SYNC]),
        (1, [query("DISCARD ALL"), SYNC]),  # this client keeps the connection
        (0, [query("DROP TABLE t0"), SYNC]),
        (0, [parse("SELECT 'two' UNION ALL SELECT 'three'", "a"), SYNC]),
        (0, [bind("a"), execute(), SYNC, query("CREATE TABLE t0 (i int)"), bind("a"), execute(), SYNC]),
    ],
    "the same for PREPARE in SQL": [
        (0, [query("CREATE TABLE t0 (i int)"), parse("INSERT INTO t0 VALUES (4)", "a"), SYNC]),
        (1, [query("DISCARD ALL"), SYNC]),
        (0, [query("DROP TABLE t0"), SYNC]),
        (0, [query("PREPARE a AS SELECT 'sql'"), SYNC]),
        (0, [query("EXECUTE a"), SYNC, query("CREATE TABLE t0 (i int)"), query("EXECUTE a"), SYNC]),
    ],
    "a Query after a batch whose Parse was skipped": [
        (2, [parse("ROLLBACK"), SYNC]),
        (2, [describe("", "P"), parse("SELECT 1"), SYNC, query("SELECT 2"), SYNC]),
        (2, [bind(), SYNC]),  # after this error, the connection is not used again
        (2, [bind(), SYNC]),
    ],
    "EXECUTE of a statement that shows the statements": [
        (2, [parse("SELECT name, statement FROM pg_prepared_statements ORDER BY name", "a"), SYNC]),
        (2, [parse("SELECT 1", "B c"), SYNC]),
        (0, [parse("SELECT i + 0 FROM t0", "B c"), SYNC]),  # closes the other client's, and fails
        (2, [query("EXECUTE a"), SYNC]),
    ],
    "Describe of an EXECUTE": [
        (0, [parse('EXECUTE "B c"'), SYNC]),
        (2, [parse("SAVEPOINT s"), SYNC]),
        (0, [parse("SELECT 1/0", "B c"), SYNC]),
        (0, [describe(), SYNC]),
    ],
    "Describe of an EXECUTE whose statement was closed": [
        (1, [parse("SELECT 1", "a"), SYNC]),
        (1, [parse("EXECUTE a"), SYNC]),
        (1, [close("a"), describe("a"), SYNC]),
        (1, [describe(), SYNC]),
    ],
}


@pytest.mark.parametrize("program", FOUND.values(), ids=FOUND)
def test_found_programs(proxy: ThreadedEmulator, server: PostgresServer, program: Program) -> None:
    asyncio.run(play(proxy, server, program))


@pytest.mark.timeout(7200)
def test_random_messages(proxy: ThreadedEmulator, server: PostgresServer, long: bool) -> None:
    """Each answer of the emulator is PostgreSQL's."""

    async def compare() -> None:
        messages = 0
        for seed in itertools.count():
            program = random_program(random.Random(seed))
            try:
                await play(proxy, server, program)
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
            messages += sum(len(each) for _, each in program)
            if messages > (1_000_000 if long else 10_000):
                return

    asyncio.run(compare())
