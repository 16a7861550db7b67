"""The picture of the chapter on the proxy: the timeline of a stand-in, and above it who came and what the alarm was."""

from collections.abc import Sequence
from typing import Final

from ..emulator.timeline import Band, Recording
from ..emulator.timeline import draw as draw_timeline
from .pooling import Scene

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
        colour = _BAD if scene.is_bad else _GOOD
        start, end = scene.start - recording.began, scene.end - recording.began
        bands.setdefault(scene.row, []).append(Band(start, end, scene.text, colour))
    return draw_timeline(recording, title="What a SET costs behind RDS Proxy", bands=bands)
