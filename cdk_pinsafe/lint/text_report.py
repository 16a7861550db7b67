"""Findings for people: the line, a caret under what pins, and what to write instead."""

import contextlib
from collections.abc import Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from ..terminal import plain, plural
from .findings import FileReport, LintFinding

__all__ = ["print_text"]

_WIDEST: Final = 110
_LEAD: Final = 30


def print_text(reports: Sequence[FileReport], stream: TextIO) -> None:
    """Print the findings and a summary; with colors on a terminal only."""
    console = Console(file=stream, highlight=False, soft_wrap=True, emoji=False, markup=False)
    with contextlib.suppress(BrokenPipeError):
        for report in reports:
            for finding in report.findings:
                console.print(_finding(report.path, finding))
        console.print(_summary(reports))


def _finding(path: str, finding: LintFinding) -> Text:
    line, column = finding.start
    excerpt, caret = _excerpt(finding)
    gutter = " " * len(str(line))
    text = Text()
    text.append(f"{plain(path)}:{line}:{column}: ", "bold")
    text.append(finding.message)
    text.append(f" [{finding.rule.id}]\n", "bold red")
    text.append(f"{gutter} |\n{line} | ", "blue").append(excerpt + "\n")
    text.append(f"{gutter} | ", "blue").append(caret + "\n", "red")
    text.append(f"{gutter} = ", "blue").append("instead", "bold").append(f": {finding.remedy}\n")
    if finding.evidence:
        text.append(f"{gutter} = ", "blue").append("evidence", "bold")
        text.append(f": {', '.join(finding.evidence)}; {finding.rule.source[0]}\n")
    return text


def _excerpt(finding: LintFinding) -> tuple[str, str]:
    """The part of the line to show, and the carets below it."""
    (line, column), (end_line, end_column) = finding.start, finding.end
    first = column - 1
    shown = finding.line
    last = end_column - 1 if end_line == line else len(shown)
    begin = max(first - _LEAD, 0) if len(shown) > _WIDEST else 0
    cut = plain(shown[begin : begin + _WIDEST])
    before, marked = cut[: first - begin], cut[first - begin : max(last - begin, first - begin)]
    lead = "…" if begin else ""
    tail = "…" if len(shown) > begin + _WIDEST else ""
    return f"{lead}{cut}{tail}", " " * (_width(before) + len(lead)) + "^" * max(_width(marked), 1)


def _width(text: str) -> int:
    return Text(text).cell_len


def _summary(reports: Sequence[FileReport]) -> Text:
    findings = sum(len(report.findings) for report in reports)
    statements = sum(report.statements for report in reports)
    unparsed = sum(len(report.not_parsed) for report in reports)
    skipped = sum(1 for report in reports if report.skipped)
    found = sum(1 for report in reports if report.findings)
    text = Text()
    if findings:
        text.append(f"{plural(findings, 'finding')} in {plural(found, 'file')}", "bold red")
    else:
        text.append("No findings", "bold green")
    share = f" ({100 * unparsed / statements:.2g} %)" if unparsed and statements else ""
    read = f"{plural(len(reports) - skipped, 'file')}, {plural(statements, 'statement')}"
    text.append(f". Read {read}; not parsed: {unparsed}{share}")
    if skipped:
        text.append(f"; passed over: {plural(skipped, 'file')}")
    return text.append(".")
