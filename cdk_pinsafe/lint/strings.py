"""String expressions of a program, as the running program would see them, with placeholders for inserted values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import tree_sitter

from .fragments import Part
from .languages import SourceTree, ancestors

__all__ = ["StringValue", "strings"]


@dataclass(frozen=True, slots=True)
class StringValue:
    """A string expression: one literal, or a concatenation."""

    parts: list[Part]
    node: tree_sitter.Node


_WRITTEN: Final = {
    "string_content",
    "string_fragment",
    "multiline_string_fragment",
    "heredoc_content",
    "interpreted_string_literal_content",
    "raw_string_literal_content",
}
_PLACEHOLDERS: Final = {"interpolation", "template_substitution"}
_SUMS: Final = {"binary_operator", "binary_expression", "binary"}
_CHAINS: Final = {"concatenated_string", "chained_string"}
_TRANSPARENT: Final = {"parenthesized_expression", "parenthesized_statements"}
_LITERALS: Final = {
    "string",
    "template_string",
    "string_literal",
    "interpreted_string_literal",
    "raw_string_literal",
    "heredoc_beginning",
}

_LONGEST_SUM: Final = 2000


def strings(tree: SourceTree) -> Iterator[StringValue]:
    """The string expressions of a program, each once."""
    used: set[int] = set()
    for literal in tree.strings:
        place = tree.place(literal)
        if place.id not in used:
            whole = _whole(place)
            yield StringValue(_parts(tree, whole, used), whole)


def _whole(literal: tree_sitter.Node) -> tree_sitter.Node:
    """The largest concatenation that a literal is part of."""
    whole = literal
    for parent, child in ancestors(literal, _LONGEST_SUM):
        if parent.type in _SUMS:
            operator = parent.child_by_field_name("operator")
            if operator is None or operator.type not in ("+", "%"):
                break
            if operator.type == "%" and parent.child_by_field_name("left") != child:
                break
            whole = parent
        elif parent.type in _CHAINS:
            whole = parent
        elif parent.type not in _TRANSPARENT:
            break
    return whole


def _parts(tree: SourceTree, whole: tree_sitter.Node, used: set[int]) -> list[Part]:
    """The parts of a string expression, in order; adds its literals to `used`. Sums can be too long for recursion."""
    parts: list[Part] = []
    todo = [whole]
    while todo:
        node = todo.pop()
        if node.type in _SUMS:
            left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            operator = node.child_by_field_name("operator")
            if right is not None and operator is not None and operator.type == "+":
                todo.append(right)
            if left is not None:
                todo.append(left)
        elif node.type in _CHAINS or node.type in _TRANSPARENT:
            todo.extend(reversed(node.named_children))
        elif node.type == "heredoc_beginning":
            used.add(node.id)
            if (body := tree.body(node)) is not None:
                parts.extend(_literal_parts(tree, body))
        elif node.type in _LITERALS:
            used.add(node.id)
            parts.extend(_literal_parts(tree, node))
        else:
            parts.append(Part(None, tree.offset(node.start_byte), tree.offset(node.end_byte)))
    return parts


def _literal_parts(tree: SourceTree, literal: tree_sitter.Node) -> Iterator[Part]:
    for node in literal.named_children:
        start, end = tree.offset(node.start_byte), tree.offset(node.end_byte)
        if node.type in _PLACEHOLDERS:
            yield Part(None, start, end)
        elif node.type == "escape_sequence":
            yield Part(_unescaped(tree.text(node.start_byte, node.end_byte)), start, end)
        elif node.type in _WRITTEN:
            yield from _content_parts(tree, node)


def _content_parts(tree: SourceTree, content: tree_sitter.Node) -> Iterator[Part]:
    """The text of a literal, split at the escape sequences that Python's grammar puts inside it."""
    done = content.start_byte
    for node in content.named_children:
        if node.type != "escape_sequence" and node.type != "escape_interpolation":
            continue
        if node.start_byte > done:
            yield _written(tree, done, node.start_byte)
        text = tree.text(node.start_byte, node.end_byte)
        plain = text[:1] if node.type == "escape_interpolation" else _unescaped(text)
        yield Part(plain, tree.offset(node.start_byte), tree.offset(node.end_byte))
        done = node.end_byte
    if done < content.end_byte:
        yield _written(tree, done, content.end_byte)


def _written(tree: SourceTree, start: int, end: int) -> Part:
    return Part(tree.text(start, end), tree.offset(start), tree.offset(end))


_SIMPLE_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " ", "v": " ", "a": " ", "s": " ", "e": " "}
_CODED: Final = re.compile(r"\\(?:x|u\{?|U)([0-9A-Fa-f]+)\}?")


def _unescaped(escape: str) -> str:
    """The character of an escape sequence."""
    if coded := _CODED.fullmatch(escape):
        number = int(coded[1], 16)
        return chr(number) if 0 < number < 0xD800 or 0xDFFF < number < 0x110000 else "\N{REPLACEMENT CHARACTER}"
    if escape[1:2] in ("\n", "\r"):
        return ""
    return _SIMPLE_ESCAPES.get(escape[1:], escape[1:])
