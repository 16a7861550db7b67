"""Counts distinct numbers in bounded memory: exactly up to `KEPT`, then by estimate.

It keeps the smallest hashes. Beyond `KEPT` hashes, the density of the smallest `KEPT` gives the estimate ("k minimum
values", Bar-Yossef and others, 2002).
"""

import sys
from collections.abc import Iterable
from typing import Final

__all__ = ["KEPT", "RELATIVE_ERROR", "DistinctCounter"]

KEPT: Final = 2048
"""Numbers that are counted exactly."""
RELATIVE_ERROR: Final = 0.022
"""The relative standard error of an estimate, 1/sqrt(KEPT)."""

_RANGE: Final = 1 << sys.hash_info.width
_LOWEST: Final = -_RANGE // 2


class DistinctCounter:
    """A counter that keeps at most twice `KEPT` hashes."""

    __slots__ = ("_below", "_hashes")

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._below = _LOWEST + _RANGE
        """Upper bound (exclusive) of the hashes that are kept."""

    def add(self, number: int) -> None:
        """Count a whole number, unless it has been counted."""
        self.update((number,))

    def update(self, numbers: Iterable[int]) -> None:
        """Count whole numbers."""
        below = self._below
        # A tuple's hash mixes the bits of a number, is the same in every run, and is computed in C.
        self._hashes.update([one for one in map(hash, zip(numbers)) if one < below])
        if len(self._hashes) >= 2 * KEPT:
            self._shrink()

    def merge(self, other: "DistinctCounter") -> None:
        """Add the numbers of another counter."""
        self._below = min(self._below, other._below)
        self._hashes = {one for one in self._hashes | other._hashes if one < self._below}
        if len(self._hashes) > KEPT:
            self._shrink()

    @property
    def exact(self) -> bool:
        """Whether `count` is exact."""
        return self._below == _LOWEST + _RANGE and len(self._hashes) <= KEPT

    @property
    def count(self) -> int:
        """The number of distinct numbers; see `exact`."""
        if self.exact:
            return len(self._hashes)
        # All hashes up to the largest of these are known: their density gives the total.
        return round((KEPT - 1) * _RANGE / (sorted(self._hashes)[KEPT - 1] - _LOWEST))

    def _shrink(self) -> None:
        self._hashes = set(sorted(self._hashes)[:KEPT])
        self._below = max(self._hashes) + 1
