"""What the README tells of the driven clients is what the matrix drives."""

from .matrix import MATRIX
from .readme import END, README, START, with_table


def test_table_of_driven_clients_is_rendered_from_the_matrix() -> None:
    """No row of the README says anything else than the matrix and the catalogue."""
    readme = README.read_text(encoding="utf-8")
    assert readme.count(START) == readme.count(END) == 1
    assert with_table(readme) == readme, "run: python -m tests.matrix.readme"


def test_versions_of_the_table_are_ones_that_its_expectations_hold_for() -> None:
    """The README names versions for which the matrix holds the catalogue's rows."""
    assert all(one.covers(one.version) for one in MATRIX)
