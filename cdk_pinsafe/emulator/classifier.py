"""Decides whether a statement pins, using `cdk_pinsafe.pinning`, and caches the decisions.

Statements are bytes, as clients sent them. This module knows nothing about sessions or connections.
"""

from dataclasses import dataclass
from typing import Final

from ..pinning.conditions import Condition, Evidence, condition
from ..pinning.log_lines import REASON_PARSE, reason_for
from ..pinning.statements import analyse, digest
from ..rds_proxy import STATEMENT_LIMIT

__all__ = ["LEGACY", "OVERSIZED", "PinReason", "StatementClassifier"]

_MAX_CACHED: Final = 2_000
_MAX_CACHED_LENGTH: Final = 2_000  # bytes; keeps the cache under 4 MB


@dataclass(frozen=True, slots=True)
class PinReason:
    """Why a statement pins: the first condition that it meets, since RDS Proxy's log gives one reason.

    Attributes:
        condition: the condition; None for Parse messages in legacy mode (before November 2023).
        evidence: how well it is known that this pins, best first.
        log_reason: the reason in RDS Proxy's log.
        digest: the normalized statement in the log; None if the log has none.
        remedy: what to write instead.
        start, end: the part of the statement that pins, in characters; `end` None means up to the end.
    """

    condition: Condition | None
    evidence: tuple[Evidence, ...]
    log_reason: str
    digest: str | None
    remedy: str
    start: int = 0
    end: int | None = None


LEGACY: Final = PinReason(
    None,
    (Evidence.DOCUMENTED, Evidence.MEASURED),
    REASON_PARSE,
    None,
    "none is needed today: since November 2023 RDS Proxy multiplexes statements that are prepared through the protocol",
)
"""The reason of every Parse message in legacy mode."""

_OVERSIZED = condition("oversized")
OVERSIZED: Final = PinReason(_OVERSIZED, _OVERSIZED.evidence, reason_for(_OVERSIZED), None, _OVERSIZED.remedy)
"""The reason of every statement over 16 KB, which is not parsed."""


class StatementClassifier:
    """Classifies statements. Caches the ones that pin, within bounds, because clients repeat them."""

    def __init__(self) -> None:
        self._cache: dict[bytes, PinReason] = {}

    def classify(self, sql: bytes) -> PinReason | None:
        """Return why a statement pins, or None if it does not."""
        if sql in self._cache:
            return self._cache[sql]
        found = _classify(sql)
        # A statement that does not pin takes about a microsecond to classify, and often differs only in its constants.
        if found is not None and len(sql) <= _MAX_CACHED_LENGTH:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[sql] = found
        return found


def _classify(sql: bytes) -> PinReason | None:
    if len(sql) > STATEMENT_LIMIT:
        return OVERSIZED
    # All client encodings of PostgreSQL contain ASCII, which is all that the classifier looks at.
    text = sql.decode(errors="replace")
    if text.endswith(";"):
        text = text[:-1]
    findings = analyse(text).findings
    if not findings:
        return None
    first = findings[0]
    return PinReason(
        first.condition, first.evidence, reason_for(first.condition), digest(text), first.remedy, first.start, first.end
    )
