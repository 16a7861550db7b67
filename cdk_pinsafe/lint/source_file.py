"""A file as the client rules see it: its text without comments, and its syntax tree if it is a program."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeAlias

from .languages import SourceTree

__all__ = ["SourceFile", "Span", "without_comments"]

Span: TypeAlias = tuple[int, int]
"""Start and end of a place in a file, in characters."""

_WHOLE_LINE: Final = re.compile(
    r"^[ \t]*(?:#|//|;|--|!|\*).*$|(?<=[ \t])#[ \t].*$|/\*.{0,500}?\*/|<!--.{0,500}?-->", re.M
)
_PRINTED: Final = re.compile(r"[^\r\n]")


@dataclass(frozen=True)
class SourceFile:
    """A file.

    Attributes:
        path: Its name, which some rules go by.
        text: Its text, comments blanked out, positions kept.
        tree: Its syntax tree; None for what is not a program.
    """

    path: PurePath
    text: str
    tree: SourceTree | None

    def found(self, pattern: re.Pattern[str]) -> Iterator[Span]:
        """Where a pattern matches; its group ``at``, if it has one, is the place."""
        group: str | int = "at" if "at" in pattern.groupindex else 0
        for match in pattern.finditer(self.text):
            yield match.span(group)


def without_comments(text: str, tree: SourceTree | None) -> str:
    """The text with its comments blanked out, of the same length."""
    if tree is None:
        return _WHOLE_LINE.sub(lambda comment: _PRINTED.sub(" ", comment[0]), text)
    pieces: list[str] = []
    done = 0
    for comment in tree.comments:
        start, end = tree.offset(comment.start_byte), tree.offset(comment.end_byte)
        if start >= done:
            pieces += (text[done:start], _PRINTED.sub(" ", text[start:end]))
            done = end
    return "".join(pieces) + text[done:]
