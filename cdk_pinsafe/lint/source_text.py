"""Decodes files of any encoding, and maps offsets to lines and columns."""

import codecs
import re
from bisect import bisect_right
from functools import cached_property
from typing import Final

__all__ = ["SourceText", "blanked", "decode"]

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SNIFFED: Final = 8192


def decode(data: bytes) -> str | None:
    """The text of a file; None if it is binary (a NUL in the first 8 KB, like git).

    A byte order mark decides the encoding; otherwise UTF-8 is tried, then Latin-1: it maps each byte to a character, so
    keywords and positions are right in any encoding.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    if b"\0" in data[:_SNIFFED]:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # PostgreSQL's parser would stop at a NUL after the first 8 KB.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def blanked(text: str) -> str:
    """Spaces in place of each character, except line breaks."""
    return re.sub(r"[^\r\n]", " ", text)


class SourceText:
    """A text with lines; offsets count characters from 0, lines and columns from 1."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        position = self.text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = self.text.find("\n", position + 1)
        return starts

    @property
    def lines(self) -> int:
        """The number of lines."""
        return len(self._line_starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, without the line break."""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] if number < self.lines else len(self.text)
        return self.text[start:end].rstrip("\r\n")
