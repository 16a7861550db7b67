"""A file as the client rules read it: its text without comments, and its syntax tree if it is a program."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeAlias

from .languages import SourceTree
from .source_text import blanked

__all__ = ["SourceFile", "Span", "without_comments"]

Span: TypeAlias = tuple[int, int]
"""Start and end in a file, in characters."""

_COMMENT: Final = re.compile(r"^[ \t]*(?:#|//|;|--|!|\*).*$|(?<=[ \t])#[ \t].*$|/\*.{0,500}?\*/|<!--.{0,500}?-->", re.M)


@dataclass(frozen=True)
class SourceFile:
    """A file.

    Attributes:
        path: Its name, which some rules check.
        text: Its text with spaces in place of comments.
        tree: Its syntax tree; None if it is not a program.
    """

    path: PurePath
    text: str
    tree: SourceTree | None

    def found(self, pattern: re.Pattern[str]) -> Iterator[Span]:
        """The matches of a pattern, or of its group ``at`` if it has one."""
        group: str | int = "at" if "at" in pattern.groupindex else 0
        for match in pattern.finditer(self.text):
            yield match.span(group)


def without_comments(text: str, tree: SourceTree | None) -> str:
    """The text with spaces in place of comments."""
    if tree is None:
        return _COMMENT.sub(lambda comment: blanked(comment[0]), text)
    pieces: list[str] = []
    done = 0
    for comment in tree.comments:
        start, end = tree.offset(comment.start_byte), tree.offset(comment.end_byte)
        if start >= done:
            pieces += (text[done:start], blanked(text[start:end]))
            done = end
    return "".join(pieces) + text[done:]
