"""Finding what pins against a bare parse of everything, in one run."""

import random
import statistics
import time
from collections.abc import Callable

import postgast
import pytest

from cdk_pinsafe.pinning.statements import analyse

STATEMENTS = 20_000
ROUNDS = 3
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


def median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@pytest.mark.benchmark
def test_analysis_is_three_times_as_fast_as_a_bare_parse() -> None:
    """Statement by statement, and as one text, analysis takes at most a third of a bare postgast.parse of each."""
    each = statements()
    script = ";\n".join(each)
    bare = median(lambda: [postgast.parse(sql) for sql in each])
    alone = median(lambda: [analyse(sql) for sql in each])
    together = median(lambda: analyse(script))
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
    each = statements()[: STATEMENTS // 2]
    quarter, whole = ";".join(each[: len(each) // 4]), ";".join(each)
    ratio = median(lambda: analyse(whole)) / median(lambda: analyse(quarter))
    print(f"4 times the text takes {ratio:.1f} times as long")
    assert ratio <= 6
