"""The command ``pinsafe logs``: input, progress, output."""

import contextlib
import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..errors import LogsError
from .formats import as_lines
from .report import LogReport, build
from .scan import Scanner
from .sources import find_sources

__all__ = ["read_files", "read_log_group", "run"]

CLEAN, PINNED = 0, 1
_SINCE = "1h"


def run(
    files: Sequence[str],
    *,
    log_group: str | None = None,
    since: str | None = None,
    until: str | None = None,
    output_format: str = "text",
    output: str | None = None,
) -> int:
    """Read, write the report, and return the exit status: 0 without pins, 1 with pins.

    Args:
        files: names of files and folders, or `-`; empty if a log group is read.
        log_group: name of a log group of CloudWatch Logs.
        since: start of the log group's time range, as in `cloudwatch.parse_time`. Default: one hour ago.
        until: end of the time range. Default: now.
        output_format: `text`, `json` or `html`.
        output: a file to write to instead of standard output.

    Raises:
        LogsError: the arguments contradict each other, or an input or the output cannot be used.
    """
    if bool(files) == bool(log_group):
        raise LogsError("name log files, - for standard input, or --log-group, and not both")
    if not log_group and (since or until):
        raise LogsError("--since and --until are for --log-group: files are read whole")
    if output and not os.access(Path(output).parent, os.W_OK):  # checked before a long run
        raise LogsError(f"cannot write {output!r}: its folder is missing or not writable: name another")
    report = read_log_group(log_group, since or _SINCE, until) if log_group else read_files(tuple(files))
    with _written_to(output) as stream:
        _writer(output_format)(report, stream)
    return PINNED if report.pins else CLEAN


def read_files(names: Sequence[str]) -> LogReport:
    """The report of files."""
    sources = find_sources(tuple(names))
    scanner = Scanner()
    read = 0
    total = sum(source.size or 0 for source in sources) if all(source.size is not None for source in sources) else None
    with _progress(total) as advance, _without_gc():

        def on_read(count: int) -> None:
            nonlocal read
            read += count
            advance(count)

        for source in sources:
            scanner.read(as_lines(source.blocks(on_read)))
    scanner.finish()
    notes = [note for source in sources for note in source.notes]
    return build(scanner, inputs=[source.name for source in sources], size=read, notes=notes)


def read_log_group(group: str, since: str, until: str | None = None) -> LogReport:
    """The report of a log group."""
    from .cloudwatch import events, parse_time

    now = datetime.now(UTC)
    start, end = parse_time(since, now), parse_time(until, now) if until else now
    if start >= end:
        raise LogsError(f"--since {since} is not before --until {until or 'now'}: give an earlier --since")
    scanner = Scanner()
    notes: list[str] = []
    read = 0
    with _progress(None) as advance:

        def on_page(count: int) -> None:
            nonlocal read
            read += count
            advance(count)

        scanner.read(events(group, start, end, notes, on_page))
    scanner.finish()
    span = int(start.timestamp()), int(end.timestamp())
    return build(scanner, inputs=[group], size=read, notes=notes, span=span)


def _writer(output_format: str) -> Callable[[LogReport, TextIO], None]:
    if output_format == "json":
        from .json_report import write_json

        return write_json
    if output_format == "html":
        from .html_report import write_html

        return write_html
    from .text_report import write_text

    return write_text


@contextlib.contextmanager
def _written_to(output: str | None) -> Iterator[TextIO]:
    if output is None:
        # Characters that the terminal's encoding lacks are written as escapes.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        yield sys.stdout
        return
    try:
        with Path(output).open("w", encoding="utf-8", errors="backslashreplace") as stream:
            yield stream
    except OSError as error:
        raise LogsError(f"cannot write {output!r}: {error.strerror}: name a writable file") from None


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """Disable the cyclic garbage collector while scanning: no cycles are created, and it took 5 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], object]]:
    """Show progress on standard error if it is a terminal; yields a function to call with the bytes read."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("reading"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        *([] if total is None else [TimeRemainingColumn()]),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
