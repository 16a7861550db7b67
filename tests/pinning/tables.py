"""The table of conditions in ``docs/pinning.md``; ``python -m tests.pinning.tables`` writes it."""

from typing import Final

from cdk_pinsafe.pinning.conditions import CAVEATS, CONDITIONS

from ..docs.pages import page, path, replace_between

PAGE: Final = "pinning"
START: Final = "<!-- conditions: python -m tests.pinning.tables -->\n"
END: Final = "<!-- end of conditions -->\n"


def table() -> str:
    """The table in Markdown."""
    rows = ["| id | pins | looks alike and is safe | evidence |", "|---|---|---|---|"]
    for one in CONDITIONS:
        cells = (f"`{one.id}`", one.pins, one.safe, ", ".join(one.evidence))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def caveats() -> str:
    """What is no row of the table, as a list in Markdown."""
    return "".join(
        f"- **{one.title}** {one.text} (*{', '.join(one.evidence)}*: "
        + ", ".join(f"[source]({link})" for link in one.source)
        + ")\n"
        for one in CAVEATS
    )


def with_table(text: str) -> str:
    """The page with today's table between its markers."""
    return replace_between(text, START, END, f"{table()}\nBeside the table:\n\n{caveats()}")


if __name__ == "__main__":
    path(PAGE).write_text(with_table(page(PAGE)), encoding="utf-8")
