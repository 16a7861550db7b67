"""A stretch of SQL that was found in a file, and where each part of it stands there."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["PLACEHOLDERS", "CodeContext", "Fragment", "Part", "renderings"]


class CodeContext(Enum):
    """What the place of a text says about it."""

    SQL = "sql"
    """It is SQL: a ``.sql`` file, the argument of a function that runs SQL, a variable named after it."""
    UNKNOWN = "bare"
    """Nothing is known: it is SQL only if the text alone leaves no doubt."""
    TEXT = "prose"
    """It is not SQL: a log message, an exception, a test's name, a docstring."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text: as it stands in the file from `start` to `end`, or, with text None, a hole that code fills."""

    text: str | None
    start: int
    end: int

    @property
    def verbatim(self) -> bool:
        """Whether each character stands for one of the file."""
        return self.text is not None and len(self.text) == self.end - self.start


class Fragment:
    """SQL as PostgreSQL would see it, and a way back from its offsets to the file's."""

    def __init__(self, sql: str, parts: Iterable[tuple[int, Part]]) -> None:
        self.sql = sql
        self._parts = list(parts)
        self._starts = [start for start, _ in self._parts]

    def origin(self, offset: int) -> int:
        """The offset in the file of an offset in the SQL."""
        if not self._parts:
            return offset
        index = max(bisect_right(self._starts, offset) - 1, 0)
        start, part = self._parts[index]
        if part.verbatim:
            return min(part.start + offset - start, part.end)
        return part.start if offset == start else part.end


_FORMATTED: Final = r"""
      %\(\w+\)s | %<\w+>s | %\{\w+\} | %[-+\#]?\d*(?:\[\d+\])?[sdivqLI]
    | \{ [\w.!:\[\]]* \} | \#\{[^}]*\} | \$\{[^}]*\}
"""
"""Placeholders that are filled wherever they stand, within quotes as well."""
PLACEHOLDERS: Final = re.compile(rf"{_FORMATTED} | \$1 | (?<![A-Za-z0-9])_1", re.VERBOSE)
"""What stands in a rendering for what only the running program knows."""
_PLACEHOLDER: Final = re.compile(
    rf"""
      %%
    | {_FORMATTED}
    | (?<![\w:\])"']) : [A-Za-z_]\w*
    | (?<![?@]) \? (?![?|&\w])
    | (?<!\w) @ [A-Za-z_]\w*
    """,
    re.VERBOSE,
)


def renderings(parts: list[Part]) -> Iterator[Fragment]:
    """The ways to read a text that has holes and placeholders, the likeliest first; try until one parses.

    As it is; with its placeholders (``%s``, ``:name``, ``{}``, ``?``) as parameters; as names, since a hole may name a
    parameter or a table; and left out, since it may be a clause.
    """
    seen: set[str] = set()
    fine = [piece for part in parts for piece in _placeholders_apart(part)]
    for pieces, filler in ((parts, "$1"), (fine, "$1"), (fine, "_1"), (fine, " ")):
        fragment = _rendered(pieces, filler)
        if fragment.sql not in seen:
            seen.add(fragment.sql)
            yield fragment


def _rendered(parts: list[Part], filler: str) -> Fragment:
    texts: list[str] = []
    placed: list[tuple[int, Part]] = []
    length = 0
    for part in parts:
        text = filler if part.text is None else part.text
        placed.append((length, part))
        texts.append(text)
        length += len(text)
    return Fragment("".join(texts), placed)


def _placeholders_apart(part: Part) -> Iterator[Part]:
    """A part, cut at its placeholders, which become holes."""
    if part.text is None or not part.verbatim:
        yield part
        return
    done = 0
    for found in _PLACEHOLDER.finditer(part.text):
        start, end = found.span()
        if start > done:
            yield Part(part.text[done:start], part.start + done, part.start + start)
        yield Part("%" if found[0] == "%%" else None, part.start + start, part.start + end)
        done = end
    if done < len(part.text):
        yield Part(part.text[done:], part.start + done, part.end)
