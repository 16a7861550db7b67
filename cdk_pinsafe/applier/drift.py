"""Whether a database still has what it was asked for, without changing anything.

What was asked for is what the ledger says: it is written in the transaction that sets, so no deployment in progress can
make it look like drift.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import sql
from .messages import Target
from .plan import Key, LedgerRow, Value
from .state import SupportsRun, find_role_overrides, judge, read_ledger, read_state


@dataclass(frozen=True)
class SettingStatus:
    """How one managed setting stands.

    Attributes:
        key: the setting.
        owner: the construct that manages it.
        desired: what was asked for.
        stored: the text in the catalogue; None if there is none.
        is_in_place: whether it means what was asked for.
        overridden_by: roles whose own value beats it, and which this library does not manage.
    """

    key: Key
    owner: str
    desired: Value
    stored: str | None
    is_in_place: bool
    overridden_by: tuple[str, ...] = ()


def compare(session: SupportsRun, target: Target, is_ours: Callable[[LedgerRow], bool]) -> list[SettingStatus]:
    """Compare what is stored with what was asked for, in an immune session of the database.

    Raises:
        ApplyError: the ledger cannot be trusted.
    """
    session.run(sql.BEGIN_SNAPSHOT)
    ledger = read_ledger(session, target)
    rows = {key: row for key, row in ledger.items() if is_ours(row)}
    if not rows:
        return []
    names = [key.name for key in rows if not key.role]
    state = read_state(session, names, ())
    desired = {key: row.desired for key, row in rows.items()}
    standing, _ = judge(session, desired, ledger, rows, state.stored)
    shadows: dict[str, list[str]] = {}
    for name, role in find_role_overrides(names, state.stored, state.everywhere, ledger.keys()):
        shadows.setdefault(name, []).append(role)
    session.run(sql.ROLLBACK)
    return [
        SettingStatus(
            key,
            row.owner,
            row.desired,
            state.stored.get(key),
            key in standing,
            () if key.role else tuple(shadows.get(key.name, ())),
        )
        for key, row in sorted(rows.items())
    ]
