"""The conditions in a proxy's log, in the languages of CloudWatch: Logs Insights queries and filter patterns.

AWS says that the log's form may change, so it is searched for phrases and not parsed. For alarms, use the proxy's
metrics. Neither the queries nor the patterns were tried on AWS; the patterns are tested against published lines. This
module does not know CDK.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..pinning.conditions import CONDITIONS, Condition
from ..pinning.log_lines import PINNED_START

PIN: Final = "pinned to the database connection"
"""In the line of a pin, and in the line of a prepared statement that will pin when it runs. If the client uses the
extended protocol, only the latter has the digest."""

_DIGEST: Final = 'Digest: "'


@dataclass(frozen=True)
class Sign:
    """A phrase of a log line that identifies a condition.

    Attributes:
        condition: the condition's id.
        phrase: part of the line, case-sensitive.
        but_not: phrases that identify another condition instead.
    """

    condition: str
    phrase: str
    but_not: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """As a filter pattern: the line has all terms, and none that begins with a minus."""
        return " ".join([_term(PIN), _term(self.phrase), *(f"-{_term(phrase)}" for phrase in self.but_not)])

    @property
    def count(self) -> str:
        """As an expression of Logs Insights: 1 for a line of the condition, otherwise 0."""
        others = "".join(f" - {_contains(phrase)}" for phrase in self.but_not)
        return f"{_contains(self.phrase)} * (1{others})" if others else _contains(self.phrase)


def _term(phrase: str) -> str:
    return '"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _contains(phrase: str) -> str:
    return f"strcontains(@message, '{phrase}')"


def _signs(one: Condition) -> Iterator[Sign]:
    others = tuple(_DIGEST + start for start in one.digest_starts_of_others)
    for start in one.digest_starts:
        yield Sign(one.id, _DIGEST + start, tuple(other for other in others if other.startswith(_DIGEST + start)))
    for part in one.digest_parts:
        yield Sign(one.id, part)
    for reason in one.log_reasons:
        # A reason that several conditions share identifies none; if there is a digest, it does.
        if sum(reason in other.log_reasons for other in CONDITIONS) == 1:
            yield Sign(one.id, reason, ("Digest: ",) if one.digest_starts or one.digest_parts else ())


SIGNS: Final[tuple[Sign, ...]] = tuple(sign for one in CONDITIONS for sign in _signs(one))
"""Mostly by the digest, in lower case, since the reason is usually the same. Several statements in one are identified
by the first, or by a function."""


def _query(*lines: str) -> str:
    return "\n| ".join(lines)


def _over_time() -> str:
    counts: dict[str, list[str]] = {}
    for sign in SIGNS:
        counts.setdefault(re.sub(r"\W", "_", sign.condition), []).append(sign.count)
    return _query(
        f"filter @message like '{PIN}'",
        "fields " + ", ".join(f"{' + '.join(parts)} as is_{name}" for name, parts in counts.items()),
        "stats " + ", ".join(f"sum(is_{name}) as {name}" for name in counts) + " by bin(5m)",
    )


BY_CONDITION_OVER_TIME: Final = _over_time()
BY_REASON: Final = _query(
    f"filter @message like '{PINNED_START}'",
    r"parse @message /Reason: (?<reason>[^.]+)/",
    "stats count(*) as pins, min(@timestamp) as first_seen, max(@timestamp) as last_seen by reason",
    "sort pins desc",
)
BY_DIGEST: Final = _query(
    f"filter @message like '{PIN}'",
    r'parse @message /Digest: "(?<digest>.+)"/',
    "filter ispresent(digest)",
    "stats count(*) as log_lines, min(@timestamp) as first_seen, max(@timestamp) as last_seen by digest",
    "sort log_lines desc",
    "limit 50",
)
BY_CLIENT_CONNECTION: Final = _query(
    f"filter @message like '{PINNED_START}'",
    "parse @message '[clientConnection=*]' as client_connection",
    "parse @message '[dbConnection=*]' as db_connection",
    "stats count(*) as pins, min(@timestamp) as first_seen, max(@timestamp) as last_seen"
    " by client_connection, db_connection",
    "sort last_seen desc",
    "limit 200",
)
