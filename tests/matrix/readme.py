"""The README's table of driven clients, rendered from the matrix; ``python -m tests.matrix.readme`` writes it."""

from pathlib import Path
from typing import Final

from cdk_pinsafe.pinning.clients import Pins

from .matrix import MATRIX, Driven

README: Final = Path("README.md")
START: Final = "<!-- driven clients: python -m tests.matrix.readme -->\n"
END: Final = "<!-- end of driven clients -->\n"


def table() -> str:
    """The table in Markdown."""
    rows = ["| client | version | meets | and nothing with |", "|---|---|---|---|"]
    rows += [f"| {one.client} | {one.version} | {_by_default(one)} | {_recommended(one)} |" for one in MATRIX]
    return "\n".join(rows) + "\n"


def with_table(readme: str) -> str:
    """The README with the table of today between its markers."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def _by_default(one: Driven) -> str:
    if one.row.pins is Pins.REFUSED:
        return "refused, if given `statement_timeout`"
    return ", ".join(f"`{condition}`" for condition in one.row.conditions) or "nothing"


def _recommended(one: Driven) -> str:
    if one.row.pins is Pins.NO:
        return ""
    held = f"; {', '.join(f'`{name}`' for name in one.after)} in the database" if one.after else ""
    return one.row.switch.replace("|", "\\|") + held


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
