"""Finding what pins against a bare parse of everything, in one run."""

import random
import statistics
import time
from collections.abc import Callable

import postgast
import pytest

from cdk_pinsafe.pinning.statements import analyse

STATEMENTS = 20_000
ROUNDS = 7
EVERYDAY = (
    "SELECT o.id, o.state, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = {} LIMIT 10",
    "UPDATE orders SET state = 'sent', updated_at = now() WHERE id = {}",
    "INSERT INTO orders (customer_id, state, total) VALUES ({}, 'new', 12.50) RETURNING id",
    "DELETE FROM sessions WHERE id = {} AND expires_at < now() - interval '7 days'",
    "WITH recent AS (SELECT id FROM orders WHERE total > 10) SELECT * FROM recent WHERE id > {} OFFSET 5",
)
PINNING = ("SET search_path TO app, public", "SELECT nextval('orders_id_seq')", "SELECT pg_advisory_lock({})")


def statements() -> list[str]:
    """Everyday statements, one of a hundred of which pins."""
    chance = random.Random(4)
    return [
        chance.choice(PINNING if chance.random() < 0.01 else EVERYDAY).format(number) for number in range(STATEMENTS)
    ]


def medians(*works: Callable[[], object]) -> list[float]:
    """The median processor time of each, taken in turns, so that whatever else the machine does falls on all."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, times in zip(works, taken, strict=True):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    return [statistics.median(times) for times in taken]


@pytest.mark.benchmark
def test_analysis_is_three_times_as_fast_as_a_bare_parse() -> None:
    """Statement by statement, and as one text, analysis takes at most a third of a bare postgast.parse of each."""
    each = statements()
    script = ";\n".join(each)
    bare, alone, together = medians(
        lambda: [postgast.parse(sql) for sql in each], lambda: [analyse(sql) for sql in each], lambda: analyse(script)
    )
    assert 100 < len(analyse(script).findings) < 400
    print(
        f"{STATEMENTS} statements: bare parse {bare:.3f} s, analysed one by one {alone:.3f} s "
        f"({bare / alone:.1f} times as fast), as one text {together:.3f} s ({bare / together:.1f} times as fast)"
    )
    assert bare / alone >= 3
    assert bare / together >= 3


@pytest.mark.benchmark
def test_time_is_linear_in_the_text() -> None:
    """Four times the text takes at most six times as long."""
    each = statements()
    quarter, whole = ";".join(each[: len(each) // 4]), ";".join(each)
    short, long = medians(lambda: analyse(quarter), lambda: analyse(whole))
    print(f"4 times the text takes {long / short:.1f} times as long")
    assert long / short <= 6
