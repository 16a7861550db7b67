"""The table of client rules in ``docs/lint.md``; ``python -m tests.lint.tables`` writes it."""

from typing import Final

from cdk_pinsafe.lint.client_rules import CLIENT_RULES

from ..docs.pages import page, path, replace_between

PAGE: Final = "lint"
START: Final = "<!-- client rules: python -m tests.lint.tables -->\n"
END: Final = "<!-- end of client rules -->\n"


def table() -> str:
    """The table in Markdown."""
    rows = [f"| `{rule.id}` | {rule.files} | {rule.why} |" for rule in CLIENT_RULES]
    return "\n".join(["| rule | looked for in | why |", "|---|---|---|", *rows]) + "\n"


def with_table(text: str) -> str:
    """The page with today's table between its markers."""
    return replace_between(text, START, END, table())


if __name__ == "__main__":
    path(PAGE).write_text(with_table(page(PAGE)), encoding="utf-8")
