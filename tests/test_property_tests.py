"""Which examples the property tests of the whole suite get."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINTING = """
from hypothesis import given, strategies as st

drawn = []

@given(st.integers())
def test_it(number):
    drawn.append(number)

def test_print():
    print("drawn:", drawn[2:])
"""


@pytest.mark.parametrize(("options", "same"), [([], True), (["--long"], False)])
def test_examples_are_new_with_long_only(tmp_path: Path, options: list[str], same: bool) -> None:
    """Two runs draw the same numbers, but for `--long`."""
    (tmp_path / "test_it.py").write_text(PRINTING)
    command = [sys.executable, "-m", "pytest", "-s", "-c", "pyproject.toml", "-p", "tests.conftest", *options]
    runs = [
        subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    first, second = ([line for line in run.splitlines() if "drawn:" in line] for run in runs)
    assert first
    assert (first == second) is same
