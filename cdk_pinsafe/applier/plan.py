"""The plan of a change: a pure function of the desired settings, the ledger, and what is stored.

This module knows nothing of connections, SQL or time. A :class:`Key` identifies a setting: a parameter, for all
sessions of the database or for those of one role.

The rules, for one construct (the owner):

* A desired setting that another owner manages is an error.
* A desired setting that already has an equivalent value is kept. If it was not managed, it is adopted: the ledger
  records it as a value that was there before.
* Any other desired setting is set. The ledger keeps the value from before the owner managed it.
* A setting that is no longer desired gets this previous value back, if it still has the value that the owner set. If
  someone else changed it since, the value is theirs and is kept.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

Value: TypeAlias = str | tuple[str, ...]
"""A text, or the elements of a list parameter."""


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """Identifies a setting.

    Attributes:
        name: the parameter, in lower case, as PostgreSQL compares names.
        role: the role, case-sensitive; empty for the database's own setting.
    """

    name: str
    role: str = ""

    def __str__(self) -> str:
        return f'{self.name} of role "{self.role}"' if self.role else self.name


IGNORABLE_SQLSTATES: Final = ("0A000", "22023", "42501", "42602", "42704", "55P02")
"""PostgreSQL may refuse to reset a setting with these, and the deletion of a construct must not fail then: the
extension
was dropped (42501), the parameter cannot be reset (0A000), the server no longer knows it, its value or its role."""


class OwnedByAnotherError(Exception):
    """Other owners manage some of the desired settings.

    Attributes:
        conflicts: setting to owner.
    """

    def __init__(self, conflicts: dict[Key, str]) -> None:
        super().__init__(conflicts)
        self.conflicts = conflicts


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger has of a managed setting.

    Attributes:
        owner: the construct that manages it.
        resource: the physical id of the construct's resource at its last change.
        desired: the desired value.
        applied: the text that PostgreSQL stored for it.
        previous: the text that was stored before the owner managed it; None if there was none.
        adopted: whether an equivalent value was stored before the owner managed it.
    """

    owner: str
    resource: str
    desired: Value
    applied: str
    previous: str | None
    adopted: bool


@dataclass(frozen=True, slots=True)
class Action:
    """One ALTER.

    Attributes:
        key: the setting.
        value: the new value; None resets the setting.
        is_stored: whether ``value`` is a text as PostgreSQL stores it, where a list is one text.
        ignorable: SQLSTATEs that are a warning instead of an error.
    """

    key: Key
    value: Value | None
    is_stored: bool = False
    ignorable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerWrite:
    """A row to insert or replace in the ledger; see :class:`LedgerRow`.

    If ``applied`` is None, the row gets the text that is stored once all actions are done.
    """

    key: Key
    owner: str
    resource: str
    desired: Value
    previous: str | None
    adopted: bool
    applied: str | None = None

    @classmethod
    def of(cls, key: Key, row: LedgerRow) -> "LedgerWrite":
        """Write exactly this row."""
        return cls(key, row.owner, row.resource, row.desired, row.previous, row.adopted, row.applied)

    def row(self, stored: Mapping[Key, str]) -> LedgerRow:
        """The row that results if these texts are stored."""
        applied = stored[self.key] if self.applied is None else self.applied
        return LedgerRow(self.owner, self.resource, self.desired, applied, self.previous, self.adopted)


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction did to one setting.

    Attributes:
        text: the stored text before, if any.
        row: the ledger's row before, if any.
        new_text: the stored text after.
        new_row: the ledger's row after.
    """

    text: str | None
    row: LedgerRow | None
    new_text: str | None
    new_row: LedgerRow | None

    def merge_earlier(self, earlier: "Change") -> "Change":
        """Both changes as one, if this one found the row of the earlier one; else the earlier one had no effect."""
        if self.row != earlier.new_row:
            return self
        text = earlier.text if self.text == earlier.new_text else self.text
        return Change(text, earlier.row, self.new_text, self.new_row)


@dataclass(slots=True)
class Plan:
    """What to do, and what to report of it.

    Attributes:
        actions: the ALTERs, in this order.
        ledger_writes: rows to write to the ledger.
        ledger_deletes: rows to delete from the ledger.
        changed: settings whose stored value is replaced.
        adopted: settings that had an equivalent value and are managed from now on.
        reset: settings that are no longer managed and get their previous value back.
        kept_foreign: settings that are no longer managed and keep a value that someone else set.
        repaired: settings among ``changed`` that someone else had changed.
    """

    actions: list[Action] = field(default_factory=list)
    ledger_writes: list[LedgerWrite] = field(default_factory=list)
    ledger_deletes: list[Key] = field(default_factory=list)
    changed: list[Key] = field(default_factory=list)
    adopted: list[Key] = field(default_factory=list)
    reset: list[Key] = field(default_factory=list)
    kept_foreign: list[Key] = field(default_factory=list)
    repaired: list[Key] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do, the ledger included."""
        return not (self.actions or self.ledger_writes or self.ledger_deletes)

    def changes(
        self, ledger: Mapping[Key, LedgerRow], stored: Mapping[Key, str], now: Mapping[Key, str]
    ) -> dict[Key, Change]:
        """What the plan did: from the ledger and the stored texts that it was made from, and the texts stored now."""
        rows = {write.key: write.row(now) for write in self.ledger_writes}
        return {
            key: Change(stored.get(key), ledger.get(key), now.get(key), rows.get(key))
            for key in (*rows, *self.ledger_deletes)
        }


def plan(
    owner: str,
    resource: str,
    desired: Mapping[Key, Value],
    *,
    ledger: Mapping[Key, LedgerRow],
    owned: Collection[Key],
    stored: Mapping[Key, str],
    already_in_place: Collection[Key],
    orphaned: Collection[Key] = (),
) -> Plan:
    """Plan what brings a database to its settings.

    Args:
        owner: the construct that will manage the desired settings.
        resource: the physical id of its resource.
        desired: the desired settings.
        ledger: the managed settings, of all owners.
        owned: the settings in the ledger that the owner may change or give up.
        stored: the texts that are stored for the database and for roles in it, managed or not.
        already_in_place: those of ``desired`` that have an equivalent value.
        orphaned: those of ``owned`` whose desired value is unchanged and whose role was dropped: only the ledger is
            updated.

    Raises:
        OwnedByAnotherError: another owner manages a desired setting.
    """
    conflicts = {key: ledger[key].owner for key in desired if key in ledger and key not in owned}
    if conflicts:
        raise OwnedByAnotherError(conflicts)

    planned = Plan()
    planned.ledger_deletes += [key for key in ledger if key in owned and key not in desired and key not in orphaned]
    # Resets come first, so that an error of a new value cannot be taken for an error of an old one.
    for key in planned.ledger_deletes:
        row = ledger[key]
        if stored.get(key) != row.applied:
            planned.kept_foreign.append(key)
        elif row.previous != row.applied:
            planned.actions.append(_restore(key, row.previous))
            planned.reset.append(key)

    for key, value in desired.items():
        known = ledger.get(key)
        if key not in already_in_place:
            planned.actions.append(Action(key, value))
            planned.changed.append(key)
            if known is not None and stored.get(key) != known.applied:
                planned.repaired.append(key)
        elif known is None:
            planned.adopted.append(key)
        elif known == LedgerRow(owner, resource, value, stored[key], known.previous, known.adopted):
            continue
        previous, adopted = (known.previous, known.adopted) if known else (stored.get(key), key in already_in_place)
        planned.ledger_writes.append(LedgerWrite(key, owner, resource, value, previous, adopted))

    for key in orphaned:
        row = replace(ledger[key], owner=owner, resource=resource)
        if row != ledger[key]:
            planned.ledger_writes.append(LedgerWrite.of(key, row))
    return planned


def plan_rollback(changes: Mapping[Key, Change], *, ledger: Mapping[Key, LedgerRow], stored: Mapping[Key, str]) -> Plan:
    """Plan what undoes these changes, in the database and in the ledger.

    A value that someone else changed since is kept; so is a setting with its ledger row if the row changed since.
    """
    planned = Plan()
    for key, change in changes.items():
        if ledger.get(key) != change.new_row:
            continue
        if stored.get(key) == change.new_text != change.text:
            planned.actions.append(_restore(key, change.text))
        if change.row is not None:
            planned.ledger_writes.append(LedgerWrite.of(key, change.row))
        else:
            planned.ledger_deletes.append(key)
    return planned


def _restore(key: Key, text: str | None) -> Action:
    return Action(key, text, is_stored=True, ignorable=IGNORABLE_SQLSTATES)
