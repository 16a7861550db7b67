"""The table of ``docs/template-rules.md`` is rendered from the rules."""

from ...docs.pages import page
from .tables import END, PAGE, START, with_table


def test_table_of_rules() -> None:
    text = page(PAGE)
    assert text.count(START) == text.count(END) == 1
    assert with_table(text) == text, "run: python -m tests.cdk.validation.tables"
