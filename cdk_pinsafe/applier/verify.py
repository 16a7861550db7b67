"""What a fresh session really gets, seen as an application sees it: without the applier's start-up options.

PostgreSQL itself tells where each value of a session comes from. ``database`` is the proof: the session took it from
the database's settings. It needs no comparison of values, so no spelling can deceive it, and a concurrent change after
the log-in cannot either.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ApplyError
from . import log, sql
from .connection import ServerError, Session, UnreadableError
from .deadline import Deadline, TransientError, retry
from .messages import Target, names
from .state import load_libraries

Open = Callable[[Deadline, Mapping[str, str]], Session]
"""Opens a session with these start-up options."""

_SELF_DEFEATING: Final = {
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "client_encoding": "UTF8",
    "exit_on_error": "off",
}
"""Parameters whose value may end the session that looks at it, or make it unreadable to the driver."""
_ROLE_LEVEL: Final = ("user", "database user")
_LOOKS: Final = 3


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        shadowed: names for which the connecting user has a value of its own.
        drifted: names that somebody changed after us.
    """

    shadowed: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()


def verify(
    target: Target,
    open_session: Open,
    asked: Collection[str],
    touched: Collection[str],
    stored: Mapping[str, str],
    extensions: Collection[str],
    deadline: Deadline,
) -> Verified:
    """Look at each setting in a fresh session.

    What was not touched and takes no effect is a warning: going back to it must not fail for what went wrong since.

    Args:
        target: the database.
        open_session: opens a session.
        asked: names to look at.
        touched: those of them that were changed or adopted just now.
        stored: name to the text that is stored, of every setting of the database.
        extensions: extensions whose libraries the names need.
        deadline: when to give up.

    Raises:
        ApplyError: a setting that was touched is stored, but a fresh session does not take it.
        UnreachableError: no fresh session could be had.
    """
    if not asked:
        return Verified()
    missing: dict[str, str | None] = {}
    for _ in range(_LOOKS):
        rows, spared = _look(target, open_session, asked, stored, extensions, deadline)
        sources, verified = _judge(rows, stored, spared)
        missing = {name: source for name, source in sources.items() if name in touched}
        if not missing:
            if sources:
                log.warning("not_effective", names=sorted(sources), sources=sources)
            return verified
        # A hand that took a value away and put it back in between would look like this, once.
        time.sleep(min(0.2, deadline.left))
    log.error("not_effective", names=sorted(missing), sources=missing)
    name, source = next(iter(missing.items()))
    others = f" (likewise {names(list(missing)[1:])})" if len(missing) > 1 else ""
    raise ApplyError(
        f'setting "{name}"{others} in {target}: it is stored, but a fresh session takes its value from '
        f"{source or 'elsewhere'!r} instead of the database; see that what it names exists, look for a log-in trigger "
        "or a preloaded library that sets it, and at the server's log for a warning at log-in"
    )


def ineffective(
    target: Target,
    open_session: Open,
    stored: Mapping[str, str],
    extensions: Collection[str],
    deadline: Deadline,
) -> set[str]:
    """Those of the stored settings that a fresh session takes from elsewhere than the database or its own role.

    Raises:
        ApplyError: a fresh session cannot be read.
    """
    if not stored:
        return set()
    rows, spared = _look(target, open_session, stored.keys(), stored, extensions, deadline)
    return set(_judge(rows, stored, spared)[0])


def _look(
    target: Target,
    open_session: Open,
    asked: Collection[str],
    stored: Mapping[str, str],
    extensions: Collection[str],
    deadline: Deadline,
) -> tuple[list[list[Any]], Mapping[str, str]]:
    """Read in a session as it comes; if that does not survive its own settings, in one that is spared them."""
    spared = {name: value for name, value in _SELF_DEFEATING.items() if name in stored}
    tries = 0

    def attempt() -> tuple[list[list[Any]], Mapping[str, str]]:
        nonlocal tries
        tries += 1
        options = spared if tries > 1 else {}
        try:
            with open_session(deadline, options) as session:
                session.run(sql.BEGIN_READ_ONLY)
                if extensions:
                    load_libraries(session, extensions)
                return session.run(sql.FRESH_SESSION, names=json.dumps(sorted(asked))), options
        except (ServerError, UnreadableError) as error:
            failure = TransientError(str(error)) if tries < _LOOKS else ApplyError(f"{target}: {error}")
        raise failure

    return retry(attempt, deadline, f"{target}, settings applied but not yet verified")


def _judge(
    rows: list[list[Any]], applied: Mapping[str, str], spared: Collection[str]
) -> tuple[dict[str, str | None], Verified]:
    missing: dict[str, str | None] = {}
    shadowed: list[str] = []
    drifted: list[str] = []
    for name, source, placeholder, stored, of_role, _ in rows:
        if stored != applied[name]:
            drifted.append(name)
        elif source in _ROLE_LEVEL or (source is None and of_role):
            shadowed.append(name)
        elif source == "database" or name in spared:
            pass
        elif source is not None or placeholder not in (None, stored):
            missing[name] = source
    return missing, Verified(tuple(shadowed), tuple(drifted))
