"""Draws the demo of the proxy: the timeline of the emulator, and above it its clients and the state of the alarm."""

from collections.abc import Sequence
from typing import Final

from ..emulator.timeline import Band, Recording
from ..emulator.timeline import draw as draw_timeline
from .proxy_demo import Scene

__all__ = ["draw"]

_BAD: Final = "#c0392b"
_GOOD: Final = "#1a7f37"


def draw(recording: Recording, scenes: Sequence[Scene]) -> str:
    """An SVG document.

    Args:
        recording: the proxy's traffic.
        scenes: of the chapter; others may have come later.
    """
    bands: dict[str, list[Band]] = {}
    for scene in scenes:
        color = _BAD if scene.is_bad else _GOOD
        start, end = scene.start - recording.started_at, scene.end - recording.started_at
        bands.setdefault(scene.row, []).append(Band(start, end, scene.text, color))
    return draw_timeline(recording, title="What a SET costs behind RDS Proxy", bands=bands)
