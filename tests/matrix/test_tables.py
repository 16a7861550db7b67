"""The table of driven clients is rendered from the matrix."""

from ..docs.pages import page
from .matrix import MATRIX
from .tables import END, PAGE, START, with_table


def test_table_of_driven_clients() -> None:
    text = page(PAGE)
    assert text.count(START) == text.count(END) == 1
    assert with_table(text) == text, "run: python -m tests.matrix.tables"


def test_table_names_versions_that_its_rows_cover() -> None:
    assert all(one.covers(one.version) for one in MATRIX)
