"""SQL text to the conditions that it meets, by PostgreSQL's own parser.

:func:`analyse` splits a text by PostgreSQL's scanner, passes over statements without a word that can pin, and parses
the others. The words only choose what is parsed; the tree alone judges. What the parser does not accept is reported as
not parsed, never guessed; a normalised text, with $1 where its constants were, is read as what it was.

Sees what RDS Proxy sees: statements of the client. Bodies of DO blocks, functions and procedures are not looked into
(AWS documents that the proxy does not either), which a note says.
"""

import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..rds_proxy import STATEMENT_LIMIT
from . import _normalised, _parser, _tree
from ._parser import RefusedError
from ._values import Value
from .clients import Sender, recognise
from .conditions import COMMANDS, CONDITIONS, Condition, Evidence, condition
from .remedies import movable, remedy

__all__ = ["Analysis", "Finding", "Leak", "NotParsed", "Note", "analyse", "digest"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a text that pins a session.

    Attributes:
        condition: The condition that it meets.
        start: Where the thing that pins starts, in characters of the text.
        end: Where it ends, exclusively.
        statement_start: Where its statement starts, without white space before it.
        statement_end: Where its statement ends, exclusively, without the semicolon.
        parameter: The parameter that is set or reset, in lower case; the first of several; None where it is none or
            not a constant.
        value: The value that it is set to, a tuple of names for a list such as ``search_path``; None where it is reset
            or not a constant.
        settings: The parameters that are set and that a database may hold for every session instead, with their values.
        remedy: What to write instead, for this finding.
        redundant: The database settings that were given hold the value already; it pins all the same.
        evidence: How well it is known that this pins, best first.
    """

    condition: Condition
    start: int
    end: int
    statement_start: int
    statement_end: int
    parameter: str | None
    value: Value | None
    settings: Mapping[str, Value | None]
    remedy: str
    redundant: bool
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class NotParsed:
    """A statement that has a word that can pin, and that PostgreSQL's parser does not accept."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Leak:
    """Something in a routine's body that does not pin, and that outlives the transaction of the client that calls it.

    Attributes:
        start: Where it starts, in characters of the text; where its statement starts if the body is no plain text.
        end: Where it ends, exclusively.
        statement_start: Where the statement that creates the routine starts.
        statement_end: Where that ends, exclusively, without the semicolon.
        what: What the body does, as ``leaves app.tenant set``.
    """

    start: int
    end: int
    statement_start: int
    statement_end: int
    what: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that does not pin, as far as is known, and deserves a word."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in a text, in the order of the text.

    Attributes:
        findings: What pins.
        not_parsed: The statements that could pin, and could not be judged.
        notes: What does not pin, as far as is known, and deserves a word.
        leaks: What routines that are created here leave behind in the session of the client that calls them.
        statements: How many statements the text has.
    """

    findings: tuple[Finding, ...]
    not_parsed: tuple[NotParsed, ...]
    notes: tuple[Note, ...]
    leaks: tuple[Leak, ...]
    statements: int


_NAMES: Final = frozenset(
    name for one in CONDITIONS for name in (*one.functions, *one.inferred_functions, *one.relations)
)
_WORDS: Final = (
    # Without the names that contain another one, which would be found by that.
    *sorted(name for name in _NAMES if not any(other in name for other in _NAMES - {name})),
    'u&"',
)
_FIRST: Final = (*sorted(COMMANDS), "do")
_SECOND: Final = ("execute", "declare", "function", "procedure")
_COMMENT: Final = ("--", "/*")
_TEMP: Final = re.compile(r"\btemp(?:orary)?\b|pg_temp")
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
_WHITE_SPACE: Final = b" \t\r\n\f\v"


def analyse(
    sql: str,
    *,
    database_settings: Mapping[str, str] | None = None,
    holes: re.Pattern[str] | None = None,
    sender: Sender | None = None,
) -> Analysis:
    """The conditions that a text of one or more statements meets.

    Args:
        sql: SQL; a normalised text with ``$1`` in place of constants will do.
        database_settings: What the database holds already: parameter to text, as ``pg_db_role_setting`` or ``SHOW``
            have it. A SET that repeats it is marked as redundant.
        holes: What stands in the text for something that only the running program knows. A value that has one in it,
            as ``'$1MB'``, is not known; nor is what the parser only takes with a constant in the place of a hole.
        sender: What kind of program sends it. Default: told by each statement where only one kind is known to send it,
            otherwise an application.

    Never raises for what the text holds. Takes time linear in the text's length, and about a microsecond for a
    statement without a word that can pin.
    """
    head = sql.lstrip()
    if ";" not in sql and not head.startswith(_COMMENT) and not _may_pin(sql) and not _oversized(sql):
        return Analysis((), (), (), (), 1 if head else 0)
    held = {name.lower(): value for name, value in (database_settings or {}).items()}
    text = _encoded(sql)
    offsets = _Characters(text)
    findings: list[Finding] = []
    not_parsed: list[NotParsed] = []
    notes: list[Note] = []
    leaks: list[Leak] = []
    count = 0
    for start, end, problem in _statements(text):
        count += 1
        piece = text[start:end].strip(_WHITE_SPACE)
        one = piece.decode()
        may_pin = _may_pin(one)
        if not may_pin and len(piece) <= STATEMENT_LIMIT:
            continue
        start = text.index(piece, start)
        where = offsets[start], offsets[start + len(piece)]
        seen = _tree.Seen()
        if may_pin:
            if problem is None and "\ufffd" in one and "\0" in sql[where[0] : where[1]]:
                problem = "it holds a NUL character, which PostgreSQL does not accept"
            if problem is None:
                try:
                    seen = _judge(one, holes is not None)
                except RefusedError as error:
                    problem = error.message
            if problem is not None:
                not_parsed.append(NotParsed(*where, problem))
        if len(piece) > STATEMENT_LIMIT:
            seen.found.insert(0, _tree.Found("oversized", 0, len(piece)))
        if seen.found:
            by = _sender(one) if sender is None else sender
            findings.extend(_finding(_known(item, holes), start, where, offsets, held, by) for item in seen.found)
        notes.extend(Note(offsets[start + r.start], offsets[start + r.end], r.message) for r in seen.remarks)
        leaks.extend(Leak(offsets[start + r.start], offsets[start + r.end], *where, r.message) for r in seen.leaks)
    return Analysis(tuple(findings), tuple(not_parsed), tuple(notes), tuple(leaks), count)


def digest(sql: str) -> str:
    """A text as the proxy's log shows it, as far as published digests tell: in lower case, constants as $1, $2, …

    A text that PostgreSQL's scanner does not accept is only put into lower case.
    """
    try:
        return _parser.normalise(_encoded(sql).decode()).lower()
    except RefusedError:
        return sql.lower()


def _judge(one: str, has_holes: bool) -> _tree.Seen:
    """What a statement's tree says, with offsets in its text.

    Raises:
        RefusedError: the parser does not accept it, nor what it was before it was normalised.
    """
    try:
        root = _parser.parse(one)
    except RefusedError as error:
        filled = _normalised.fill(one, error) if "$" in one else None
        if filled is None:
            raise
    else:
        return _tree.look(root, one)
    seen = _tree.look(_parser.parse(filled.text), filled.text)
    before = filled.before

    def settings(item: _tree.Found) -> Mapping[str, Value | None]:
        if has_holes:  # A constant that was put into a hole is not what the program puts there.
            return {name: None for name in item.settings if _is_written(name, one)}
        return item.settings if filled.values_known else dict.fromkeys(item.settings)

    return _tree.Seen(
        [replace(item, start=before(item.start), end=before(item.end), settings=settings(item)) for item in seen.found],
        [replace(remark, start=before(remark.start), end=before(remark.end)) for remark in seen.remarks],
        [replace(leak, start=before(leak.start), end=before(leak.end)) for leak in seen.leaks],
    )


_MODE_WORDS: Final = {"isolation": "isolation", "read_only": "read|only|write", "deferrable": "deferrable"}


def _is_written(name: str, statement: str) -> bool:
    """Whether the statement says of itself that it sets this parameter, if it is a mode of transactions."""
    words = next((words for mode, words in _MODE_WORDS.items() if name.endswith(f"transaction_{mode}")), "")
    return re.search(rf"\b(?:{words})\b", statement, re.IGNORECASE) is not None


def _may_pin(sql: str) -> bool:
    """Whether a statement has a word that can pin: a choice of what is parsed, not a judgement."""
    lower = sql.lower()
    for word in _WORDS:
        if word in lower:
            return True
    if "temp" in lower and _TEMP.search(lower):
        return True
    head = lower.lstrip()
    if head.startswith(_FIRST):
        return True
    if head.startswith(("explain", "create")):
        return any(word in lower for word in _SECOND)
    return head.startswith(_COMMENT) and _may_pin(_without_comments(head))


def _without_comments(head: str) -> str:
    """A statement from its first token on."""
    try:
        tokens = _parser.tokens(head)
    except RefusedError:
        return "set"  # The parser will say what is wrong with it.
    return head.encode()[tokens[0].start :].decode() if tokens else ""


def _oversized(sql: str) -> bool:
    return len(sql) * 4 > STATEMENT_LIMIT and len(_encoded(sql).strip(_WHITE_SPACE)) > STATEMENT_LIMIT


def _encoded(sql: str) -> bytes:
    """The text in UTF-8, each character that cannot be in SQL replaced by one that can."""
    try:
        return sql.replace("\0", "\ufffd").encode()
    except UnicodeEncodeError:
        return _UNFIT.sub("\ufffd", sql).encode()


def _statements(text: bytes) -> Iterator[tuple[int, int, str | None]]:
    """Each statement's start and end in bytes, and why it cannot be parsed if the scanner stops in it."""
    try:
        for start, end in list(_parser.split(text)):
            yield start, end, None
    except RefusedError as error:
        scanned = b"" if error.position is None else text.decode()[: error.position].encode()
        whole, rest = [], 0
        with contextlib.suppress(RefusedError):
            for start, end in _parser.split(scanned):
                # A statement is whole if its semicolon follows; the last one is that in which the scanner stopped.
                if scanned[end : end + 1] == b";":
                    whole.append((start, end))
                    rest = end + 1
        for start, end in whole:
            yield start, end, None
        yield rest, len(text), error.message


class _Characters:
    """Bytes of a text to its characters."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._ascii = text.isascii()
        self._bytes = [0]
        self._characters = [0]

    def __getitem__(self, position: int) -> int:
        if self._ascii:
            return position
        nearest = bisect_right(self._bytes, position) - 1
        known = self._bytes[nearest]
        character = self._characters[nearest] + len(self._text[known:position].decode(errors="replace"))
        if position > self._bytes[-1]:
            self._bytes.append(position)
            self._characters.append(character)
        return character


def _known(found: _tree.Found, holes: re.Pattern[str] | None) -> _tree.Found:
    """The same, without the values that have a hole in them."""
    if holes is None or not found.settings:
        return found
    return replace(
        found,
        settings={
            name: None if any(map(holes.search, (value,) if isinstance(value, str) else value or ())) else value
            for name, value in found.settings.items()
        },
    )


def _sender(statement: str) -> Sender:
    """What kind of program sends a statement; an application unless all that are known to send it are of another."""
    kinds = {client.sender for client in recognise(statement)}
    return kinds.pop() if len(kinds) == 1 else Sender.APPLICATION


def _finding(
    found: _tree.Found,
    offset: int,
    where: tuple[int, int],
    offsets: _Characters,
    held: Mapping[str, str],
    sender: Sender,
) -> Finding:
    one = condition(found.condition)
    instead, redundant = remedy(one, {} if found.resets else found.settings, held, sender)
    if found.remedy is not None and sender is Sender.APPLICATION:
        instead = found.remedy
    evidence = one.evidence if found.evidence is None else (found.evidence,)
    first = next(iter(found.settings), None)
    return Finding(
        condition=one,
        start=offsets[offset + found.start],
        end=offsets[offset + found.end],
        statement_start=where[0],
        statement_end=where[1],
        parameter=first,
        value=None if first is None else found.settings[first],
        settings={}
        if found.resets
        else {name: value for name, value in found.settings.items() if movable(name, value)},
        remedy=instead,
        redundant=redundant,
        evidence=evidence,
    )
