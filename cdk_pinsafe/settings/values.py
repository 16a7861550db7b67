"""Converts Python values to texts for PostgreSQL.

A list parameter (``search_path``) becomes a list of its elements, any other value one string; the server quotes them
and builds the statement.
"""

import math
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias, runtime_checkable

from ..errors import SettingError
from .names import LIST_PARAMETERS, check_name


@runtime_checkable
class DurationLike(Protocol):
    """The method of ``aws_cdk.Duration`` that is used."""

    def to_milliseconds(self) -> int | float: ...


@runtime_checkable
class SizeLike(Protocol):
    """The method of ``aws_cdk.Size`` that is used."""

    def to_bytes(self) -> int | float: ...


SettingValue: TypeAlias = str | int | float | bool | Sequence[str] | DurationLike | SizeLike

_TIME_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))
_MEMORY_UNITS: Final = (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1))


def to_text(name: str, value: SettingValue) -> str | list[str]:
    """The text of a setting for PostgreSQL; a list of texts for a list parameter.

    Booleans become ``on`` and ``off``; a ``Duration`` or ``Size`` is written in the largest unit that gives a whole
    number (``Duration.seconds(90)`` is ``90s``, ``Size.mebibytes(64)`` is ``64MB``); strings are not changed.

    Raises:
        SettingError: a database cannot set the name (see :func:`check_name`), or the value cannot be converted.
    """
    is_list = check_name(name) in LIST_PARAMETERS
    if isinstance(value, str):
        return _elements_of_string(name, value) if is_list else _checked(name, value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return _elements(name, value, is_list=is_list)
    if isinstance(value, bool):
        text = "on" if value else "off"
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float):
        text = _number(name, value)
    elif isinstance(value, DurationLike):
        text = _with_unit(name, value.to_milliseconds(), _TIME_UNITS)
    elif isinstance(value, SizeLike):
        text = _with_unit(name, value.to_bytes(), _MEMORY_UNITS)
    else:
        raise SettingError(
            f"setting {name!r} got a value of type {type(value).__name__}: "
            "expected str, int, float, bool, list of str, Duration or Size"
        )
    if is_list:
        raise SettingError(f"setting {name!r} expects a list of names, got {text!r}; pass a list of str")
    return text


def _elements_of_string(name: str, value: str) -> list[str]:
    if "," in value:
        parts = [part.strip().strip('"') for part in value.split(",")]
        raise SettingError(
            f"setting {name!r} expects a list, got the one string {value!r}, which PostgreSQL would read "
            f"as one name with a comma in it; pass {parts!r}"
        )
    return [_checked(name, value)]


def _elements(name: str, value: Sequence[object], *, is_list: bool) -> list[str]:
    texts = [_checked(name, item) for item in value if isinstance(item, str)]
    if len(texts) != len(value):
        raise SettingError(f"setting {name!r} expects a list of str, got {value!r}")
    if not is_list:
        raise SettingError(
            f"setting {name!r} takes one value, got the list {value!r}; pass one string, such as {', '.join(texts)!r}"
        )
    # PostgreSQL has no syntax for an empty list; it uses an empty name, as in SET search_path = ''.
    return texts or [""]


def _checked(name: str, text: str) -> str:
    if "\0" in text:
        raise SettingError(
            f"setting {name!r} has a NUL character in its value, which PostgreSQL cannot store; remove it"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingError(f"setting {name!r} has a value that is not valid Unicode: {text!r}; correct it") from None
    return text


def _number(name: str, value: float) -> str:
    if not math.isfinite(value):
        raise SettingError(f"setting {name!r} got {value!r}: expected a finite number")
    return repr(value)


def _with_unit(name: str, amount: int | float, units: Sequence[tuple[str, int]]) -> str:
    if amount != int(amount):
        raise SettingError(f"setting {name!r} got {amount!r} {units[-1][0]}: expected a whole number of them")
    whole = int(amount)
    unit, factor = next((unit, factor) for unit, factor in units if whole % factor == 0 and (whole or factor == 1))
    return f"{whole // factor}{unit}"
