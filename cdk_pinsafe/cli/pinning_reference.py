"""``pinsafe conditions`` and ``pinsafe clients``: shows the tables of conditions and clients, as text or JSON."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..pinning.clients import CLIENTS, PARAMETER_STATUS_CAVEAT, Client, client
from ..pinning.conditions import CAVEATS, CONDITIONS, Caveat, Condition, Evidence, condition

_SHOWN_SQL = 200


def show_conditions(id: str | None, *, output_format: str) -> None:
    """Print the list of conditions, or the details of one.

    Raises:
        UnknownNameError: there is no condition with this id.
    """
    if id is None:
        _show("conditions", CONDITIONS, CAVEATS, _conditions_list(), output_format)
    else:
        one = condition(id)
        _show("conditions", [one], [], _condition_page(one), output_format)


def show_clients(name: str | None, *, output_format: str) -> None:
    """Print the list of clients, or the details of one.

    Raises:
        UnknownNameError: there is no client with this name.
    """
    if name is None:
        _show("clients", CLIENTS, [PARAMETER_STATUS_CAVEAT], _clients_list(), output_format)
    else:
        one = client(name)
        _show(
            "clients",
            [one],
            [PARAMETER_STATUS_CAVEAT] if one.depends_on_parameter_status else [],
            _client_page(one),
            output_format,
        )


def shortened(sql: str) -> str:
    """A statement in one line; a long one is truncated, with its size."""
    line = " ".join(sql.split())
    return line if len(line) <= _SHOWN_SQL else f"{line[:40]}… ({len(sql.encode())} bytes)"


def evidence_text(evidence: Iterable[Evidence]) -> str:
    """The evidence as text: ``documented, measured``."""
    return ", ".join(evidence)


def _show(
    table: str, rows: Sequence[Condition | Client], caveats: Sequence[Caveat], shown: RenderableType, output_format: str
) -> None:
    if output_format == "json":
        plain = {
            name: [dataclasses.asdict(row) for row in some] for name, some in ((table, rows), ("caveats", caveats))
        }
        sys.stdout.write(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
    else:
        console = Console(highlight=False)
        with console.capture() as captured:
            console.print(shown)
        # rich pads each line with spaces, which would be copied with the text.
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _conditions_list() -> Group:
    rows = [(one.id, one.title, one.evidence, [one.pins, f"instead: {one.remedy}"]) for one in CONDITIONS]
    return Group(_list(rows), *map(_caveat, CAVEATS))


def _clients_list() -> Group:
    rows = [
        (one.name, f"{one.versions}: pins {one.pins}", one.evidence, [one.sends, f"stop it: {one.opt_out}"])
        for one in CLIENTS
    ]
    named = ", ".join(one.name for one in CLIENTS if one.depends_on_parameter_status)
    return Group(_list(rows), _caveat(PARAMETER_STATUS_CAVEAT, f"such clients: {named}"))


def _list(rows: Iterable[tuple[str, str, Iterable[Evidence], list[str]]]) -> Group:
    """Rows of a heading and lines below it; a wide table is hard to read on a narrow terminal."""
    parts: list[RenderableType] = []
    for name, words, evidence, lines in rows:
        parts.append(Text.assemble((name, "bold"), f"  {words}  ", (f"({evidence_text(evidence)})", "dim")))
        parts.extend(Padding(Text(line), (0, 0, 0, 4)) for line in lines)
        parts.append("")
    return Group(*parts[:-1])


def _caveat(one: Caveat, *lines: str) -> Group:
    known = f"({evidence_text(one.evidence)}: {' '.join(one.source)})"
    said = Text.assemble("\n", (one.title, "bold"), f" {one.text} ", (known, "dim"))
    return Group(said, *(Padding(Text(line), (0, 0, 0, 4)) for line in lines))


def _condition_page(one: Condition) -> Table:
    return _page(
        f"{one.title} ({one.id})",
        {
            "pins": [one.pins],
            "safe": [one.safe],
            "instead": [one.remedy],
            "logged as": list(one.log_reasons),
            "evidence": [evidence_text(one.evidence)],
            "source": list(one.source),
            "SQL that pins": [shortened(sql) for sql in one.pinning_examples],
            "SQL that does not": [shortened(sql) for sql in one.safe_examples],
        },
    )


def _client_page(one: Client) -> Table:
    caveat = PARAMETER_STATUS_CAVEAT
    return _page(
        f"{one.name} {one.versions}",
        {
            "language": [f"{one.language} ({one.package})" if one.package else one.language],
            "sends": [one.sends],
            "pins": [f"{one.pins}: {', '.join(one.conditions)}" if one.conditions else one.pins],
            "stop it": [one.opt_out],
            "the database can hold": [", ".join(one.settings) or "nothing in place of it"],
            "evidence": [evidence_text(one.evidence)],
            "source": list(one.source),
            "its SQL": [shortened(sql) for sql in one.statements],
            "not known": [f"{caveat.title} {caveat.text} ({evidence_text(caveat.evidence)})"]
            * one.depends_on_parameter_status,
        },
    )


def _page(title: str, parts: dict[str, list[str]]) -> Table:
    page = Table.grid(padding=(0, 2, 0, 0))
    page.title = Text(title, "bold")
    page.title_justify = "left"
    page.add_column(style="dim", no_wrap=True)
    page.add_column(overflow="fold")
    for heading, lines in parts.items():
        for number, line in enumerate(lines):
            page.add_row("" if number else heading, line)
    return page
