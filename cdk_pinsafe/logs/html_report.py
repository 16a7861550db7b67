"""The report as one HTML file without network access or scripts.

Log text is untrusted: all text is escaped by `_text`. As a second defense, the page's content security policy forbids
to load or run anything, except the style sheet with the hash that it names.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final, TextIO

from . import phrasing
from .report import ConditionRow, DigestRow, LogReport

__all__ = ["write_html"]

_COLORS: Final = 8
"""Colors of the style sheet; the last one, gray, is for all other conditions."""
_TICKS: Final = (1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_419_200, 33_868_800)
_MOST_TICKS: Final = 7


def write_html(report: LogReport, stream: TextIO) -> None:
    """Write the page."""
    ticks = _ticks(report)
    style = Path(__file__).with_name("html_report.css").read_text(encoding="utf-8") + "".join(
        f".t{number}{{left:{place:.2f}%}}" for number, (place, _) in enumerate(ticks)
    )
    policy = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    body = "".join(_body(report, [label for _, label in ticks]))
    stream.write(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{policy}'; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="pinsafe logs">
<title>{_text(phrasing.headline(report))}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    )


def _body(report: LogReport, ticks: Sequence[str]) -> Iterable[str]:
    calm = "" if report.pins else ' class="calm"'
    yield f"<header><h1{calm}><b>{_text(phrasing.headline(report))}</b></h1>"
    yield f'<p class="soft wrap">{_text(phrasing.inputs(report))}</p></header>'
    if report.pins:
        colors = _colors(report.conditions)
        yield _tiles(report)
        yield _chart(report, colors, ticks)
        yield _advice(report)
        yield _digests(report, colors)
    yield _coverage(report)


def _colors(rows: Sequence[ConditionRow]) -> dict[str, int]:
    """The color of each condition by title; the last one is for an unknown condition and for all beyond the others."""
    named = [row.title for row in rows if row.id is not None][: _COLORS - 1]
    return {row.title: named.index(row.title) if row.title in named else _COLORS - 1 for row in rows}


def _tiles(report: LogReport) -> str:
    digests = sum(1 for row in report.digests if row.digest is not None)
    connections = report.connections
    tiles = [
        (
            "Client connections",
            f"{'' if connections.exact else '≈ '}{phrasing.rounded(connections):,}",
            "each was pinned until it closed",
        ),
        ("Statements", f"{digests + report.folded:,}{'+' if report.folded else ''}", "distinct digests that pinned"),
    ]
    if (rate := phrasing.rate(report)) is not None:
        tiles.append(("Per hour", rate, "pins on average"))
    if found := report.busiest:
        tiles.append(
            ("Busiest", f"{found[1]:,}", f"pins in the {phrasing.duration(report.chart.width)} from {_at(found[0])}")
        )
    cells = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(figure)}</dd><dd>{_text(note)}</dd></div>"
        for name, figure, note in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _chart(report: LogReport, colors: dict[str, int], ticks: Sequence[str]) -> str:
    legend = "".join(
        f'<li><span class="key k{colors[row.title]}"></span>{_text(row.title)} <b>{row.count:,}</b> '
        f'<span class="soft">{row.count / report.pins:.0%}</span></li>'
        for row in report.conditions
    )
    head = f'<section><h2>Pins over time</h2><ul class="legend">{legend}</ul>'
    if report.chart.start is None:
        return f'{head}<p class="soft">No line about a pin has a time.</p></section>'
    most = max(sum(row.bars[at] for row in report.conditions) for at in range(report.chart.bars))
    top = _round_up(most)
    bars = "".join(_bar(report, colors, at, top) for at in range(report.chart.bars))
    grid = "".join(f'<line class="grid" x1="0" x2="{report.chart.bars}" y1="{y}" y2="{y}"/>' for y in (0, 50, 100))
    axis = "".join(f'<span class="t{number}">{_text(label)}</span>' for number, label in enumerate(ticks))
    middle = f"{top // 2:,}" if top % 2 == 0 else ""
    return (
        f'{head}<div class="chart"><div class="y" aria-hidden="true"><span>{top:,}</span><span>{middle}</span>'
        f"<span>0</span></div>"
        f'<svg viewBox="0 0 {report.chart.bars} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Pins over time; the numbers are in the table below">{grid}{bars}</svg>'
        f'<div class="x" aria-hidden="true">{axis}</div></div>'
        f'<p class="soft small">A bar is {phrasing.duration(report.chart.width)}; times are UTC.</p>'
        f"{_chart_table(report)}</section>"
    )


def _bar(report: LogReport, colors: dict[str, int], at: int, top: int) -> str:
    """One stacked bar, with the most frequent condition at the bottom."""
    parts = [(row, row.bars[at]) for row in report.conditions if row.bars[at]]
    if not parts:
        return ""
    y = 100.0
    rects = []
    for row, count in parts:
        height = count / top * 100
        y -= height
        rects.append(
            f'<rect class="k{colors[row.title]}" x="{at + 0.08:.2f}" y="{y:.3f}" width=".84" height="{height:.3f}"/>'
        )
    assert report.chart.start is not None  # noqa: S101 - there are bars
    title = f"{phrasing.moment(report.chart.start + at * report.chart.width)}: " + ", ".join(
        f"{row.title} {count:,}" for row, count in parts
    )
    return (
        f'<g class="bar"><title>{_text(title)}</title>{"".join(rects)}'
        f'<rect class="hit" x="{at}" y="0" width="1" height="100"/></g>'
    )


def _chart_table(report: LogReport) -> str:
    assert report.chart.start is not None  # noqa: S101 - there are bars
    heads = "".join(f'<th scope="col" class="num">{_text(row.title)}</th>' for row in report.conditions)
    rows = "".join(
        f'<tr><th scope="row">{phrasing.moment(report.chart.start + at * report.chart.width)}</th>'
        + "".join(f'<td class="num">{row.bars[at]:,}</td>' for row in report.conditions)
        + "</tr>"
        for at in range(report.chart.bars)
        if any(row.bars[at] for row in report.conditions)
    )
    return (
        f'<details><summary>The numbers of this chart</summary><div class="scroll"><table><thead><tr>'
        f'<th scope="col">From</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _advice(report: LogReport) -> str:
    parts = ["<section><h2>What to do</h2>"]
    if report.settings:
        lines = "\n".join(
            f"{_text(code)}{f'<i>{_text(comment)}</i>' if comment else ''}"
            for code, comment in (_split_comment(line) for line in phrasing.settings_lines(report.settings))
        )
        parts.append(
            "<h3>In the database</h3><p>Set these once with <code>DatabaseSettings</code>, and every connection starts "
            f"with them:</p><pre><code>{lines}</code></pre>"
        )
    if report.clients:
        rows = "".join(
            f'<tr><td><strong>{_text(client.name)}</strong><br><span class="soft small">{_text(client.versions)}</span>'
            f'</td><td><p class="do">{_text(client.opt_out)}</p><p class="soft small">{_text(client.sends)} '
            f"({_text(', '.join(client.evidence))}{_links(client.source)})</p></td>"
            f'<td class="num" data-label="pins, at most:">{count:,}</td></tr>'
            for client, count in phrasing.opt_outs(report)
        )
        parts.append(
            "<h3>In the clients</h3><p>A setting in the database prevents a pin only when the client no longer sends "
            "its own. These clients are known to send what pinned here; if several send the same, the log does not say "
            'which one did.</p><table class="stack"><thead><tr><th scope="col">Likely client</th>'
            '<th scope="col">How to stop it, and what it is known to send</th>'
            '<th scope="col" class="num">Pins, at most</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )
    if not report.settings and not report.clients:
        parts.append("<p>No setting and no option of a known client helps: see the remedy of each statement.</p>")
    return "".join(parts) + "</section>"


def _digests(report: LogReport, colors: dict[str, int]) -> str:
    rows = "".join(_digest(row, colors, report.pins) for row in report.digests)
    return (
        '<section><h2>What pinned</h2><table class="stack"><caption class="small">The most frequent first. A digest '
        'has $1, $2 in place of values, which the proxy does not log.</caption><thead><tr><th scope="col">Pins</th>'
        '<th scope="col">Statement, and what to do</th><th scope="col">When</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _digest(row: DigestRow, colors: dict[str, int], pins: int) -> str:
    color = colors[row.title]
    badges = "".join(f' <span class="badge">{_text(one)}</span>' for one in row.evidence)
    clients = f"<p>As <strong>{_text(phrasing.either(row.clients))}</strong> would send it.</p>" if row.clients else ""
    joined = f'<p class="soft small">{_text(phrasing.joined(row))}</p>' if row.joined else ""
    remedies = "".join(f'<p class="do">{_text(remedy)}</p>' for remedy in row.remedies)
    when = (
        ""
        if row.first is None or row.last is None
        else f"first {phrasing.moment(row.first)}<br>last {phrasing.moment(row.last)}<br>"
    )
    return (
        f'<tr><td><span class="big">{row.count:,}</span><br><span class="soft small">{row.count / pins:.1%}</span></td>'
        f'<td><code class="digest">{_text(phrasing.what(row))}</code>'
        f'<p class="small"><span class="key k{color}"></span>{_text(row.title)}{badges}</p>'
        f"{clients}{joined}{remedies}</td>"
        f'<td class="when">{_spark(row.bars, color)}<span class="soft small">{when}'
        f"{_text(phrasing.connections(row.connections))}</span></td></tr>"
    )


def _spark(bars: Sequence[int], color: int) -> str:
    if not bars:
        return ""
    most = max(bars) or 1
    path = "".join(
        f"M{at} 20V{20 - max(1.0, count / most * 20):.1f}H{at + 1}V20Z" for at, count in enumerate(bars) if count
    )
    return (
        f'<svg class="spark" viewBox="0 0 {len(bars)} 20" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="k{color}" d="{path}"/><line class="grid" x1="0" x2="{len(bars)}" y1="20" y2="20"/></svg>'
    )


def _links(sources: Sequence[str]) -> str:
    return "".join(
        f', <a href="{_text(link)}" rel="noreferrer">source</a>' for link in sources if link.startswith("https://")
    )


def _coverage(report: LogReport) -> str:
    lines = report.lines
    facts = [
        ("Lines read", f"{lines.total:,}"),
        ("Pins", f"{lines.pins:,}"),
        ("Repeated, not counted", f"{lines.repeated:,}"),
        ("Announced pins", f"{lines.announced:,}"),
        ("Other lines of the proxy", f"{lines.ordinary:,}"),
        ("Not recognized", f"{lines.unknown:,}"),
    ]
    cells = "".join(f"<div><dt>{_text(name)}</dt><dd>{figure}</dd></div>" for name, figure in facts)
    parts = [f'<section><h2>What was read</h2><dl class="facts">{cells}</dl>']
    parts += [f"<p>{_text(note)}</p>" for note in report.notes]
    if lines.unknown:
        samples = "\n".join(_text(f"{count:,} of: {sample}") for sample, count in lines.forms.values())
        parts.append(f"<details><summary>{_text(phrasing.unknown(report))}</summary><pre>{samples}</pre></details>")
    return "".join(parts) + f'<p class="soft small">{_text(phrasing.CAVEAT)}</p></section>'


def _ticks(report: LogReport) -> list[tuple[float, str]]:
    """The labels of the time axis, at round times, with their positions in percent."""
    chart = report.chart
    if chart.start is None:
        return []
    length = chart.width * chart.bars
    step = next((step for step in _TICKS if length // step < _MOST_TICKS), _TICKS[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M" if length <= 86_400 else "%d %b %H:%M" if step < 86_400 else "%d %b %Y"
    first = -(-chart.start // step) * step
    return [
        ((second - chart.start) / length * 100, datetime.fromtimestamp(second, UTC).strftime(form))
        for second in range(first, chart.start + length, step)
        if 0.03 < (second - chart.start) / length < 0.97
    ][:_MOST_TICKS]


def _round_up(count: int) -> int:
    """The next 1, 2, 4, 5, 6, 8 or 10 times a power of ten."""
    power = int("1" + "0" * (len(str(count)) - 1))
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if step * power >= count)


def _split_comment(line: str) -> tuple[str, str]:
    code, mark, comment = line.partition("  # ")
    return code, mark + comment


def _at(second: int) -> str:
    return phrasing.moment(second)[:-3]


def _text(text: str) -> str:
    return escape(text, quote=True)
