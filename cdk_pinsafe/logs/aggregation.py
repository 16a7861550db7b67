"""Counts pins by condition and digest, over time, and by client connection, in bounded memory.

Beyond `GROUPS` digests the rarest of each condition are folded into one group without a digest; all totals stay exact.
Time is counted in buckets that get wider as the time span grows. Knows nothing of log lines.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .cardinality import DistinctCounter

__all__ = ["BUCKETS", "GROUPS", "WIDTHS", "Aggregation", "Group", "GroupKey"]

GROUPS: Final = 200
"""Digests that remain after folding; while counting there can be twice as many."""
BUCKETS: Final = 1000
WIDTHS: Final = (1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 86_400, 604_800, 2_419_200, 33_868_800, 1_016_064_000)
"""Seconds of a bucket; each width is a multiple of the previous one, so that buckets can be merged."""


class GroupKey(NamedTuple):
    """What pins of one group have in common.

    Attributes:
        conditions: Ids of the conditions in the digest or the reason, in their order; empty if none is known.
        reason: As logged.
        digest: As logged, truncated; None if the log has none.
        folded: Whether these are a condition's rarest digests.
    """

    conditions: tuple[str, ...]
    reason: str
    digest: str | None
    folded: bool = False


@dataclass(slots=True)
class Group:
    """Pins of one key.

    Attributes:
        count: Number of pins.
        joined: Number of pins with a digest from an announcement, by client connection.
        first: The earliest time in seconds since 1970; None if no line has a time.
        last: The latest time.
        connections: Their client connections.
        buckets: Pins by bucket: second // width.
    """

    key: GroupKey
    count: int = 0
    joined: int = 0
    first: int | None = None
    last: int | None = None
    connections: DistinctCounter = field(default_factory=DistinctCounter)
    buckets: dict[int, int] = field(default_factory=dict)


class Aggregation:
    """All groups. Creating a group can fold others: do not keep a reference to a group."""

    def __init__(self) -> None:
        self.groups: dict[GroupKey, Group] = {}
        self.width = WIDTHS[0]
        self.folded = 0
        """Minimum number of folded digests: one that appears again is counted again."""
        self._low: int | None = None
        self._high: int | None = None

    def group(self, key: GroupKey) -> Group:
        """The group of a key; creates it if it is missing."""
        if (group := self.groups.get(key)) is None:
            if len(self.groups) >= 2 * GROUPS:
                self._fold()
            group = self.groups[key] = Group(key)
        return group

    def add(
        self,
        group: Group,
        count: int,
        span: tuple[int, int] | None,
        seconds: Mapping[int, int],
        connections: Iterable[int],
    ) -> None:
        """Add pins to a group.

        Args:
            group: a group of this aggregation.
            count: number of pins.
            span: the first and the last time, in seconds since 1970; None if no time is known.
            seconds: pins by time, for those with a time. Times may be rounded down to :attr:`width`.
            connections: the numbers of their client connections.
        """
        group.count += count
        group.connections.update(connections)
        if span is None:
            return
        first, last = span
        group.first = first if group.first is None else min(group.first, first)
        group.last = last if group.last is None else max(group.last, last)
        self._reach(first)
        self._reach(last)
        for second, pins in seconds.items():
            bucket = second // self.width
            group.buckets[bucket] = group.buckets.get(bucket, 0) + pins

    def _reach(self, second: int) -> None:
        """Extend the span to this second, and widen the buckets until there are few enough."""
        bucket = second // self.width
        self._low = bucket if self._low is None else min(self._low, bucket)
        self._high = bucket if self._high is None else max(self._high, bucket)
        while self._high - self._low >= BUCKETS and self.width < WIDTHS[-1]:
            factor = WIDTHS[WIDTHS.index(self.width) + 1] // self.width
            self.width *= factor
            self._low, self._high = self._low // factor, self._high // factor
            for group in self.groups.values():
                group.buckets = _coarser(group.buckets, factor)

    def _fold(self) -> None:
        ranked = sorted(self.groups.values(), key=lambda group: (group.key.folded, group.count), reverse=True)
        self.groups = {group.key: group for group in ranked[:GROUPS]}
        for group in ranked[GROUPS:]:
            self.folded += 1
            rest = self.groups.setdefault(key := GroupKey(group.key.conditions[:1], "", None, folded=True), Group(key))
            rest.count += group.count
            rest.joined += group.joined
            rest.first = min((one for one in (rest.first, group.first) if one is not None), default=None)
            rest.last = max((one for one in (rest.last, group.last) if one is not None), default=None)
            rest.connections.merge(group.connections)
            for bucket, count in group.buckets.items():
                rest.buckets[bucket] = rest.buckets.get(bucket, 0) + count


def _coarser(buckets: dict[int, int], factor: int) -> dict[int, int]:
    coarser: dict[int, int] = {}
    for bucket, count in buckets.items():
        coarser[bucket // factor] = coarser.get(bucket // factor, 0) + count
    return coarser
