"""Comments that silence the linter, as ``-- pinsafe: ignore[set]``.

They stand on a finding's lines, before its statement, or after the string that contains it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from .rules import is_rule
from .source_text import SourceText

__all__ = ["Ignores", "UnknownId"]

_COMMENT: Final = re.compile(
    r"(?:--|\#|//|/\*|<!--|;)[ \t]*pinsafe:[ \t]*ignore(?P<file>-file)?\b(?:[ \t]*\[(?P<ids>[^\]\n]{0,500})\])?"
)
_NEAR: Final = 20
_NO_CODE: Final = re.compile(r"\s*(?:$|--|#|//|/\*|<!--|;)")


@dataclass(frozen=True, slots=True)
class UnknownId:
    """An id in a comment that is not a rule's."""

    id: str
    start: int
    end: int


class Ignores:
    """The comments of one file."""

    def __init__(self, source: SourceText) -> None:
        self.unknown: list[UnknownId] = []
        self._file: list[frozenset[str] | None] = []
        self._lines: dict[int, list[frozenset[str] | None]] = {}
        if "pinsafe:" not in source.text:
            return
        for comment in _COMMENT.finditer(source.text):
            ids = None if comment["ids"] is None else frozenset(self._ids(comment))
            if comment["file"]:
                self._file.append(ids)
                continue
            line, column = source.position(comment.start())
            self._lines.setdefault(line, []).append(ids)
            if not source.line(line)[: column - 1].strip():
                # A comment on a line of its own applies to the next line of code.
                self._lines.setdefault(_next_code(source, line), []).append(ids)

    def silences(self, rule: str, lines: Iterable[int]) -> bool:
        """Whether a rule is silenced on any of these lines."""
        if not self._file and not self._lines:
            return False
        near = (ids for line in lines for ids in self._lines.get(line, ()))
        return any(ids is None or rule in ids for ids in (*self._file, *near))

    def _ids(self, comment: re.Match[str]) -> Iterator[str]:
        for found in re.finditer(r"[^,\s]+", comment["ids"]):
            start = comment.start("ids") + found.start()
            if is_rule(found[0]):
                yield found[0]
            else:
                self.unknown.append(UnknownId(found[0], start, start + len(found[0])))


def _next_code(source: SourceText, line: int) -> int:
    """The next line that is neither blank nor a comment, within a few lines."""
    for following in range(line + 1, min(line + _NEAR, source.lines) + 1):
        if not _NO_CODE.match(source.line(following)):
            return following
    return line + 1
