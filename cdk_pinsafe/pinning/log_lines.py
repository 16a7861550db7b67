"""RDS Proxy's log lines for PostgreSQL: a tolerant parser, and the functions with which the emulator writes them.

AWS calls these logs "not for programmatic access" and may change them, so a line that is not recognized is None or of
kind ``other``, never an error. The forms are from published logs of 2020 to 2026, not from a proxy of this project.
Parsing takes time linear in a line's length, and reads the first :data:`LINE_LIMIT` characters. Imports no third-party
package before :func:`classify` gets a digest.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from .conditions import (
    CONDITIONS,
    REASON_OVERSIZED,
    REASON_PARSE,
    REASON_PREPARED,
    REASON_SETTINGS,
    Condition,
    condition,
)

LINE_LIMIT: Final = 65_536
"""Characters of a line that are parsed; the proxy logs no digest of a statement over 16 KB."""


class LineKind(StrEnum):
    """The kind of a line."""

    PINNED = "pinned"
    MAY_PIN = "may_pin"
    """A prepared statement of the extended protocol that will pin when it runs (level INFO)."""
    CONNECTED = "connected"
    CLOSED = "closed"
    RELEASED = "released"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the proxy's log.

    Attributes:
        timestamp: The time, with its time zone; None if it is invalid.
        level: ``WARN``, ``INFO`` and so on, in upper case.
        endpoint: The proxy endpoint's name; None in old lines, which lack it.
        client_connection: The client connection's number, as text; None if the line has none.
        db_connection: The database connection's number, as text.
        kind: The kind of the line.
        message: The text after the bracketed fields.
        reason: The text after ``Reason:``, without its last period.
        digest: The normalized SQL after ``Digest:``, without its quotes.
    """

    timestamp: datetime | None
    level: str
    endpoint: str | None
    client_connection: str | None
    db_connection: str | None
    kind: LineKind
    message: str
    reason: str | None
    digest: str | None


PINNED_START: Final = "The client session was pinned to the database connection"
MAY_PIN_START: Final = "If this prepared statement runs, the client session will be pinned to the database connection"
CONNECTED_START: Final = "A new client connected from"
CLOSED_START: Final = "The client connection closed"
RELEASED_START: Final = "The database connection was released to the connection pool"

_KINDS: Final = (
    (PINNED_START, LineKind.PINNED),
    (MAY_PIN_START, LineKind.MAY_PIN),
    (CONNECTED_START, LineKind.CONNECTED),
    (CLOSED_START, LineKind.CLOSED),
    (RELEASED_START, LineKind.RELEASED),
)
_LINE: Final = re.compile(
    r"(?P<timestamp>\d{4}-\d\d-\d\d[T ][\d:.,]{5,20}(?:Z|[+-]\d\d:?\d\d)?)\s{1,8}\[(?P<level>[A-Za-z]{1,10})\]"
    r"(?P<fields>(?:\s{0,8}\[[A-Za-z]{1,40}=[^\]\s]{0,256}\]){0,10})\s{0,8}(?P<message>.*)",
    re.DOTALL,
)
_FIELD: Final = re.compile(r"\[([A-Za-z]{1,40})=([^\]\s]{0,256})\]")
_OVERSIZED: Final = re.compile(r"exceeded the \d{1,9} byte limit")
_ADVICE: Final = "Consider moving session configuration to the proxy's initialization query"


def parse_line(line: str) -> LogLine | None:
    """Parse a line of the log; None if it is not one.

    Text before the timestamp is skipped: tools that fetch logs put a stream's name or a time there.
    """
    found = _LINE.search(line[:LINE_LIMIT].rstrip())
    if found is None:
        return None
    fields = dict(_FIELD.findall(found["fields"]))
    message = found["message"]
    kind = next((kind for start, kind in _KINDS if message.startswith(start)), LineKind.OTHER)
    reason, digest = _reason_and_digest(message)
    db_connection = fields.get("dbConnection")
    if db_connection is None and (inside := _FIELD.search(message[:512])) and inside[1] == "dbConnection":
        db_connection = inside[2]
    return LogLine(
        timestamp=_timestamp(found["timestamp"]),
        level=found["level"].upper(),
        endpoint=fields.get("proxyEndpoint"),
        client_connection=fields.get("clientConnection"),
        db_connection=db_connection,
        kind=kind,
        message=message,
        reason=reason,
        digest=digest,
    )


def classify(reason: str | None, digest: str | None) -> Condition | None:
    """The condition of a pin by its reason and digest; None if it is not known.

    The digest decides if there is one: the proxy also logs "changed session settings" for a cursor. A digest may not be
    SQL (long lists truncated to ``[...]``, a name replaced): then the words of the statement that cannot be parsed
    decide, because it is known to have pinned. A reason of several conditions does not decide.
    """
    if reason and _OVERSIZED.search(reason):
        return condition("oversized")
    if digest:
        from .statements import analyse

        analysis = analyse(digest)
        if analysis.findings:
            return analysis.findings[0].condition
        for statement in analysis.not_parsed:
            words = " ".join(digest[statement.start : statement.end].lower().split())
            if found := next((one for one in CONDITIONS if one.is_named_by(words)), None):
                return found
    if not reason:
        return None
    named = [one for one in CONDITIONS if any(part in reason for part in one.log_reasons)]
    return named[0] if len(named) == 1 else None


def pinned(
    when: datetime,
    client_connection: int,
    db_connection: int,
    reason: str,
    digest: str | None = None,
    *,
    endpoint: str = "default",
) -> str:
    """The line for a pin, without a line break, in the form of 2022 and later."""
    return _line(
        when,
        "WARN",
        endpoint,
        client_connection,
        f"{PINNED_START} [dbConnection={db_connection}] for the remainder of the session. The proxy can't reuse this "
        f"connection until the session ends. {_reason_text(reason, digest)}",
    )


def may_pin(
    when: datetime, client_connection: int, db_connection: int, reason: str, digest: str, *, endpoint: str = "default"
) -> str:
    """The line for a statement that was prepared through the protocol, and that will pin when it runs."""
    return _line(
        when,
        "INFO",
        endpoint,
        client_connection,
        f"{MAY_PIN_START} [dbConnection={db_connection}]. {_reason_text(reason, digest)}",
    )


def connected(when: datetime, client_connection: int, address: str, *, endpoint: str = "default") -> str:
    """The line for a client that connected from ``address``, as ``10.0.0.1:5432``."""
    return _line(when, "INFO", endpoint, client_connection, f"{CONNECTED_START} {address}.")


def closed(when: datetime, client_connection: int, reason: str, *, endpoint: str = "default") -> str:
    """The line for a client connection that was closed."""
    return _line(when, "INFO", endpoint, client_connection, f"{CLOSED_START}. Reason: {reason}.")


def released(when: datetime, client_connection: int, *, endpoint: str = "default") -> str:
    """The line for a database connection that was returned to the pool."""
    return _line(when, "INFO", endpoint, client_connection, f"{RELEASED_START} upon session reset.")


def reason_for(one: Condition) -> str:
    """The published reason for a condition; without one, the reason for a changed setting."""
    return one.log_reasons[0] if one.log_reasons else REASON_SETTINGS


def _reason_text(reason: str, digest: str | None) -> str:
    advice = f" {_ADVICE}." if reason == REASON_SETTINGS else ""
    return f"Reason: {reason}.{advice}" + ("" if digest is None else f' Digest: "{digest}".')


def _line(when: datetime, level: str, endpoint: str, client_connection: int, text: str) -> str:
    stamp = when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{stamp} [{level}] [proxyEndpoint={endpoint}] [clientConnection={client_connection}] {text}"


def _reason_and_digest(message: str) -> tuple[str | None, str | None]:
    head, mark, rest = message.partition("Digest:")
    digest = None
    if mark:
        digest = rest.strip().removesuffix(".").strip().removeprefix('"').removesuffix('"').replace('\\"', '"')
    _, mark, reason = head.partition("Reason:")
    return reason.strip().removesuffix(".") if mark else None, digest or None


def _timestamp(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


__all__ = [
    "LINE_LIMIT",
    "REASON_OVERSIZED",
    "REASON_PARSE",
    "REASON_PREPARED",
    "REASON_SETTINGS",
    "LineKind",
    "LogLine",
    "classify",
    "closed",
    "connected",
    "may_pin",
    "parse_line",
    "pinned",
    "reason_for",
    "released",
]
