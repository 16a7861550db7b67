"""What the linter finds, as every report has it."""

from dataclasses import dataclass, field
from typing import TypeAlias

from ..pinning.conditions import Evidence
from .rules import LintRule

__all__ = ["FileReport", "LintFinding", "Place", "Unparsed"]

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1; columns count characters."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """Something that pins, or keeps clients from connecting.

    Attributes:
        rule: The rule that it breaks.
        start: Where it begins.
        end: Where it ends, exclusively.
        message: What is wrong, in one sentence.
        remedy: What to write instead.
        evidence: How well it is known, best first.
        line: The text of the line on which it begins.
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
    """A statement that could pin, and that PostgreSQL's parser does not accept."""

    start: Place
    message: str


@dataclass(slots=True)
class FileReport:
    """What was found in one file, in the order of the file.

    Attributes:
        path: As it was given or found; ``-`` for standard input.
        findings: What is wrong.
        not_parsed: Statements that could not be judged.
        statements: How many statements of SQL were seen.
        skipped: Why the file was not read; None if it was.
    """

    path: str
    findings: list[LintFinding] = field(default_factory=list)
    not_parsed: list[Unparsed] = field(default_factory=list)
    statements: int = 0
    skipped: str | None = None
