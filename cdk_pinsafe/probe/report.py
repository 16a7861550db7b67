"""A measurement for people, programs and documents: text, JSON and Markdown."""

import json
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

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
        f"Opens at most {options.connections} connections at a time, begins nothing new after {options.seconds:g} s.",
        "Creates temporary objects, and a schema of its own in transactions that it rolls back: nothing outlives it."
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
    """Print a measurement: in full what differs or is settled, and the rest in numbers."""
    found = {one: [result for result in report.results if result.comparison == one] for one in Comparison}
    for title, comparison in (
        ("Differs from the table", Comparison.DIFFERS),
        ("Settles what the table does not know for certain", Comparison.SETTLES),
    ):
        if found[comparison]:
            console.print(f"[bold]{title}[/]")
            _listed(found[comparison], console)
            console.print()
    if found[Comparison.AGREES]:
        console.print("[bold]Agrees with the table[/] (--format json or markdown lists the rows)")
        console.print(Padding(escape(_counted(found[Comparison.AGREES])), (0, 0, 1, 4), expand=False))
    if found[Comparison.NONE]:
        console.print("[bold]Not compared[/]")
        _grouped(found[Comparison.NONE], console)
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
        "pinsafe": metadata.version("cdk-pinsafe"),
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
                "seen_in_round": result.seen_in or None,
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


def _listed(found: Sequence[Result], console: Console) -> None:
    for result in found:
        console.print(
            f"[{_COLORS[result.outcome]}]{result.outcome}[/]  {escape(one_line(result.row.title))}", soft_wrap=True
        )
        details = f"{result.row.id}{_behind(result)}; table: {_expected(result)}"
        console.print(Padding(f"[dim]{escape(details)}[/]", (0, 0, 0, 4), expand=False))


def _counted(found: Sequence[Result]) -> str:
    """How many rows of each group had which outcome."""
    numbers: dict[str, Counter[str]] = {}
    for result in found:
        numbers.setdefault(result.row.group, Counter())[result.outcome] += 1
    return "; ".join(
        f"{group} {', '.join(f'{number} {outcome}' for outcome, number in counts.items())}"
        for group, counts in numbers.items()
    )


def _grouped(found: Sequence[Result], console: Console) -> None:
    """Rows with the same reason together: often it is one reason for nearly all."""
    reasons: dict[str, list[str]] = {}
    for result in found:
        reasons.setdefault(f"{result.outcome}: {one_line(result.reason)}", []).append(result.row.id)
    for reason, ids in reasons.items():
        named = ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")
        console.print(escape(reason))
        console.print(Padding(f"[dim]{escape(named)}[/]", (0, 0, 0, 4), expand=False))


def _expected(result: Result) -> str:
    evidence = f" ({', '.join(result.row.evidence)})" if result.row.evidence else ""
    return f"{result.row.expected}{evidence}"


def _behind(result: Result) -> str:
    """The numbers behind an outcome, or the reason why there is none."""
    if result.outcome in (Outcome.REFUSED, Outcome.CANNOT_TELL):
        return f" ({one_line(result.reason)})"
    if result.outcome == Outcome.PINNED:
        return f" (0 of {result.rounds} rounds, control {result.control}, before {result.before} of 10)"
    return f" (in round {result.seen_in})"
