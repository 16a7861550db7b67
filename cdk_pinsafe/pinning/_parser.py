"""PostgreSQL's scanner and parser; the only module that imports postgast.

Offsets are bytes, as in libpg_query, except the position of an error, which PostgreSQL counts in characters (postgast's
documentation says bytes, wrongly). Texts must contain no NUL, because C would stop reading there.
"""

import re
import threading
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import postgast
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from postgast.errors import check_error
from postgast.native import lib

Node: TypeAlias = Any
"""A message of libpg_query's tree; the classes are created at run time."""

_MESSAGE: Final = FieldDescriptor.TYPE_MESSAGE
_SMALL: Final = 16_384
_DEEPEST: Final = 10_000
"""Levels of nesting that are safe to parse: libpg_query overflowed a stack of 8 MB between 20,000 and 50,000 levels."""

_COMMENT_DEPTH: Final = 1_000
"""Nested comments that are scanned: PostgreSQL's scanner takes quadratic time."""

_COMMENT_MARK: Final = re.compile(rb"/\*|\*/")
_NUMBERS: Final = dict(postgast.pg_query_pb2.Token.items())
_NAMES: Final = {number: name for name, number in _NUMBERS.items()}
_COMMENTS: Final = frozenset({_NUMBERS["SQL_COMMENT"], _NUMBERS["C_COMMENT"]})
_SEMICOLON: Final = _NUMBERS["ASCII_59"]
_OPEN: Final = _NUMBERS["ASCII_40"]
_CLOSE: Final = _NUMBERS["ASCII_41"]
_BEGIN: Final = _NUMBERS["BEGIN_P"]
_ATOMIC: Final = _NUMBERS["ATOMIC"]
_CASE: Final = _NUMBERS["CASE"]
_END: Final = _NUMBERS["END_P"]
_FLAT: Final = frozenset(
    _NUMBERS[name]
    for name in (
        *("IDENT", "ICONST", "FCONST", "SCONST", "BCONST", "XCONST", "PARAM", "ASCII_44", "ASCII_40", "ASCII_41"),
        *("NULL_P", "TRUE_P", "FALSE_P", "DEFAULT"),
    )
)
"""Tokens that do not nest, such as those of long lists of values.

Parentheses do nest, but the parser itself rejects 10,000 levels.
"""
_oversize = threading.Lock()


class Token(NamedTuple):
    """A token of PostgreSQL's scanner, with its name in PostgreSQL's grammar."""

    kind: str
    start: int
    end: int


class RefusedError(Exception):
    """The scanner or the parser rejects a text; ``position`` is the offset in characters, or None."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message if len(message) <= 200 else f"{message[:199]}…"
        self.position = position


def parse(sql: str) -> Node:
    """The tree of one statement.

    Raises:
        RefusedError: it is not one statement that PostgreSQL accepts, or it is nested too deeply to parse it safely.
    """
    if len(sql) > _SMALL and sum(token.token not in _FLAT for token in _scan(sql)) > _DEEPEST:
        raise RefusedError("it has too many operators to be parsed safely")
    _check_comments(sql.encode())
    try:
        try:
            tree = postgast.parse(sql)
        except DecodeError:
            tree = _parse_deep(sql)
    except postgast.PgQueryError as error:
        raise _refused(error) from None
    if len(tree.stmts) != 1:
        raise RefusedError(f"expected one statement, got {len(tree.stmts)}")
    return unwrap(tree.stmts[0].stmt)


def tokens(sql: str) -> list[Token]:
    """The tokens of a text, without comments."""
    return [
        # The scanner accepts characters that no statement has, such as {, with numbers without a name.
        Token(_NAMES.get(token.token, f"ASCII_{token.token}"), token.start, token.end)
        for token in _scan(sql)
        if token.token not in _COMMENTS
    ]


def split(sql: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each statement, even of those that the parser rejects.

    libpg_query's splitter is fast, but drops text after an unbalanced parenthesis, for example, and splits the bodies
    of BEGIN ATOMIC: this function splits those parts by the same tokens.

    Raises:
        RefusedError: the scanner fails, as in an unterminated string.
    """
    _check_comments(sql)
    if b"atomic" in sql.lower():
        yield from _split_by_tokens(sql, 0, len(sql))
        return
    position = 0
    for start, end in _split_by_library(sql):
        if sql[position:start].strip(b"; \t\r\n\f\v"):
            yield from _split_by_tokens(sql, position, start)
        yield start, end
        position = end
    if sql[position:].strip(b"; \t\r\n\f\v"):
        yield from _split_by_tokens(sql, position, len(sql))


def normalise(sql: str) -> str:
    """The text with its constants replaced by $1, $2, …

    Raises:
        RefusedError: the scanner does not accept it.
    """
    _check_comments(sql.encode())
    try:
        return postgast.normalize(sql)
    except postgast.PgQueryError as error:
        raise _refused(error) from None


def unwrap(node: Node) -> Node:
    """A node without its wrapper."""
    if type(node).__name__ == "Node" and (which := node.WhichOneof("node")):
        return getattr(node, which)
    return node


def children(node: Node) -> Iterator[Node]:
    """The nodes one level below."""
    for field, value in node.ListFields():
        if field.type == _MESSAGE:
            if hasattr(value, "ListFields"):
                yield unwrap(value)
            else:
                for item in value:
                    yield unwrap(item)


def kind(node: Node) -> str:
    """The name of a node's class, as ``FuncCall``."""
    return str(type(node).__name__)


def choice(node: Node, field: str) -> str:
    """The name of an enum's value in a node, as ``VAR_SET_VALUE``."""
    values = node.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return str(values[getattr(node, field)].name)


def _check_comments(sql: bytes) -> None:
    if sql.count(b"/*") <= _COMMENT_DEPTH:
        return
    depth = 0
    for mark in _COMMENT_MARK.finditer(sql):
        depth = depth + 1 if mark[0] == b"/*" else max(0, depth - 1)
        if depth > _COMMENT_DEPTH:
            raise RefusedError("its comments are nested too deeply to be read safely")


def _scan(sql: str) -> Any:
    try:
        return postgast.scan(sql).tokens
    except postgast.PgQueryError as error:
        raise _refused(error) from None


def _split_by_library(sql: bytes) -> list[tuple[int, int]]:
    # postgast.split returns the texts only, and a search for them could find a comment with the same text.
    result = lib.pg_query_split_with_scanner(sql)
    try:
        check_error(result)
        statements = result.stmts
        places = []
        for index in range(result.n_stmts):
            piece = statements[index].contents
            start = piece.stmt_location
            places.append((start, start + piece.stmt_len))
        return places
    except postgast.PgQueryError as error:
        raise _refused(error) from None
    finally:
        lib.pg_query_free_split_result(result)


def _split_by_tokens(sql: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a part of a text that begins and ends between tokens, as psql does."""
    depth = blocks = before = 0
    has_tokens = False
    piece = start
    for token in _scan(sql[start:end].decode()):
        number = token.token
        if number in _COMMENTS:
            continue
        if number == _SEMICOLON and depth == 0 and blocks == 0:
            if has_tokens:
                yield piece, start + token.start
            has_tokens, piece = False, start + token.end
            continue
        has_tokens = True
        if number == _OPEN:
            depth += 1
        elif number == _CLOSE:
            depth = max(0, depth - 1)
        elif number == _ATOMIC and before == _BEGIN:
            blocks = 1
        elif blocks:
            blocks += (number == _CASE) - (number == _END)
        before = number
    if has_tokens:
        yield piece, end


def _parse_deep(sql: str) -> Node:
    """Parse text that is nested deeper than protobuf decodes by default, such as 50 times ``||`` in a row."""
    try:
        from google._upb._message import SetAllowOversizeProtos
    except ImportError:
        raise RefusedError("it is nested too deeply") from None
    with _oversize:
        SetAllowOversizeProtos(True)
        try:
            return postgast.parse(sql)
        except DecodeError:
            raise RefusedError("it is nested too deeply") from None
        finally:
            SetAllowOversizeProtos(False)


def _refused(error: postgast.PgQueryError) -> RefusedError:
    return RefusedError(error.message, error.cursorpos - 1 if error.cursorpos > 0 else None)
