"""The time that is left before CloudFormation must have its response, and retries within it.

This module knows nothing of databases. Callers raise :class:`TransientError` for what is worth another attempt.
"""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..errors import UnreachableError
from . import log

T = TypeVar("T")

_CONFLICT_ATTEMPTS: Final = 60
"""With pauses of up to a second, most of a minute. A conflict that lasts longer is not a race."""
_CONFLICT_REMEDY: Final = "deploy again when fewer sessions alter the database"
_UNREACHABLE_REMEDY: Final = (
    "check that the database is up and that its security group lets the applier's in; then deploy again"
)


class TransientError(Exception):
    """A failure that may not occur at the next attempt.

    Attributes:
        reason: one line for people.
        is_conflict: another session was faster, so retry soon; otherwise the server cannot be reached yet.
    """

    def __init__(self, reason: str, *, is_conflict: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_conflict = is_conflict


class Deadline:
    """The moment by which the work must be done."""

    def __init__(self, seconds: float) -> None:
        self._start = time.monotonic()
        self._end = self._start + seconds

    @property
    def left(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def spent(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._start

    def fraction(self, fraction: float) -> "Deadline":
        """A new deadline after a fraction of the time that is left."""
        return Deadline(self.left * fraction)


def retry(attempt: Callable[[], T], deadline: Deadline, what: str) -> T:
    """Call ``attempt`` until it returns; after a :class:`TransientError`, pause and call it again.

    Raises:
        UnreachableError: the time is over; the message names ``what`` and the last reason.
    """
    conflicts = tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except TransientError as error:
            conflicts += error.is_conflict
            longest, base, step = (1.0, 0.02, conflicts) if error.is_conflict else (5.0, 0.25, tries)
            # Full jitter: appliers that collided must not retry at the same moment.
            pause = random.uniform(base / 2, min(longest, base * 2 ** min(step, 10)))  # noqa: S311 - not a secret
            if pause >= deadline.left or conflicts >= _CONFLICT_ATTEMPTS:
                reason = error.reason
                remedy = _CONFLICT_REMEDY if error.is_conflict else _UNREACHABLE_REMEDY
                break
            log.info("retry", reason=error.reason, attempt=tries, pause=round(pause, 3))
        time.sleep(pause)
    raise UnreachableError(
        f"{what}: gave up after {deadline.spent:.0f} s and {tries} attempts; the last error was: {reason}; {remedy}"
    )
