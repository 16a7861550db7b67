"""The report as text, for a terminal or a file."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from . import phrasing
from .report import LogReport

__all__ = ["PLAIN_WIDTH", "write_text"]

PLAIN_WIDTH: Final = 100
"""Columns without a terminal."""
_DIGESTS: Final = 10
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_MOST_BARS: Final = 60


def write_text(report: LogReport, stream: TextIO) -> None:
    """Write the report, with colors if the stream is a terminal."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    width = max(60, console.width) if console.is_terminal else PLAIN_WIDTH
    for line in _lines(report, width):
        console.print(line)


def _lines(report: LogReport, width: int) -> Iterator[Text]:
    yield Text(phrasing.headline(report), style="bold red" if report.pins else "bold green")
    yield from _wrapped(phrasing.inputs(report), width, "  ")
    if report.pins:
        yield from _chart(report, width)
        yield from _digests(report, width)
        yield from _advice(report, width)
    yield from _unknown(report, width)
    yield from (line for note in report.notes for line in _wrapped(f"note: {note}", width, "  ", "yellow"))
    yield Text()
    yield from _wrapped(phrasing.CAVEAT, width, "", "dim")


def _chart(report: LogReport, width: int) -> Iterator[Text]:
    yield Text()
    chart = report.chart
    titles = max(len(row.title) for row in report.conditions)
    merged = -(-chart.bars // max(1, min(_MOST_BARS, width - titles - 22))) or 1
    busiest = phrasing.busiest(report)
    yield Text.assemble(
        ("Pins over time", "bold"), f", {phrasing.duration(chart.width * merged)} a bar" if busiest else ""
    )
    for row in report.conditions:
        bars = [sum(row.bars[at : at + merged]) for at in range(0, chart.bars, merged)]
        yield Text.assemble(
            f"  {row.title.ljust(titles)}  {row.count:>9,}  {row.count / report.pins:>4.0%}  ",
            (_sparkline(bars).rstrip(), "red"),
        )
    if busiest:
        yield Text(f"  {busiest}", style="dim")


def _sparkline(bars: Sequence[int]) -> str:
    most = max(bars, default=0) or 1
    return "".join(" " if not one else _SPARKS[(one * len(_SPARKS) - 1) // most] for one in bars)


def _digests(report: LogReport, width: int) -> Iterator[Text]:
    yield Text()
    yield Text("What pinned", style="bold")
    for row in report.digests[:_DIGESTS]:
        head = f"{row.count:>9,}  "
        indent = " " * len(head)
        first, *rest = textwrap.wrap(phrasing.what(row), width - len(head), max_lines=4, placeholder=" …")
        yield Text.assemble((head, "bold"), (first, "bold"))
        yield from (Text(indent + line, style="bold") for line in rest)
        yield from _wrapped(phrasing.about(row), width, indent, "dim")
        if row.clients:
            yield from _wrapped(f"as {phrasing.either(row.clients)} would send it", width, indent)
        for remedy in row.remedies:
            yield from _wrapped(f"→ {remedy}", width, indent, "green")
    if len(report.digests) > _DIGESTS:
        yield Text(f"  and {len(report.digests) - _DIGESTS:,} more: see --format html or json", style="dim")


def _advice(report: LogReport, width: int) -> Iterator[Text]:
    yield Text()
    yield Text("What to do", style="bold")
    if report.settings:
        yield Text("  In the database, so that clients need not send it:")
        yield from (Text(f"    {line}", style="green") for line in phrasing.settings_lines(report.settings))
    if report.clients:
        yield Text("  In the clients, if they send it:")
        for client, count in phrasing.opt_outs(report):
            yield from _wrapped(f"{client.name}: {client.opt_out}  ({count:,} pins)", width, "    ", "green")
    if not report.settings and not report.clients:
        yield from _wrapped("No setting and no option of a known client helps: see above.", width, "  ")


def _unknown(report: LogReport, width: int) -> Iterator[Text]:
    if report.lines.unknown:
        yield Text()
        yield Text(phrasing.unknown(report), style="bold")
        for sample, count in report.lines.forms.values():
            yield from _wrapped(f"{count:,} of: {sample}", width, "  ", "dim")


def _wrapped(text: str, width: int, indent: str, style: str = "") -> Iterator[Text]:
    hanging = indent + ("  " if text.startswith("→") else "")
    for line in textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=hanging):
        yield Text(line, style=style)
