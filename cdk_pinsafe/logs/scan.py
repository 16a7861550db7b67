"""Reads a log's text and counts what is in it, fast: most lines are never looked at one by one.

Text is searched block by block for the words that a pin's line has; only such lines are taken apart, those of the usual
form by one regular expression, all others by :mod:`cdk_pinsafe.pinning.log_lines`. The other lines are counted by
their ends and by the mark of the proxy's ordinary lines; where the two do not add up, halving finds the lines that are
not ordinary. State is bounded: see `tally`, `joins`, and the constants here.
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
from .aggregation import GroupKey, Tally
from .correlation import Joins

__all__ = ["Lines", "Scanner"]

LINE_LIMIT: Final = 256 * 1024
"""Bytes of a line that are kept while its end is looked for; a longer one is read in parts, each counted as a line."""
DIGEST_LIMIT: Final = 1000
"""Characters of a digest that are kept."""
REPEATS: Final = 50_000
"""A pin that is repeated within so many is counted once."""
SAMPLES: Final = 10
"""Forms of unknown lines, of each of which one is kept."""
_SAMPLE_LENGTH: Final = 200
_CACHED: Final = 4096
_SEAMS: Final = 64
_NOTED: Final = 512
_WAITING: Final = 2048
_WALKED: Final = 8 * 1024
_BEFORE: Final = 2048
"""Bytes before the words of a pin in which its line begins."""

_PINNED: Final = b" pinned to the database connection ["
_WAS: Final = b"] The client session was"
_OTHERWISE: Final = _PINNED.removesuffix(b" [")
"""What only lines of other forms have, which are looked at one by one as they are not ordinary."""
_MARKS: Final = (b" [INFO] [proxyEndpoint=", b" [INFO] [clientConnection=")
"""Of ordinary lines, since 2021 and before."""
_LONG_MARK: Final = re.compile(rb"\[INFO\] \[proxyEndpoint=[^\]\n]{1,63}\] \[clientConnect")
"""Of ordinary lines of one endpoint. The longer what is counted, the less of the text must be looked at."""
_TIME: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)\.(\d{3})Z \[")
_ORDINARY: Final = re.compile(rb"\d\d:\d\d[\d:.,]{0,16}(?:Z|[+-]\d\d:?\d\d)? \[(?:INFO|DEBUG|TRACE)\]")
_USUAL: Final = re.compile(
    rb"(?:[^\s\[]{1,256}\s){0,2}?"  # what `aws logs tail` and an export to S3 put there
    rb"((\d{4}-\d\d-\d\dT\d\d:\d\d):\d\d\.\d{3})Z \[(?:WARN|INFO)\] (?:\[proxyEndpoint=[^\]\n]{1,63}\] )?"
    rb"\[clientConnection=(\d{1,20})\] "
    rb"(?:The client session was|(If this prepared statement runs, the client session will be))"
    rb" pinned to the database connection \[dbConnection=\d{1,20}\]([^\n]+)\n"
)
"""A line about a pin. Groups: moment, its minute, client connection, what is there if it was not pinned yet, ending."""
_USUAL_ENDING: Final = re.compile(
    rb"(?: for the remainder of the session\. The proxy can't reuse this connection until the session ends)?\. "
    rb"Reason: [^\n\r\t]{1,40000}\r?"
)
"""Looked at once for each ending: there are few, and to look at one takes as long as all that is before it."""
_EXPORTED_TIME: Final = re.compile(r"\t\d{13}$")
"""What `aws logs … --output text` puts after a message."""
_Pin = tuple[bytes | None, bytes | None]
"""Moment, in UTC to the millisecond as the proxy writes it, and client connection."""
_MINUTE, _SECOND, _MOMENT = map(len, ("2023-09-06T08:15", "2023-09-06T08:15:30", "2023-09-06T08:15:30.685"))
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_DIGITS_OF_MOMENT: Final = b"0000-00-00T00:00:00.000"
_VARIABLE: Final = re.compile(r"[0-9a-f]*\d[0-9a-f]*")


@dataclass
class Lines:
    """How many lines there were.

    Attributes:
        total: All.
        pins: That tell of a pin, each once.
        repeated: That tell of a pin that was counted before.
        announced: That tell of a statement that will pin if it runs.
        unknown: That are neither these nor ordinary, among them what mentions a pin and could not be read.
        first: The earliest time seen, in milliseconds since 1970.
        last: The latest.
        forms: The first forms of unknown lines: a sample, and how many there were.
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
        """That the proxy writes at INFO and below, about clients that come and go say; empty ones, too."""
        return self.total - self.pins - self.repeated - self.announced - self.unknown


class Scanner:
    """Takes text of one or more logs, in any order, and counts."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.tally = Tally()
        self._joins = Joins(self._settle)
        self._mark = _MARKS[0]
        self._form = b"\n"
        """What stood between moment and client connection in the last line of a pin that had the usual form."""
        self._waiting: dict[GroupKey, list[_Pin]] = {}
        """Pins that were noted and not counted yet: many at once cost half of what one by one does."""
        self._noted: dict[bytes, list[_Pin]] = {}
        """The same lists, by the endings of the lines that need no more than to be noted there."""
        self._minutes: dict[bytes, int] = {}
        self._endings: dict[bytes, GroupKey] = {}
        self._keys: dict[tuple[str | None, str | None], GroupKey] = {}
        self._seen: dict[bytes, bytes] = {}
        """When each of the latest client connections was pinned: a session is pinned once, for as long as it lasts."""

    def read(self, blocks: Iterable[bytes]) -> None:
        """Count what one source has: blocks of text whose lines may go on from one to the next."""
        rest = b""
        seams: list[bytes] = []
        for block in blocks:
            end = block.rfind(b"\n") + 1
            start = 0
            if end and rest:
                start = block.find(b"\n") + 1
                seams.append(rest + block[:start])
                rest = b""
            self._count(block, start, end, _line_ends(block) - (start > 0))
            rest += block[end:]
            if len(rest) > LINE_LIMIT:
                seams.append(rest + b"\n")
                rest = b""
            if len(seams) >= _SEAMS or (seams and len(seams[-1]) > _BEFORE):
                self._count_seams(seams)
        if rest:
            seams.append(rest + b"\n")
        self._count_seams(seams)

    def finish(self) -> None:
        """Settle what was open, after the last source."""
        self._joins.finish()
        self._count_waiting()

    def _count_seams(self, seams: list[bytes]) -> None:
        """Count lines that were put together from two blocks, many at once: to begin with a few takes as long."""
        text = b"".join(seams)
        self._count(text, 0, len(text), len(seams))
        seams.clear()

    def _count(self, block: bytes, start: int, end: int, total: int) -> None:
        """Count the lines of a part of a block, which begins and ends with whole lines, so many of them."""
        if start == end:
            return
        first_line = block[start : min(block.find(b"\n", start), start + _BEFORE)]
        self._mark = next((mark for mark in _MARKS if mark in first_line), self._mark)
        self.lines.total += total
        unmarked = self._pin_lines(block, start, end)
        if not (
            (found := _LONG_MARK.search(first_line)) and block.count(found[0], start, end) + len(unmarked) == total
        ):
            self._find_unknown(block, start, end, total, unmarked)
        if sum(map(len, self._waiting.values())) >= _WAITING:
            self._count_waiting()
        if len(self._seen) >= 2 * REPEATS:
            for connection in list(islice(self._seen, len(self._seen) - REPEATS)):
                del self._seen[connection]
        self._note_time(first_line)
        self._note_time(block[block.rfind(b"\n", start, end - 1) + 1 :][:_BEFORE])

    def _pin_lines(self, block: bytes, start: int, end: int) -> list[int]:
        """Take the lines apart that mention a pin. Returns where those are that have not the mark of ordinary lines."""
        find, rfind, startswith = block.find, block.rfind, block.startswith
        noted, seen = self._noted, self._seen
        form, length = self._form, len(self._form)
        pins = repeated = 0
        unmarked = []
        at = find(_PINNED, start, end)
        while at >= 0:
            left = rfind(b"\n", start, at) + 1 or start
            moment_end, connection_end = left + _MOMENT, at - len(_WAS)
            if startswith(form, moment_end) and startswith(_WAS, connection_end):
                # A line that begins as the last one of the usual form; most end as one that was seen before, too.
                bracket = find(b"]", at, end)
                right = find(b"\n", bracket, end)
                if (waiting := noted.get(block[bracket + 1 : right])) is not None:
                    # Nothing here but what every pin needs.
                    unmarked.append(at)
                    moment, connection = block[left:moment_end], block[moment_end + length : connection_end]
                    if seen.get(connection) == moment:
                        repeated += 1
                    else:
                        seen[connection] = moment
                        pins += 1
                        waiting.append((moment, connection))
                    at = find(_PINNED, right, end)
                    continue
            right = find(b"\n", at, end) + 1
            found = _USUAL.match(block, left, end)
            line = block[max(left, at - _BEFORE) : right]
            if self._mark not in line:
                unmarked.append(at)
            if not (found and self._usual(line, *found.groups())):
                self._unusual(line)
            elif not found[4]:
                self._form = form = block[found.end(1) : found.start(3)]
                length = len(form)
            at = find(_PINNED, right, end)
        self.lines.pins += pins
        self.lines.repeated += repeated
        return unmarked

    def _usual(
        self, line: bytes, moment: bytes, minute: bytes, connection: bytes, announced: bytes | None, ending: bytes
    ) -> bool:
        """Count a line of the usual form, so that the next that ends as it does is known. False if it is none."""
        if self._minute(minute) is None or (key := self._key_of(ending, line)) is None:
            return False
        self._note(connection, moment, key, not announced, ending)
        return True

    def _unusual(self, line: bytes) -> None:
        """Take a line apart that mentions a pin and is not of the usual form."""
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
        self, connection: bytes | None, moment: bytes | None, key: GroupKey, happened: bool, ending: bytes | None = None
    ) -> None:
        """Count a pin or an announcement."""
        if not happened:
            self.lines.announced += 1
            if connection is not None:
                self._joins.announce(connection, moment, key)
            return
        if moment is not None and connection is not None:
            if self._seen.get(connection) == moment:
                self.lines.repeated += 1
                return
            self._seen[connection] = moment
        self.lines.pins += 1
        if key.digest is None and key.conditions != ("oversized",) and connection is not None:
            self._joins.pin(connection, moment, key)
            return
        waiting = self._waiting.setdefault(key, [])
        waiting.append((moment, connection))
        if ending is not None:
            self._noted[ending] = waiting

    def _key_of(self, ending: bytes, line: bytes) -> GroupKey | None:
        """The key of a line, by what it ends with; None if that is not usual."""
        if (key := self._endings.get(ending)) is None and _USUAL_ENDING.fullmatch(ending):
            parsed = log_lines.parse_line(line.decode("utf-8", "replace"))
            key = self._key(parsed.reason, parsed.digest) if parsed else GroupKey((), "", None)
            if len(self._endings) >= _CACHED:
                self._endings.clear()
            self._endings[ending] = key
        return key

    def _key(self, reason: str | None, digest: str | None) -> GroupKey:
        if (key := self._keys.get((reason, digest))) is None:
            if len(self._keys) >= _CACHED:
                self._keys.clear()
            findings = analyse(digest).findings if digest else ()
            told = log_lines.classify(reason, None if findings else digest)
            conditions = [finding.condition.id for finding in findings]
            if told is not None and (told.id == "oversized" or not findings):
                conditions.insert(0, told.id)
            shown = None if digest is None else " ".join(digest.split())[:DIGEST_LIMIT]
            key = GroupKey(tuple(dict.fromkeys(conditions)), (reason or "")[:DIGEST_LIMIT], shown)
            self._keys[reason, digest] = key
        return key

    def _settle(self, key: GroupKey, joined: bool, moment: bytes | None, connection: bytes) -> None:
        self.tally.group(key).joined += joined
        self._waiting.setdefault(key, []).append((moment, connection))

    def _count_waiting(self) -> None:
        for key, pins in self._waiting.items():
            if pins:
                span, seconds = self._times([moment for moment, _ in pins if moment is not None])
                connections = _numbers([connection for _, connection in pins if connection is not None])
                self.tally.add(self.tally.group(key), len(pins), span, seconds, connections)
                pins.clear()
        if len(self._noted) >= _NOTED or len(self._waiting) >= _NOTED:
            self._noted.clear()
            self._waiting.clear()

    def _times(self, moments: list[bytes]) -> tuple[tuple[int, int] | None, dict[int, int]]:
        """The first and the last second, and how many moments are when; without those that no clock shows.

        Where the tally counts by minutes, so does this: to make numbers of so many moments is slow.
        """
        if b"".join(moments).translate(_DIGITS) != _DIGITS_OF_MOMENT * len(moments):
            moments = [one for one in moments if one.translate(_DIGITS) == _DIGITS_OF_MOMENT]
        length = _MINUTE if self.tally.width % 60 == 0 else _SECOND
        counts = Counter([one[:length] for one in moments])
        seconds = {text: second for text in counts if (second := self._second(text)) is not None}
        if len(seconds) < len(counts):
            moments = [one for one in moments if one[:length] in seconds]
        if not moments:
            return None, {}
        span = self._second(min(moments)) or 0, self._second(max(moments)) or 0
        return span, {second: counts[text] for text, second in seconds.items()}

    def _second(self, moment: bytes) -> int | None:
        """Seconds since 1970 of a moment, or of the minute that it begins with; None if no calendar has it."""
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
        """Find the lines that neither are ordinary nor mention a pin in the usual words."""
        known = block.count(self._mark, start, end) + bisect_left(unmarked, end) - bisect_left(unmarked, start)
        if known == total:
            return
        middle = block.find(b"\n", (start + end) // 2, end) + 1
        if end - start <= _WALKED or known < total // 2 or middle in (0, end):
            for line in block[start : end - 1].split(b"\n"):
                if _PINNED in line or _ORDINARY.search(line, 0, _BEFORE) or line.isspace() or not line:
                    continue
                if _OTHERWISE in line:
                    self._unusual(line[:LINE_LIMIT])
                else:
                    self._note_unknown(line[:LINE_LIMIT].decode("utf-8", "replace"))
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
    # Twice as fast as `count`, which looks at byte by byte in CPython 3.11 to 3.13; this one leaps.
    return len(block) - len(block.replace(b"\n", b""))


def _moment(line: LogLine) -> bytes | None:
    """As the usual lines have it."""
    if line.timestamp is None:
        return None
    return line.timestamp.astimezone(UTC).isoformat(timespec="milliseconds")[:23].encode()


def _numbers(connections: list[bytes]) -> list[int]:
    try:
        return list(map(int, connections))
    except ValueError:
        return [int(one) if one.isdigit() else zlib.crc32(one) for one in connections]
