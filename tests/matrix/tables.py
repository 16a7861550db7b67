"""The table of driven clients in ``docs/pinning.md``; ``python -m tests.matrix.tables`` writes it."""

from typing import Final

from cdk_pinsafe.pinning.clients import Pins

from ..docs.pages import page, path, replace_between
from .matrix import MATRIX, Driven

PAGE: Final = "pinning"
START: Final = "<!-- driven clients: python -m tests.matrix.tables -->\n"
END: Final = "<!-- end of driven clients -->\n"


def table() -> str:
    """The table in Markdown."""
    rows = ["| client | version | meets | and nothing with |", "|---|---|---|---|"]
    rows += [f"| {one.client} | {one.version} | {_by_default(one)} | {_recommended(one)} |" for one in MATRIX]
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The page with today's table between its markers."""
    return replace_between(text, START, END, table())


def _by_default(one: Driven) -> str:
    if one.row.pins is Pins.REFUSED:
        return "refused, if given `statement_timeout`"
    return ", ".join(f"`{condition}`" for condition in one.row.conditions) or "nothing"


def _recommended(one: Driven) -> str:
    if one.row.pins is Pins.NO:
        return ""
    held = f"; {', '.join(f'`{name}`' for name in one.after)} in the database" if one.after else ""
    return one.row.opt_out.replace("|", "\\|") + held


if __name__ == "__main__":
    path(PAGE).write_text(with_table(page(PAGE)), encoding="utf-8")
