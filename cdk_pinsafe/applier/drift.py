"""Whether a database still has what it was asked for, without changing anything.

What was asked for is what the ledger says: it is written in the transaction that sets, so no deployment in progress can
make it look like drift.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import sql
from .messages import Target
from .plan import Key, LedgerRow, Value
from .reading import Runs, judge, read_ledger, read_state, shadows_of


@dataclass(frozen=True)
class Standing:
    """How one managed setting stands.

    Attributes:
        key: the setting.
        owner: the construct that manages it.
        desired: what was asked for.
        stored: the text in the catalogue; None if there is none.
        is_standing: whether it means what was asked for.
        shadowed_by: roles whose own value beats it, and which this library does not manage.
    """

    key: Key
    owner: str
    desired: Value
    stored: str | None
    is_standing: bool
    shadowed_by: tuple[str, ...] = ()


def compare(session: Runs, target: Target, is_ours: Callable[[LedgerRow], bool]) -> list[Standing]:
    """Compare what is stored with what was asked for, in an immune session of the database.

    Raises:
        ApplyError: the ledger cannot be trusted.
    """
    session.run(sql.BEGIN_COMPARING)
    ledger = read_ledger(session, target)
    rows = {key: row for key, row in ledger.items() if is_ours(row)}
    if not rows:
        return []
    names = [key.name for key in rows if not key.role]
    state = read_state(session, names, ())
    desired = {key: row.desired for key, row in rows.items()}
    standing, _ = judge(session, desired, ledger, rows, state.stored)
    shadows: dict[str, list[str]] = {}
    for name, role in shadows_of(names, state.stored, state.everywhere, ledger.keys()):
        shadows.setdefault(name, []).append(role)
    session.run(sql.ROLLBACK)
    return [
        Standing(
            key,
            row.owner,
            row.desired,
            state.stored.get(key),
            key in standing,
            () if key.role else tuple(shadows.get(key.name, ())),
        )
        for key, row in sorted(rows.items())
    ]
