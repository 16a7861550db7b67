"""What all sessions of a stand-in share. Knows neither sockets nor how the pool chooses."""

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .connection import DatabaseConnection
from .events import Observer
from .judgement import Judge

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Counters", "Lender", "Surroundings"]


class Lender(Protocol):
    """What a session needs of the pool."""

    def borrow(self, session: "Session") -> DatabaseConnection | None:
        """A connection now, or None: then `Session.granted` or `Session.refused` is called later."""


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
        pool: lends database connections.
        observer: is told of pins.
        legacy: pin on every Parse message, as before November 2023.
    """

    pool: Lender
    observer: Observer
    legacy: bool = False
    judge: Judge = field(default_factory=Judge)
    counters: Counters = field(default_factory=Counters)
    names: Iterator[bytes] = field(default_factory=lambda: _names())


def _names() -> Iterator[bytes]:
    """Names for prepared statements. Not to be guessed: by such a name a client could reach another's statement."""
    prefix = f"pinsafe_{secrets.token_hex(8)}_".encode()
    return (prefix + str(number).encode() for number in itertools.count(1))
