"""One statement's tree: what in it pins. Offsets are bytes of the statement's own text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from . import _parser
from ._parser import Node, Token
from ._values import Value
from .conditions import Evidence
from .remedies import is_list

_SEQUENCE: Final = {"nextval": None, "setval": None, "currval": Evidence.INFERRED, "lastval": Evidence.INFERRED}
_LOCK: Final = {
    "pg_advisory_lock": None,
    "pg_advisory_lock_shared": None,
    "pg_try_advisory_lock": None,
    "pg_try_advisory_lock_shared": None,
    "pg_advisory_unlock": Evidence.INFERRED,
    "pg_advisory_unlock_shared": Evidence.INFERRED,
    "pg_advisory_unlock_all": Evidence.INFERRED,
}
_FUNCTIONS: Final[Mapping[str, tuple[str, Evidence | None]]] = {
    **{name: ("sequence", evidence) for name, evidence in _SEQUENCE.items()},
    **{name: ("advisory-lock", evidence) for name, evidence in _LOCK.items()},
    "set_config": ("set-config", None),
}
_STATEMENTS: Final = {
    "PrepareStmt": "sql-prepare",
    "ExecuteStmt": "sql-prepare",
    "DeallocateStmt": "sql-prepare",
    "DiscardStmt": "discard",
    "DeclareCursorStmt": "cursor",
    "ListenStmt": "listen",
    "LoadStmt": "load",
    "ConstraintsSetStmt": "set-transaction",
}
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
"""Statements that store the expressions in them for later."""
_RELATION_OF: Final = {"CreateStmt": "relation", "CreateSeqStmt": "sequence", "ViewStmt": "view", "IntoClause": "rel"}

STORED_NOTE: Final = (
    "names {name} without calling it: AWS lists the call; whether the proxy tells the two apart is not known"
)
BODY_NOTE: Final = (
    "RDS Proxy does not look into the body of a DO block, function or procedure (documented): it does not pin, and "
    "what the body changes in the session stays behind for the connection's next client"
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something that pins; ``evidence`` where it is weaker than its condition's."""

    condition: str
    start: int
    end: int
    settings: Mapping[str, Value | None] = field(default_factory=dict)
    resets: bool = False
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is worth a word and does not pin, as far as is known."""

    start: int
    end: int
    message: str


def look(root: Node, text: str) -> tuple[list[Found], list[Remark]]:
    """What in a statement pins, in the order of its text, and what is worth a word."""
    place = _Places(text)
    found: list[Found] = []
    remarks: list[Remark] = []
    kind = _parser.kind(root)
    if kind == "VariableSetStmt":
        found.append(_set_statement(root, place))
    stack = [(root, False)]
    while stack:
        node, stored = stack.pop()
        kind = _parser.kind(node)
        if name := _STATEMENTS.get(kind):
            evidence = Evidence.UNVERIFIED if kind == "ConstraintsSetStmt" else None
            found.append(Found(name, *place.statement, evidence=evidence))
        elif kind == "FuncCall":
            _function(node, place, stored, found, remarks)
        elif kind in _RELATION_OF:
            found.extend(_temporary(getattr(node, _RELATION_OF[kind]), kind, place))
        elif kind == "RangeVar" and node.relname == "pg_prepared_statements":
            if node.schemaname in ("", "pg_catalog"):
                found.append(Found("prepared-statements-view", *place.name(node.location)))
        elif kind in ("DoStmt", "CreateFunctionStmt"):
            if place.may_pin_inside():
                remarks.append(Remark(*place.statement, BODY_NOTE))
            continue
        below = stored or kind in _NAMES_ONLY
        stack.extend((child, below) for child in _parser.children(node))
    return sorted(set_once(found), key=lambda one: (one.start, one.end)), remarks


def set_once(found: list[Found]) -> Iterator[Found]:
    """Each finding once: EXPLAIN EXECUTE and the like would come twice."""
    seen: set[tuple[str, int, int]] = set()
    for one in found:
        key = (one.condition, one.start, one.end)
        if key not in seen:
            seen.add(key)
            yield one


def _set_statement(node: Node, place: "_Places") -> Found:
    kind = node.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[node.kind].name
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
        return Found(condition, *place.statement, settings={node.name.lower(): None} if node.name else {}, resets=True)
    name = node.name.lower()
    constants = [_constant(_parser.unwrap(arg)) for arg in node.args]
    value: Value | None = None
    if constants and None not in constants:
        texts = tuple(text for text in constants if text is not None)
        value = texts if is_list(name) else ", ".join(texts)
    return Found("set-local" if node.is_local else "set", *place.statement, settings={name: value})


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
        if arguments and (name := arguments[0]):
            settings[name.lower()] = arguments[1] if len(arguments) > 1 else None
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


class _Places:
    """Where in a statement's text a part of its tree stands; its tokens are asked for once, and only then."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[Token] | None = None

    @property
    def tokens(self) -> list[Token]:
        if self._tokens is None:
            self._tokens = [one for one in _parser.tokens(self._text) if one.kind not in ("SQL_COMMENT", "C_COMMENT")]
        return self._tokens

    @property
    def statement(self) -> tuple[int, int]:
        return self.tokens[0].start, self.tokens[-1].end

    def _at(self, position: int) -> int:
        return next((index for index, token in enumerate(self.tokens) if token.start >= position), 0)

    def name(self, position: int) -> tuple[int, int]:
        """A name, with what qualifies it."""
        index = self._at(position)
        while index + 2 < len(self.tokens) and self.tokens[index + 1].kind == "ASCII_46":
            index += 2
        return position, self.tokens[index].end

    def call(self, position: int) -> tuple[int, int]:
        """A function call with its arguments."""
        depth = 0
        for token in self.tokens[self._at(position) :]:
            depth += (token.kind == "ASCII_40") - (token.kind == "ASCII_41")
            if depth == 0 and token.kind == "ASCII_41":
                return position, token.end
        return position, self.tokens[-1].end

    def before(self, position: int, kind: str) -> int | None:
        """The start of the nearest token of a kind before a position."""
        return next(
            (token.start for token in reversed(self.tokens) if token.kind == kind and token.start < position), None
        )

    def may_pin_inside(self) -> bool:
        """Whether a routine's body names anything that would pin as a client's statement."""
        lower = self._text.lower()
        return any(
            word in lower for word in ("set", "temp", "execute", "discard", "val(", "advisory", "listen", "load")
        )
