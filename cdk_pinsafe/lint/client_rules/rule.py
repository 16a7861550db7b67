"""The form of a client rule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...pinning.clients import client
from ...pinning.conditions import Evidence
from ..source_file import SourceFile, Span

__all__ = ["ClientRule", "Examples", "client_rule"]

Examples = tuple[tuple[str, str], ...]
"""File names, each with a file's text."""


@dataclass(frozen=True, slots=True)
class ClientRule:
    """A rule on how a client is configured.

    Attributes:
        id: Stable name, as in ``# pinsafe: ignore[npgsql-reset]``.
        title: A few words, in sentence case.
        files: Where the rule looks, in words.
        why: What happens, in one sentence.
        remedy: What to write instead.
        evidence: How well it is known, best first.
        source: Links to what says so.
        find: Yields the places in a file that break the rule.
        found: Examples that break the rule once, at the text between « and ».
        clean: Similar examples that do not break it.
    """

    id: str
    title: str
    files: str
    why: str
    remedy: str
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]
    find: Callable[[SourceFile], Iterator[Span]]
    found: Examples
    clean: Examples


def client_rule(
    name: str,
    find: Callable[[SourceFile], Iterator[Span]],
    *,
    id: str,
    title: str,
    files: str,
    why: str,
    found: Examples,
    clean: Examples,
    remedy: str | None = None,
) -> ClientRule:
    """A rule on a client of the catalogue, which supplies the evidence, the sources and the default remedy."""
    known = client(name)
    held = f"; the database can hold {', '.join(known.settings)} (DatabaseSettings)" if known.settings else ""
    remedy = known.opt_out + held if remedy is None else remedy
    return ClientRule(id, title, files, why, remedy, known.evidence, known.source, find, found, clean)
