"""Counts how many different things were seen, in bounded memory: exactly at first, by estimate beyond.

It keeps the smallest hashes. While fewer than `KEPT` different ones came, their number is the answer; after that, the
closer together the smallest `KEPT` lie, the more there must be ("k minimum values", Bar-Yossef and others, 2002).
"""

import sys
from collections.abc import Iterable
from typing import Final

__all__ = ["KEPT", "RELATIVE_ERROR", "Distinct"]

KEPT: Final = 2048
"""Up to so many are counted exactly."""
RELATIVE_ERROR: Final = 0.022
"""The standard error of an estimate, 1/sqrt(KEPT), as a fraction of it."""

_RANGE: Final = 1 << sys.hash_info.width
_LOWEST: Final = -_RANGE // 2


class Distinct:
    """A set that remembers at most twice `KEPT` hashes."""

    __slots__ = ("_below", "_hashes")

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._below = _LOWEST + _RANGE
        """Hashes from here on are no longer among the smallest."""

    def add(self, number: int) -> None:
        """Count a whole number, unless it was counted before."""
        self.update((number,))

    def update(self, numbers: Iterable[int]) -> None:
        """Count whole numbers."""
        below = self._below
        # A tuple's hash mixes the bits of a number well, the same in every run, and at the speed of C.
        self._hashes.update([one for one in map(hash, zip(numbers)) if one < below])
        if len(self._hashes) >= 2 * KEPT:
            self._forget()

    def merge(self, other: "Distinct") -> None:
        """Count what the other counted, too."""
        self._below = min(self._below, other._below)
        self._hashes = {one for one in self._hashes | other._hashes if one < self._below}
        if len(self._hashes) > KEPT:
            self._forget()

    @property
    def exact(self) -> bool:
        """Whether `count` is exact."""
        return self._below == _LOWEST + _RANGE and len(self._hashes) <= KEPT

    @property
    def count(self) -> int:
        """How many there were; see `exact`."""
        if self.exact:
            return len(self._hashes)
        # All hashes below the largest of these are known: their density tells how many there are in all.
        return round((KEPT - 1) * _RANGE / (sorted(self._hashes)[KEPT - 1] - _LOWEST))

    def _forget(self) -> None:
        self._hashes = set(sorted(self._hashes)[:KEPT])
        self._below = max(self._hashes) + 1
