"""Compares the value of a SET with the database's; unequal if it is not known."""

import re
from collections.abc import Mapping
from typing import Final

from ..settings import LIST_PARAMETERS

Value = str | tuple[str, ...]

_TRUE: Final = frozenset({"on", "true", "yes", "t", "y", "1"})
_FALSE: Final = frozenset({"off", "false", "no", "f", "n", "0", "of"})
_CASE_MATTERS: Final = frozenset(
    {
        "application_name",
        "backtrace_functions",
        "default_table_access_method",
        "default_tablespace",
        "default_text_search_config",
        "dynamic_library_path",
        "lc_messages",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
    }
)
"""PostgreSQL's case-sensitive parameters; its other words are enum values, in any case."""
_QUANTITY: Final = re.compile(r"([+-]?\d{1,30}(?:\.\d{0,30})?)\s*(us|ms|s|min|h|d|B|kB|MB|GB|TB)?")
_FACTORS: Final[Mapping[str, tuple[str, float]]] = {
    "us": ("time", 1),
    "ms": ("time", 1e3),
    "s": ("time", 1e6),
    "min": ("time", 60e6),
    "h": ("time", 3600e6),
    "d": ("time", 86_400e6),
    "B": ("memory", 1),
    "kB": ("memory", 2**10),
    "MB": ("memory", 2**20),
    "GB": ("memory", 2**30),
    "TB": ("memory", 2**40),
}
_DATE_ORDER: Final = {"us": "mdy", "noneuro": "mdy", "noneuropean": "mdy", "euro": "dmy", "european": "dmy"}
# Possessive, so that a long text that is not a list does not cause backtracking.
_ELEMENT: Final = re.compile(r'\s*+(?:"((?:[^"]|"")*+)"\s*+|([^,"]*+))(?:,|$)')


def same(name: str, wanted: Value, held: str) -> bool:
    """Whether ``wanted``, from a SET, and ``held``, from PostgreSQL, are the same value of a parameter.

    False if that is not known from the texts, as for ``65536`` and ``64MB``: a number without unit has the parameter's.
    """
    name = name.lower()
    if isinstance(wanted, tuple):
        return list(wanted) == elements(held) if name in LIST_PARAMETERS else False
    wanted, held = wanted.strip(), held.strip()
    if wanted == held:
        return True
    if name == "datestyle":
        return _date_words(wanted) <= _date_words(held)
    if name == "client_encoding":
        return _encoding(wanted) == _encoding(held)
    if "." in name or name in _CASE_MATTERS:
        return False
    one, other = wanted.lower(), held.lower()
    if one == other or {one, other} <= _TRUE or {one, other} <= _FALSE:
        return True
    quantities = _quantity(wanted), _quantity(held)
    return None not in quantities and quantities[0] == quantities[1]


def elements(text: str) -> list[str]:
    """The unquoted names in a list parameter's text: ``["$user", "public"]`` for ``"$user", public``."""
    if not text.strip():
        return []
    names: list[str] = []
    position = 0
    while position <= len(text) and (found := _ELEMENT.match(text, position)):
        names.append(found[1].replace('""', '"') if found[1] is not None else found[2].strip().lower())
        if found.end() == len(text) and not found[0].endswith(","):
            return names
        position = found.end()
    return [text]


def _quantity(text: str) -> tuple[str, float] | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    dimension, factor = _FACTORS[found[2]] if found[2] else ("", 1)
    return dimension, float(found[1]) * factor


def _date_words(text: str) -> set[str]:
    words = {word.strip().lower() for word in text.split(",")}
    return {_DATE_ORDER.get(word, word) for word in words}


def _encoding(text: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    return {"unicode": "utf8"}.get(plain, plain)
