"""Several appliers, and hands that write at the same time, on one database."""

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
HANDS: Final = 4
PATIENCE: Final = 600.0
"""Seconds: what Lambda gives the applier. On a busy machine the last of sixteen waits for the lock for long."""
RACES: Final = ("XX000", "23505")
"""What PostgreSQL answers a hand that was slower than another writer; hands try again."""

Stored = dict[tuple[str, str], str]


def _stored(database: Database) -> Stored:
    """By role, empty for the database's own, and parameter."""
    every = database.cluster.catalogue()
    return {(role, name): text for (where, role, name), text in every.items() if where == database.name}


@pytest.mark.timeout(1800)
def test_appliers_and_hands_do_not_lose_each_others_work(
    database: Database, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sixteen owners with settings of their own, of the database and of a role, and four hands that write all the
    while: no error, no update lost."""
    role = f"reader_of_{database.name}"
    database.run_sql(f"CREATE ROLE {role}")
    is_over = threading.Event()
    by_hand: Stored = {}
    deeds = [0] * HANDS
    rounds = -(-1_000 // len(NAMES)) if long else 4

    def manual_change(number: int) -> None:
        whose, name = (role if number % 2 else ""), ("random_page_cost", "cpu_operator_cost")[number // 2]
        whom = f"ROLE {role} IN DATABASE {database.name}" if whose else f"DATABASE {database.name}"
        with database.session() as session:
            while not is_over.is_set():
                try:
                    session.run(f"ALTER {whom} SET {name} = {deeds[number] + 1}")
                    deeds[number] += 1
                    by_hand[whose, name] = str(deeds[number])
                except pg8000.native.DatabaseError as error:
                    if error.args[0]["C"] not in RACES:
                        raise

    def applier(number: int) -> tuple[int, Stored]:
        """Change settings again and again, and sometimes begin anew; how many events that took, and what must stand."""
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
        with ThreadPoolExecutor(len(NAMES) + HANDS) as pool:
            writing = [pool.submit(manual_change, number) for number in range(HANDS)]
            try:
                done = [one.result() for one in [pool.submit(applier, number) for number in range(len(NAMES))]]
            finally:
                is_over.set()
            for one in writing:
                one.result()
        stored = _stored(database)
        assert stored == by_hand | {key: text for _, stands in done for key, text in stands.items()}
        ledger = database.rows("SELECT role, name, applied FROM cdk_pinsafe.setting")
        assert {(role, name): text for role, name, text in ledger} == {
            key: text for key, text in stored.items() if key not in by_hand
        }
        assert all(count > 10 for count in deeds)
    finally:
        database.clean()
        database.admin.run(f"DROP ROLE {role}")
    if long:
        with capsys.disabled():
            events, seconds = sum(count for count, _ in done), time.monotonic() - start
            print(f"\n{events} events and {sum(deeds)} deeds of hands, no error, none lost, in {seconds:.0f} s")


def test_the_same_event_many_times_at_once_is_one_event(database: Database) -> None:
    """A creation delivered several times at once ends as one."""
    wish = {"jit": "off", "work_mem": "8MB"}
    with ThreadPoolExecutor(4) as pool:
        answers = [answer.result() for answer in [pool.submit(database.create, wish) for _ in range(4)]]
    assert sorted(answer.counts[1] for answer in answers) == [0, 0, 0, 2]
    assert database.stored() == wish
