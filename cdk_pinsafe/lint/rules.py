"""Every id that a finding can have, in one place: the conditions of SQL, and what clients do by themselves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from ..errors import LintError
from ..pinning.conditions import CONDITIONS, Evidence
from .client_rules import CLIENT_RULES

__all__ = ["RULES", "UNKNOWN_IGNORE", "Rule", "check_ids", "is_rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as findings show it."""

    id: str
    title: str
    explanation: str
    remedy: str
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]


UNKNOWN_IGNORE: Final = Rule(
    id="unknown-ignore",
    title="An ignore comment names no rule",
    explanation="an id in a 'pinsafe: ignore[…]' comment is not a rule's, so the comment silences nothing",
    remedy="write the id of a rule: pinsafe conditions lists them",
    evidence=(),
    source=(),
)

RULES: Final[Mapping[str, Rule]] = {
    rule.id: rule
    for rule in (
        *(Rule(one.id, one.title, one.pins, one.remedy, one.evidence, one.source) for one in CONDITIONS),
        *(Rule(one.id, one.title, one.why, one.remedy, one.evidence, one.source) for one in CLIENT_RULES),
        UNKNOWN_IGNORE,
    )
}
"""Id to rule, the conditions first."""


def is_rule(id: str) -> bool:
    """Whether there is a rule of this id."""
    return id in RULES


def check_ids(ids: Iterable[str], where: str) -> frozenset[str]:
    """The ids as a set.

    Raises:
        LintError: one of them is no rule's; the message begins with `where`.
    """
    checked = frozenset(ids)
    for one in sorted(checked):
        if one not in RULES:
            near = get_close_matches(one[:80].lower(), RULES, n=3) or list(RULES)
            raise LintError(f"{where}: there is no rule {one[:80]!r}; did you mean {' or '.join(near)}?")
    return checked
