"""A normalised statement, as RDS Proxy's log and ``pg_stat_statements`` have it, made SQL again.

PostgreSQL writes $1, $2, … where its grammar saw a constant, and its grammar does not take a parameter back in each of
these places: not for the string of ``SET NAMES`` or INTERVAL, not for a word such as READ in ``READ ONLY``. A constant
is put there again, where the parser stops at the parameter, and stands only if PostgreSQL makes the same text of it
when it normalises it. So nothing is guessed: a name that was never a constant, as in ``LISTEN $1``, stays refused.
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
"""Constants of PostgreSQL's grammar that it does not take a parameter for: any string, and words.

Each with whether it tells its value: of the modes of a transaction one word alone fits each place, but CONTENT may have
stood where DOCUMENT does.
"""
_MOST_PARSES: Final = 60


@dataclass(frozen=True, slots=True)
class Filled:
    """A statement with constants in place of some parameters.

    Attributes:
        text: SQL.
        values_known: Whether the constants are those that stood there.
        places: Where each constant starts in ``text``, and by how many bytes it is longer than its parameter, in order.
    """

    text: str
    values_known: bool
    places: tuple[tuple[int, int], ...]

    def before(self, position: int) -> int:
        """The byte of the normalised statement for one of ``text``."""
        return position - sum(longer for start, longer in self.places if start < position)


def fill(sql: str, error: RefusedError) -> Filled | None:
    """What a statement was before it was normalised, but for the values of strings.

    Args:
        sql: One statement.
        error: Why the parser refuses it.

    Returns:
        None if PostgreSQL would normalise nothing to it that has constants in place of the parameters.
    """
    for found in _fillings(Filled(sql, True, ()), error, iter(range(_MOST_PARSES))):
        if _shape(_parser.normalise(found.text)) == _shape(sql):
            return found
    return None


def _fillings(sofar: Filled, error: RefusedError, parses: Iterator[int]) -> Iterator[Filled]:
    """All that the parser accepts; from left to right, as it stops at one parameter after the other."""
    if error.position is None:
        return
    start = len(sofar.text[: error.position].encode())
    hole = next((token for token in _parser.tokens(sofar.text) if token.start == start), None)
    if hole is None or hole.kind != "PARAM":
        return
    data = sofar.text.encode()
    for constant, known in _CONSTANTS:
        if next(parses, None) is None:
            return
        text = (data[:start] + constant.encode() + data[hole.end :]).decode()
        longer = len(constant) - (hole.end - start)
        filled = Filled(text, sofar.values_known and known, (*sofar.places, (start, longer)))
        try:
            _parser.parse(text)
        except RefusedError as later:
            yield from _fillings(filled, later, parses)
        else:
            yield filled


def _shape(sql: str) -> list[str]:
    """The tokens of a text, parameters without their numbers."""
    data = sql.encode()
    return [
        "$" if token.kind == "PARAM" else data[token.start : token.end].decode().lower()
        for token in _parser.tokens(sql)
    ]
