"""Finds what pins in the tree of one statement. Offsets are bytes of the statement."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ..settings import LIST_PARAMETERS
from . import _parser
from ._bodies import TOKENS_BEFORE_STATEMENT, leaks
from ._parser import Node, RefusedError, Token
from ._values import Value, elements
from .conditions import COMMANDS, CONDITIONS, Evidence

_FUNCTIONS: Final[Mapping[str, tuple[str, Evidence | None]]] = {
    **{name: (one.id, None) for one in CONDITIONS for name in one.functions},
    **{name: (one.id, Evidence.INFERRED) for one in CONDITIONS for name in one.inferred_functions},
}
_NODES: Final = {node: one.id for one in CONDITIONS for node in one.nodes}
_RELATIONS: Final = {relation: one.id for one in CONDITIONS for relation in one.relations}
_NAMES_ONLY: Final = frozenset(
    {
        "AlterDomainStmt",
        "AlterPolicyStmt",
        "AlterTableStmt",
        "CreateDomainStmt",
        "CreateForeignTableStmt",
        "CreatePolicyStmt",
        "CreateStatsStmt",
        "CreateStmt",
        "CreateTrigStmt",
        "IndexStmt",
        "RuleStmt",
        "ViewStmt",
    }
)
"""Statements that store their expressions for later."""
_OFFSET: Final = re.compile(r"([+-]?)(\d{1,2}):([0-5]\d)")
_RELATION_OF: Final = {"CreateStmt": "relation", "CreateSeqStmt": "sequence", "ViewStmt": "view", "IntoClause": "rel"}

STORED_NOTE: Final = (
    "names {name} without calling it: AWS lists the call; whether the proxy distinguishes them is not known"
)
BODY_NOTE: Final = (
    "RDS Proxy does not look into the body of a DO block, function or procedure (documented): {name} in it does not "
    "pin, and what it changes in the session beyond the transaction stays behind for the connection's next client"
)
CONSTRAINTS_REMEDY: Final = "declare the constraints DEFERRABLE INITIALLY DEFERRED, which needs no SET"
RESET_REMEDY: Final = "take it out of the client: a session that sends no SET has nothing to reset"
# PL/pgSQL has its own EXECUTE and DECLARE.
_BODY_STATEMENTS: Final = frozenset(command.upper() for command in COMMANDS - {"execute", "declare"})


@dataclass(frozen=True, slots=True)
class Found:
    """A part that pins; ``remedy`` and ``evidence`` if they differ from its condition's."""

    condition: str
    start: int
    end: int
    settings: Mapping[str, Value | None] = field(default_factory=dict)
    resets: bool = False
    remedy: str | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A note on a part that does not pin, as far as is known."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The result for a statement: parts that pin, notes, and session state that a routine created by it leaves."""

    found: list[Found] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    leaks: list[Remark] = field(default_factory=list)


def look(root: Node, text: str) -> Seen:
    """Examine a statement; parts that pin are in the order of its text."""
    place = _Places(text)
    found: list[Found] = []
    remarks: list[Remark] = []
    leaked: list[Remark] = []
    kind = _parser.kind(root)
    if kind == "VariableSetStmt":
        found.append(_set_statement(root, place))
    stack = [(root, False)]
    while stack:
        node, stored = stack.pop()
        kind = _parser.kind(node)
        if name := _NODES.get(kind):
            if kind == "ConstraintsSetStmt":
                found.append(Found(name, *place.statement, remedy=CONSTRAINTS_REMEDY, evidence=Evidence.UNVERIFIED))
            else:
                found.append(Found(name, *place.statement))
        elif kind == "FuncCall":
            _function(node, place, stored, found, remarks)
        elif kind in _RELATION_OF:
            found.extend(_temporary(getattr(node, _RELATION_OF[kind]), kind, place))
        elif kind == "RangeVar" and node.relname in _RELATIONS:
            if node.schemaname in ("", "pg_catalog"):
                found.append(Found(_RELATIONS[node.relname], *place.name(node.location)))
        elif kind in ("DoStmt", "CreateFunctionStmt"):
            body = _body(node, place)
            if name := _inside(body):
                remarks.append(Remark(*place.statement, BODY_NOTE.format(name=name)))
            if kind == "CreateFunctionStmt" and _language(node) in ("sql", "plpgsql"):
                leaked += [Remark(*place.inside(body, start, end), what) for start, end, what in leaks(body)]
            continue
        below = stored or kind in _NAMES_ONLY
        stack.extend((child, below) for child in _parser.children(node))
    return Seen(sorted(found, key=lambda one: (one.start, one.end)), remarks, leaked)


def _set_statement(node: Node, place: "_Places") -> Found:
    kind = _parser.choice(node, "kind")
    if kind == "VAR_SET_MULTI":
        prefix = "default_" if node.name == "SESSION CHARACTERISTICS" else ""
        modes = {
            prefix + element.defname: _constant(_parser.unwrap(element.arg))
            for element in (_parser.unwrap(arg) for arg in node.args)
            if _parser.kind(element) == "DefElem"
        }
        for name in modes:
            if name.endswith(("_read_only", "_deferrable")) and modes[name] in ("0", "1"):
                modes[name] = "on" if modes[name] == "1" else "off"
        return Found("set" if prefix else "set-transaction", *place.statement, settings=modes)
    if kind in ("VAR_RESET", "VAR_RESET_ALL", "VAR_SET_DEFAULT"):
        condition = "set-local" if node.is_local else "set"
        settings = {node.name.lower(): None} if node.name else {}
        return Found(condition, *place.statement, settings=settings, resets=True, remedy=RESET_REMEDY)
    name = node.name.lower()
    constants = [_constant(_parser.unwrap(arg)) for arg in node.args]
    value: Value | None = None
    if constants and None not in constants:
        texts = tuple(text for text in constants if text is not None)
        value = texts if name in LIST_PARAMETERS else ", ".join(texts)
    return Found("set-local" if node.is_local else "set", *place.statement, settings={name: value})


def _body(node: Node, place: "_Places") -> str:
    """The body of a DO block or routine: a string, or SQL after BEGIN ATOMIC or RETURN."""
    for option in map(_parser.unwrap, node.args if _parser.kind(node) == "DoStmt" else node.options):
        if option.defname == "as":
            value = _parser.unwrap(option.arg)
            parts = [value] if hasattr(value, "sval") else list(map(_parser.unwrap, value.items))
            return "\n".join(part.sval for part in parts)
    return place.text


def _language(node: Node) -> str:
    """A routine's language; SQL if none is named."""
    for option in map(_parser.unwrap, node.options):
        if option.defname == "language":
            return str(_parser.unwrap(option.arg).sval).lower()
    return "sql"


def _function(node: Node, place: "_Places", stored: bool, found: list[Found], remarks: list[Remark]) -> None:
    names = [_parser.unwrap(part).sval for part in node.funcname]
    if names[-1] not in _FUNCTIONS or (len(names) > 1 and names[:-1] != ["pg_catalog"]):
        return
    condition, evidence = _FUNCTIONS[names[-1]]
    start, end = place.call(node.location)
    if stored:
        remarks.append(Remark(start, end, STORED_NOTE.format(name=names[-1])))
        return
    settings: dict[str, Value | None] = {}
    if condition == "set-config":
        arguments: list[str | None] = []
        for arg in (_parser.unwrap(arg) for arg in node.args):
            named = _parser.kind(arg) == "NamedArgExpr"
            arguments.append(_constant(_parser.unwrap(arg.arg) if named else arg))
        if arguments and arguments[0]:
            name = arguments[0].lower()
            value = arguments[1] if len(arguments) > 1 else None
            settings[name] = tuple(elements(value)) if value is not None and name in LIST_PARAMETERS else value
    found.append(Found(condition, start, end, settings=settings, evidence=evidence))


def _temporary(relation: Node, kind: str, place: "_Places") -> Iterator[Found]:
    schema = relation.schemaname
    if relation.relpersistence == "t" or schema == "pg_temp" or schema.startswith("pg_temp_"):
        name_start, name_end = place.name(relation.location)
        start = place.before(name_start, "INTO") if kind == "IntoClause" else None
        yield Found("temp-object", place.statement[0] if start is None else start, name_end)


def _constant(node: Node) -> str | None:
    """The text of a constant; None for anything else, such as a parameter."""
    if _parser.kind(node) == "TypeCast":
        inner = _parser.unwrap(node.arg)
        names = [_parser.unwrap(part).sval for part in node.type_name.names]
        if names == ["pg_catalog", "interval"]:
            return _zone(_constant(inner))
        return _constant(inner) if names in (["text"], ["pg_catalog", "bool"], ["pg_catalog", "varchar"]) else None
    if _parser.kind(node) != "A_Const" or node.isnull:
        return None
    value = getattr(node, node.WhichOneof("val"))
    if hasattr(value, "sval"):
        return str(value.sval)
    if hasattr(value, "ival"):
        return str(value.ival)
    if hasattr(value, "boolval"):
        return "on" if value.boolval else "off"
    return str(value.fval) if hasattr(value, "fval") else None


def _zone(interval: str | None) -> str | None:
    """The time zone's name that SHOW returns for the offset of SET TIME ZONE INTERVAL."""
    found = _OFFSET.fullmatch(interval or "")
    if found is None:
        return None
    sign, hours, minutes = found[1] or "+", int(found[2]), int(found[3])
    if hours == minutes == 0:
        return "UTC"
    text = f"{hours:02}" + (f":{minutes:02}" if minutes else "")
    return f"<{sign}{text}>{'-' if sign == '+' else '+'}{text}"


class _Places:
    """Maps parts of a statement's tree to places in its text; scans the text once, on demand."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def tokens(self) -> list[Token]:
        return _parser.tokens(self.text)

    @cached_property
    def _closing(self) -> dict[int, int]:
        """The indexes of the closing parentheses by those of their opening ones."""
        pairs: dict[int, int] = {}
        opened: list[int] = []
        for index, token in enumerate(self.tokens):
            if token.kind == "ASCII_40":
                opened.append(index)
            elif token.kind == "ASCII_41" and opened:
                pairs[opened.pop()] = index
        return pairs

    @property
    def statement(self) -> tuple[int, int]:
        return self.tokens[0].start, self.tokens[-1].end

    def name(self, position: int) -> tuple[int, int]:
        """A qualified name."""
        return position, self.tokens[self._name_end(position)].end

    def call(self, position: int) -> tuple[int, int]:
        """A function call with its arguments."""
        last = self._name_end(position)
        return position, self.tokens[self._closing.get(last + 1, last)].end

    def before(self, position: int, kind: str) -> int | None:
        """The start of the nearest token of a kind before a position."""
        earlier = reversed(self.tokens[: self._at(position)])
        return next((token.start for token in earlier if token.kind == kind), None)

    def inside(self, body: str, start: int, end: int) -> tuple[int, int]:
        """A part of a routine's body if it is dollar-quoted, otherwise the whole statement."""
        data, wanted = self.text.encode(), body.encode()
        for token in self.tokens:
            if token.kind == "SCONST" and data[token.start : token.start + 1] == b"$":
                opening = data.index(b"$", token.start + 1) + 1
                if data[opening : opening + len(wanted)] == wanted:
                    return opening + start, opening + end
        return (start, end) if body == self.text else self.statement

    def _at(self, position: int) -> int:
        tokens = self.tokens
        return min(bisect_left(tokens, position, key=lambda token: token.start), len(tokens) - 1)

    def _name_end(self, position: int) -> int:
        index = self._at(position)
        while index + 2 < len(self.tokens) and self.tokens[index + 1].kind == "ASCII_46":
            index += 2
        return index


def _inside(body: str) -> str | None:
    """The first token in a routine's body that would pin in a client's statement; None without one."""
    try:
        tokens = _parser.tokens(body)
    except RefusedError:
        return None
    data = body.encode()
    before = ""
    for token in tokens:
        if token.kind == "IDENT":
            name = data[token.start : token.end].decode().lower().strip('"')
            if name in _FUNCTIONS:
                return name
        elif token.kind in ("TEMP", "TEMPORARY"):
            return "TEMP"
        elif token.kind in _BODY_STATEMENTS and before in TOKENS_BEFORE_STATEMENT:
            return data[token.start : token.end].decode().upper()
        before = token.kind
    return None
