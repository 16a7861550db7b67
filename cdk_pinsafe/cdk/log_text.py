"""What a proxy's log says of each condition, in the languages of CloudWatch: Logs Insights queries and filter patterns.

AWS says that the log's form may change, and it is searched here for phrases, not parsed: for alarms take the metrics of
the proxy. Neither the queries nor the patterns were tried on AWS; the patterns are tested against lines as they were
published. Knows nothing of CDK.
"""

import re
from dataclasses import dataclass
from typing import Final

from ..pinning.conditions import condition
from ..pinning.log_lines import PINNED_START

PIN: Final = "pinned to the database connection"
"""In the line of a pin, and in that of a prepared statement that will pin when it runs. Where the client uses the
extended protocol, only the latter has the digest."""

_DIGEST: Final = 'Digest: "'


@dataclass(frozen=True)
class Sign:
    """A phrase by which a line of the log names a condition.

    Attributes:
        condition: the condition's id.
        phrase: stands in the line, in this case.
        but_not: phrases that make it another condition's.
    """

    condition: str
    phrase: str
    but_not: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """As a filter pattern: all terms are in the line, none with a minus is."""
        return " ".join([_term(PIN), _term(self.phrase), *(f"-{_term(phrase)}" for phrase in self.but_not)])

    @property
    def count(self) -> str:
        """As an expression of Logs Insights: 1 for a line that has it, else 0."""
        others = "".join(f" - {_contains(phrase)}" for phrase in self.but_not)
        return f"{_contains(self.phrase)} * (1{others})" if others else _contains(self.phrase)


def _term(phrase: str) -> str:
    return '"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _contains(phrase: str) -> str:
    return f"strcontains(@message, '{phrase}')"


def _begins(condition_id: str, *beginnings: str, but_not: tuple[str, ...] = ()) -> list[Sign]:
    return [Sign(condition_id, _DIGEST + text, tuple(_DIGEST + other for other in but_not)) for text in beginnings]


def _holds(condition_id: str, *texts: str) -> list[Sign]:
    return [Sign(condition_id, text) for text in texts]


SIGNS: Final[tuple[Sign, ...]] = (
    *_begins("set", "set ", but_not=("set local ", "set transaction ", "set constraints ")),
    *_begins("set", "reset "),
    *_begins("set-local", "set local "),
    *_begins("set-transaction", "set transaction ", "set constraints "),
    *_holds("set-config", "set_config("),
    *_holds("oversized", *condition("oversized").log_reasons),
    *_begins("sql-prepare", "prepare ", "execute ", "deallocate "),
    # Where there is no digest the reason has to do.
    *(Sign("sql-prepare", reason, ("Digest: ",)) for reason in condition("sql-prepare").log_reasons),
    *_holds("prepared-statements-view", "pg_prepared_statements"),
    *_begins("discard", "discard "),
    *_begins("cursor", "declare "),
    *_begins("temp-object", "create temp"),
    *_holds("temp-object", " into temp", "pg_temp."),
    *_holds("sequence", "nextval(", "setval("),
    *_holds("advisory-lock", "advisory_lock", "advisory_unlock"),
    *_begins("listen", "listen "),
    *_begins("load", "load "),
)
"""By the digest, since the reason is mostly the same; a digest is in lower case. One of several statements is known by
its first statement, unless a function gives it away."""


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
