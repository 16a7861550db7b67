"""`pinsafe lint` against a bare parse of the same statements, in one run."""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROUNDS = 3
STATEMENTS = 100_000

PARSE = """
import postgast
for statement in open("statements.sql", encoding="utf-8").read().split(";\\n"):
    postgast.parse(statement)
"""


def statement(number: int) -> str:
    """What an application sends: one of a hundred pins."""
    if number % 100 == 0:
        return f"SET search_path TO tenant_{number}, public"
    if number % 3 == 0:
        return f"INSERT INTO orders (customer_id, state, total) VALUES ({number}, 'new', {number}.50) RETURNING id"
    return (
        "SELECT o.id, o.state::text, c.name FROM orders o JOIN customers c ON c.id = o.customer_id "
        f"WHERE o.id = {number} AND o.created_at > now() - interval '7 days' ORDER BY o.id"
    )


@pytest.mark.benchmark
@pytest.mark.parametrize("script", ["plain SQL", "psql"])
def test_lint_is_at_least_three_times_as_fast_as_a_parse(tmp_path: Path, script: str) -> None:
    """Linting 100,000 statements, of which 1 % pin, takes at most a third of parsing each, start-up included."""
    text = ";\n".join(map(statement, range(STATEMENTS)))
    (tmp_path / "statements.sql").write_text(text)
    (tmp_path / "lint.sql").write_text(text if script == "plain SQL" else f"\\set ON_ERROR_STOP on\n{text}")
    pinsafe = Path(sys.executable).with_name("pinsafe")
    programs: tuple[Sequence[str | Path], ...] = (
        [sys.executable, "-c", PARSE],
        [pinsafe, "lint", "lint.sql", "--format", "json"],
    )
    rounds = [[_seconds(program, tmp_path) for program in programs] for _ in range(ROUNDS)]
    parse, lint = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"\n{script}: parse {parse:.2f} s, lint {lint:.2f} s, {parse / lint:.1f} times as fast")
    assert parse / lint >= 3


def _seconds(program: Sequence[str | Path], folder: Path) -> float:
    """The processor's time that a program takes, which what else runs on the machine disturbs less than the clock."""
    before = os.times()
    ran = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    after = os.times()
    taken = after.children_user + after.children_system - before.children_user - before.children_system
    assert ran.stderr == ""
    assert ran.returncode == 0 or f'"findings": {STATEMENTS // 100}' in ran.stdout
    return taken


@pytest.mark.benchmark
def test_help_is_quick() -> None:
    """`pinsafe --help` takes less than 0.2 s, however many packages there are."""
    pinsafe = Path(sys.executable).with_name("pinsafe")
    taken = [_seconds([pinsafe, "--help"], Path.cwd()) for _ in range(7)]
    print(f"\npinsafe --help {statistics.median(taken):.2f} s")
    assert statistics.median(taken) < 0.2
