"""Compares what a database has stored with the ledger. Changes nothing.

The ledger has the desired values. It is written in the transaction that sets them, so a deployment in progress cannot
look like drift.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import sql
from .messages import Target
from .plan import Key, LedgerRow, Value
from .state import SupportsRun, compare_with_stored, find_role_overrides, read_ledger, read_state


@dataclass(frozen=True)
class SettingStatus:
    """A managed setting, compared with what is stored.

    Attributes:
        key: the setting.
        owner: the construct that manages it.
        desired: the desired value.
        stored: the text in the catalog; None if there is none.
        is_in_place: whether the stored text is equivalent to the desired value.
        overridden_by: roles with an own value that takes precedence, and that this library does not manage.
    """

    key: Key
    owner: str
    desired: Value
    stored: str | None
    is_in_place: bool
    overridden_by: tuple[str, ...] = ()


def compare(session: SupportsRun, target: Target, is_owned: Callable[[LedgerRow], bool]) -> list[SettingStatus]:
    """Compare what is stored with the ledger's rows for which ``is_owned`` holds.

    Args:
        session: a session with the options of :func:`~.connection.immune_options`.
        target: the database, for messages.
        is_owned: selects rows.

    Raises:
        ApplyError: the ledger cannot be trusted.
    """
    session.run(sql.BEGIN_SNAPSHOT)
    ledger = read_ledger(session, target)
    rows = {key: row for key, row in ledger.items() if is_owned(row)}
    if not rows:
        return []
    names = [key.name for key in rows if not key.role]
    state = read_state(session, names, ())
    desired = {key: row.desired for key, row in rows.items()}
    in_place, _ = compare_with_stored(session, desired, ledger, rows, state.stored)
    overrides: dict[str, list[str]] = {}
    for name, role in find_role_overrides(names, state.stored, state.in_all_databases, ledger.keys()):
        overrides.setdefault(name, []).append(role)
    session.run(sql.ROLLBACK)
    return [
        SettingStatus(
            key,
            row.owner,
            row.desired,
            state.stored.get(key),
            key in in_place,
            () if key.role else tuple(overrides.get(key.name, ())),
        )
        for key, row in sorted(rows.items())
    ]
