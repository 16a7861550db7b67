"""Verifies in a fresh session that settings take effect, as an application gets it: without the applier's options.

PostgreSQL reports the source of each value of a session. The source ``database`` proves that the session took the value
from the database's settings. No values are compared, so neither spelling nor a change after the log-in matters.
"""

import json
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from ..errors import ApplyError
from . import log, sql
from .connection import ServerError, UnreadableError
from .connector import Connector
from .deadline import Deadline, TransientError, retry
from .messages import list_names
from .state import extensions_of, load_libraries

_SELF_DEFEATING: Final = {
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "client_encoding": "UTF8",
    "exit_on_error": "off",
}
"""Parameters whose value may end the verifying session, or make it unreadable to the driver."""
ROLE_SOURCES: Final = ("user", "database user")
"""What ``pg_settings.source`` is for a value of the session's role."""
_ATTEMPTS: Final = 3


def verify(
    connector: Connector,
    names: Collection[str],
    touched: Collection[str],
    stored: Mapping[str, str],
    deadline: Deadline,
) -> list[str]:
    """Verify settings of the database in a fresh session.

    An untouched setting without effect is a warning: a rollback to it must not fail for what went wrong since.

    Args:
        connector: opens the session.
        names: the parameters to verify.
        touched: those that were changed or adopted just now.
        stored: parameter to stored text, of every setting of the database.
        deadline: when to give up.

    Returns:
        The parameters for which the connecting user has an own value.

    Raises:
        ApplyError: a touched setting is stored, but a fresh session does not get it.
        UnreachableError: no fresh session could be opened.
    """
    if not names:
        return []
    missing: dict[str, str | None] = {}
    for _ in range(_ATTEMPTS):
        rows, replaced = _read(connector, names, stored, deadline)
        sources, overridden, drifted = _classify(rows, stored, replaced)
        missing = {name: source for name, source in sources.items() if name in touched}
        if not missing:
            if sources:
                log.warning("not_effective", names=sorted(sources), sources=sources)
            log.info("verified", names=len(names), overridden=overridden, drifted=drifted)
            return overridden
        # A concurrent RESET and SET look like this once.
        time.sleep(min(0.2, deadline.left))
    log.error("not_effective", names=sorted(missing), sources=missing)
    name, source = next(iter(missing.items()))
    others = f" (likewise {list_names(list(missing)[1:])})" if len(missing) > 1 else ""
    raise ApplyError(
        f'setting "{name}"{others} in {connector.target}: it is stored, but a fresh session takes its value from '
        f"{source or 'elsewhere'!r} instead of the database; check that what it names exists, look for a log-in "
        "trigger or a preloaded library that sets it, and read the server's log for a warning at log-in"
    )


def find_ineffective(connector: Connector, stored: Mapping[str, str], deadline: Deadline) -> set[str]:
    """Those of the stored settings that a fresh session gets neither from the database nor from its role.

    Raises:
        ApplyError: a fresh session cannot be read.
        UnreachableError: no fresh session could be opened.
    """
    if not stored:
        return set()
    rows, replaced = _read(connector, stored.keys(), stored, deadline)
    return set(_classify(rows, stored, replaced)[0])


def _read(
    connector: Connector, names: Collection[str], stored: Mapping[str, str], deadline: Deadline
) -> tuple[list[list[Any]], Mapping[str, str]]:
    """Read a fresh session. If its own settings end it, read one in which these are replaced by start-up options.

    Returns:
        The rows of ``sql.FRESH_SESSION``, and the replaced settings.
    """
    harmless = {name: value for name, value in _SELF_DEFEATING.items() if name in stored}
    extensions = extensions_of(names)
    tries = 0

    def attempt() -> tuple[list[list[Any]], Mapping[str, str]]:
        nonlocal tries
        tries += 1
        options = harmless if tries > 1 else {}
        try:
            with connector.open(deadline, options) as session:
                session.run(sql.BEGIN_READ_ONLY)
                if extensions:
                    load_libraries(session, extensions)
                return session.run(sql.FRESH_SESSION, names=json.dumps(sorted(names))), options
        except (ServerError, UnreadableError) as error:
            if tries < _ATTEMPTS:
                raise TransientError(str(error)) from None
            raise ApplyError(f"{connector.target}: {error}") from None

    return retry(attempt, deadline, f"{connector.target}, settings applied but not yet verified")


def _classify(
    rows: list[list[Any]], applied: Mapping[str, str], replaced: Collection[str]
) -> tuple[dict[str, str | None], list[str], list[str]]:
    """The settings without effect with their source, those that the role overrides, and those that changed since."""
    missing: dict[str, str | None] = {}
    overridden: list[str] = []
    drifted: list[str] = []
    for name, source, placeholder, stored, has_role_value, _ in rows:
        if stored != applied[name]:
            drifted.append(name)
        elif source in ROLE_SOURCES or (source is None and has_role_value):
            overridden.append(name)
        elif source == "database" or name in replaced:
            pass
        elif source is not None or placeholder not in (None, stored):
            missing[name] = source
    return missing, overridden, drifted
