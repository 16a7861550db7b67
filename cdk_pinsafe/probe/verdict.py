"""What rounds prove, as pure functions. Knows neither SQL nor connections.

**Handed over** is proof that a session is not pinned. The reverse is statistical. The null hypothesis is "the statement
did not pin". Under it, the rounds of the session after the statement are like its rounds before (same session, same
node of the proxy, same other clients), and like the control's rounds at the same time, so that which of them have a
handover is chance. Two of Fisher's exact tests must each find a probability of at most :data:`ALPHA` that chance put
all handovers into the other group:

- before against after, for the same session: a session that never was handed over proves nothing, for example because
  it is alone on its node of the proxy, or because the pool is much larger than the number of clients;
- control against session, after the statement: conditions that changed meanwhile would show in the control as well.

The tests are exact for any handover rate, so they hold for small, large, busy and random pools alike; where handovers
are rare the result is "cannot tell". They are evaluated after :data:`LOOKS` rounds, so a wrong "pinned" has a
probability of at most ``len(LOOKS) * ALPHA`` per statement.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import comb
from typing import Final

ALPHA: Final = 1e-7
BEFORE: Final = 10
"""Rounds before the statement."""
LOOKS: Final = (18, 30, 48)
"""Numbers of rounds after the statement, at which the tests are evaluated."""


class Outcome(StrEnum):
    """What became of a session after a statement."""

    PINNED = "pinned"
    """No other client got its connection, and it got no other, while both happened to sessions that are not pinned."""
    SHARED = "shared"
    """Its connection served another client, or it got another connection: it is not pinned."""
    LEAKED = "leaked"
    """As shared; besides, another client saw the state that the statement left in the database connection."""
    REFUSED = "refused"
    """The statement or the connection got an error."""
    CANNOT_TELL = "cannot tell"
    """The rounds prove neither, or the statement was not sent."""


def is_pinned(before: Sequence[bool], control: Sequence[bool]) -> bool:
    """Whether a session without any handover after the statement is pinned.

    Args:
        before: For each round before the statement, whether the session was handed over.
        control: For each round after it, whether the control session was. The session itself had as many rounds.
    """
    rounds = len(control)
    return (
        chance(sum(before), len(before), rounds) <= ALPHA  # the same session, before the statement
        and chance(sum(control), rounds, rounds) <= ALPHA  # the control session, at the same time
    )


def chance(handovers: int, rounds: int, others: int) -> float:
    """The probability that chance puts all handovers into the first group of rounds: Fisher's exact test, one-sided.

    Args:
        handovers: Rounds with a handover, all of them in the first group.
        rounds: Rounds of the first group.
        others: Rounds of the second group, which has none.
    """
    return comb(rounds, handovers) / comb(rounds + others, handovers)
