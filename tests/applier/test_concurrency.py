"""Several appliers, and hands that write at the same time, on one database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pg8000.native

from .world import Database

APPLIERS = 8
ROUNDS = 6
NAMES = [
    "work_mem",
    "maintenance_work_mem",
    "temp_buffers",
    "effective_cache_size",
    "hash_mem_multiplier",
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
]


def _value(name: str, number: int) -> str:
    return f"{1 + number}.5" if name == "hash_mem_multiplier" else str(60_000 + number)


def test_appliers_and_a_hand_do_not_lose_each_others_work(database: Database) -> None:
    """Eight owners, each with settings of its own, and a hand writing all the while: no error, no update lost."""
    stop = threading.Event()
    by_hand = 0

    def hand() -> None:
        nonlocal by_hand
        with database.session() as session:
            while not stop.is_set():
                try:
                    session.run(f"ALTER DATABASE {database.name} SET random_page_cost = {1 + by_hand % 9}")
                    by_hand += 1
                except pg8000.native.DatabaseError as error:
                    # PostgreSQL lets concurrent writers fail; hands see it too.
                    if error.args[0]["C"] not in ("XX000", "23505"):
                        raise

    def applier(number: int) -> None:
        name = NAMES[number]
        me: dict[str, Any] = {"Owner": f"Owner/{number}", "Address": f"c8{number}"}
        database.create({name: _value(name, 0)}, **me)
        for turn in range(1, ROUNDS):
            database.update({name: _value(name, turn)}, {name: _value(name, turn - 1)}, **me)

    with ThreadPoolExecutor(APPLIERS + 1) as pool:
        writing = pool.submit(hand)
        try:
            for done in [pool.submit(applier, number) for number in range(APPLIERS)]:
                done.result()
        finally:
            stop.set()
        writing.result()

    stored = database.stored()
    assert by_hand > 50
    assert float(stored.pop("random_page_cost")) == 1 + (by_hand - 1) % 9
    assert stored == {name: _value(name, ROUNDS - 1) for name in NAMES}
    assert {name: row["applied"] for name, row in database.ledger().items()} == stored


def test_the_same_event_many_times_at_once_is_one_event(database: Database) -> None:
    """A creation delivered several times at once ends as one."""
    wish = {"jit": "off", "work_mem": "8MB"}
    with ThreadPoolExecutor(4) as pool:
        answers = [answer.result() for answer in [pool.submit(database.create, wish) for _ in range(4)]]
    assert sorted(answer.counts[1] for answer in answers) == [0, 0, 0, 2]
    assert database.stored() == wish
