"""All rules: the conditions of SQL, the client rules, and two of the linter's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from ..errors import LintError
from ..pinning.conditions import AWS_PINNING, CONDITIONS, Evidence
from ..pinning.remedies import TENANT_PAGE
from .client_rules import CLIENT_RULES

__all__ = ["LINT_RULES", "SESSION_LEAK", "UNKNOWN_IGNORE", "LintRule", "check_ids", "is_rule"]


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule as findings show it."""

    id: str
    title: str
    explanation: str
    remedy: str
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]


UNKNOWN_IGNORE: Final = LintRule(
    id="unknown-ignore",
    title="An ignore comment names no rule",
    explanation="an id in a 'pinsafe: ignore[…]' comment is not a rule's, so the comment silences nothing",
    remedy="write the id of a rule: pinsafe conditions lists them",
    evidence=(),
    source=(),
)

SESSION_LEAK: Final = LintRule(
    id="session-leak",
    title="A function that leaves something in the session",
    explanation="a function or procedure whose body sets something for the session, beyond the transaction: RDS Proxy "
    "does not look into bodies, so it does not pin, and the connection's next client finds it there",
    remedy="set it for the transaction only, by set_config(…, true), SET LOCAL, ON COMMIT DROP or "
    f"pg_advisory_xact_lock, and call the function in the transaction that needs it; for tenants see {TENANT_PAGE}",
    evidence=(Evidence.DOCUMENTED, Evidence.LOCAL),
    source=(AWS_PINNING,),
)

LINT_RULES: Final[Mapping[str, LintRule]] = {
    rule.id: rule
    for rule in (
        *(LintRule(one.id, one.title, one.pins, one.remedy, one.evidence, one.source) for one in CONDITIONS),
        *(LintRule(one.id, one.title, one.why, one.remedy, one.evidence, one.source) for one in CLIENT_RULES),
        SESSION_LEAK,
        UNKNOWN_IGNORE,
    )
}
"""Rules by id, the conditions first."""


def is_rule(id: str) -> bool:
    """Whether there is a rule with this id."""
    return id in LINT_RULES


def check_ids(ids: Iterable[str], where: str) -> frozenset[str]:
    """The ids as a set.

    Raises:
        LintError: there is no rule with one of them; the message begins with `where`.
    """
    checked = frozenset(ids)
    for one in sorted(checked):
        if one not in LINT_RULES:
            near = get_close_matches(one[:80].lower(), LINT_RULES, n=3) or list(LINT_RULES)
            raise LintError(f"{where}: there is no rule {one[:80]!r}; did you mean {' or '.join(near)}?")
    return checked
