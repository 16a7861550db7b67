"""What to write instead of a SET: the line for ``DatabaseSettings``, or the other way where a database cannot help."""

import json
import re
from collections.abc import Mapping
from typing import Final

from ..errors import SettingError
from ..settings.catalogue import check
from ._values import Value, same
from .conditions import STARTUP_PARAMETERS

UNKNOWN_VALUE: Final = "if one value suits every session, "
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


def settings_line(settings: Mapping[str, Value | None]) -> str:
    """The keyword argument for ``DatabaseSettings``: ``settings={"search_path": ["app", "public"]}``.

    A value of None, which the SQL does not tell, is written as ``...``.
    """
    return "settings={" + ", ".join(f"{_text(name)}: {_python(value)}" for name, value in settings.items()) + "}"


def movable(name: str) -> bool:
    """Whether a database may hold this parameter in place of a client's SET."""
    if name in _ELSEWHERE:
        return False
    try:
        check(name, None, None)
    except SettingError:
        return False
    return True


def remedy_for(settings: Mapping[str, Value | None], database_settings: Mapping[str, str]) -> tuple[str, bool]:
    """What to do about a SET of these parameters, and whether the database holds all the values already."""
    if fixed := [name for name in settings if not movable(name)]:
        return _other_way(fixed[0], settings), False
    held = {name: database_settings[name] for name in settings if name in database_settings}
    if len(held) == len(settings) and all(
        value is not None and same(name, value, held[name]) for name, value in settings.items()
    ):
        return f"take it out of the client: it is redundant, as sessions start with {_shown(held)}, and pins", True
    words = f"{settings_line(settings)} in the database, and take it out of the client"
    if None in settings.values():
        words = f"{UNKNOWN_VALUE}{words}; if not, pass it as a parameter of the queries that need it"
    if held:
        words += f" (sessions start with {_shown(held)} now)"
    if len(settings) == 1 and (name := next(iter(settings))) in _AT_START_UP:
        words += f"; or give {name} when connecting, which the proxy accepts without a pin"
    return words, False


def _other_way(name: str, settings: Mapping[str, Value | None]) -> str:
    if known := _ELSEWHERE.get(name):
        return known
    if name.startswith("transaction_"):
        return f"write it into BEGIN, as in BEGIN{_modes(settings)}, or set default_{name} in the database"
    try:
        check(name, None, None)
    except SettingError as error:
        return f"take it out of the client: {error}"
    raise AssertionError(name)


def _modes(settings: Mapping[str, Value | None]) -> str:
    words = ""
    for name, value in settings.items():
        if name == "transaction_isolation":
            words += f" ISOLATION LEVEL {value.upper() if isinstance(value, str) else '...'}"
        elif name in _MODES and isinstance(value, str):
            words += f" {_MODES[name].get(value, '...')}"
    return words


def _shown(held: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {text[:80]}" for name, text in held.items())


def _python(value: Value | None) -> str:
    if value is None:
        return "..."
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return value if re.fullmatch("0|[1-9][0-9]{0,17}", value) else _text(value)


def _text(text: str) -> str:
    # JSON's strings are Python's, and in the double quotes that formatters use.
    return json.dumps(text, ensure_ascii=False)
