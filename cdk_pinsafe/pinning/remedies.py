"""What to do about a pin, for the linter, the log reader, the audit, the emulator and the pytest plugin.

It depends on the sender of the statement, and on what its parameter would do as a default of every session: see
:mod:`cdk_pinsafe.settings.catalogue.defaults`.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from ..errors import SettingError
from ..rds_proxy import STARTUP_PARAMETERS
from ..settings.catalogue import Hazard, Suits, check, hazard, rds_denies
from ._values import Value, same
from .clients import Sender
from .conditions import Condition

TENANT_PAGE: Final = "docs/row-level-security.md"

_UNKNOWN_VALUE: Final = "if one value suits every session, "
_AT_START_UP: Final = frozenset(map(str.lower, STARTUP_PARAMETERS))
_ELSEWHERE: Final[Mapping[str, str]] = {
    "application_name": "give application_name when connecting: the proxy accepts it there, without a pin",
    "exit_on_error": "take it out of the client: a database must not hold it",
    "local_preload_libraries": "take it out of the client: a database must not hold it",
    "role": "connect as that role instead: a database must not hold one",
    "seed": "draw the random numbers in the client: a database must not hold a seed",
    "session_authorization": "connect as that role instead: a database must not hold one",
}
_MODES: Final[Mapping[str, Mapping[str, str]]] = {
    "transaction_deferrable": {"on": "DEFERRABLE", "off": "NOT DEFERRABLE"},
    "transaction_read_only": {"on": "READ ONLY", "off": "READ WRITE"},
}
_WITHOUT_THE_PROXY: Final[Mapping[Sender, str]] = {
    Sender.MIGRATION: "connect the migration tool to the database itself, not through the proxy",
    Sender.DUMP: "make and load dumps on a connection to the database itself, not through the proxy: their SETs are "
    "for their own session",
    Sender.PERSON: "connect to the database itself, not through the proxy: a person's session needs no pool",
}
_LOCK_SPANS: Final = "; its lock spans several transactions, so pg_advisory_xact_lock cannot take its place"
_ONE_SESSION: Final = (
    "pass it as a parameter of the query, or let a function of the database set it for the transaction "
    f"({TENANT_PAGE}): RDS takes no default for a name that no extension defines, and one tenant's must not be all's"
)


def settings_line(settings: Mapping[str, Value | None]) -> str:
    """The keyword argument for ``DatabaseSettings``: ``settings={"search_path": ["app", "public"]}``.

    An unknown value (None) is written as ``...``.
    """
    return f"settings={_dictionary(settings)}"


def movable(name: str, value: Value | None = None) -> bool:
    """Whether a database can set a parameter for every session in place of a client's SET.

    Args:
        name: The parameter's name, in any case.
        value: The value in the SET; None if it is not known.
    """
    lower = name.lower()
    if lower in _ELSEWHERE or _is_placeholder(lower) or harmful(lower, value) is not None or rds_denies(lower):
        return False
    try:
        check(lower, None, None)
    except SettingError:
        return False
    return True


def remedy(
    condition: Condition, settings: Mapping[str, Value | None], held: Mapping[str, str], sender: Sender
) -> tuple[str, bool]:
    """What to do about a statement that pins.

    Args:
        condition: The condition that it meets.
        settings: The parameters that it sets, in lower case, with their values; None for a value that is not in the
            SQL. Empty if it sets no parameter or an unknown one.
        held: The values that sessions start with, by parameter in lower case.
        sender: The kind of program that sends it.

    Returns:
        One clause, and whether sessions start with these values.
    """
    words, redundant = _in_an_application(condition, settings, held)
    if sender is Sender.APPLICATION:
        return words, redundant
    words = _WITHOUT_THE_PROXY[sender]
    if sender is Sender.MIGRATION and condition.id == "advisory-lock":
        words += _LOCK_SPANS
    return words, redundant


def _in_an_application(
    condition: Condition, settings: Mapping[str, Value | None], held: Mapping[str, str]
) -> tuple[str, bool]:
    if not settings or any(map(_is_placeholder, settings)):
        return condition.remedy, False
    for name, value in settings.items():
        if name in _ELSEWHERE:
            return _ELSEWHERE[name], False
        if name.startswith("transaction_"):
            return f"write it into BEGIN, as in BEGIN{_modes(settings)}, or set default_{name} in the database", False
        if (known := harmful(name, value)) is not None:
            if value is not None and known.has(name, value) and _holds(settings, held):
                break
            return _instead_of_harmful(known, name, value, settings), False
        try:
            check(name, None, None)
        except SettingError as error:
            return f"take it out of the client: {error}", False
        if denied := rds_denies(name):
            return f"take it out of the client: {denied}", False
    return _into_the_database(condition, settings, held)


def _into_the_database(
    condition: Condition, settings: Mapping[str, Value | None], held: Mapping[str, str]
) -> tuple[str, bool]:
    shown = ", ".join(f"{name} = {held[name][:80]}" for name in settings if name in held)
    if _holds(settings, held):
        return f"take it out of the client: it is redundant, as sessions start with {shown}, and pins", True
    words = f"{settings_line(settings)} in the database, and take it out of the client"
    if None in settings.values():
        otherwise = "give each role a value of its own (role_settings)"
        if "search_path" in settings:
            otherwise += ", or write the schema before the names"
        if all(name.startswith("default_transaction_") for name in settings):
            otherwise = f"write it into BEGIN, as in BEGIN{_modes(settings)}"
        words = f"{_UNKNOWN_VALUE}{words}; if not, {otherwise}"
    if shown:
        words += f" (sessions start with {shown} now)"
    words += _or_when_connecting(settings)
    if condition.id == "set-local":
        words = f"if one value suits every transaction, {words.removeprefix(_UNKNOWN_VALUE)}"
    return words, False


def harmful(name: str, value: Value | None) -> Hazard | None:
    """Why a parameter is harmful as a default, with this value or with its usual values; None if it is not."""
    known = hazard(name)
    if known is None or known.usual or (value is not None and known.has(name, value)):
        return known
    return None


def _instead_of_harmful(known: Hazard, name: str, value: Value | None, settings: Mapping[str, Value | None]) -> str:
    if known.suits is Suits.ONE_SESSION:
        return _ONE_SESSION
    undoes = value is not None and not known.has(name, value)
    first = "take it out of the client, with the SET that it undoes" if undoes else "take it out of the client"
    why = f"no default for every session ({known.values}: {known.reason})"
    if known.suits is Suits.NEVER or rds_denies(name):
        return f"{first}, and connect what needs it to the database itself: it is {why}"
    if name.startswith("default_transaction_"):
        first = f"write it into BEGIN, as in BEGIN{_modes(settings)}"
    line = f'role_settings={{"<role>": {_dictionary({**settings, name: None} if undoes else settings)}}}'
    instead = f"give it to a role of its own, {line}, or connect that to the database itself"
    return f"{first}; {instead}: it is {why}{_or_when_connecting(settings)}"


def _or_when_connecting(settings: Mapping[str, Value | None]) -> str:
    if len(settings) == 1 and (name := next(iter(settings))) in _AT_START_UP:
        return f"; or give {name} when connecting, which the proxy accepts without a pin"
    return ""


def _holds(settings: Mapping[str, Value | None], held: Mapping[str, str]) -> bool:
    return all(value is not None and name in held and same(name, value, held[name]) for name, value in settings.items())


def _is_placeholder(name: str) -> bool:
    """Whether a name is unknown until the program, or psql, runs: PostgreSQL's names do not begin with `_`."""
    return name.startswith("_")


def _modes(settings: Mapping[str, Value | None]) -> str:
    words = ""
    for name, value in settings.items():
        mode = name.removeprefix("default_")
        if mode == "transaction_isolation":
            words += f" ISOLATION LEVEL {value.upper() if isinstance(value, str) else '...'}"
        elif mode in _MODES:
            words += f" {_MODES[mode].get(value, '...') if isinstance(value, str) else '...'}"
    return words


def _dictionary(settings: Mapping[str, Value | None]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {_python(value)}" for name, value in settings.items()) + "}"


def _python(value: Value | None) -> str:
    if value is None:
        return "..."
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return value if re.fullmatch("0|[1-9][0-9]{0,17}", value) else _text(value)


def _text(text: str) -> str:
    # JSON's strings are also Python's, with double quotes.
    return json.dumps(text, ensure_ascii=False)
