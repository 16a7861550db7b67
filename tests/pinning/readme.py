"""The README's table of conditions, and what stands beside it, rendered from the knowledge.

``python -m tests.pinning.readme`` writes it.
"""

from pathlib import Path
from typing import Final

from cdk_pinsafe.pinning.conditions import CONDITIONS, LIMITS

README: Final = Path("README.md")
START: Final = "<!-- conditions: python -m tests.pinning.readme -->\n"
END: Final = "<!-- end of conditions -->\n"


def table() -> str:
    """The table in Markdown."""
    rows = ["| id | pins | looks alike and is safe | evidence |", "|---|---|---|---|"]
    for one in CONDITIONS:
        cells = (f"`{one.id}`", one.pins, one.safe, ", ".join(one.evidence))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def limits() -> str:
    """What is no row of the table, as a list in Markdown."""
    return "".join(
        f"- **{one.title}** {one.text} (*{', '.join(one.evidence)}*: "
        + ", ".join(f"[source]({link})" for link in one.source)
        + ")\n"
        for one in LIMITS
    )


def with_table(readme: str) -> str:
    """The README with the table of today between its markers."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\nBeside the table:\n\n{limits()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
