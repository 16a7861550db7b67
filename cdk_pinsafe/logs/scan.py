"""Counts the lines of a log, fast: it does not split the text into lines.

It searches each block for the text of lines about pins, and parses only those lines: lines of the usual form by one
regular expression, others by :mod:`cdk_pinsafe.pinning.log_lines`. It counts all lines by their line breaks, and the
proxy's ordinary lines by a mark that they contain; if the numbers differ, a binary search finds the other lines. State
is bounded: see `aggregation`, `correlation`, and the constants here.
"""

import re
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from ..pinning import log_lines
from ..pinning.log_lines import LineKind, LogLine
from ..pinning.statements import analyse
from .aggregation import Aggregation, GroupKey
from .correlation import Correlator

__all__ = ["Lines", "Scanner"]

LONGEST_LINE: Final = 256 * 1024
"""The longest line in bytes; each part of a longer one is counted as a line."""
DIGEST_LIMIT: Final = 1000
"""The longest digest in characters; a longer one is truncated."""
REPEATS: Final = 50_000
"""A pin that is repeated within this number of pins is counted once."""
SAMPLES: Final = 10
"""The number of forms of unknown lines with a sample."""
_SAMPLE_LENGTH: Final = 200
_CACHED: Final = 4096
_SPLIT_LINES: Final = 64
_PENDING_LISTS: Final = 512
_PENDING: Final = 2048
_SCAN_WINDOW: Final = 8 * 1024
_LONGEST_PREFIX: Final = 2048
"""Bytes between the start of a line about a pin and `_PIN_TEXT`, at most."""

_PIN_TEXT: Final = b" pinned to the database connection ["
_SESSION_WAS: Final = b"] The client session was"
_PIN_TEXT_OTHER: Final = _PIN_TEXT.removesuffix(b" [")
"""In lines about pins of any form."""
_MARKS: Final = (b" [INFO] [proxyEndpoint=", b" [INFO] [clientConnection=")
"""In ordinary lines, since 2021 and before."""
_LONG_MARK: Final = re.compile(rb"\[INFO\] \[proxyEndpoint=[^\]\n]{1,63}\] \[clientConnect")
"""In ordinary lines of one endpoint. A longer text is found faster."""
_TIME: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)\.(\d{3})Z \[")
_ORDINARY: Final = re.compile(rb"\d\d:\d\d[\d:.,]{0,16}(?:Z|[+-]\d\d:?\d\d)? \[(?:INFO|DEBUG|TRACE)\]")
_PIN_LINE: Final = re.compile(
    rb"(?:[^\s\[]{1,256}\s){0,2}?"  # from `aws logs tail` or an export to S3
    rb"((\d{4}-\d\d-\d\dT\d\d:\d\d):\d\d\.\d{3})Z \[(?:WARN|INFO)\] (?:\[proxyEndpoint=[^\]\n]{1,63}\] )?"
    rb"\[clientConnection=(\d{1,20})\] "
    rb"(?:The client session was|(If this prepared statement runs, the client session will be))"
    rb" pinned to the database connection \[dbConnection=\d{1,20}\]([^\n]+)\n"
)
"""A line about a pin. Groups: moment, its minute, client connection, text of an announcement, suffix."""
_PIN_LINE_SUFFIX: Final = re.compile(
    rb"(?: for the remainder of the session\. The proxy can't reuse this connection until the session ends)?\. "
    rb"Reason: [^\n\r\t]{1,40000}\r?"
)
"""Matched once for each distinct suffix: there are few, and they take as long to match as the rest of the line."""
_EXPORTED_TIME: Final = re.compile(r"\t\d{13}$")
"""Appended to a message by `aws logs … --output text`."""
_Pin = tuple[bytes | None, bytes | None]
"""Moment (UTC with milliseconds, as the proxy writes it) and client connection."""
_MINUTE, _SECOND, _MOMENT = map(len, ("2023-09-06T08:15", "2023-09-06T08:15:30", "2023-09-06T08:15:30.685"))
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_DIGITS_OF_MOMENT: Final = b"0000-00-00T00:00:00.000"
_VARIABLE: Final = re.compile(r"[0-9a-f]*\d[0-9a-f]*")


@dataclass
class Lines:
    """Numbers of lines by kind.

    Attributes:
        total: All lines.
        pins: Lines about a pin, each once.
        repeated: Repeated lines about a pin.
        announced: Lines about a statement that will pin if it runs.
        unknown: All others that are not ordinary, including lines about pins that cannot be parsed.
        first: The earliest time, in milliseconds since 1970.
        last: The latest time.
        forms: The first forms of unknown lines: a sample, and the number of lines.
    """

    total: int = 0
    pins: int = 0
    repeated: int = 0
    announced: int = 0
    unknown: int = 0
    first: int | None = None
    last: int | None = None
    forms: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def ordinary(self) -> int:
        """Other lines of the proxy at INFO and below, such as those about connections; and empty lines."""
        return self.total - self.pins - self.repeated - self.announced - self.unknown


class Scanner:
    """Counts the lines of one or more logs, in any order."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.aggregation = Aggregation()
        self._correlator = Correlator(self._add_resolved)
        self._mark = _MARKS[0]
        self._form = b"\n"
        """The text between moment and client connection in the latest line about a pin of the usual form."""
        self._pending: dict[GroupKey, list[_Pin]] = {}
        """Pins that are not aggregated yet: in batches it takes half the time."""
        self._pending_by_suffix: dict[bytes, list[_Pin]] = {}
        """The same lists by line suffix, for the fast path."""
        self._minutes: dict[bytes, int] = {}
        self._keys_by_suffix: dict[bytes, GroupKey] = {}
        self._keys: dict[tuple[str | None, str | None], GroupKey] = {}
        self._seen: dict[bytes, bytes] = {}
        """The moment of the pin of the latest client connections: a session is pinned once, until it ends."""

    def read(self, blocks: Iterable[bytes]) -> None:
        """Count the lines of one source; a line can continue in the next block."""
        rest = b""
        split_lines: list[bytes] = []
        for block in blocks:
            end = block.rfind(b"\n") + 1
            start = 0
            if end and rest:
                start = block.find(b"\n") + 1
                split_lines.append(rest + block[:start])
                rest = b""
            self._count(block, start, end, _line_ends(block) - (start > 0))
            rest += block[end:]
            if len(rest) > LONGEST_LINE:
                split_lines.append(rest + b"\n")
                rest = b""
            if len(split_lines) >= _SPLIT_LINES or (split_lines and len(split_lines[-1]) > _LONGEST_PREFIX):
                self._count_split_lines(split_lines)
        if rest:
            split_lines.append(rest + b"\n")
        self._count_split_lines(split_lines)

    def finish(self) -> None:
        """Count what is pending, after the last source."""
        self._correlator.finish()
        self._count_pending()

    def _count_split_lines(self, split_lines: list[bytes]) -> None:
        """Count lines that were split between two blocks, in batches: the cost per call is high."""
        text = b"".join(split_lines)
        self._count(text, 0, len(text), len(split_lines))
        split_lines.clear()

    def _count(self, block: bytes, start: int, end: int, total: int) -> None:
        """Count the `total` whole lines in a part of a block."""
        if start == end:
            return
        first_line = block[start : min(block.find(b"\n", start), start + _LONGEST_PREFIX)]
        self._mark = next((mark for mark in _MARKS if mark in first_line), self._mark)
        self.lines.total += total
        unmarked = self._pin_lines(block, start, end)
        if not (
            (found := _LONG_MARK.search(first_line)) and block.count(found[0], start, end) + len(unmarked) == total
        ):
            self._find_unknown(block, start, end, total, unmarked)
        if sum(map(len, self._pending.values())) >= _PENDING:
            self._count_pending()
        if len(self._seen) >= 2 * REPEATS:
            for connection in list(islice(self._seen, len(self._seen) - REPEATS)):
                del self._seen[connection]
        self._note_time(first_line)
        self._note_time(block[block.rfind(b"\n", start, end - 1) + 1 :][:_LONGEST_PREFIX])

    def _pin_lines(self, block: bytes, start: int, end: int) -> list[int]:
        """Count the lines about pins. Returns the offsets of those without the mark of ordinary lines."""
        find, rfind, startswith = block.find, block.rfind, block.startswith
        pending_by_suffix, seen = self._pending_by_suffix, self._seen
        form, length = self._form, len(self._form)
        pins = repeated = 0
        unmarked = []
        at = find(_PIN_TEXT, start, end)
        while at >= 0:
            left = rfind(b"\n", start, at) + 1 or start
            moment_end, connection_end = left + _MOMENT, at - len(_SESSION_WAS)
            if startswith(form, moment_end) and startswith(_SESSION_WAS, connection_end):
                # The line begins like the latest one of the usual form; most also have a known suffix.
                bracket = find(b"]", at, end)
                right = find(b"\n", bracket, end)
                if (pending := pending_by_suffix.get(block[bracket + 1 : right])) is not None:
                    # Fast path.
                    unmarked.append(at)
                    moment, connection = block[left:moment_end], block[moment_end + length : connection_end]
                    if seen.get(connection) == moment:
                        repeated += 1
                    else:
                        seen[connection] = moment
                        pins += 1
                        pending.append((moment, connection))
                    at = find(_PIN_TEXT, right, end)
                    continue
            right = find(b"\n", at, end) + 1
            found = _PIN_LINE.match(block, left, end)
            line = block[max(left, at - _LONGEST_PREFIX) : right]
            if self._mark not in line:
                unmarked.append(at)
            if not (found and self._count_pin_line(line, *found.groups())):
                self._parse_pin_line(line)
            elif not found[4]:
                self._form = form = block[found.end(1) : found.start(3)]
                length = len(form)
            at = find(_PIN_TEXT, right, end)
        self.lines.pins += pins
        self.lines.repeated += repeated
        return unmarked

    def _count_pin_line(
        self, line: bytes, moment: bytes, minute: bytes, connection: bytes, announced: bytes | None, suffix: bytes
    ) -> bool:
        """Count a line of the usual form, and record its suffix for the fast path. False if it has another form."""
        if self._minute(minute) is None or (key := self._key_by_suffix(suffix, line)) is None:
            return False
        self._note(connection, moment, key, not announced, suffix)
        return True

    def _parse_pin_line(self, line: bytes) -> None:
        """Count a line about a pin that does not have the usual form."""
        text = _EXPORTED_TIME.sub("", line.decode("utf-8", "replace").rstrip())
        parsed = log_lines.parse_line(text)
        if parsed is None or parsed.kind not in (LineKind.PINNED, LineKind.MAY_PIN):
            if parsed is None or parsed.level != "INFO":
                self._note_unknown(text)
            return
        key = self._key(parsed.reason, parsed.digest)
        connection = None if parsed.client_connection is None else parsed.client_connection.encode()
        self._note(connection, _moment(parsed), key, parsed.kind is LineKind.PINNED)

    def _note(
        self, connection: bytes | None, moment: bytes | None, key: GroupKey, happened: bool, suffix: bytes | None = None
    ) -> None:
        """Count a pin or an announcement."""
        if not happened:
            self.lines.announced += 1
            if connection is not None:
                self._correlator.announce(connection, moment, key)
            return
        if moment is not None and connection is not None:
            if self._seen.get(connection) == moment:
                self.lines.repeated += 1
                return
            self._seen[connection] = moment
        self.lines.pins += 1
        if key.digest is None and key.conditions != ("oversized",) and connection is not None:
            self._correlator.pin(connection, moment, key)
            return
        pending = self._pending.setdefault(key, [])
        pending.append((moment, connection))
        if suffix is not None:
            self._pending_by_suffix[suffix] = pending

    def _key_by_suffix(self, suffix: bytes, line: bytes) -> GroupKey | None:
        """The key of a line by its suffix; None if the suffix does not have the usual form."""
        if (key := self._keys_by_suffix.get(suffix)) is None and _PIN_LINE_SUFFIX.fullmatch(suffix):
            parsed = log_lines.parse_line(line.decode("utf-8", "replace"))
            key = self._key(parsed.reason, parsed.digest) if parsed else GroupKey((), "", None)
            if len(self._keys_by_suffix) >= _CACHED:
                self._keys_by_suffix.clear()
            self._keys_by_suffix[suffix] = key
        return key

    def _key(self, reason: str | None, digest: str | None) -> GroupKey:
        if (key := self._keys.get((reason, digest))) is None:
            if len(self._keys) >= _CACHED:
                self._keys.clear()
            findings = analyse(digest).findings if digest else ()
            classified = log_lines.classify(reason, None if findings else digest)
            conditions = [finding.condition.id for finding in findings]
            if classified is not None and (classified.id == "oversized" or not findings):
                conditions.insert(0, classified.id)
            shown = None if digest is None else " ".join(digest.split())[:DIGEST_LIMIT]
            key = GroupKey(tuple(dict.fromkeys(conditions)), (reason or "")[:DIGEST_LIMIT], shown)
            self._keys[reason, digest] = key
        return key

    def _add_resolved(self, key: GroupKey, joined: bool, moment: bytes | None, connection: bytes) -> None:
        self.aggregation.group(key).joined += joined
        self._pending.setdefault(key, []).append((moment, connection))

    def _count_pending(self) -> None:
        for key, pins in self._pending.items():
            if pins:
                span, seconds = self._times([moment for moment, _ in pins if moment is not None])
                connections = _numbers([connection for _, connection in pins if connection is not None])
                self.aggregation.add(self.aggregation.group(key), len(pins), span, seconds, connections)
                pins.clear()
        if len(self._pending_by_suffix) >= _PENDING_LISTS or len(self._pending) >= _PENDING_LISTS:
            self._pending_by_suffix.clear()
            self._pending.clear()

    def _times(self, moments: list[bytes]) -> tuple[tuple[int, int] | None, dict[int, int]]:
        """The first and the last second, and the number of moments by time; ignores invalid moments.

        If the aggregation counts by minutes, so does this, because parsing many moments is slow.
        """
        if b"".join(moments).translate(_DIGITS) != _DIGITS_OF_MOMENT * len(moments):
            moments = [one for one in moments if one.translate(_DIGITS) == _DIGITS_OF_MOMENT]
        length = _MINUTE if self.aggregation.width % 60 == 0 else _SECOND
        counts = Counter([one[:length] for one in moments])
        seconds = {text: second for text in counts if (second := self._second(text)) is not None}
        if len(seconds) < len(counts):
            moments = [one for one in moments if one[:length] in seconds]
        if not moments:
            return None, {}
        span = self._second(min(moments)) or 0, self._second(max(moments)) or 0
        return span, {second: counts[text] for text, second in seconds.items()}

    def _second(self, moment: bytes) -> int | None:
        """Seconds since 1970 of a moment or a minute; None if there is no such minute."""
        if (base := self._minute(moment[:_MINUTE])) is None:
            return None
        return base // 1000 + int(moment[_MINUTE + 1 : _SECOND] or 0)

    def _minute(self, minute: bytes) -> int | None:
        """Milliseconds since 1970 of `2023-09-06T08:15`; None if there is no such minute."""
        if (base := self._minutes.get(minute)) is None:
            try:
                base = int(datetime.fromisoformat(minute.decode()).replace(tzinfo=UTC).timestamp()) * 1000
            except ValueError:
                return None
            if len(self._minutes) >= _CACHED:
                self._minutes.clear()
            self._minutes[minute] = base
        return base

    def _find_unknown(self, block: bytes, start: int, end: int, total: int, unmarked: list[int]) -> None:
        """Find the lines that are neither ordinary nor contain `_PIN_TEXT`."""
        known = block.count(self._mark, start, end) + bisect_left(unmarked, end) - bisect_left(unmarked, start)
        if known == total:
            return
        middle = block.find(b"\n", (start + end) // 2, end) + 1
        if end - start <= _SCAN_WINDOW or known < total // 2 or middle in (0, end):
            for line in block[start : end - 1].split(b"\n"):
                if _PIN_TEXT in line or _ORDINARY.search(line, 0, _LONGEST_PREFIX) or line.isspace() or not line:
                    continue
                if _PIN_TEXT_OTHER in line:
                    self._parse_pin_line(line[:LONGEST_LINE])
                else:
                    self._note_unknown(line[:LONGEST_LINE].decode("utf-8", "replace"))
            return
        for left, right in ((start, middle), (middle, end)):
            self._find_unknown(block, left, right, _line_ends(block[left:right]), unmarked)

    def _note_unknown(self, text: str) -> None:
        self.lines.unknown += 1
        sample = text[:_SAMPLE_LENGTH].rstrip()
        form = _VARIABLE.sub("#", sample)
        first, count = self.lines.forms.get(form, (sample, 0))
        if count or len(self.lines.forms) < SAMPLES:
            self.lines.forms[form] = first, count + 1

    def _note_time(self, line: bytes) -> None:
        found = _TIME.search(line)
        if found and (base := self._minute(found[1])) is not None:
            moment = base + int(found[2] + found[3])
            self.lines.first = moment if self.lines.first is None else min(self.lines.first, moment)
            self.lines.last = moment if self.lines.last is None else max(self.lines.last, moment)


def _line_ends(block: bytes) -> int:
    # Twice as fast as `count`, which compares byte by byte in CPython 3.11 to 3.13.
    return len(block) - len(block.replace(b"\n", b""))


def _moment(line: LogLine) -> bytes | None:
    """The moment in the form of `_PIN_LINE`."""
    if line.timestamp is None:
        return None
    return line.timestamp.astimezone(UTC).isoformat(timespec="milliseconds")[:23].encode()


def _numbers(connections: list[bytes]) -> list[int]:
    try:
        return list(map(int, connections))
    except ValueError:
        return [int(one) if one.isdigit() else zlib.crc32(one) for one in connections]
