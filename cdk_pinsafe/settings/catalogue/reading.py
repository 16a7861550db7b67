"""Parses the text of a value like PostgreSQL: booleans, enums, and numbers with units.

The rules are those of ``parse_bool``, ``parse_int``, ``parse_real`` and ``convert_to_base_unit`` in PostgreSQL's
``bool.c`` and ``guc.c``, with the C library's ``strtol`` and ``strtod`` as on 64-bit Linux. Real servers agree
(measured on PostgreSQL 14.23, 15.18, 16.14, 17.10 and 18.4 by ``tests/settings/test_agreement.py``). Binary numbers,
``0b1``, are rejected, but PostgreSQL accepts them if it was built with glibc 2.38 or later (inferred).
"""

import math
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_SPACE: Final = " \t\n\v\f\r"
_BLANKS: Final = rf"[{_SPACE}]*"
# A leading zero means octal, as in C: in '08' only the zero is a number.
_INTEGER: Final = re.compile(rf"{_BLANKS}([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")
_REAL: Final = re.compile(
    rf"{_BLANKS}(?P<number>[+-]?(?:"
    r"(?P<hex>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?)"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|(?i:inf(?:inity)?)))"
)
_LONG: Final = 1 << 63
_LONGEST: Final = 30  # digits that can fit a long, in any base
_INT: Final = 1 << 31
_SMALLEST_NORMAL: Final = 2.0**-1022

_BYTES: Final = {"TB": 1 << 40, "GB": 1 << 30, "MB": 1 << 20, "kB": 1 << 10, "B": 1}
_MICROSECONDS: Final = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "min": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False}


class InvalidValueError(ValueError):
    """The text is not a value of the type."""


class UnitError(InvalidValueError):
    """The text after the number is not a unit of the parameter; the exception contains that text."""


@dataclass(frozen=True)
class Number:
    """A number in a parameter's unit.

    Attributes:
        written: the number before rounding.
        rounded: the number as PostgreSQL rounds it.
        has_unit: whether the text has a unit.
    """

    written: float
    rounded: float
    has_unit: bool


def units_of(unit: str | None) -> tuple[str, ...]:
    """The units, smallest first, of values of a parameter that counts in ``unit``."""
    return tuple(reversed(list(_table(unit)))) if unit else ()


def read_bool(text: str) -> bool:
    """Parse a boolean: ``on``, ``off``, ``true``, ``false``, ``yes``, ``no``, ``1``, ``0``, and unique prefixes.

    Raises:
        InvalidValueError: it is none of them.
    """
    lower = text.translate(_LOWER)
    if lower in ("on", "1"):
        return True
    if lower in ("of", "off", "0"):
        return False
    for word, value in _BOOLEANS.items():
        if lower and word.startswith(lower):
            return value
    raise InvalidValueError


def read_enum(text: str, values: Iterable[str]) -> str:
    """The enum value of a text, in any case of ASCII letters.

    Raises:
        InvalidValueError: it is none of them.
    """
    lower = text.translate(_LOWER)
    for value in values:
        if value.translate(_LOWER) == lower:
            return value
    raise InvalidValueError


def read_integer(text: str, unit: str | None) -> Number:
    """Parse a whole number: decimal, octal after 0, hexadecimal after 0x, or a fraction that is rounded; with a unit.

    Raises:
        UnitError: the text after the number is not a unit of the parameter.
        InvalidValueError: it is not a number, or it does not fit into 32 bits.
    """
    match = _INTEGER.match(text)
    end = match.end() if match else 0
    value = _long(match) if match else None
    if text[end : end + 1] in (".", "e", "E"):
        value, end = _double(text)
    if value is None:  # PostgreSQL parses an overflow again as a fraction, but no unit makes it small enough
        raise InvalidValueError
    number = _with_unit(value, text[end:], unit)
    rounded = _rint(number.rounded)
    if not -_INT <= rounded < _INT:
        raise InvalidValueError
    return Number(number.written, rounded, number.has_unit)


def read_real(text: str, unit: str | None) -> Number:
    """Parse a number, decimal, hexadecimal or infinite; with a unit.

    Raises:
        UnitError: the text after the number is not a unit of the parameter.
        InvalidValueError: it is not a number.
    """
    value, end = _double(text)
    return _with_unit(value, text[end:], unit)


def _long(match: re.Match[str]) -> float | None:
    """The result of ``strtol``; None if it overflows."""
    sign, hexadecimal, octal, decimal = match.groups()
    digits, base = next((digits, base) for digits, base in ((hexadecimal, 16), (octal, 8), (decimal, 10)) if digits)
    digits = digits.lstrip("0") or "0"
    value = int(digits, base) if len(digits) <= _LONGEST else _LONG + 1
    value = -value if sign == "-" else value
    return float(value) if -_LONG <= value < _LONG else None


def _double(text: str) -> tuple[float, int]:
    """The result of ``strtod``, and the end of the number; like PostgreSQL, rejects not-a-number."""
    match = _REAL.match(text)
    if not match:
        raise InvalidValueError
    number = match["number"]
    try:
        value = float.fromhex(number) if match["hex"] else float(number)
    except OverflowError:
        raise InvalidValueError from None
    is_infinity = number.lstrip("+-")[0] in "iI"
    # ERANGE. An underflow to an exact number has none, but such a number has very many digits.
    overflows = math.isinf(value) and not is_infinity
    underflows = abs(value) < _SMALLEST_NORMAL and (value != 0 or _has_digit(number))
    if overflows or underflows:
        raise InvalidValueError
    return value, match.end()


def _has_digit(number: str) -> bool:
    """Whether the mantissa has a digit other than zero."""
    mantissa = re.split("[pP]" if "x" in number.lower() else "[eE]", number)[0]
    return bool(re.search("[1-9a-fA-F]", mantissa.lower().partition("x")[2] or mantissa))


def _with_unit(value: float, rest: str, unit: str | None) -> Number:
    """``convert_to_base_unit``: a fraction of a unit is rounded to the next smaller unit, if there is one."""
    given = rest.lstrip(_SPACE)
    if not given:
        return Number(value, value, has_unit=False)
    table = _table(unit) if unit else {}
    factor = table.get(given.rstrip(_SPACE))
    if factor is None:
        raise UnitError(given.rstrip(_SPACE))
    converted = value * factor
    smaller = next((other for other in table.values() if other < factor), None)
    if smaller is not None:
        return Number(converted, _rint(converted / smaller) * smaller, has_unit=True)
    return Number(converted, converted, has_unit=True)


def _table(unit: str) -> Mapping[str, float]:
    """Units, largest first, with their sizes in the parameter's unit."""
    base = unit.lstrip(string.digits)
    table = _BYTES if base in _BYTES else _MICROSECONDS
    own = int(unit.removesuffix(base) or 1) * table[base]
    return {name: size / own if size >= own else 1.0 / (own / size) for name, size in table.items()}


def _rint(value: float) -> float:
    """Round to the nearest whole number, half to even."""
    return float(round(value)) if math.isfinite(value) else value
