"""What the client rules look for in programs: calls and object literals, in their syntax trees."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import tree_sitter

from .ast_context import call_name
from .languages import SourceTree
from .source_file import SourceFile, Span

_POSTGRES_CLIENT: Final = frozenset({"pg", "postgres", "postgresql", "pg-native"})
_SENT_AT_STARTUP: Final = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
_PAIRS: Final = {"pair"}
_SPREADS: Final = {"spread_element", "dictionary_splat", "list_splat"}
_SCRIPTS: Final = {"JavaScript", "TypeScript", "TSX"}
_CONFIG_JSON: Final = re.compile(r'(?P<at>"dialect"\s*:\s*"postgres")')


def sequelize(source: SourceFile) -> Iterator[Span]:
    """``new Sequelize`` for postgres, whose options are all written there and leave a SET on."""
    if source.tree is None:
        if source.path.name == "config.json" and "clientMinMessages" not in source.text:
            yield from source.found(_CONFIG_JSON)
        return
    tree = source.tree
    for call in _calls(source, _SCRIPTS, "Sequelize", kind="new_expression"):
        arguments = _arguments(call)
        if not arguments or arguments[-1].type not in ("object", "string", "template_string"):
            continue
        options = _members(tree, arguments[-1]) if arguments[-1].type == "object" else {}
        if options is None:
            continue
        is_postgres = _string(tree, options.get("dialect")) == "postgres" or (
            "dialect" not in options and re.match(r"postgres(?:ql)?://", _string(tree, arguments[0]) or "") is not None
        )
        of_dialect = options.get("dialectOptions")
        dialect_options = {} if of_dialect is None else _members(tree, of_dialect)
        if not is_postgres or dialect_options is None:
            continue
        quiet = (_string(tree, dialect_options.get("clientMinMessages")) or "").lower() == "ignore"
        if not quiet or _text(tree, options.get("keepDefaultTimezone")) != "true":
            yield _span(tree, call.child_by_field_name("constructor") or call)


def knex_search_path(source: SourceFile) -> Iterator[Span]:
    """``searchPath`` beside ``client: 'pg'``."""
    if source.tree is None or source.tree.language.name not in _SCRIPTS:
        return
    for literal in source.tree.calls if "searchPath" in source.text else ():
        if literal.type == "object":
            members = _written_members(source.tree, literal)
            if _string(source.tree, members.get("client")) in _POSTGRES_CLIENT and "searchPath" in members:
                yield _span(source.tree, members["searchPath"].parent or literal)


def node_postgres_startup(source: SourceFile) -> Iterator[Span]:
    """Parameters of a ``Pool`` or ``Client`` of pg that go into the startup packet."""
    if not re.search(r"""["']pg["']""", source.text):
        return
    for name in ("Pool", "Client"):
        for call in _calls(source, _SCRIPTS, name, kind="new_expression"):
            for argument in _arguments(call):
                if argument.type == "object" and source.tree is not None:
                    members = _written_members(source.tree, argument)
                    for key in _SENT_AT_STARTUP:
                        if key in members and _text(source.tree, members[key]) not in ("undefined", "false", "0"):
                            yield _span(source.tree, members[key].parent or argument)


def jdbc_session(source: SourceFile) -> Iterator[Span]:
    """``setTransactionIsolation``, and ``setSchema`` where java.sql is used."""
    for name in ("setTransactionIsolation", "setSchema"):
        if "java.sql" in source.text:
            for call in _calls(source, {"Java"}, name):
                if source.tree is not None and (at := call.child_by_field_name("name")):
                    yield _span(source.tree, at)


def django_cursors(source: SourceFile) -> Iterator[Span]:
    """A database of Django's, in a file that says DISABLE_SERVER_SIDE_CURSORS nowhere."""
    if "DISABLE_SERVER_SIDE_CURSORS" not in source.text:
        for tree, members in _django_databases(source):
            if "*" not in members:
                yield _span(tree, members["ENGINE"])


def django_assume_role(source: SourceFile) -> Iterator[Span]:
    """``assume_role`` in the OPTIONS of a database of Django's."""
    for tree, members in _django_databases(source):
        if (options := members.get("OPTIONS")) is not None and options.type == "dictionary":
            role = _written_members(tree, options).get("assume_role")
            if role is not None and _text(tree, role) != "None":
                yield _span(tree, role.parent or role)


def asyncpg_pool(source: SourceFile) -> Iterator[Span]:
    """``create_pool`` of asyncpg without ``reset=``."""
    if re.search(r"\bimport\b[^\n]*\basyncpg\b|\bfrom asyncpg\b", source.text):
        yield from _without_keyword(source, "create_pool", "reset", r"(?:asyncpg\.)?create_pool")


def psycopg(source: SourceFile) -> Iterator[Span]:
    """``connect`` of psycopg 3 without ``prepare_threshold=``."""
    if "prepare_threshold" not in source.text and "psycopg" in source.text:
        callee = r"psycopg\.(?:(?:Async)?Connection\.)?connect|(?:psycopg\.)?AsyncConnection\.connect"
        yield from _without_keyword(source, "connect", "prepare_threshold", callee)


def sqlalchemy_sequence(source: SourceFile) -> Iterator[Span]:
    """``Sequence("…")`` where SQLAlchemy is imported."""
    if re.search(r"\b(?:import|from) sqlalchemy\b", source.text):
        for call in _calls(source, {"Python"}, "Sequence"):
            arguments = _arguments(call)
            if source.tree is not None and arguments and arguments[0].type == "string":
                yield _span(source.tree, call)


def _django_databases(source: SourceFile) -> Iterator[tuple[SourceTree, Mapping[str, tree_sitter.Node]]]:
    if source.tree is not None and "ENGINE" in source.text and source.tree.language.name == "Python":
        for literal in source.tree.calls:
            if literal.type == "dictionary":
                members = _written_members(source.tree, literal)
                engine = _string(source.tree, members.get("ENGINE")) or ""
                if re.fullmatch(r"django\.(?:contrib\.gis\.)?db\.backends\.(?:postgresql\w*|postgis)", engine):
                    yield source.tree, members


def _without_keyword(source: SourceFile, name: str, keyword: str, callee: str) -> Iterator[Span]:
    """Calls in Python that do not pass a keyword, and do not unpack a mapping that might."""
    for call in _calls(source, {"Python"}, name):
        function = call.child_by_field_name("function")
        if source.tree is None or function is None:
            continue
        if not re.fullmatch(callee, _text(source.tree, function) or ""):
            continue
        arguments = _arguments(call)
        names = {_text(source.tree, one.child_by_field_name("name")) for one in arguments}
        if keyword not in names and not any(one.type in _SPREADS for one in arguments):
            yield _span(source.tree, function)


def _calls(source: SourceFile, languages: set[str], name: str, kind: str | None = None) -> Iterator[tree_sitter.Node]:
    tree = source.tree
    if tree is not None and tree.language.name in languages and name in source.text:
        for call in tree.calls:
            if (kind is None or call.type == kind) and call_name(tree, call) == name:
                yield call


def _arguments(call: tree_sitter.Node) -> list[tree_sitter.Node]:
    arguments = call.child_by_field_name("arguments")
    return [] if arguments is None else [one for one in arguments.named_children if one.type != "comment"]


def _members(tree: SourceTree, literal: tree_sitter.Node) -> Mapping[str, tree_sitter.Node] | None:
    """The members of an object literal; None if it is none, or takes more from elsewhere."""
    members = _written_members(tree, literal) if literal.type in ("object", "dictionary") else {"*": literal}
    return None if "*" in members else members


def _written_members(tree: SourceTree, literal: tree_sitter.Node) -> dict[str, tree_sitter.Node]:
    """What is written in an object literal; ``*`` stands for what is taken from elsewhere."""
    members: dict[str, tree_sitter.Node] = {}
    for member in literal.named_children:
        key, value = member.child_by_field_name("key"), member.child_by_field_name("value")
        if key is not None and value is not None:
            members[(_text(tree, key) or "").strip("\"'`")] = value
        elif member.type == "shorthand_property_identifier":
            members[_text(tree, member) or ""] = member
        elif member.type in _SPREADS:
            members["*"] = member
    return members


def _string(tree: SourceTree, node: tree_sitter.Node | None) -> str | None:
    """The text of a plain string literal."""
    if node is None or node.type not in ("string", "template_string"):
        return None
    return (_text(tree, node) or "").strip("\"'`")


def _text(tree: SourceTree, node: tree_sitter.Node | None) -> str | None:
    return None if node is None else tree.text(node.start_byte, node.end_byte)


def _span(tree: SourceTree, node: tree_sitter.Node) -> Span:
    return tree.offset(node.start_byte), tree.offset(node.end_byte)
