"""Formats amounts with their units, as text and as code with ``aws_cdk``."""

import string
from typing import Final

_CHAINS: Final = (
    (("us", 1), ("ms", 1_000), ("s", 1_000), ("min", 60), ("h", 60), ("d", 24)),
    (("B", 1), ("kB", 1024), ("MB", 1024), ("GB", 1024), ("TB", 1024)),
)
_IN_CDK: Final = {
    "B": "Size.bytes",
    "kB": "Size.kibibytes",
    "MB": "Size.mebibytes",
    "GB": "Size.gibibytes",
    "ms": "Duration.millis",
    "s": "Duration.seconds",
    "min": "Duration.minutes",
    "h": "Duration.hours",
    "d": "Duration.days",
}
# Up to this number, whole numbers are written with all digits.
_LONG: Final = 1e15


def amount(value: float, unit: str | None) -> str:
    """An amount as PostgreSQL reads it: ``800kB`` for 100 of 8kB."""
    count, base = _counted(unit)
    return f"{_number(value * count)}{base}"


def spelled(value: float, unit: str) -> str:
    """An amount in its largest unit, as text and in CDK: ``'30s' or Duration.seconds(30)`` for 30000 ms."""
    count, base = _counted(unit)
    total = value * count
    while (larger := _larger(base)) and total % larger[1] == 0:
        base, total = larger[0], total / larger[1]
    return _in_both(total, base)


def spelled_in_larger_unit(value: float, unit: str) -> str | None:
    """The same number of the next larger unit, which the user may mean; None if that is impossible."""
    _, base = _counted(unit)
    larger = _larger(base)
    if larger is None or not 0 < value < larger[1]:
        return None
    return _in_both(value, larger[0])


def _counted(unit: str | None) -> tuple[int, str]:
    """The count and base unit of a unit: ``8kB`` is 8 of kB."""
    base = (unit or "").lstrip(string.digits)
    return int((unit or "").removesuffix(base) or 1), base


def _larger(unit: str) -> tuple[str, int] | None:
    """The next larger unit, and its size in this one."""
    for chain in _CHAINS:
        units = [name for name, _ in chain]
        if unit in units[:-1]:
            return chain[units.index(unit) + 1]
    return None


def _number(value: float) -> str:
    return str(int(value) if value == int(value) and abs(value) < _LONG else value)


def _in_both(value: float, unit: str) -> str:
    code = f" or {_IN_CDK[unit]}({_number(value)})" if unit in _IN_CDK and value == int(value) > 0 else ""
    return f"'{_number(value)}{unit}'{code}"
