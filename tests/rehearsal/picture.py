"""Draws `examples/rehearsal.svg` and `examples/rehearsal-timeline.svg` from a real rehearsal.

Run `python -m tests.rehearsal.picture` in the root of the repository.
"""

import io
import sys
from pathlib import Path
from unittest import mock

from rich.console import Console

from cdk_pinsafe.rehearsal import run as rehearsal
from cdk_pinsafe.rehearsal.report import TextReport

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURE = EXAMPLES / "rehearsal.svg"
TIMELINE = EXAMPLES / "rehearsal-timeline.svg"
COLUMNS = 132


class Recorded(TextReport):
    """The report as a terminal shows it at the end, without the spinners."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._console = Console(record=True, file=io.StringIO(), width=COLUMNS, highlight=False)

    def begin(self, step: str) -> None:
        """Do not draw the begin of a step."""

    def save(self) -> None:
        self._console.save_svg(str(PICTURE), title="pinsafe rehearse")


if __name__ == "__main__":
    report = Recorded()
    with mock.patch.object(rehearsal, "report_for", return_value=report):
        status = rehearsal.run(timeline=TIMELINE)
    if status == 0:
        report.save()
    sys.exit(status)
