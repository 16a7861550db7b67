"""Checks names of time zones against the time zone database of the computer that runs synth.

PostgreSQL accepts a name of its own copy of that database in any case, an offset, or a POSIX rule. Only a name with a
slash, such as ``Europe/Paris``, can be checked.
"""

import difflib
import re
from functools import cache
from typing import Final
from zoneinfo import available_timezones

PARAMETERS: Final = frozenset({"timezone"})
"""The parameters, in lower case, with a time zone as value."""

_NAME: Final = re.compile(r"[A-Za-z_]+(/[A-Za-z_0-9+-]+)+")


def problem(text: str) -> str | None:
    """What is wrong with a time zone's name; None if nothing is known, as without a time zone database."""
    names = _names()
    if not names or not _NAME.fullmatch(text) or text.lower() in names:
        return None
    close = difflib.get_close_matches(text.lower(), names, n=1)
    hint = f"; did you mean {names[close[0]]!r}?" if close else ""
    return f"{text!r} is not in the time zone database{hint}"


@cache
def _names() -> dict[str, str]:
    """The names by their lower case."""
    return {name.lower(): name for name in available_timezones()}
