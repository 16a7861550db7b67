"""Calls and object literals in syntax trees."""

from collections.abc import Iterator, Mapping
from typing import Final

import tree_sitter

from ..ast_context import call_name
from ..languages import SourceTree
from ..source_file import SourceFile, Span

__all__ = ["SPREADS", "arguments", "calls", "complete_members", "members", "span", "string", "text"]

SPREADS: Final = {"spread_element", "dictionary_splat", "list_splat"}


def calls(
    source: SourceFile, languages: frozenset[str], name: str, kind: str | None = None
) -> Iterator[tuple[SourceTree, tree_sitter.Node]]:
    """The calls of a function or constructor by its last name, in programs of these languages."""
    tree = source.tree
    if tree is not None and tree.language.name in languages and name in source.text:
        for call in tree.calls:
            if (kind is None or call.type == kind) and call_name(tree, call) == name:
                yield tree, call


def arguments(call: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The arguments of a call."""
    found = call.child_by_field_name("arguments")
    return [] if found is None else [one for one in found.named_children if one.type != "comment"]


def complete_members(tree: SourceTree, node: tree_sitter.Node) -> Mapping[str, tree_sitter.Node] | None:
    """The members of an object literal; None if the node is not one, or spreads another object."""
    found = members(tree, node) if node.type in ("object", "dictionary") else {"*": node}
    return None if "*" in found else found


def members(tree: SourceTree, literal: tree_sitter.Node) -> dict[str, tree_sitter.Node]:
    """The members of an object literal by key; the key ``*`` holds a spread."""
    found: dict[str, tree_sitter.Node] = {}
    for member in literal.named_children:
        key, value = member.child_by_field_name("key"), member.child_by_field_name("value")
        if key is not None and value is not None:
            found[(text(tree, key) or "").strip("\"'`")] = value
        elif member.type == "shorthand_property_identifier":
            found[text(tree, member) or ""] = member
        elif member.type in SPREADS:
            found["*"] = member
    return found


def string(tree: SourceTree, node: tree_sitter.Node | None) -> str | None:
    """The text of a plain string literal; None for anything else."""
    if node is None or node.type not in ("string", "template_string"):
        return None
    return (text(tree, node) or "").strip("\"'`")


def text(tree: SourceTree, node: tree_sitter.Node | None) -> str | None:
    """The source text of a node."""
    return None if node is None else tree.text(node.start_byte, node.end_byte)


def span(tree: SourceTree, node: tree_sitter.Node) -> Span:
    """Start and end of a node, in characters."""
    return tree.offset(node.start_byte), tree.offset(node.end_byte)
