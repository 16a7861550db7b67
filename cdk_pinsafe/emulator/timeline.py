"""Records which client had which database connection when, and draws it as SVG.

Each database connection has a lane, each client a color. Filled areas are transactions; hatched areas are pins: the
connection serves no other client until its client disconnects.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from .events import Observer, PinEvent

__all__ = ["Band", "Recording", "Span", "draw"]

_MAX_SPANS: Final = 200_000


@dataclass(slots=True)
class Span:
    """A client's use of a connection, in seconds since the start of the recording; `end` is None while it lasts."""

    client: int
    connection: int
    start: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A labeled period above the lanes, in seconds since the start of the recording."""

    start: float
    end: float
    text: str
    color: str = "#57606a"


@dataclass(frozen=True, slots=True)
class _Pinned:
    at: float
    pin: PinEvent


class Recording(Observer):
    """Records the use of connections. After 200,000 uses the rest is counted in `left_out`.

    Attributes:
        started_at: the start, by `time.monotonic`.
        spans: the uses, by their start.
        names: the application names, or else the users, by client number.
        pins: the pins by client number.
        left_out: how many uses were not recorded.
    """

    def __init__(self) -> None:
        self.started_at = monotonic()
        self.spans: list[Span] = []
        self.names: dict[int, str] = {}
        self.pins: dict[int, _Pinned] = {}
        self.left_out = 0
        self._open: dict[int, Span] = {}

    @property
    def seconds(self) -> float:
        """The time since the start, in seconds."""
        return monotonic() - self.started_at

    def client_ready(self, client: int, user: str, database: str, application_name: str) -> None:
        self.names[client] = application_name or user

    def borrowed(self, client: int, connection: int) -> None:
        if len(self.spans) >= _MAX_SPANS:
            self.left_out += 1
            return
        span = self._open[connection] = Span(client, connection, self.seconds)
        self.spans.append(span)

    def released(self, client: int, connection: int) -> None:
        span = self._open.pop(connection, None)
        if span is not None:
            span.end = self.seconds

    def pinned(self, pin: PinEvent) -> None:
        if not pin.repeated:
            self.pins[pin.client_connection] = _Pinned(self.seconds, pin)

    def save(self, path: Path) -> None:
        """Draw the recording into a file."""
        path.write_text(draw(self), encoding="utf-8")


_WIDTH: Final = 1200
_LEFT: Final = 120
_RIGHT: Final = 24
_LANE: Final = 24
_GAP: Final = 8
_TOP: Final = 92
_MERGE_DISTANCE: Final = 1.5  # pixels: uses of one client that are closer together are drawn as one
_SHOWN_PINS: Final = 12
_SHOWN_CLIENTS: Final = 24
# The first eight are Okabe and Ito's, which people with color blindness can distinguish.
_COLORS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f6fc9", "#b8a800",
    "#8c564b", "#17a2a2", "#c0392b", "#5d6d7e",
)  # fmt: skip
_STYLE: Final = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px;fill:#24292f}"
    ".title{font-size:18px;font-weight:600}.quiet{fill:#57606a}.inside{fill:#fff;font-size:11px;font-weight:600}"
    ".mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11.5px}"
)


def draw(recording: Recording, *, title: str | None = None, bands: Mapping[str, Sequence[Band]] | None = None) -> str:
    """Return the recording as a standalone SVG document: no scripts, no external resources.

    Args:
        recording: what to draw.
        title: replaces the default title, the numbers of clients, connections and pins.
        bands: labeled periods to draw above the lanes, by the name of their row; replaces the legend of clients.
    """
    first = min((span.start for span in recording.spans), default=0.0)
    last = max((span.end if span.end is not None else recording.seconds for span in recording.spans), default=1.0)
    scale = _Scale(first, max(last, first + 1e-3))
    connections = sorted({span.connection for span in recording.spans})
    clients = list(dict.fromkeys(span.client for span in recording.spans))
    colors = {client: _COLORS[position % len(_COLORS)] for position, client in enumerate(clients)}
    top = _TOP + len(bands or ()) * (_LANE + _GAP)
    bottom = top + len(connections) * (_LANE + _GAP)
    parts = [*_axis(scale, top, bottom)]
    for position, (name, row) in enumerate((bands or {}).items()):
        parts += _band(name, _TOP - 14 + position * (_LANE + _GAP), row, scale)
    for position, connection in enumerate(connections):
        y = top + position * (_LANE + _GAP)
        spans = [span for span in recording.spans if span.connection == connection]
        parts += _lane(connection, y, spans, recording, scale, colors)
    y = bottom + 34
    if not bands:
        legend, y = _legend(clients, recording, colors, bottom + 44)
        parts += legend
    table, y = _pins(recording, colors, scale, y + 10)
    parts += table
    pinned = f"{len(recording.pins)} pinned" if recording.pins else "none pinned"
    heading = title or f"{len(clients)} clients share {len(connections)} database connections, {pinned}"
    about = "Each lane is a database connection, each color a client; filled: a transaction, hatched: pinned."
    if recording.left_out:
        about += f" {recording.left_out:,} later uses were not recorded."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
            f'role="img" aria-label="{html.escape(heading)}">',
            f"<style>{_STYLE}</style>",
            *_hatches(sorted(set(colors.values()))),
            f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
            f'<text class="title" x="24" y="34">{html.escape(heading)}</text>',
            f'<text class="quiet" x="24" y="56">{html.escape(about)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


class _Scale:
    """Converts seconds to pixels."""

    def __init__(self, first: float, last: float) -> None:
        self.first = first
        self.last = last
        self._factor = (_WIDTH - _LEFT - _RIGHT) / (last - first)

    def __call__(self, seconds: float) -> float:
        return _LEFT + (min(max(seconds, self.first), self.last) - self.first) * self._factor

    def ticks(self) -> list[float]:
        """Return round numbers of seconds since the first use."""
        span = self.last - self.first
        unit = 1e-4
        while span / unit > 10:
            unit *= 10
        step = next(unit * factor for factor in (0.1, 0.2, 0.5, 1.0) if span / (unit * factor) <= 12)
        return [step * number for number in range(int(span / step) + 1)]


def _axis(scale: _Scale, top: int, bottom: int) -> list[str]:
    ticks = scale.ticks()
    step = ticks[1] - ticks[0] if len(ticks) > 1 else scale.last - scale.first
    factor, unit = (1, "s") if step >= 0.1 else (1000, "ms")
    parts = []
    for tick in ticks:
        x = scale(scale.first + tick)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 10}" y2="{bottom}" stroke="#eaeef2"/>')
        parts.append(
            f'<text class="quiet" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick * factor:g} {unit}</text>'
        )
    return parts


def _band(name: str, y: int, row: Sequence[Band], scale: _Scale) -> list[str]:
    parts = [f'<text x="{_LEFT - 12}" y="{y + 16}" text-anchor="end">{html.escape(name)}</text>']
    for band in row:
        x, right = scale(band.start), scale(band.end)
        if right > x:
            parts.append(
                f'<rect x="{x:.2f}" y="{y}" width="{right - x:.2f}" height="{_LANE}" rx="4" fill="{band.color}" '
                f'fill-opacity="0.14" stroke="{band.color}"/>'
            )
            parts.append(
                f'<text x="{(x + right) / 2:.1f}" y="{y + 16}" text-anchor="middle">{html.escape(band.text)}</text>'
            )
    return parts


def _lane(
    connection: int, y: int, spans: Sequence[Span], recording: Recording, scale: _Scale, colors: dict[int, str]
) -> list[str]:
    parts = [
        f'<text x="{_LEFT - 12}" y="{y + 16}" text-anchor="end">connection {connection}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH - _LEFT - _RIGHT}" height="{_LANE}" fill="#f6f8fa"/>',
    ]
    for client, start, end in _merged(spans, recording, scale):
        name = html.escape(recording.names.get(client, ""))
        color = colors[client]
        pinned = recording.pins.get(client)
        hatched = pinned is not None and pinned.pin.db_connection == connection and end > pinned.at
        x, right = scale(start), scale(end)
        middle = right
        if hatched and pinned is not None:
            middle = min(max(scale(pinned.at), x), right)
        parts.append(f"<g><title>client {client} {name}, {end - start:.4g} s</title>")
        if middle > x:
            parts.append(_box(x, y, max(middle - x, 1.0), color))
        if hatched:
            parts.append(_box(middle, y, max(right - middle, 1.0), f"url(#hatch{color[1:]})", color))
        if right - x > 22:
            text = f"{client}"
            label = f'<text class="inside" x="{(x + right) / 2:.1f}" y="{y + 16}" text-anchor="middle">{text}</text>'
            if hatched and (x + right) / 2 > middle - 8:
                size = 8 * len(text) + 8
                parts.append(
                    f'<rect x="{(x + right - size) / 2:.1f}" y="{y + 4}" width="{size}" height="16" rx="3" '
                    f'fill="{color}"/>'
                )
            parts.append(label)
        if hatched:
            parts.append(
                f'<path d="M{middle - 4.5:.1f} {y - 6}h9l-4.5 6z" fill="#24292f"><title>pinned here</title></path>'
            )
        parts.append("</g>")
    return parts


def _box(x: float, y: int, width: float, fill: str, stroke: str | None = None) -> str:
    edge = f' stroke="{stroke}"' if stroke else ""
    return f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{_LANE}" fill="{fill}"{edge}/>'


def _merged(spans: Sequence[Span], recording: Recording, scale: _Scale) -> list[tuple[int, float, float]]:
    """Return the uses; those of one client that would overlap in the picture are merged."""
    merged: list[tuple[int, float, float]] = []
    for span in spans:
        end = span.end if span.end is not None else recording.seconds
        if merged and merged[-1][0] == span.client and scale(span.start) - scale(merged[-1][2]) < _MERGE_DISTANCE:
            merged[-1] = (span.client, merged[-1][1], end)
        elif merged and scale(end) - scale(merged[-1][1]) < _MERGE_DISTANCE / 2:
            continue  # more uses than pixels: draw only the first in each pixel
        else:
            merged.append((span.client, span.start, end))
    return merged


def _hatches(colors: Sequence[str]) -> list[str]:
    return [
        "<defs>",
        *(
            f'<pattern id="hatch{color[1:]}" width="8" height="8" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><rect width="8" height="8" fill="{color}" fill-opacity="0.25"/>'
            f'<rect width="3.5" height="8" fill="{color}"/></pattern>'
            for color in colors
        ),
        "</defs>",
    ]


def _legend(clients: Sequence[int], recording: Recording, colors: dict[int, str], y: int) -> tuple[list[str], int]:
    parts = []
    x = _LEFT
    for client in clients[:_SHOWN_CLIENTS]:
        name = recording.names.get(client, "")
        text = f"client {client}" + (f" ({name[:24]})" if name else "")
        width = 34 + 6.6 * len(text)
        if x + width > _WIDTH - _RIGHT:
            x, y = _LEFT, y + 22
        fill = f"url(#hatch{colors[client][1:]})" if client in recording.pins else colors[client]
        parts.append(f'<rect x="{x}" y="{y - 11}" width="14" height="14" fill="{fill}" stroke="{colors[client]}"/>')
        parts.append(f'<text x="{x + 20}" y="{y}">{html.escape(text)}</text>')
        x += int(width)
    if len(clients) > _SHOWN_CLIENTS:
        parts.append(f'<text class="quiet" x="{x}" y="{y}">and {len(clients) - _SHOWN_CLIENTS} more</text>')
    return parts, y + 22


def _pins(recording: Recording, colors: dict[int, str], scale: _Scale, y: int) -> tuple[list[str], int]:
    parts = []
    # Clients that pinned by the same statement share a line.
    groups: dict[tuple[str, str], list[tuple[int, _Pinned]]] = {}
    for client, pinned in sorted(recording.pins.items(), key=lambda item: item[1].at):
        what = pinned.pin.condition.title if pinned.pin.condition is not None else "a Parse message"
        groups.setdefault((what, " ".join(pinned.pin.statement.split())), []).append((client, pinned))
    for (what, statement), pins in list(groups.items())[:_SHOWN_PINS]:
        client, first = pins[0]
        at = f"{first.at - scale.first:.2f}"
        lead = f"client {client} pinned connection {first.pin.db_connection} at {at} s: {what}"
        if len(pins) > 1:
            lead = f"{len(pins)} clients pinned a connection each: {what}"
        statement = statement if len(statement) <= 84 else statement[:83] + "…"
        color = colors.get(client, "#24292f") if len(pins) == 1 else "#24292f"
        parts.append(f'<path d="M{_LEFT} {y - 9}h9l-4.5 6z" fill="{color}"/>')
        parts.append(f'<text x="{_LEFT + 20}" y="{y}">{html.escape(lead)}</text>')
        parts.append(f'<text class="mono" x="{_LEFT + 400}" y="{y}">{html.escape(statement)}</text>')
        y += 20
    if len(groups) > _SHOWN_PINS:
        parts.append(f'<text class="quiet" x="{_LEFT + 20}" y="{y}">and {len(groups) - _SHOWN_PINS} more kinds</text>')
        y += 20
    return parts, y + 8
