"""The state that all sessions of an emulator share. Knows neither sessions, connections nor the pool."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from .classifier import StatementClassifier
from .events import Observer

__all__ = ["SharedState", "TrafficCounters"]


@dataclass
class TrafficCounters:
    """Counts of forwarded messages; `metrics` reports them under CloudWatch's names.

    Times are in seconds: sums over `answered` requests, and for borrowing over `borrows`.
    """

    queries: int = 0
    queries_tls: int = 0
    answered: int = 0
    response_seconds: float = 0.0
    database_seconds: float = 0.0
    borrows: int = 0
    borrow_seconds: float = 0.0


@dataclass
class SharedState:
    """The state that all sessions of an emulator share.

    Attributes:
        observer: receives the pins.
        legacy: pin on every Parse message, as before November 2023.
        classifier: decides which statements pin.
        counters: the counts of forwarded messages.
        numbers: yields the numbers of prepared statements.
    """

    observer: Observer
    legacy: bool = False
    classifier: StatementClassifier = field(default_factory=StatementClassifier)
    counters: TrafficCounters = field(default_factory=TrafficCounters)
    numbers: Iterator[int] = field(default_factory=itertools.count)
