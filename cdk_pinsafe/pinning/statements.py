"""Finds the conditions that SQL meets, with PostgreSQL's parser.

:func:`analyse` splits a text with PostgreSQL's scanner, skips statements without a word that can pin, and parses the
others. The words only select what is parsed; the tree decides. Statements that the parser rejects are reported as not
parsed, never guessed. Normalized text, with $1 in place of constants, is restored first.

Like RDS Proxy, it checks the client's statements. It does not check bodies of DO blocks, functions and procedures (AWS
documents that the proxy does not), and adds a note instead.
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

__all__ = ["Analysis", "Leak", "NotParsed", "StatementFinding", "StatementNote", "analyse", "digest"]


@dataclass(frozen=True, slots=True)
class StatementFinding:
    """A part of a text that pins a session.

    Attributes:
        condition: The condition that it meets.
        start: Its start, in characters of the text.
        end: Its end, exclusive.
        statement_start: The start of its statement, without white space before it.
        statement_end: The end of its statement, exclusive, without the semicolon.
        parameter: The (first) parameter that is set or reset, in lower case; None without one, or if it is not a
            constant.
        value: The new value, a tuple of names for a list such as ``search_path``; None if it is reset or no constant.
        settings: The parameters that are set and that a database can set for every session instead, with their values.
        remedy: What to write instead.
        redundant: Whether the given database settings have this value; it pins all the same.
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
    """A statement with a word that can pin that PostgreSQL's parser rejects."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Leak:
    """Session state that a routine's body leaves after the client's transaction; it does not pin.

    Attributes:
        start: Its start, in characters of the text; the start of the statement if the body is not a plain text.
        end: Its end, exclusive.
        statement_start: The start of the statement that creates the routine.
        statement_end: The end of that statement, exclusive, without the semicolon.
        what: What the body does, as ``leaves app.tenant set``.
    """

    start: int
    end: int
    statement_start: int
    statement_end: int
    what: str


@dataclass(frozen=True, slots=True)
class StatementNote:
    """A note on a part of a text that does not pin, as far as is known."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result for a text, in the order of the text.

    Attributes:
        findings: Parts that pin.
        not_parsed: Statements that could pin, but cannot be parsed.
        notes: Notes on parts that do not pin, as far as is known.
        leaks: Session state that the routines created here leave.
        statements: The number of statements.
    """

    findings: tuple[StatementFinding, ...]
    not_parsed: tuple[NotParsed, ...]
    notes: tuple[StatementNote, ...]
    leaks: tuple[Leak, ...]
    statements: int


_NAMES: Final = frozenset(
    name for one in CONDITIONS for name in (*one.functions, *one.inferred_functions, *one.relations)
)
_WORDS: Final = (
    # Without the names that contain another name: the shorter one finds them.
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
    placeholders: re.Pattern[str] | None = None,
    sender: Sender | None = None,
) -> Analysis:
    """Find the conditions that a text of one or more statements meets.

    Args:
        sql: SQL, or normalized SQL with ``$1`` in place of constants.
        database_settings: The database's settings: parameter to text, as in ``pg_db_role_setting`` or from ``SHOW``. A
            SET that repeats one is marked as redundant.
        placeholders: Matches text in place of values that only the running program knows. A value that contains one, as
            ``'$1MB'``, is not known; nor is a value that the parser accepts only as a constant.
        sender: The kind of program that sends it. Default: for each statement the only kind that is known to send it,
            otherwise an application.

    Does not raise for any text. Takes time linear in the text's length, and about a microsecond for a statement without
    a word that can pin.
    """
    head = sql.lstrip()
    if ";" not in sql and not head.startswith(_COMMENT) and not _may_pin(sql) and not _oversized(sql):
        return Analysis((), (), (), (), 1 if head else 0)
    held = {name.lower(): value for name, value in (database_settings or {}).items()}
    text = _encoded(sql)
    offsets = _Characters(text)
    findings: list[StatementFinding] = []
    not_parsed: list[NotParsed] = []
    notes: list[StatementNote] = []
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
                problem = "it contains a NUL character, which PostgreSQL does not accept"
            if problem is None:
                try:
                    seen = _examine(one, placeholders is not None)
                except RefusedError as error:
                    problem = error.message
            if problem is not None:
                not_parsed.append(NotParsed(*where, problem))
        if len(piece) > STATEMENT_LIMIT:
            seen.found.insert(0, _tree.Found("oversized", 0, len(piece)))
        if seen.found:
            by = _sender(one) if sender is None else sender
            findings.extend(
                _finding(_known(item, placeholders), start, where, offsets, held, by) for item in seen.found
            )
        notes.extend(StatementNote(offsets[start + r.start], offsets[start + r.end], r.message) for r in seen.remarks)
        leaks.extend(Leak(offsets[start + r.start], offsets[start + r.end], *where, r.message) for r in seen.leaks)
    return Analysis(tuple(findings), tuple(not_parsed), tuple(notes), tuple(leaks), count)


def digest(sql: str) -> str:
    """A text as in the proxy's log, as far as published digests show: in lower case, with $1, $2, … for constants.

    If PostgreSQL's scanner rejects the text, it is only put into lower case.
    """
    try:
        return _parser.normalise(_encoded(sql).decode()).lower()
    except RefusedError:
        return sql.lower()


def _examine(one: str, has_placeholders: bool) -> _tree.Seen:
    """Parse and examine a statement.

    Raises:
        RefusedError: the parser rejects it, also after restoring constants.
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
        if has_placeholders:  # The inserted constant is not the program's value.
            return {name: None for name in item.settings if _is_written(name, one)}
        return item.settings if filled.values_known else dict.fromkeys(item.settings)

    return _tree.Seen(
        [replace(item, start=before(item.start), end=before(item.end), settings=settings(item)) for item in seen.found],
        [replace(remark, start=before(remark.start), end=before(remark.end)) for remark in seen.remarks],
        [replace(leak, start=before(leak.start), end=before(leak.end)) for leak in seen.leaks],
    )


_MODE_WORDS: Final = {"isolation": "isolation", "read_only": "read|only|write", "deferrable": "deferrable"}


def _is_written(name: str, statement: str) -> bool:
    """Whether the statement contains the words of this parameter, if it is a transaction mode."""
    words = next((words for mode, words in _MODE_WORDS.items() if name.endswith(f"transaction_{mode}")), "")
    return re.search(rf"\b(?:{words})\b", statement, re.IGNORECASE) is not None


def _may_pin(sql: str) -> bool:
    """Whether a statement has a word that can pin, and so must be parsed."""
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
    """A statement without the comments before it."""
    try:
        tokens = _parser.tokens(head)
    except RefusedError:
        return "set"  # The parser will report the error.
    return head.encode()[tokens[0].start :].decode() if tokens else ""


def _oversized(sql: str) -> bool:
    return len(sql) * 4 > STATEMENT_LIMIT and len(_encoded(sql).strip(_WHITE_SPACE)) > STATEMENT_LIMIT


def _encoded(sql: str) -> bytes:
    """The text in UTF-8, with replacement characters for those that SQL cannot contain."""
    try:
        return sql.replace("\0", "\ufffd").encode()
    except UnicodeEncodeError:
        return _UNFIT.sub("\ufffd", sql).encode()


def _statements(text: bytes) -> Iterator[tuple[int, int, str | None]]:
    """Each statement's start and end in bytes, with an error message if the scanner fails in it."""
    try:
        for start, end in list(_parser.split(text)):
            yield start, end, None
    except RefusedError as error:
        scanned = b"" if error.position is None else text.decode()[: error.position].encode()
        whole, rest = [], 0
        with contextlib.suppress(RefusedError):
            for start, end in _parser.split(scanned):
                # A statement is complete if its semicolon follows; the scanner failed in the last one.
                if scanned[end : end + 1] == b";":
                    whole.append((start, end))
                    rest = end + 1
        for start, end in whole:
            yield start, end, None
        yield rest, len(text), error.message


class _Characters:
    """Maps offsets in bytes to offsets in characters."""

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


def _known(found: _tree.Found, placeholders: re.Pattern[str] | None) -> _tree.Found:
    """The same, without the values that contain a placeholder."""
    if placeholders is None or not found.settings:
        return found
    return replace(
        found,
        settings={
            name: None if any(map(placeholders.search, (value,) if isinstance(value, str) else value or ())) else value
            for name, value in found.settings.items()
        },
    )


def _sender(statement: str) -> Sender:
    """The only kind of program that is known to send a statement, otherwise an application."""
    kinds = {client.sender for client in recognise(statement)}
    return kinds.pop() if len(kinds) == 1 else Sender.APPLICATION


def _finding(
    found: _tree.Found,
    offset: int,
    where: tuple[int, int],
    offsets: _Characters,
    held: Mapping[str, str],
    sender: Sender,
) -> StatementFinding:
    one = condition(found.condition)
    instead, redundant = remedy(one, {} if found.resets else found.settings, held, sender)
    if found.remedy is not None and sender is Sender.APPLICATION:
        instead = found.remedy
    evidence = one.evidence if found.evidence is None else (found.evidence,)
    first = next(iter(found.settings), None)
    return StatementFinding(
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
