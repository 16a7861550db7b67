"""Reads a log group of CloudWatch Logs with the user's AWS configuration; yields blocks of plain lines.

The request's filter selects lines with the word `pinned`: this avoids most of the transfer, but other lines are not
counted. Only this module of the package imports boto3.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..errors import LogsError
from ..terminal import one_line
from .formats import as_line

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

__all__ = ["EVENTS", "events", "parse_time"]

EVENTS: Final = 1_000_000
"""The number of events after which reading ends with a note."""
_PATTERN: Final = "pinned"
_AGO: Final = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_time(text: str, now: datetime) -> datetime:
    """Parse an age (`30m`, `2h`, `7d`, `1w`) or a time in ISO 8601 (UTC by default).

    Raises:
        LogsError: it is neither.
    """
    try:
        if ago := _AGO.fullmatch(text.strip().lower()):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        when = datetime.fromisoformat(text.strip())
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise LogsError(
            f"{text[:40]!r} is not a time: write how long ago, as 30m, 2h or 7d, or a time as 2026-01-31T12:00"
        ) from None


def events(
    group: str, since: datetime, until: datetime, notes: list[str], on_page: Callable[[int], object] = lambda _: None
) -> Iterator[bytes]:
    """The lines of a log group about pins, oldest first.

    Args:
        group: its name, as `/aws/rds/proxy/orders`.
        since: start of the time range.
        until: end of the time range.
        notes: receives a line if there are more events than `EVENTS`.
        on_page: called with the number of bytes of each page.

    Raises:
        LogsError: AWS denied the request or cannot be reached; the message says what to do.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    taken = 0
    try:
        pages = (
            _client()
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=group,
                filterPattern=_PATTERN,
                startTime=_milliseconds(since),
                endTime=_milliseconds(until),
            )
        )
        for page in pages:
            lines = b"".join(as_line(event.get("message", ""), event.get("timestamp")) for event in page["events"])
            on_page(len(lines))
            yield lines
            taken += len(page["events"])
            if taken >= EVENTS:
                notes.append(f"only the first {taken:,} lines were read: give --since and --until a shorter span")
                return
    except ClientError as error:
        raise LogsError(_failure(error.response["Error"], group)) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an invalid endpoint, as of an empty region
        raise LogsError(f"CloudWatch Logs cannot be read: {_short(error)}: {_CONFIGURE}") from None


_CONFIGURE: Final = "check AWS_PROFILE, AWS_REGION and `aws sts get-caller-identity`"


def _client() -> "CloudWatchLogsClient":
    import boto3

    client: CloudWatchLogsClient = boto3.session.Session().client("logs")
    return client


def _milliseconds(when: datetime) -> int:
    return max(0, int(when.timestamp() * 1000))


def _failure(error: Any, group: str) -> str:
    code = error.get("Code", "")
    message = _short(error.get("Message", ""))
    if code == "ResourceNotFoundException":
        return (
            f"there is no log group {group!r} in this account and region: RDS Proxy's is /aws/rds/proxy/<proxy name>; "
            f"{_CONFIGURE}"
        )
    if code.startswith("AccessDenied"):
        return f"access to {group!r} is denied: allow logs:FilterLogEvents on it: {message}"
    return f"CloudWatch Logs failed to read {group!r}: {code}: {message}: {_CONFIGURE}"


def _short(text: object) -> str:
    return one_line(str(text)).rstrip(".")[:500]
