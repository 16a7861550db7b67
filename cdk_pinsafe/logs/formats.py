"""Converts the formats of exported logs to plain lines. Knows nothing of the lines' content.

Plain lines are not changed; a tool may have put something before them (`aws logs tail` a time and a stream's name, an
export to S3 a time). Two formats are converted, recognized by the beginning of the input:

- JSON: an object per line, the output of `aws logs filter-log-events` or `get-log-events`, results of Logs Insights,
  records of a subscription; also truncated, or concatenated without line breaks. Each `message` becomes a line, and so
  does each string that begins like a line of the proxy, as from `--query 'events[].message'`.
- CSV with a column `message` or `@message`, as the console downloads it.

UTF-16, which Windows PowerShell's `>` writes, is converted to UTF-8 first.
A message without a time gets the time of its event.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

__all__ = ["as_line", "as_lines"]

TAIL_LIMIT: Final = 1024 * 1024
"""The longest message in bytes; a longer one is skipped."""

_JSON_START: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{|\[\s*[\[{\]"])')
_CSV_START: Final = re.compile(
    rb'(?:\xef\xbb\xbf)?(?:"?@?\w{1,64}"?,){0,32}"?@?message"?(?:,"?@?\w{1,64}"?){0,32}\r?\n', re.ASCII
)
_MESSAGE: Final = re.compile(
    rb'(?:"timestamp"\s*+:\s*+"?(?P<time>\d{10,13})"?\s*+,\s*+)?'
    rb'"(?:@?message|field"\s*+:\s*+"@message"\s*+,\s*+"value)"\s*+:\s*+'
    rb'"(?P<text>(?:[^"\\]++|\\.)*+)"'
    rb'|"(?P<line>\d{4}-\d\d-\d\d[T ][^"\\\s]{5,30} \[[A-Za-z]{1,10}\] \[(?:[^"\\]++|\\.)*+)"',
    re.DOTALL,
)
_BEGINNING: Final = 4096
_KEY_LENGTH: Final = 256
"""Bytes between the beginning of a match and its message, at most."""
_STARTS_WITH_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT")


def as_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Convert blocks of text to blocks of plain lines."""
    first = b""
    while len(first) < _BEGINNING and (block := next(blocks, b"")):
        first += block
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        texts = codecs.iterdecode(_chain(first, blocks), "utf-16", "replace")
        blocks = (text.encode("utf-8", "replace") for text in texts)
        return as_lines(blocks)
    if _JSON_START.match(first):
        return _from_json(first, blocks)
    if _CSV_START.match(first):
        return _from_csv(first, blocks)
    return _chain(first, blocks)


def as_line(message: str, milliseconds: int | None) -> bytes:
    """A message as one line, with the time of its event if it has none."""
    text = message.replace("\r", " ").replace("\n", " ").strip()
    if milliseconds is not None and not _STARTS_WITH_TIME.match(text):
        try:
            when = datetime.fromtimestamp(milliseconds / 1000, UTC)
        except (OverflowError, ValueError, OSError):
            pass
        else:
            text = f"{when.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z {text}"
    return text.encode("utf-8", "replace") + b"\n"


def _from_json(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    text = b""
    any_message = False
    for block in _chain(first, blocks):
        text += block
        lines = []
        end = 0
        for found in _MESSAGE.finditer(text):
            end = found.end()
            lines.append(_json_line(found))
        if lines:
            any_message = True
            yield b"".join(lines)
        text = text[end:]
        if len(text) > TAIL_LIMIT:
            if not any_message:  # other JSON: its lines are counted as unknown
                yield from _chain(text, blocks)
                return
            text = text[-_KEY_LENGTH:]
    if not any_message:
        yield text


def _json_line(found: "re.Match[bytes]") -> bytes:
    text = (found["text"] if found["line"] is None else found["line"]).decode("utf-8", "replace")
    try:
        message = json.loads(f'"{text}"', strict=False)
    except ValueError:  # an invalid escape
        message = text
    time = found["time"]
    return as_line(message, None if time is None else int(time) * (1 if len(time) > 11 else 1000))


def _from_csv(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    lines = _text_lines(_chain(first, blocks))
    column = [name.strip(' "@\r\n') for name in next(lines, "").split(",")].index("message")
    while True:
        try:
            for row in csv.reader(lines):
                yield as_line(row[column] if column < len(row) else ",".join(row), None)
        except csv.Error:  # an unterminated field
            continue
        return


def _text_lines(blocks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.decode("utf-8-sig", "replace") + "\n" for line in lines)
        rest = rest[:TAIL_LIMIT]
    if rest:
        yield rest.decode("utf-8-sig", "replace")


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
