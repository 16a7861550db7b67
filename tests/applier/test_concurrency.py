"""Several appliers and other clients that change one database at the same time."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pg8000.native
import pytest

from .harness import Database

NAMES: Final = (
    "work_mem", "maintenance_work_mem", "temp_buffers", "effective_cache_size",
    "statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout",
    "geqo_pool_size", "from_collapse_limit", "join_collapse_limit", "jit_above_cost",
    "jit_inline_above_cost", "seq_page_cost", "cpu_tuple_cost", "parallel_setup_cost",
)  # fmt: skip
"""One for each applier; all take numbers of five digits."""
CLIENTS: Final = 4
PATIENCE: Final = 600.0
"""Seconds, as in Lambda. On a busy machine the last of sixteen waits long for the lock."""
RACES: Final = ("XX000", "23505")
"""PostgreSQL's SQLSTATE for the slower of two sessions that alter a database; the clients retry."""

Stored = dict[tuple[str, str], str]


def _stored(database: Database) -> Stored:
    """By role, empty for the database's own, and parameter."""
    every = database.cluster.catalogue()
    return {(role, name): text for (where, role, name), text in every.items() if where == database.name}


@pytest.mark.timeout(1800)
def test_concurrent_appliers_and_clients_lose_no_update(
    database: Database, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sixteen owners change settings of the database and of a role while four other clients change theirs."""
    role = f"reader_of_{database.name}"
    database.run_sql(f"CREATE ROLE {role}")
    is_over = threading.Event()
    manual: Stored = {}
    changes = [0] * CLIENTS
    rounds = -(-1_000 // len(NAMES)) if long else 4

    def manual_change(number: int) -> None:
        whose, name = (role if number % 2 else ""), ("random_page_cost", "cpu_operator_cost")[number // 2]
        whom = f"ROLE {role} IN DATABASE {database.name}" if whose else f"DATABASE {database.name}"
        with database.session() as session:
            while not is_over.is_set():
                try:
                    session.run(f"ALTER {whom} SET {name} = {changes[number] + 1}")
                    changes[number] += 1
                    manual[whose, name] = str(changes[number])
                except pg8000.native.DatabaseError as error:
                    if error.args[0]["C"] not in RACES:
                        raise

    def applier(number: int) -> tuple[int, Stored]:
        """Change settings repeatedly, and sometimes delete and create; the number of events, and the settings that must
        be stored."""
        chance = random.Random(number)
        me: dict[str, Any] = {"Owner": f"Owner/{number}", "Address": f"c8{number}", "seconds": PATIENCE}
        name, old, events = NAMES[number], "", 0
        while events < rounds:
            new = str(chance.randrange(60_000, 99_999))
            roles: dict[str, Any] = {"RoleSettings": json.dumps({role: {name: new}})}
            if not old:
                assert database.create({name: new}, **me, **roles).counts == (2, 2, 0, 0)
            elif old == new or chance.randrange(4):
                database.update({name: new}, {name: old}, **me, **roles)
            else:
                assert database.delete({name: old}, **me).counts == (0, 0, 0, 2)
                new = ""
            old, events = new, events + 1
        return events, ({("", name): old, (role, name): old} if old else {})

    start = time.monotonic()
    try:
        with ThreadPoolExecutor(len(NAMES) + CLIENTS) as pool:
            writing = [pool.submit(manual_change, number) for number in range(CLIENTS)]
            try:
                done = [one.result() for one in [pool.submit(applier, number) for number in range(len(NAMES))]]
            finally:
                is_over.set()
            for one in writing:
                one.result()
        stored = _stored(database)
        assert stored == manual | {key: text for _, expected in done for key, text in expected.items()}
        ledger = database.rows("SELECT role, name, applied FROM cdk_pinsafe.setting")
        assert {(role, name): text for role, name, text in ledger} == {
            key: text for key, text in stored.items() if key not in manual
        }
        assert all(count > 10 for count in changes)
    finally:
        database.clean()
        database.admin.run(f"DROP ROLE {role}")
    if long:
        with capsys.disabled():
            events, seconds = sum(count for count, _ in done), time.monotonic() - start
            print(f"\n{events} events and {sum(changes)} manual changes, no error, none lost, in {seconds:.0f} s")


def test_concurrent_duplicates_are_one_event(database: Database) -> None:
    """A Create that is delivered several times at once has the effect of one."""
    desired = {"jit": "off", "work_mem": "8MB"}
    with ThreadPoolExecutor(4) as pool:
        answers = [answer.result() for answer in [pool.submit(database.create, desired) for _ in range(4)]]
    assert sorted(answer.counts[1] for answer in answers) == [0, 0, 0, 2]
    assert database.stored() == desired
