"""The command ``pinsafe probe``: announce, measure with live progress, print."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import ProbeError
from ..terminal import one_line
from . import report as reports
from .rows import Row, rows
from .run import Options, Report, Result, probe


def run(dsn: str, options: Options, *, output_format: str, output: Path | None, dry_run: bool) -> int:
    """Probe, and print the measurement.

    Args:
        dsn: As libpq has it.
        options: How to probe.
        output_format: ``text``, ``json`` or ``markdown``.
        output: A file for the measurement as JSON, besides what is printed.
        dry_run: Print what would be sent, and connect to nothing.

    Returns:
        The exit status; 130 after Ctrl-C.

    Raises:
        ProbeError: nothing could be measured, or the file cannot be written; the message holds no password.
    """
    chosen = rows()
    if dry_run:
        print(reports.statements([row for row in chosen if not (row.writes and options.read_only)]))  # noqa: T201
        return 0
    progress_console = Console(stderr=True, highlight=False)
    progress_console.print(reports.announcement(options, chosen), markup=False)
    try:
        measured = _measure(dsn, options, chosen, progress_console)
    except KeyboardInterrupt:
        progress_console.print("interrupted: all sessions are closed", markup=False)
        return 130
    if output is not None:
        try:
            output.write_text(reports.as_json(measured) + "\n", encoding="utf-8")
        except OSError as error:
            raise ProbeError(f"--output {output} cannot be written: {error.strerror}") from None
    if output_format == "json":
        print(reports.as_json(measured))  # noqa: T201
    elif output_format == "markdown":
        print(reports.markdown(measured))  # noqa: T201
    else:
        reports.text(measured, Console(highlight=False, file=sys.stdout))
    return measured.status


def _measure(dsn: str, options: Options, chosen: Sequence[Row], console: Console) -> Report:
    if not console.is_terminal:
        return probe(dsn, options, chosen=chosen)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task("probing", total=len(chosen))

        def show(result: Result) -> None:
            display.update(task, advance=1, description=one_line(f"{result.row.id}: {result.outcome}")[:50].ljust(50))

        return probe(dsn, options, chosen=chosen, progress=show)
