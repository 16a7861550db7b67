"""The result of a scan for the reports: rows of conditions, digests and clients, with remedies.

Combines the counts with :mod:`cdk_pinsafe.pinning`. Text from the log is untrusted: unprintable characters, such as
terminal escapes and bidirectional controls, are replaced by escapes here, for all outputs. Knows nothing of formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..pinning.clients import Client, Pins, recognise
from ..pinning.conditions import REASON_PARSE, Condition, Evidence, condition
from ..pinning.remedies import movable
from ..pinning.statements import StatementFinding, analyse
from .aggregation import WIDTHS, Group, GroupKey
from .cardinality import DistinctCounter
from .scan import Lines, Scanner

__all__ = ["Chart", "Clients", "ConditionRow", "Connections", "DigestRow", "LogReport", "Setting", "build"]

Value = str | tuple[str, ...]
COLUMNS: Final = 120
"""Bars of the chart, at most."""

_UNKNOWN_TITLE: Final = "Not in the log"
_UNKNOWN_REMEDY: Final = (
    "switch on enhanced logging (EnhancedLogging.ALWAYS keeps it on), and read the log again: then most lines have a "
    "digest"
)
_PARSE_TITLE: Final = "Parse message"
_PARSE_REMEDY: Final = (
    "none is needed: since November 2023 the proxy multiplexes the extended query protocol, which pinned before"
)


@dataclass(frozen=True)
class Connections:
    """A number of client connections: exact, or an estimate with a standard error of 2.2 %."""

    count: int
    exact: bool


@dataclass(frozen=True)
class Chart:
    """The time axis that all rows share.

    Attributes:
        start: Start of the first bar in seconds since 1970; None if no pin has a time.
        width: Seconds of a bar.
        bars: Number of bars.
    """

    start: int | None
    width: int
    bars: int


@dataclass(frozen=True)
class ConditionRow:
    """Pins of one condition.

    Attributes:
        id: The condition's id; None if it is not known from the log.
        title: For people.
        count: Pins.
        bars: Pins by bar of the chart.
        evidence: How well it is known that this pins.
        sources: Links to the sources.
    """

    id: str | None
    title: str
    count: int
    bars: tuple[int, ...]
    evidence: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class DigestRow:
    """Pins of one digest, or of one reason if the log has no digest.

    Attributes:
        condition: Id of the first condition that it meets; None if it is not known from the log.
        conditions: Ids of all.
        title: The first condition's title.
        digest: Normalized SQL, truncated to 1,000 characters.
        reason: As logged.
        folded: Whether these are a condition's rarest digests, combined.
        count: Pins.
        joined: Pins with the digest of an announcement of the same client connection (inferred).
        first: Seconds since 1970.
        last: Seconds since 1970.
        connections: Distinct client connections.
        bars: Pins by bar of the chart.
        clients: Names of the clients that are known to send this.
        remedies: What to do.
        evidence: How well it is known that this pins.
    """

    condition: str | None
    conditions: tuple[str, ...]
    title: str
    digest: str | None
    reason: str
    folded: bool
    count: int
    joined: int
    first: int | None
    last: int | None
    connections: Connections
    bars: tuple[int, ...]
    clients: tuple[str, ...]
    remedies: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Clients:
    """Clients of the catalogue that are known to send some of the digests; several if they send the same."""

    clients: tuple[Client, ...]
    count: int
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A parameter that clients set, and that can be set in the database instead.

    Attributes:
        name: In lower case.
        value: Text, or a tuple of names for a list; None if it is not known: the proxy logs `$1` for it.
        origin: The source of the value; empty if the value is not known.
        count: Pins of digests that set it.
    """

    name: str
    value: Value | None
    origin: str
    count: int


@dataclass(frozen=True)
class LogReport:
    """The content of a report.

    Attributes:
        inputs: Names of the inputs.
        bytes: Bytes read, as stored.
        lines: Lines by kind.
        only_pins: Whether only lines about pins were requested from CloudWatch.
        first: Start of the log, or of the requested time range, in seconds since 1970.
        last: End of the log or of the time range.
        pins: Pins, each counted once.
        connections: Client connections that were pinned.
        joined: Pins whose digest was found by client connection.
        chart: The time axis.
        conditions: The most frequent first.
        digests: The most frequent first; each condition's folded digests last.
        clients: The most frequent first.
        settings: The most frequent first.
        folded: Minimum number of folded digests.
        notes: Problems while reading.
    """

    inputs: tuple[str, ...]
    bytes: int
    lines: Lines
    only_pins: bool
    first: int | None
    last: int | None
    pins: int
    connections: Connections
    joined: int
    chart: Chart
    conditions: tuple[ConditionRow, ...]
    digests: tuple[DigestRow, ...]
    clients: tuple[Clients, ...]
    settings: tuple[Setting, ...]
    folded: int
    notes: tuple[str, ...]

    @property
    def busiest(self) -> tuple[int, int] | None:
        """The start of the bar with the most pins, in seconds since 1970, and its pins."""
        if self.chart.start is None:
            return None
        totals = [sum(bars) for bars in zip(*(row.bars for row in self.conditions), strict=True)]
        most = max(range(len(totals)), key=totals.__getitem__)
        return self.chart.start + most * self.chart.width, totals[most]


def build(
    scanner: Scanner,
    *,
    inputs: Sequence[str],
    size: int,
    notes: Sequence[str] = (),
    span: tuple[int, int] | None = None,
) -> LogReport:
    """The report of a finished scan.

    Args:
        scanner: the scanner.
        inputs: names of the inputs.
        size: number of bytes read.
        notes: problems while reading.
        span: the time range requested from CloudWatch, in seconds since 1970; then only lines about pins were read.
    """
    groups = sorted(
        (group for group in scanner.aggregation.groups.values() if group.count),
        key=lambda group: (group.key.folded, -group.count, group.key.conditions, group.key.digest or group.key.reason),
    )
    first, last = span or _span(scanner.lines, groups)
    chart = _chart(groups, first, last, scanner.aggregation.width)
    rows = [_digest_row(group, chart, scanner.aggregation.width) for group in groups]
    connections = DistinctCounter()
    for group in groups:
        connections.merge(group.connections)
    pins = sum(group.count for group in groups)
    return LogReport(
        inputs=tuple(_printable(name) for name in inputs),
        bytes=size,
        lines=_printable_lines(scanner.lines),
        only_pins=span is not None,
        first=first,
        last=last,
        pins=pins,
        connections=_connections(connections, pins),
        joined=sum(group.joined for group in groups),
        chart=chart,
        conditions=_condition_rows(rows),
        digests=tuple(rows),
        clients=_clients(groups),
        settings=_settings(groups),
        folded=scanner.aggregation.folded,
        notes=tuple(_printable(note) for note in notes),
    )


def _connections(distinct: DistinctCounter, pins: int) -> Connections:
    return Connections(min(distinct.count, pins), distinct.exact)


def _span(lines: Lines, groups: list[Group]) -> tuple[int | None, int | None]:
    starts = [group.first for group in groups if group.first is not None]
    ends = [group.last for group in groups if group.last is not None]
    if lines.first is not None and lines.last is not None:
        starts.append(lines.first // 1000)
        ends.append(lines.last // 1000)
    return min(starts, default=None), max(ends, default=None)


def _chart(groups: list[Group], first: int | None, last: int | None, bucket_width: int) -> Chart:
    buckets = [bucket for group in groups for bucket in group.buckets]
    if not buckets or first is None or last is None:
        return Chart(None, WIDTHS[0], 0)
    low, high = min(first, min(buckets) * bucket_width), max(last, max(buckets) * bucket_width)
    fitting = (width for width in WIDTHS if width >= bucket_width and high // width - low // width < COLUMNS)
    width = next(fitting, WIDTHS[-1])
    return Chart(low // width * width, width, high // width - low // width + 1)


def _bars(group: Group, chart: Chart, bucket_width: int) -> tuple[int, ...]:
    bars = [0] * chart.bars
    if chart.start is not None:
        for bucket, count in group.buckets.items():
            bars[(bucket * bucket_width - chart.start) // chart.width] += count
    return tuple(bars)


def _digest_row(group: Group, chart: Chart, bucket_width: int) -> DigestRow:
    key = group.key
    first = condition(key.conditions[0]) if key.conditions else None
    title, remedies, evidence = _knowledge(key, first, _findings(key))
    return DigestRow(
        condition=None if first is None else first.id,
        conditions=key.conditions,
        title=title,
        digest=None if key.digest is None else _printable(key.digest),
        reason=_printable(key.reason),
        folded=key.folded,
        count=group.count,
        joined=group.joined,
        first=group.first,
        last=group.last,
        connections=_connections(group.connections, group.count),
        bars=_bars(group, chart, bucket_width),
        clients=tuple(client.name for client in recognise(key.digest or "")),
        remedies=remedies,
        evidence=evidence,
    )


def _knowledge(
    key: GroupKey, first: Condition | None, findings: Sequence[StatementFinding]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Title, remedies and evidence."""
    if first is None:
        if REASON_PARSE in key.reason:
            return _PARSE_TITLE, (_PARSE_REMEDY,), (str(Evidence.DOCUMENTED), str(Evidence.MEASURED))
        return _UNKNOWN_TITLE, (_UNKNOWN_REMEDY,), ()
    remedies = dict.fromkeys(_printable(finding.remedy) for finding in findings) or {first.remedy: None}
    return first.title, tuple(remedies), tuple(str(one) for one in first.evidence)


def _findings(key: GroupKey) -> tuple[StatementFinding, ...]:
    return analyse(key.digest).findings if key.digest else ()


def _condition_rows(rows: list[DigestRow]) -> tuple[ConditionRow, ...]:
    together: dict[tuple[str | None, str], list[DigestRow]] = {}
    for row in rows:
        together.setdefault((row.condition, row.title), []).append(row)
    found = [
        ConditionRow(
            id=name,
            title=title,
            count=sum(row.count for row in mine),
            bars=tuple(map(sum, zip(*(row.bars for row in mine), strict=True))),
            evidence=mine[0].evidence,
            sources=condition(name).source if name else (),
        )
        for (name, title), mine in together.items()
    ]
    return tuple(sorted(found, key=lambda row: (-row.count, row.title)))


def _clients(groups: list[Group]) -> tuple[Clients, ...]:
    together: dict[tuple[Client, ...], list[Group]] = {}
    for group in groups:
        if group.key.digest and (clients := recognise(group.key.digest)):
            together.setdefault(clients, []).append(group)
    found = [
        Clients(
            clients,
            sum(group.count for group in mine),
            tuple(_printable(group.key.digest or "") for group in mine),
        )
        for clients, mine in together.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.count))


def _settings(groups: list[Group]) -> tuple[Setting, ...]:
    counts: dict[str, int] = {}
    values: dict[str, dict[Value, str]] = {}
    for group in groups:
        for name, known in _set_by(group.key).items():
            counts[name] = counts.get(name, 0) + group.count
            values.setdefault(name, {}).update(known)
    found = []
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        value, origin = next(iter(values[name].items())) if len(values[name]) == 1 else (None, "")
        found.append(Setting(name, value, origin, count))
    return tuple(found)


def _set_by(key: GroupKey) -> dict[str, dict[Value, str]]:
    """The parameters that a digest sets and that a database can hold: their known values, each with its origin."""
    if key.digest is None:
        return {}
    found: dict[str, dict[Value, str]] = {}
    for finding in analyse(key.digest).findings:
        for name, value in finding.settings.items():
            found[name] = {} if value is None else {value: "as logged"}
    without_value = {name for name, known in found.items() if not known}
    clients = recognise(key.digest)
    # A client that sends this only if configured sends its user's values.
    for client in clients if all(client.pins is Pins.YES for client in clients) else ():
        for statement in client.statements:
            for finding in analyse(statement).findings:
                for name, value in finding.settings.items():
                    if value is not None and name in without_value:
                        found[name][value] = f"what {client.name} sends by default"
    return {name: known for name, known in found.items() if movable(name)}


def _printable_lines(lines: Lines) -> Lines:
    lines.forms = {form: (_printable(sample), count) for form, (sample, count) in lines.forms.items()}
    return lines


def _printable(text: str) -> str:
    # Not cdk_pinsafe.terminal's U+FFFD: an escape shows what was logged, also in JSON and HTML.
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
