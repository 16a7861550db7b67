"""Whether two texts of a parameter mean the same. Pure.

PostgreSQL itself canonicalises units, booleans, enums, time zones and numbers; what it leaves as written is compared
here: lists of names, and ``DateStyle``, whose meaning depends on the value before it where it is given in part.
"""

from ..settings import LIST_PARAMETERS
from .plan import Value

_NOT_NAMES = frozenset({"session_preload_libraries"})
"""List parameters whose elements are file names: their case counts."""


def same(name: str, desired: Value, stored: str, canonical: tuple[str | None, str | None]) -> bool:
    """Whether what is stored means what is desired.

    Args:
        name: the parameter, in lower case.
        desired: the value asked for.
        stored: the text in the catalogue.
        canonical: what PostgreSQL makes of the two, in this order; None where it would not say.
    """
    if isinstance(desired, tuple):
        return desired == elements(name, stored)
    if name == "datestyle":
        return _folded(desired) == _folded(stored)
    left, right = canonical
    if left is None or right is None:
        return desired == stored
    return left == right


def elements(name: str, text: str) -> tuple[str, ...]:
    """The elements of a stored list, as ``SET name TO 'element', …`` takes them; of any other parameter, the text.

    ``"$user", public`` has the elements ``$user`` and ``public``. A text that PostgreSQL could not split is one
    element: it only ever comes from a catalogue that was written by hand.
    """
    if name not in LIST_PARAMETERS:
        return (text,)
    found: list[str] = []
    rest = text.strip()
    while rest:
        if rest[0] == '"':
            end = 1
            while (end := rest.find('"', end)) != -1 and rest[end + 1 : end + 2] == '"':
                end += 2
            if end == -1:
                return (text,)
            found.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :].lstrip()
        else:
            bare = rest.partition(",")[0]
            found.append(bare.strip() if name in _NOT_NAMES else bare.strip().lower())
            rest = rest[len(bare) :]
        if rest and not rest.startswith(","):
            return (text,)
        if rest == ",":
            return (text,)
        rest = rest[1:].lstrip()
    return tuple(found) or ("",)


def _folded(text: str) -> str:
    return "".join(text.split()).lower()
