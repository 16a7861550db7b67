"""Whether two texts of a parameter mean the same value. Pure functions.

PostgreSQL itself canonicalizes units, booleans, enums, time zones and numbers. What it keeps as written is compared
here: lists of names, and ``DateStyle``, where the meaning of a partial value depends on the value before it.
"""

from ..settings import LIST_PARAMETERS
from .plan import Value

_CASE_SENSITIVE_LISTS = frozenset({"session_preload_libraries"})
"""Their elements are file names."""


def is_equivalent(name: str, desired: Value, stored: str, canonical: tuple[str | None, str | None]) -> bool:
    """Whether the stored text means the desired value.

    Args:
        name: the parameter, in lower case.
        desired: the desired value.
        stored: the text in the catalog.
        canonical: PostgreSQL's canonical text of each, in this order; None where it refused one.
    """
    if isinstance(desired, tuple):
        return desired == split_list(name, stored)
    if name == "datestyle":
        return _without_case_and_spaces(desired) == _without_case_and_spaces(stored)
    left, right = canonical
    if left is None or right is None:
        return desired == stored
    return left == right


def split_list(name: str, text: str) -> tuple[str, ...]:
    """The elements of a stored list, as ``SET name TO 'element', …`` takes them; of any other parameter, the text.

    ``"$user", public`` has the elements ``$user`` and ``public``. A text that PostgreSQL could not split is one
    element; only a catalog that was edited manually has such a text.
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
            found.append(bare.strip() if name in _CASE_SENSITIVE_LISTS else bare.strip().lower())
            rest = rest[len(bare) :]
        if rest and not rest.startswith(","):
            return (text,)
        if rest == ",":
            return (text,)
        rest = rest[1:].lstrip()
    return tuple(found) or ("",)


def _without_case_and_spaces(text: str) -> str:
    return "".join(text.split()).lower()
