"""The programming languages whose string literals are read: one table of tree-sitter's grammars."""

import importlib
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import Final

import tree_sitter

__all__ = ["LANGUAGES", "Language", "SourceTree", "ancestors", "language_of"]


@dataclass(frozen=True, slots=True)
class Language:
    """A programming language.

    Attributes:
        name: As people write it.
        suffixes: Of its files, in lower case.
        grammar: A module, and its function that returns the grammar.
        query: Finds strings (``@string``), comments and docstrings (``@comment``) and calls (``@call``).
    """

    name: str
    suffixes: tuple[str, ...]
    grammar: tuple[str, str]
    query: str


_JAVASCRIPT: Final = (
    "[(string) (template_string)] @string (comment) @comment [(call_expression) (new_expression) (object)] @call"
)

LANGUAGES: Final = (
    Language(
        "Python",
        (".py", ".pyi"),
        ("tree_sitter_python", "language"),
        "(string) @string (comment) @comment (expression_statement (string) @comment) [(call) (dictionary)] @call",
    ),
    Language("JavaScript", (".js", ".mjs", ".cjs", ".jsx"), ("tree_sitter_javascript", "language"), _JAVASCRIPT),
    Language("TypeScript", (".ts", ".mts", ".cts"), ("tree_sitter_typescript", "language_typescript"), _JAVASCRIPT),
    Language("TSX", (".tsx",), ("tree_sitter_typescript", "language_tsx"), _JAVASCRIPT),
    Language(
        "Java",
        (".java",),
        ("tree_sitter_java", "language"),
        "(string_literal) @string [(line_comment) (block_comment)] @comment (method_invocation) @call",
    ),
    Language(
        "Go",
        (".go",),
        ("tree_sitter_go", "language"),
        "[(interpreted_string_literal) (raw_string_literal)] @string (comment) @comment (call_expression) @call",
    ),
    Language(
        "Ruby",
        (".rb", ".rake"),
        ("tree_sitter_ruby", "language"),
        "[(string) (heredoc_body)] @string (heredoc_beginning) @heredoc (comment) @comment (call) @call",
    ),
)

_BY_SUFFIX: Final = {suffix: language for language in LANGUAGES for suffix in language.suffixes}
_CONTINUATION: Final = re.compile(rb"[\x80-\xbf]")


def language_of(path: PurePath) -> Language | None:
    """The language of a file, by its suffix."""
    return _BY_SUFFIX.get(path.suffix.lower())


@cache
def _parser_of(language: Language) -> tuple[tree_sitter.Parser, tree_sitter.Query]:
    module, function = language.grammar
    grammar = tree_sitter.Language(getattr(importlib.import_module(module), function)())
    return tree_sitter.Parser(grammar), tree_sitter.Query(grammar, language.query)


class SourceTree:
    """A file's syntax tree; for invalid code, the tree of the parts that parse."""

    def __init__(self, language: Language, text: str) -> None:
        self.language = language
        # No file decodes to characters that cannot be encoded; `replace` keeps one character as one.
        self._bytes = text.encode("utf-8", "replace")
        self._continuations = [found.start() for found in _CONTINUATION.finditer(self._bytes)]
        parser, query = _parser_of(language)
        self._tree = parser.parse(self._bytes)
        captures = tree_sitter.QueryCursor(query).captures(self._tree.root_node)
        self.strings = captures.get("string", [])
        self.comments = sorted(captures.get("comment", []), key=lambda node: node.start_byte)
        self.calls = captures.get("call", [])
        # A heredoc's text follows the line that begins it; both captures have the same order.
        bodies = (node for node in self.strings if node.type == "heredoc_body")
        pairs = list(zip(bodies, captures.get("heredoc", []), strict=False))
        self._beginnings = {body.id: beginning for body, beginning in pairs}
        self._bodies = {beginning.id: body for body, beginning in pairs}

    def offset(self, byte: int) -> int:
        """The offset in characters of an offset in bytes."""
        return byte - bisect_left(self._continuations, byte)

    def text(self, start: int, end: int) -> str:
        """The text between two offsets in bytes."""
        return self._bytes[start:end].decode("utf-8", "replace")

    def place(self, string: tree_sitter.Node) -> tree_sitter.Node:
        """The node where a string is used: the string itself, or a heredoc's beginning."""
        return self._beginnings.get(string.id, string)

    def body(self, beginning: tree_sitter.Node) -> tree_sitter.Node | None:
        """The text of a heredoc, by its beginning."""
        return self._bodies.get(beginning.id)

    def mentions(self, word: bytes) -> bool:
        """Whether the file contains a word."""
        return word in self._bytes


def ancestors(node: tree_sitter.Node, limit: int = 50) -> Iterator[tuple[tree_sitter.Node, tree_sitter.Node]]:
    """The ancestors of a node, each with its child on the path to the node.

    tree-sitter finds a parent by a walk from the root, so deep nesting would take quadratic time without the limit.
    """
    for _ in range(limit):
        parent = node.parent
        if parent is None:
            return
        yield parent, node
        node = parent
