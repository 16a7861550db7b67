"""Restores SQL from a normalized statement, as in RDS Proxy's log and ``pg_stat_statements``.

PostgreSQL replaces constants by $1, $2, …, but its grammar does not accept a parameter in each of these places: not for
the string of ``SET NAMES`` or INTERVAL, nor for a word such as READ in ``READ ONLY``. Where the parser stops at a
parameter, this module inserts a constant, and accepts the result only if PostgreSQL normalizes it to the same text. So
nothing is guessed: a name that cannot be a constant, as in ``LISTEN $1``, is still rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from . import _parser
from ._parser import RefusedError

_CONSTANTS: Final = (
    ("''", False),
    *((word, True) for word in ("read", "serializable", "repeatable", "not", "deferrable")),
    ("document", False),
)
"""Constants in places where PostgreSQL's grammar accepts no parameter: any string, and words.

Each with whether its value is known: each mode of a transaction is the only word that fits, but DOCUMENT can stand for
CONTENT.
"""
_MOST_PARSES: Final = 60


@dataclass(frozen=True, slots=True)
class Filled:
    """A statement with constants in place of some parameters.

    Attributes:
        text: SQL.
        values_known: Whether the constants are the original ones.
        places: The start of each constant in ``text``, and by how many bytes it is longer than its parameter, in order.
    """

    text: str
    values_known: bool
    places: tuple[tuple[int, int], ...]

    def before(self, position: int) -> int:
        """The offset in the normalized statement of an offset in ``text``, in bytes."""
        return position - sum(longer for start, longer in self.places if start < position)


def fill(sql: str, error: RefusedError) -> Filled | None:
    """Restore a normalized statement, without the values of its strings.

    Args:
        sql: One statement.
        error: The parser's error.

    Returns:
        None if no statement with constants in place of the parameters is normalized to it.
    """
    for found in _fillings(Filled(sql, True, ()), error, iter(range(_MOST_PARSES))):
        if _shape(_parser.normalise(found.text)) == _shape(sql):
            return found
    return None


def _fillings(sofar: Filled, error: RefusedError, parses: Iterator[int]) -> Iterator[Filled]:
    """All fillings that the parser accepts; from left to right, because it stops at one parameter after the other."""
    if error.position is None:
        return
    start = len(sofar.text[: error.position].encode())
    token = next((one for one in _parser.tokens(sofar.text) if one.start == start), None)
    if token is None or token.kind != "PARAM":
        return
    data = sofar.text.encode()
    for constant, known in _CONSTANTS:
        if next(parses, None) is None:
            return
        text = (data[:start] + constant.encode() + data[token.end :]).decode()
        longer = len(constant) - (token.end - start)
        filled = Filled(text, sofar.values_known and known, (*sofar.places, (start, longer)))
        try:
            _parser.parse(text)
        except RefusedError as later:
            yield from _fillings(filled, later, parses)
        else:
            yield filled


def _shape(sql: str) -> list[str]:
    """The tokens of a text, with parameters without their numbers."""
    data = sql.encode()
    return [
        "$" if token.kind == "PARAM" else data[token.start : token.end].decode().lower()
        for token in _parser.tokens(sql)
    ]
