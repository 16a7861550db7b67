"""What the stand-in makes of a statement's text: whether it pins, by `cdk_pinsafe.pinning`.

Texts come as bytes, as clients sent them. It must not know sessions or connections.
"""

from dataclasses import dataclass
from typing import Final

from ..pinning.conditions import STATEMENT_LIMIT, Condition, Evidence, condition
from ..pinning.log_lines import REASON_PARSE, reason_for
from ..pinning.statements import analyse, digest

__all__ = ["LEGACY", "OVERSIZED", "Judge", "Verdict"]

_MOST_KEPT: Final = 2_000
_LONGEST_KEPT: Final = 2_000  # bytes; so that what is kept stays under 4 MB


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a text pins: the first condition that it meets, as RDS Proxy's log names one reason.

    Attributes:
        condition: the condition; None for the Parse messages that pinned before November 2023.
        evidence: how well it is known that this pins, best first.
        reason: the log's reason.
        digest: the log's normalised statement; None where the log has none.
        remedy: what to write instead.
        start, end: the part of the text that pins, in characters; all of it where `end` is None.
    """

    condition: Condition | None
    evidence: tuple[Evidence, ...]
    reason: str
    digest: str | None
    remedy: str
    start: int = 0
    end: int | None = None


LEGACY: Final = Verdict(
    None,
    (Evidence.DOCUMENTED, Evidence.MEASURED),
    REASON_PARSE,
    None,
    "none is needed today: since November 2023 RDS Proxy multiplexes statements that are prepared through the protocol",
)
"""What every Parse message meets in legacy mode."""

_OVERSIZED = condition("oversized")
OVERSIZED: Final = Verdict(_OVERSIZED, _OVERSIZED.evidence, reason_for(_OVERSIZED), None, _OVERSIZED.remedy)
"""What every text over 16 KB meets, whatever it says: it need not be read for it."""


class Judge:
    """Judges texts, and keeps what took long to find, within bounds: a client repeats itself."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Verdict] = {}

    def verdict(self, sql: bytes) -> Verdict | None:
        """Why a text pins, or None."""
        if sql in self._kept:
            return self._kept[sql]
        found = _judge(sql)
        # A text that does not pin takes about a microsecond to judge, and is often one of many with other constants.
        if found is not None and len(sql) <= _LONGEST_KEPT:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[sql] = found
        return found


def _judge(sql: bytes) -> Verdict | None:
    if len(sql) > STATEMENT_LIMIT:
        return OVERSIZED
    # Whatever the client's encoding: every one that it may choose has ASCII's letters in ASCII's places.
    text = sql.decode(errors="replace")
    if text.endswith(";"):
        text = text[:-1]
    findings = analyse(text).findings
    if not findings:
        return None
    first = findings[0]
    return Verdict(
        first.condition, first.evidence, reason_for(first.condition), digest(text), first.remedy, first.start, first.end
    )
