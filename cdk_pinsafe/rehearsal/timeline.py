"""Draws the proxy demo: the emulator's timeline, with the demo's clients and the state of the alarm above it."""

from collections.abc import Sequence
from typing import Final

from ..emulator.timeline import Band, Recording
from ..emulator.timeline import draw as draw_timeline
from .proxy_demo import TimelineEntry

__all__ = ["draw"]

_RED: Final = "#c0392b"
_GREEN: Final = "#1a7f37"


def draw(recording: Recording, entries: Sequence[TimelineEntry]) -> str:
    """An SVG document.

    Args:
        recording: the proxy's traffic.
        entries: of the demo; the recording may contain more.
    """
    bands: dict[str, list[Band]] = {}
    for entry in entries:
        color = _RED if entry.is_problem else _GREEN
        start, end = entry.start - recording.started_at, entry.end - recording.started_at
        bands.setdefault(entry.row, []).append(Band(start, end, entry.text, color))
    return draw_timeline(recording, title="What a SET costs behind RDS Proxy", bands=bands)
