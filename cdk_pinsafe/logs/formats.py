"""The forms in which log lines are exported, made into plain lines. Knows nothing of what the lines say.

Plain lines pass through untouched, whatever a tool put before them (`aws logs tail` a time and a stream's name, an
export to S3 a time). Two forms are unpacked, told apart by how the input begins:

- JSON: one object a line, the answer of `aws logs filter-log-events` or `get-log-events`, results of Logs Insights,
  what a subscription delivers; truncated or strung together without line ends, too. Each `message` becomes a line, and
  each text that begins as the proxy's lines do, as `--query 'events[].message'` gives them.
- CSV with a column `message` or `@message`, as the console downloads it.

UTF-16, which Windows PowerShell's `>` writes, is made UTF-8 before.
A message without a time of its own gets that of its event.
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
"""Bytes without the end of a message after which it is given up."""

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
"""Bytes that may stand between the beginning of a match and its message."""
_STARTS_WITH_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT")


def as_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text as blocks of plain lines."""
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
    """A message as one line, with the time of its event where it has none itself."""
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
            if not any_message:  # some other JSON: its lines are passed on, to be counted as what they are
                yield from _chain(text, blocks)
                return
            text = text[-_KEY_LENGTH:]
    if not any_message:
        yield text


def _json_line(found: "re.Match[bytes]") -> bytes:
    text = (found["text"] if found["line"] is None else found["line"]).decode("utf-8", "replace")
    try:
        message = json.loads(f'"{text}"', strict=False)
    except ValueError:  # an escape that JSON does not know
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
        except csv.Error:  # a field without an end
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
