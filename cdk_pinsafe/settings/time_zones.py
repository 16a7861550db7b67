"""Names of time zones, against the time zone database of the computer that runs synth.

PostgreSQL takes a name of its own copy of that database, in any case of letters, an offset, or a POSIX rule. Only what
looks like a name with a slash, such as ``Europe/Paris``, can be judged.
"""

import difflib
import re
from functools import cache
from typing import Final
from zoneinfo import available_timezones

PARAMETERS: Final = frozenset({"timezone"})
"""The parameters, in lower case, that a database can have and whose value is a time zone."""

_NAME: Final = re.compile(r"[A-Za-z_]+(/[A-Za-z_0-9+-]+)+")


def doubt(text: str) -> str | None:
    """What is wrong with a time zone's name; None if nothing is known to be.

    A computer without the time zone database knows nothing.
    """
    names = _names()
    if not names or not _NAME.fullmatch(text) or text.lower() in names:
        return None
    close = difflib.get_close_matches(text.lower(), names, n=1)
    hint = f"; did you mean {names[close[0]]!r}?" if close else ""
    return f"{text!r} is not in the time zone database{hint}"


@cache
def _names() -> dict[str, str]:
    """The names, by themselves in lower case."""
    return {name.lower(): name for name in available_timezones()}
