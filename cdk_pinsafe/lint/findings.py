"""The linter's findings, as all reports use them."""

from dataclasses import dataclass, field
from typing import TypeAlias

from ..pinning.conditions import Evidence
from .rules import LintRule

__all__ = ["FileReport", "LintFinding", "Place", "Unparsed"]

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1; columns count characters."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """A place that pins, or that prevents clients from connecting.

    Attributes:
        rule: The broken rule.
        start: Where it begins.
        end: Where it ends, exclusively.
        message: What is wrong, in one sentence.
        remedy: What to write instead.
        evidence: How well it is known, best first.
        line: The text of its first line.
    """

    rule: LintRule
    start: Place
    end: Place
    message: str
    remedy: str
    evidence: tuple[Evidence, ...]
    line: str


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A statement that could pin, but that PostgreSQL's parser does not accept."""

    start: Place
    message: str


@dataclass(slots=True)
class FileReport:
    """The findings in one file, in the order of the file.

    Attributes:
        path: As it was given or found; ``-`` for standard input.
        findings: The findings.
        not_parsed: Statements that could not be checked.
        statements: The number of SQL statements.
        skipped: Why the file was not read; None if it was.
    """

    path: str
    findings: list[LintFinding] = field(default_factory=list)
    not_parsed: list[Unparsed] = field(default_factory=list)
    statements: int = 0
    skipped: str | None = None
