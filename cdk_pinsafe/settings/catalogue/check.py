"""Checks a setting for one major version of PostgreSQL: rejects what the server would reject, before a deployment.

It is as strict as the server, and stricter only for names that the server keeps for old clients: a parameter's former
name, and two without effect (``default_with_oids``, ``ssl_renegotiation_limit``). For a ``string`` parameter it checks
the name only.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, NoReturn, TypeAlias

from ...errors import SettingError
from ..names import DENIED, check_name, extension_of
from .parameters import MAJORS, SETTABLE, Parameter, find, measured_on, names, prefixes, versions_of
from .rds import is_custom, rds_denies
from .reading import (
    InvalidValueError,
    UnitError,
    read_bool,
    read_enum,
    read_integer,
    read_real,
    units_of,
)
from .units import amount, spelled, spelled_in_larger_unit

OLD_NAMES: Final = {"sort_mem": "work_mem", "vacuum_mem": "maintenance_work_mem"}
"""Old names that every version accepts; it stores the new ones."""

WHY_NOT_PER_DATABASE: Final = {
    "postmaster": "PostgreSQL reads it at server start only",
    "sighup": "PostgreSQL reads it from the server's configuration only",
    "internal": "PostgreSQL fixes it when the server is built or the cluster is initialised",
    "backend": "PostgreSQL reads it at connection start, before the database's settings",
    "superuser-backend": "PostgreSQL reads it at connection start, before the database's settings",
}
"""Why a database cannot set a parameter, by its context."""

# Prefixes of names without a dot that Aurora PostgreSQL adds (``apg_`` is documented in its user guide; ``ansi_`` and
# ``aurora_`` are inferred).
_AURORA: Final = ("ansi_", "apg_", "aurora_")
# The relative change by rounding above which there is a warning: 30.1GB need not be whole pages.
_NOTICEABLE: Final = 0.01
# Numbers that mean "off" or "the default" in every unit.
_SPECIAL: Final = (0, -1)
# Limits in the server's code that pg_settings does not show (measured by tests/settings/test_agreement.py).
_ZERO_OR_FROM: Final = {"vacuum_buffer_usage_limit": 128}


WarningKind: TypeAlias = Literal[
    "UnknownEngineVersion",
    "UnknownParameter",
    "CustomParameter",
    "SuperuserParameter",
    "MissingExtension",
    "BareNumber",
    "RoundedValue",
    "HarmfulDefault",
]
"""Kinds of warnings.

- ``UnknownEngineVersion``: the catalogue lacks the version.
- ``UnknownParameter``: the catalogue lacks the parameter.
- ``CustomParameter``: no known library defines the parameter, and RDS refuses such names.
- ``SuperuserParameter``: only superusers may set the parameter, and RDS's master user is not one.
- ``MissingExtension``: the parameter belongs to an extension that is not created.
- ``BareNumber``: the value is a number without a unit, for a parameter that has one.
- ``RoundedValue``: PostgreSQL would round the value to another one.
- ``HarmfulDefault``: the value would harm sessions that did not ask for it (:mod:`.defaults`).
"""


@dataclass(frozen=True)
class SettingWarning:
    """A problem that is not an error.

    Attributes:
        kind: one of :data:`WarningKind`.
        message: one line, which names the setting if it is about one.
    """

    kind: WarningKind
    message: str


def check(
    name: str, text: str | Sequence[str] | None, major: int | None, extensions: Collection[str] | None = None
) -> list[SettingWarning]:
    """Check a setting like a server of the major version, and like RDS if its master user sets it.

    Args:
        name: the parameter's name, in any case.
        text: its value from :func:`cdk_pinsafe.settings.to_text`; None if it is not known yet.
        major: PostgreSQL's major version, such as 17; None if it is not known.
        extensions: the extensions that are created with the setting. Default: not known.

    Returns:
        What is not known, what RDS would deny, and values that may be mistakes; mostly nothing.

    Raises:
        SettingError: the version has no such parameter, no database can set it, or the value is invalid.
    """
    lower = check_name(name)
    if lower in OLD_NAMES:
        raise SettingError(
            f"setting {name!r} is an old name of {OLD_NAMES[lower]!r}, which PostgreSQL stores; use that"
        )
    warnings = _warnings_about_name(name, extensions)
    rows = versions_of(lower)
    if major is None or major not in MAJORS:
        if rows and not any(row.context in SETTABLE for row in rows):
            _raise_not_per_database(name, rows[-1])
        return [*warnings, _unknown_version(major)]
    parameter = find(lower, major)
    if parameter is None:
        return [warning for warning in warnings if warning.kind == "CustomParameter"] or _unknown_name(
            name, major, rows
        )
    if parameter.context not in SETTABLE:
        _raise_not_per_database(name, parameter)
    if isinstance(text, str):
        warnings += _check_value(name, text, parameter)
    return warnings


def expected(parameter: Parameter) -> str:
    """The values of a parameter in words, such as ``a whole number from 64kB to 2147483647kB``."""
    if parameter.type == "bool":
        return "on or off"
    if parameter.type == "enum":
        return f"one of {', '.join(parameter.values)}"
    if parameter.type == "string":
        return "a list of names" if parameter.is_list else "text"
    what = "a whole number" if parameter.type == "integer" else "a number"
    zero = ""
    minimum, maximum = parameter.minimum, parameter.maximum
    if parameter.name in _ZERO_OR_FROM:
        zero, minimum = " that is 0 or", _ZERO_OR_FROM[parameter.name]
    if minimum is None:
        return what
    if maximum is None:
        return f"{what} of at least {amount(minimum, parameter.unit)}"
    return f"{what}{zero} from {amount(minimum, parameter.unit)} to {amount(maximum, parameter.unit)}"


def did_you_mean(name: str, major: int) -> str:
    """``; did you mean 'statement_timeout'?`` if there are similar names in the version; otherwise empty."""
    import difflib  # slow, and needed for the error only

    known = {one.lower(): one for one in names(major) if one.lower() not in DENIED}
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.75)
    if not close:  # half a name, or its words in another order
        words = set(_words(name))
        close = [one for one in known if words <= set(_words(one))]
        close = sorted(close, key=lambda one: (not _is_settable(one, major), len(one)))[:3]
    return f"; did you mean {_or(repr(known[one]) for one in close)}?" if close else ""


def _raise_not_per_database(name: str, parameter: Parameter) -> NoReturn:
    raise SettingError(
        f"setting {name!r} cannot be set in a database: {WHY_NOT_PER_DATABASE[parameter.context]} "
        f"(context {parameter.context}); put it in a parameter group"
    )


def _unknown_version(major: int | None) -> SettingWarning:
    of = "an unknown version of PostgreSQL" if major is None else f"PostgreSQL {major}"
    return SettingWarning(
        "UnknownEngineVersion",
        f"the database is of {of}, and the catalogue of parameters knows {MAJORS[0]} to {MAJORS[-1]}: only the "
        "server checks names and values of settings, at deployment",
    )


def _warnings_about_name(name: str, extensions: Collection[str] | None) -> list[SettingWarning]:
    """Warnings about a name on RDS, for any engine version."""
    extension = extension_of(name)
    if is_custom(name) and extension in (extensions or ()):
        return []
    if reason := rds_denies(name):
        return [
            SettingWarning(
                "CustomParameter" if is_custom(name) else "SuperuserParameter", f"setting {name!r}: {reason}"
            )
        ]
    if extensions is None or extension is None or extension in extensions or extension not in _created():
        return []
    return [
        SettingWarning(
            "MissingExtension",
            f"setting {name!r} belongs to the extension {extension!r}, which is not in 'extensions': a database "
            f'without it rejects the setting; pass extensions=["{extension}"]',
        )
    ]


@cache
def _created() -> frozenset[str]:
    """The extensions of the catalogue that need CREATE EXTENSION."""
    versions = {name: version for server in measured_on() for name, version in server["modules"].items()}
    return frozenset(name for name, version in versions.items() if version) - {"plpgsql"}


def _unknown_name(name: str, major: int, rows: Sequence[Parameter]) -> list[SettingWarning]:
    if rows:
        having = [str(one) for row in rows for one in row.majors]
        raise SettingError(
            f"setting {name!r} is not a parameter of PostgreSQL {major}, but of {_and(having)}; remove it"
        )
    lower = name.lower()
    prefix, dot, _ = lower.partition(".")
    if (dot and prefix not in prefixes()) or (not dot and lower.startswith(_AURORA)):
        return [
            SettingWarning(
                "UnknownParameter",
                f"setting {name!r} belongs to an extension or engine that the catalogue of parameters does not know: "
                "only the server checks it, at deployment",
            )
        ]
    of = f"PostgreSQL {major}" if not dot else f"extension {extension_of(name)!r}, as far as it is known"
    raise SettingError(f"setting {name!r} is not a parameter of {of}{did_you_mean(name, major) or '; remove it'}")


def _check_value(name: str, text: str, parameter: Parameter) -> list[SettingWarning]:
    try:
        if parameter.type == "bool":
            read_bool(text)
        elif parameter.type == "enum":
            read_enum(text, (*parameter.values, *parameter.hidden_values))
        elif parameter.type in ("integer", "real"):
            return _check_number(name, text, parameter)
    except UnitError as error:
        raise SettingError(_about_unit(name, text, str(error), parameter)) from None
    except InvalidValueError:
        raise SettingError(f"setting {name!r} got {_shortened(text)}: expected {expected(parameter)}") from None
    return []


def _check_number(name: str, text: str, parameter: Parameter) -> list[SettingWarning]:
    read = read_integer if parameter.type == "integer" else read_real
    number = read(text, parameter.unit)
    value = number.rounded
    shown = amount(value, parameter.unit) if math.isfinite(value) else "infinite"
    if not _fits(value, parameter):
        which = "" if shown == text.strip() or units_of(parameter.unit) == () else f", which is {shown}"
        raise SettingError(f"setting {name!r} got {_shortened(text)}{which}: expected {expected(parameter)}")
    warnings = []
    if abs(number.written - value) > _NOTICEABLE * abs(number.written):
        counts = f", as it counts in {parameter.unit}" if parameter.unit else ""
        message = f"setting {name!r} got {_shortened(text)}, which PostgreSQL rounds to {shown}{counts}"
        warnings.append(SettingWarning("RoundedValue", message))
    if parameter.unit and not number.has_unit and value not in _SPECIAL and math.isfinite(value):
        message = f"setting {name!r} got {_shortened(text)} without a unit, which PostgreSQL reads as {shown}"
        words = f"write {spelled(value, parameter.unit)}"
        if larger := spelled_in_larger_unit(value, parameter.unit):
            words += f", or {larger} if that was meant"
        warnings.append(SettingWarning("BareNumber", f"{message}; {words}"))
    return warnings


def _fits(value: float, parameter: Parameter) -> bool:
    if parameter.name in _ZERO_OR_FROM and value == 0:
        return True
    minimum = _ZERO_OR_FROM.get(parameter.name, parameter.minimum)
    above = minimum is None or value >= minimum
    return above and (value <= parameter.maximum if parameter.maximum is not None else math.isfinite(value))


def _about_unit(name: str, text: str, given: str, parameter: Parameter) -> str:
    units = units_of(parameter.unit)
    if not units:
        return f"setting {name!r} got {_shortened(text)}: expected {expected(parameter)}, without a unit"
    meant = [unit for unit in units if unit.lower() == given.lower()]
    hint = f"; did you mean {_shortened(text.strip().removesuffix(given) + meant[0])}?" if meant else ""
    return (
        f"setting {name!r} got {_shortened(text)}, and {_shortened(given)} is not a unit of it: "
        f"expected {expected(parameter)}, in {_or(units)}{hint}"
    )


def _words(name: str) -> list[str]:
    return name.lower().replace(".", "_").split("_")


def _is_settable(name: str, major: int) -> bool:
    parameter = find(name, major)
    return parameter is not None and parameter.is_settable


def _shortened(text: str) -> str:
    """The text, quoted, and truncated if it is long."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def _or(words: Iterable[str]) -> str:
    return _joined(words, "or")


def _and(words: Iterable[str]) -> str:
    return _joined(words, "and")


def _joined(words: Iterable[str], conjunction: str) -> str:
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last
