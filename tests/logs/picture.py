"""Draws ``examples/pins.png``, the picture of a report in ``docs/logs.md``, and defines the logs of its reports.

Run as ``python -m tests.logs.picture`` in the root of the repository; it needs Chromium.
"""

import tempfile
from pathlib import Path

from click.testing import CliRunner

from cdk_pinsafe.cli import main

from .browser import Browser
from .generator import HABITS, log

PICTURE = Path(__file__).parents[2] / "examples" / "pins.png"
SIZE = (1000, 1120)
EXAMPLE = "\n".join(log(30_000))
SHORT_EXAMPLE = "\n".join(log(3000, habits=(HABITS[0], HABITS[1], HABITS[4])))
"""The log of the guide's text report."""


def draw() -> None:
    """Save the picture."""
    with tempfile.TemporaryDirectory() as directory, Browser() as browser:
        page = Path(directory) / "report.html"
        arguments = ["logs", "-", "--format", "html", "--output", str(page)]
        CliRunner().invoke(main, arguments, input=EXAMPLE, catch_exceptions=False)
        page.write_text(page.read_text(encoding="utf-8").replace("standard input", "orders.log"), encoding="utf-8")
        browser.resize(SIZE[0])
        browser.open(page)
        browser.picture(PICTURE, *SIZE)


if __name__ == "__main__":
    draw()
