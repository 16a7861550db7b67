"""SQL that was found in a file, with the place of each part in the file."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["PLACEHOLDERS", "CodeContext", "Fragment", "Part", "renderings"]


class CodeContext(Enum):
    """How a program uses a text."""

    SQL = "sql"
    """As SQL: it is the argument of a function that runs SQL, or is assigned to a variable with such a name."""
    UNKNOWN = "unknown"
    """Not known: it is SQL only if the text is unmistakable."""
    TEXT = "text"
    """Not as SQL: it is a log message, an exception, a test's name or a docstring."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text, from `start` to `end` in the file; a text of None is a placeholder that code fills."""

    text: str | None
    start: int
    end: int

    @property
    def verbatim(self) -> bool:
        """Whether the text is as long as its source, character for character."""
        return self.text is not None and len(self.text) == self.end - self.start


class Fragment:
    """SQL as PostgreSQL receives it, which maps its offsets to the file's."""

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
"""Placeholders that are also filled within quotes."""
PLACEHOLDERS: Final = re.compile(rf"{_FORMATTED} | \$1 | (?<![A-Za-z0-9])_1", re.VERBOSE)
"""What a rendering contains in place of text that only the running program knows."""
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
    """The ways to read a text with placeholders, the likeliest first; the caller tries until one parses.

    Unchanged; with placeholders (``%s``, ``:name``, ``{}``, ``?``) as parameters; as names, because a placeholder can
    name a parameter or a table; and left out, because it can be a clause.
    """
    seen: set[str] = set()
    split = [piece for part in parts for piece in _split(part)]
    for pieces, filler in ((parts, "$1"), (split, "$1"), (split, "_1"), (split, " ")):
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


def _split(part: Part) -> Iterator[Part]:
    """A part, split at its placeholders."""
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
