"""The tables of ``docs/pinning.md`` are rendered from the code."""

from ..docs.pages import page
from .tables import END, PAGE, START, with_table


def test_table_of_conditions() -> None:
    text = page(PAGE)
    assert text.count(START) == text.count(END) == 1
    assert with_table(text) == text, "run: python -m tests.pinning.tables"
