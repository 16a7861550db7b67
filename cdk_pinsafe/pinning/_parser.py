"""PostgreSQL's own scanner and parser: the only place that touches postgast.

Offsets are bytes here, as libpg_query counts them, but for the position of an error, which PostgreSQL gives in
characters (and postgast's documentation in bytes, wrongly). The text must hold no NUL, at which C would stop reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import postgast
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from postgast.errors import check_error
from postgast.native import lib

Node: TypeAlias = Any
"""A message of libpg_query's tree. Its classes are made at run time."""

_MESSAGE: Final = FieldDescriptor.TYPE_MESSAGE


@dataclass(frozen=True, slots=True)
class Token:
    """A token of PostgreSQL's scanner: comments are tokens, too."""

    kind: str
    start: int
    end: int


class RefusedError(Exception):
    """The scanner or the parser does not accept a text; ``position`` is a character of it, or None."""

    def __init__(self, message: str, position: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


def parse(sql: str) -> Node:
    """The tree of one statement."""
    try:
        try:
            tree = postgast.parse(sql)
        except DecodeError:
            tree = _parse_deep(sql)
    except postgast.PgQueryError as error:
        raise _refused(error) from None
    if len(tree.stmts) != 1:
        raise RefusedError(f"expected one statement, got {len(tree.stmts)}", None)
    return unwrap(tree.stmts[0].stmt)


def tokens(sql: str) -> list[Token]:
    """The tokens of a text."""
    try:
        scanned = postgast.scan(sql).tokens
    except postgast.PgQueryError as error:
        raise _refused(error) from None
    name = postgast.pg_query_pb2.Token.Name
    return [Token(name(token.token), token.start, token.end) for token in scanned]


def split(sql: bytes) -> list[tuple[int, int]]:
    """Where each statement starts and ends, by the scanner alone: it need not be one that the parser accepts."""
    # postgast.split gives the texts only, and looking for them again could find a comment that reads alike.
    result = lib.pg_query_split_with_scanner(sql)
    try:
        check_error(result)
        pieces = [result.stmts[index].contents for index in range(result.n_stmts)]
        return [(piece.stmt_location, piece.stmt_location + piece.stmt_len) for piece in pieces]
    except postgast.PgQueryError as error:
        raise _refused(error) from None
    finally:
        lib.pg_query_free_split_result(result)


def normalise(sql: str) -> str:
    """The text with its constants replaced by $1, $2, …"""
    try:
        return postgast.normalize(sql)
    except postgast.PgQueryError as error:
        raise _refused(error) from None


def unwrap(node: Node) -> Node:
    """A node without the wrapper that says which kind it is."""
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


def _parse_deep(sql: str) -> Node:
    """Parses what is nested deeper than protobuf decodes by default: 50 ``||`` in a row are."""
    try:
        from google._upb._message import SetAllowOversizeProtos
    except ImportError:
        raise RefusedError("it is nested too deeply", None) from None
    SetAllowOversizeProtos(True)
    try:
        return postgast.parse(sql)
    except DecodeError:
        raise RefusedError("it is nested too deeply", None) from None
    finally:
        SetAllowOversizeProtos(False)


def _refused(error: postgast.PgQueryError) -> RefusedError:
    return RefusedError(error.message, error.cursorpos - 1 if error.cursorpos > 0 else None)
