"""The table of rules in ``docs/template-rules.md``; ``python -m tests.cdk.validation.tables`` writes it."""

from typing import Final

from cdk_pinsafe.cdk.validation.rules import RULES

from ...docs.pages import page, path, replace_between

PAGE: Final = "template-rules"
START: Final = "<!-- rules: python -m tests.cdk.validation.tables -->\n"
END: Final = "<!-- end of rules -->\n"


def table() -> str:
    """The table in Markdown."""
    rows = ["| rule | severity | finds | why it is bad | instead | evidence |", "|---|---|---|---|---|---|"]
    rows += [
        f"| `{rule.id}` | {rule.severity} | {rule.finds} | {rule.why} | {rule.instead} | {rule.evidence} |"
        for rule in RULES
    ]
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The page with today's table between its markers."""
    return replace_between(text, START, END, table())


if __name__ == "__main__":
    path(PAGE).write_text(with_table(page(PAGE)), encoding="utf-8")
