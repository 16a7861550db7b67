"""Time: how much is left before CloudFormation must have its answer, and patience within it.

Knows nothing of databases: what is worth another try is told by raising :class:`TransientError`.
"""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..errors import UnreachableError
from . import log

T = TypeVar("T")

_CONFLICT_ATTEMPTS: Final = 60
"""A conflict that lasts longer than this is none: with pauses of up to a second, most of a minute."""
_AFTER_CONFLICT: Final = "deploy again when fewer sessions alter the database"
_OUT_OF_REACH: Final = (
    "check that the database is up and that its security group lets the applier's in; then deploy again"
)


class TransientError(Exception):
    """A failure that may be gone at the next attempt.

    Attributes:
        reason: one line for people.
        is_conflict: another writer was faster, so try again soon; otherwise the server cannot be reached yet.
    """

    def __init__(self, reason: str, *, is_conflict: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_conflict = is_conflict


class Deadline:
    """A moment by which everything must be done."""

    def __init__(self, seconds: float) -> None:
        self._start = time.monotonic()
        self._end = self._start + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def spent(self) -> float:
        """Seconds since it was set."""
        return time.monotonic() - self._start

    def share(self, fraction: float) -> "Deadline":
        """A deadline of its own over a fraction of what is left."""
        return Deadline(self.left * fraction)


def retry(attempt: Callable[[], T], deadline: Deadline, what: str) -> T:
    """Call ``attempt`` until it returns; after :class:`TransientError`, pause and call it again while there is time.

    Raises:
        UnreachableError: time ran out; the message names ``what`` and the last reason.
    """
    conflicts = tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except TransientError as passing:
            conflicts += passing.is_conflict
            longest, base, step = (1.0, 0.02, conflicts) if passing.is_conflict else (5.0, 0.25, tries)
            # Full jitter: appliers that collided once must not come back together.
            pause = random.uniform(base / 2, min(longest, base * 2 ** min(step, 10)))  # noqa: S311 - not a secret
            if pause >= deadline.left or conflicts >= _CONFLICT_ATTEMPTS:
                reason = passing.reason
                remedy = _AFTER_CONFLICT if passing.is_conflict else _OUT_OF_REACH
                break
            log.info("retry", reason=passing.reason, attempt=tries, pause=round(pause, 3))
        time.sleep(pause)
    raise UnreachableError(
        f"{what}: gave up after {deadline.spent:.0f} s and {tries} attempts; the last error was: {reason}; {remedy}"
    )
