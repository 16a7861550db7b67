"""What to write instead of a SET: the line for ``DatabaseSettings``, or the other way where a database cannot help."""

import json
from collections.abc import Mapping
from typing import Final

from ..errors import SettingError
from ..settings import LIST_PARAMETERS, check_name
from ._values import Value, same

STARTUP_PARAMETERS: Final = frozenset(
    {"application_name", "client_encoding", "datestyle", "timezone", "extra_float_digits", "search_path"}
)
"""Parameters that a client may give when it connects: the proxy accepts them, and does not pin for them (measured)."""

_ELSEWHERE: Final[Mapping[str, str]] = {
    "application_name": "give application_name when connecting: the proxy accepts it there, without a pin",
    "exit_on_error": "drop it: a database must not hold it",
    "local_preload_libraries": "drop it: a database must not hold it; session_preload_libraries may serve",
    "role": "connect as that role instead: a database must not hold a role",
    "seed": "draw random numbers from a seed in the client: a database must not hold a seed",
    "session_authorization": "connect as that role instead: a database must not hold one",
    "transaction_deferrable": "write it into BEGIN, as in BEGIN DEFERRABLE",
    "transaction_isolation": "write it into BEGIN, as in BEGIN ISOLATION LEVEL SERIALIZABLE",
    "transaction_read_only": "write it into BEGIN, as in BEGIN READ ONLY",
}


def settings_line(settings: Mapping[str, Value | None]) -> str:
    """The keyword argument for ``DatabaseSettings``: ``settings={"search_path": ["app", "public"]}``.

    A value of None, which the SQL does not tell, is written as ``...``.
    """
    return "settings={" + ", ".join(f"{_text(name)}: {_python(value)}" for name, value in settings.items()) + "}"


def movable(name: str) -> bool:
    """Whether a database may hold this parameter in place of a client's SET."""
    try:
        return check_name(name) not in _ELSEWHERE
    except SettingError:
        return False


def remedy_for(settings: Mapping[str, Value | None], database_settings: Mapping[str, str]) -> tuple[str, bool]:
    """What to do about a SET of these parameters, and whether the database holds all the values already."""
    if elsewhere := [name for name in settings if not movable(name)]:
        return _elsewhere(elsewhere[0]), False
    held = {name: database_settings.get(name) for name in settings}
    if all(
        value is not None and (text := held[name]) is not None and same(name, value, text)
        for name, value in settings.items()
    ):
        return (
            f"take it out of the client: the database holds {_shown(held)} already, which makes it redundant, "
            "and it pins all the same",
            True,
        )
    words = f"{settings_line(settings)} in the database, and take it out of the client"
    if any(text is not None for text in held.values()):
        words += f"; the database holds {_shown(held)} now"
    if len(settings) == 1 and (name := next(iter(settings))) in STARTUP_PARAMETERS:
        words += f"; or give {name} when connecting, which the proxy accepts"
    return words, False


def _elsewhere(name: str) -> str:
    if known := _ELSEWHERE.get(name):
        return known
    try:
        check_name(name)
    except SettingError as error:
        return f"take it out of the client: {error}"
    raise AssertionError(name)


def _shown(held: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} = {text[:80]}" for name, text in held.items() if text is not None)


def _python(value: Value | None) -> str:
    if value is None:
        return "..."
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return value if value.isdecimal() and value.isascii() and str(int(value)) == value else _text(value)


def _text(text: str) -> str:
    # JSON's strings are Python's, and in the double quotes that formatters use.
    return json.dumps(text, ensure_ascii=False)


def is_list(name: str) -> bool:
    """Whether a parameter's value is a list of names."""
    return name in LIST_PARAMETERS
