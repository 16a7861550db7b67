"""What all sessions of a stand-in share. Must not know sessions, connections or the pool."""

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from .events import Observer
from .judgement import Judge

__all__ = ["Counters", "Surroundings"]


@dataclass
class Counters:
    """What is counted as messages go through; `metrics` gives them CloudWatch's names.

    Times are in seconds; those of answers are summed over `answered` requests, those of borrowing over `borrows`.
    """

    queries: int = 0
    queries_tls: int = 0
    answered: int = 0
    response_seconds: float = 0.0
    database_seconds: float = 0.0
    borrows: int = 0
    borrow_seconds: float = 0.0


@dataclass
class Surroundings:
    """What all sessions of a stand-in share.

    Attributes:
        observer: is told of pins.
        legacy: pin on every Parse message, as before November 2023.
    """

    observer: Observer
    legacy: bool = False
    judge: Judge = field(default_factory=Judge)
    counters: Counters = field(default_factory=Counters)
    names: Iterator[bytes] = field(default_factory=lambda: _names())


def _names() -> Iterator[bytes]:
    """Names for prepared statements. Not to be guessed: by such a name a client could reach another's statement."""
    prefix = f"pinsafe_{secrets.token_hex(8)}_".encode()
    return (prefix + str(number).encode() for number in itertools.count(1))
