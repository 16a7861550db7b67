"""A measurement for people, programs and documents: text, JSON and Markdown."""

import json
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..terminal import one_line, plural
from .rows import Row
from .run import Comparison, Options, Report, Result
from .verdict import ALPHA, LOOKS, Outcome

_COLORS: Final = {
    Outcome.PINNED: "red",
    Outcome.SHARED: "green",
    Outcome.LEAKED: "bold magenta",
    Outcome.REFUSED: "yellow",
    Outcome.CANNOT_TELL: "dim",
}
ERROR_BOUND: Final = len(LOOKS) * ALPHA
"""The highest probability of a wrong `pinned`, per row."""
_SHOWN: Final = 12
VERSION: Final = 1
"""The version of the JSON document."""


def announcement(options: Options, rows: Sequence[Row]) -> str:
    """What the probe is going to do, in a few lines."""
    sent = [row for row in rows if not (row.writes and options.read_only)]
    writing = any(row.writes for row in sent)
    lines = [
        f"Sends up to {len(sent)} statements that might pin, each by a session of its own, and SELECTs in short "
        "transactions between them (--dry-run lists them).",
        f"Opens at most {options.connections} connections at a time, and ends after {options.seconds:g} s.",
        "Creates temporary objects, and a schema of its own in transactions that it rolls back; commits nothing."
        if writing
        else "Creates nothing.",
    ]
    if options.burst:
        lines.append("At the end sends a burst of queries on all connections at the same time.")
    return "\n".join(lines)


def statements(rows: Sequence[Row]) -> str:
    """All that the rows send, for reading; long literals are cut."""
    parts = []
    for row in rows:
        parts.append(f"{row.id}: {row.title}")
        settings = [f"{name}={value}" for name, value in (*row.environment, *row.parameters)]
        texts = [*(step.text for step in row.steps), *(f"connect with {setting}" for setting in settings)]
        parts.extend(f"    {text if len(text) <= 200 else f'{text[:60]}…'}" for text in map(one_line, texts))
    return "\n".join(parts)


def text(report: Report, console: Console) -> None:
    """Print a measurement."""
    for title, outcome in (
        ("Differs from the table", Comparison.DIFFERS),
        ("Settles what the table does not know for certain", Comparison.SETTLES),
        ("Agrees with the table", Comparison.AGREES),
        ("Not compared", Comparison.NONE),
    ):
        found = [result for result in report.results if result.comparison == outcome]
        if not found:
            continue
        console.print(f"[bold]{title}[/] ({len(found)})")
        if outcome == Comparison.NONE:
            _grouped(found, console)
        else:
            _table(found, console)
        console.print()
    for fact in report.facts:
        console.print(escape(one_line(f"{fact.title}: {fact.result}")))
    console.print(f"\n{escape(summary(report))}")


def summary(report: Report) -> str:
    """The numbers, in a sentence or two."""
    agree, differ, settle, none = map(report.count, Comparison)
    return (
        f"Of {plural(len(report.results), 'row')} {agree} agree with the table, {differ} differ, {settle} settle what "
        f"it does not know for certain, and {none} cannot be compared; in {report.seconds:.0f} s. A wrong 'pinned' has "
        f"a probability of at most {ERROR_BOUND:.0e} per row; 'shared', 'leaked' and 'refused' were seen."
    )


def as_json(report: Report) -> str:
    """A measurement as one JSON document. It has no host and no password; errors can name a user or a database."""
    document = {
        "version": VERSION,
        "when": report.when.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 1),
        "server_version": one_line(report.server_version),
        "error_bound": ERROR_BOUND,
        "rows": [
            {
                "id": result.row.id,
                "group": result.row.group,
                "title": result.row.title,
                "outcome": result.outcome,
                "expected": result.row.expected,
                "evidence": result.row.evidence,
                "comparison": result.comparison or None,
                "reason": one_line(result.reason),
                "rounds": result.rounds,
                "control_handovers": result.control,
                "handovers_before": result.before,
            }
            for result in report.results
        ],
        "facts": [{"id": fact.id, "title": fact.title, "result": one_line(fact.result)} for fact in report.facts],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def markdown(report: Report) -> str:
    """A measurement as a Markdown table."""
    lines = [
        f"PostgreSQL {one_line(report.server_version)}, {report.when:%Y-%m-%d}",
        "",
        "| id | what is sent | outcome | table | comparison |",
        "|---|---|---|---|---|",
    ]
    for result in report.results:
        title = one_line(result.row.title).replace("|", "\\|")
        behind = _behind(result).replace("|", "\\|")
        lines.append(
            f"| `{result.row.id}` | {title} | {result.outcome}{behind} | {_expected(result)} | {result.comparison} |"
        )
    lines += ["", *(f"- {fact.title}: {one_line(fact.result)}" for fact in report.facts), "", summary(report)]
    return "\n".join(lines)


def _table(found: Sequence[Result], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for result in found:
        table.add_row(
            f"[{_COLORS[result.outcome]}]{result.outcome}[/]{escape(_behind(result))}",
            escape(one_line(result.row.title)),
            f"[dim]{result.row.id}; table: {_expected(result)}[/]",
        )
    console.print(table)


def _grouped(found: Sequence[Result], console: Console) -> None:
    """Rows with the same reason together: often it is one reason for nearly all."""
    reasons: dict[str, list[str]] = {}
    for result in found:
        reasons.setdefault(f"{result.outcome}: {one_line(result.reason)}", []).append(result.row.id)
    for reason, ids in reasons.items():
        named = ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")
        console.print(f"{escape(reason)}\n    [dim]{escape(named)}[/]")


def _expected(result: Result) -> str:
    return f"{result.row.expected} ({', '.join(result.row.evidence)})"


def _behind(result: Result) -> str:
    """The numbers behind an outcome, or the reason why there is none."""
    if result.outcome in (Outcome.REFUSED, Outcome.CANNOT_TELL):
        return f" ({one_line(result.reason)})"
    if result.outcome == Outcome.PINNED:
        return f" (0 of {result.rounds} rounds, control {result.control}, before {result.before} of 10)"
    return f" (in round {result.rounds})"
