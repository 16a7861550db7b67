"""The command ``pinsafe lint``."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from .configuration import Configuration, Configurations
from .discovery import discover
from .findings import FileReport
from .formats import as_github, as_json, as_sarif
from .linter import lint_text
from .source_text import decode
from .text_report import print_text

__all__ = ["LARGEST_FILE", "lint", "run"]

LARGEST_FILE: Final = 64 * 2**20
"""Bytes; a larger file is skipped with a message."""

_STDIN: Final = "-"


def run(paths: Sequence[str], *, select: Iterable[str], ignore: Iterable[str], output_format: str) -> int:
    """Lint and print. Returns the exit status: 0 without findings, 1 with findings.

    Args:
        paths: Files and folders; ``-`` is SQL from standard input.
        select: Ids of the rules to check; all if empty.
        ignore: Ids of the rules not to check.
        output_format: ``text``, ``json``, ``sarif`` or ``github``.

    Raises:
        LintError: a path or a configuration is invalid; nothing was printed.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name may be invalid text, and a terminal may not support all characters.
        sys.stdout.reconfigure(errors="backslashreplace")
    reports = list(lint(paths, select=select, ignore=ignore))
    for report in reports:
        if report.skipped:
            sys.stderr.write(f"pinsafe: {report.path} was passed over: {report.skipped}\n")
    if output_format == "text":
        print_text(reports, sys.stdout)
    else:
        render = {"json": as_json, "sarif": as_sarif, "github": as_github}[output_format]
        sys.stdout.write(render(reports))
    return 1 if any(report.findings for report in reports) else 0


def lint(paths: Sequence[str], *, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> Iterator[FileReport]:
    """The report of each file, in the order of the paths and of file names."""
    configurations = Configurations(select, ignore)
    if _STDIN in paths:
        yield _read_stdin(configurations.of(Path.cwd()))
    for path in discover([Path(path) for path in paths if path != _STDIN], configurations):
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 # a link's own name decides, not its target's
        yield _read_file(path, absolute, configurations.of(absolute.parent))


def _read_stdin(configuration: Configuration) -> FileReport:
    data = sys.stdin.buffer.read(LARGEST_FILE + 1)
    return _checked(_STDIN, data, None, configuration)


def _read_file(path: Path, absolute: Path, configuration: Configuration) -> FileReport:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        return FileReport(str(path), skipped=error.strerror or str(error))
    return _checked(str(path), data, absolute, configuration)


def _checked(path: str, data: bytes, absolute: Path | None, configuration: Configuration) -> FileReport:
    if len(data) > LARGEST_FILE:
        return FileReport(path, skipped=f"it is larger than {LARGEST_FILE // 2**20} MiB")
    text = decode(data)
    if text is None:
        return FileReport(path, skipped="it is binary")
    report = lint_text(path, text, configuration.settings)
    report.findings = [one for one in report.findings if configuration.checks(absolute, one.rule.id)]
    return report
