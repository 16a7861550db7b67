"""The sentences and numbers that the text and HTML reports share."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ..pinning.clients import Client
from ..terminal import plural
from .cardinality import RELATIVE_ERROR
from .report import Connections, DigestRow, LogReport, Setting

__all__ = [
    "CAVEAT",
    "about",
    "busiest",
    "connections",
    "duration",
    "either",
    "headline",
    "inputs",
    "joined",
    "moment",
    "opt_outs",
    "rate",
    "rounded",
    "settings_lines",
    "size",
    "span",
    "unknown",
    "what",
]

CAVEAT: Final = (
    "Times are UTC. A digest is a statement as the proxy logs it, with $1, $2 in place of values. AWS says that the "
    "log's format may change; nothing of this was tried on AWS. Who sends a digest is inferred from what clients are "
    "known to send."
)
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def headline(report: LogReport) -> str:
    """The result in one line."""
    if not report.pins:
        return "No session was pinned."
    return f"{plural(report.pins, 'session')} {'was' if report.pins == 1 else 'were'} pinned."


def inputs(report: LogReport) -> str:
    """What was read."""
    names = ", ".join(report.inputs[:3])
    if (more := len(report.inputs) - 3) > 0:
        names += f" and {more:,} more"
    lines = plural(report.lines.total, "line")
    if report.only_pins:
        lines += " about pins, the only ones that were requested"
    parts = [names, f"{lines} ({size(report.bytes)})"]
    if report.first is not None and report.last is not None:
        parts.append(span(report.first, report.last))
    if report.lines.repeated:
        parts.append(f"{plural(report.lines.repeated, 'repeated line')} counted once")
    return "; ".join(parts)


def busiest(report: LogReport) -> str | None:
    """The bar with the most pins; None if no pin has a time."""
    if (found := report.busiest) is None:
        return None
    start, pins = found
    return f"most in the {duration(report.chart.width)} from {moment(start)}: {plural(pins, 'pin')}"


def rate(report: LogReport) -> str | None:
    """The average number of pins per hour; None for a log of less than ten minutes."""
    if report.first is None or report.last is None or report.last - report.first < 600:
        return None
    pins = report.pins * 3600 / (report.last - report.first)
    return f"{pins:,.0f}" if pins >= 10 else f"{pins:.1f}"


def what(row: DigestRow) -> str:
    """What pinned: the digest, or else the reason."""
    if row.folded:
        return "other digests, too many to list"
    if row.digest is not None:
        return row.digest
    return f"(no digest) {row.reason}" if row.reason else "(neither digest nor reason)"


def about(row: DigestRow) -> str:
    """The condition, client connections, times and evidence of a row."""
    parts = [row.title, connections(row.connections)]
    if row.first is not None and row.last is not None:
        parts.append(span(row.first, row.last))
    if row.joined:
        parts.append(joined(row))
    if row.evidence:
        parts.append(f"evidence: {', '.join(row.evidence)}")
    return "; ".join(parts)


def joined(row: DigestRow) -> str:
    """How pins without a digest got theirs."""
    return f"the digest of {row.joined:,} is from the line that announced it, by client connection (inferred)"


def connections(of: Connections) -> str:
    """`12 client connections`, `about 53,000 client connections`."""
    if of.exact:
        return plural(of.count, "client connection")
    return f"about {rounded(of):,} client connections (± {RELATIVE_ERROR:.1%})"


def rounded(of: Connections) -> int:
    """The number, to three digits if it is an estimate."""
    return of.count if of.exact else round(of.count, 3 - len(str(of.count)))


def unknown(report: LogReport) -> str:
    """How many lines were not recognized."""
    count = report.lines.unknown
    listed = sum(of_form for _, of_form in report.lines.forms.values())
    forms = "of these forms" if listed == count else "the first of them of these forms"
    return f"{plural(count, 'line')} {'was' if count == 1 else 'were'} not recognized, {forms}:"


def settings_lines(settings: Sequence[Setting]) -> list[str]:
    """The keyword argument for `DatabaseSettings` as lines; an unknown value is `...`."""
    return ["settings={", *(f"    {_entry(setting)}" for setting in settings), "}"]


def opt_outs(report: LogReport) -> list[tuple[Client, int]]:
    """The likely clients, with the pins that each may have caused."""
    counts: dict[str, int] = {}
    by_name: dict[str, Client] = {}
    for one in report.clients:
        for client in one.clients:
            by_name[client.name] = client
            counts[client.name] = counts.get(client.name, 0) + one.count
    return [(by_name[name], counts[name]) for name in counts]


def either(names: Sequence[str]) -> str:
    """`Knex or Laravel`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def moment(second: int) -> str:
    """`2023-09-06 08:28:13`."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(first: int, last: int) -> str:
    """`2023-09-06 08:28:13 to 09:00:00`."""
    start, end = moment(first), moment(last)
    if first == last:
        return start
    return f"{start} to {end[11:] if start[:10] == end[:10] else end}"


def duration(seconds: int) -> str:
    """`15 min`."""
    return next(f"{seconds // length} {unit}" for unit, length in _UNITS if seconds % length == 0)


def size(count: int) -> str:
    """`1.2 MB`."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:,} B"


def _entry(setting: Setting) -> str:
    name = json.dumps(setting.name)
    if setting.value is None:
        return f"{name}: ...,  # the value that your client sends: the log has $1"
    value = list(setting.value) if isinstance(setting.value, tuple) else setting.value
    return f"{name}: {json.dumps(value, ensure_ascii=False)},  # {setting.origin}"
