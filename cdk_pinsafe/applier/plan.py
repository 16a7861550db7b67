"""What to do about a database's settings: a pure function of what is asked for and what stands.

Knows nothing of connections, SQL or time. A setting is told by its :class:`Key`: a parameter, for all sessions of the
database or for those of one role.

The rules, for one construct (the owner):

* A setting asked for that another owner manages is refused.
* A setting asked for that already stands, in whatever spelling, is kept; on first sight it is adopted, that is,
  remembered as something that stood there before.
* A setting asked for that does not stand so is set. What stood there when the owner first took it is remembered.
* A setting no longer asked for goes back to what stood there before the owner took it, if it still stands as the owner
  left it. If somebody changed it since, it is theirs: it is left alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

Value: TypeAlias = str | tuple[str, ...]
"""One text, or the elements of a list parameter."""


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """Which setting.

    Attributes:
        name: the parameter, in lower case, as PostgreSQL compares names.
        role: the role for whose sessions it is, to the letter; empty for the database's own.
    """

    name: str
    role: str = ""

    def __str__(self) -> str:
        return f'{self.name} of role "{self.role}"' if self.role else self.name


IGNORABLE_SQLSTATES: Final = ("0A000", "22023", "42501", "42602", "42704", "55P02")
"""SQLSTATEs with which PostgreSQL may refuse to take a setting back, which must not keep a construct from being
deleted: the extension was dropped (42501), it cannot be reset (0A000), the server no longer knows it, its value or its
role."""


class OwnedByAnotherError(Exception):
    """Settings asked for that other owners manage.

    Attributes:
        conflicts: setting to owner.
    """

    def __init__(self, conflicts: dict[Key, str]) -> None:
        super().__init__(conflicts)
        self.conflicts = conflicts


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What is remembered of a managed setting.

    Attributes:
        owner: the construct that manages it.
        resource: the physical id of the construct's resource when it last did.
        desired: what the owner asked for.
        applied: the text that PostgreSQL stored for it.
        previous: the text that was stored before the owner took it; None if there was none.
        adopted: whether it stood as asked for when the owner took it.
    """

    owner: str
    resource: str
    desired: Value
    applied: str
    previous: str | None
    adopted: bool


@dataclass(frozen=True, slots=True)
class Action:
    """One change of a setting.

    Attributes:
        key: the setting.
        value: what to set; a text that is stored already is set with :attr:`is_stored`. None removes it.
        is_stored: whether ``value`` is a text as PostgreSQL stored it, where a list is one text.
        ignorable: SQLSTATEs that make it a warning instead of an error.
    """

    key: Key
    value: Value | None
    is_stored: bool = False
    ignorable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """A row to insert or replace in the ledger, which is described at :class:`LedgerRow`.

    Without ``applied`` it is what stands for the setting once all actions are done.
    """

    key: Key
    owner: str
    resource: str
    desired: Value
    previous: str | None
    adopted: bool
    applied: str | None = None

    @classmethod
    def of(cls, key: Key, row: LedgerRow) -> "Write":
        """Puts down just this row."""
        return cls(key, row.owner, row.resource, row.desired, row.previous, row.adopted, row.applied)

    def row(self, stored: Mapping[Key, str]) -> LedgerRow:
        """What the ledger has then, with these texts stored."""
        applied = stored[self.key] if self.applied is None else self.applied
        return LedgerRow(self.owner, self.resource, self.desired, applied, self.previous, self.adopted)


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to one setting.

    Attributes:
        text: what was stored before, if anything.
        row: what the ledger had before, if anything.
        new_text: what is stored since.
        new_row: what the ledger has since.
    """

    text: str | None
    row: LedgerRow | None
    new_text: str | None
    new_row: LedgerRow | None

    def after(self, earlier: "Change") -> "Change":
        """What both did, if this one met the row that the earlier one left; else that one left nothing."""
        if self.row != earlier.new_row:
            return self
        text = earlier.text if self.text == earlier.new_text else self.text
        return Change(text, earlier.row, self.new_text, self.new_row)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and how to tell of it.

    Attributes:
        actions: changes, in order.
        writes: ledger rows to write.
        ledger_deletes: ledger rows to delete.
        changed: settings whose stored value is replaced.
        adopted: settings that stood as asked for and are managed from now on.
        reset: settings no longer managed whose value is taken back.
        left: settings no longer managed that somebody else had changed.
        repaired: settings among ``changed`` that somebody else had changed.
    """

    actions: tuple[Action, ...]
    writes: tuple[Write, ...]
    ledger_deletes: tuple[Key, ...]
    changed: tuple[Key, ...] = ()
    adopted: tuple[Key, ...] = ()
    reset: tuple[Key, ...] = ()
    left: tuple[Key, ...] = ()
    repaired: tuple[Key, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do, not even in the ledger."""
        return not (self.actions or self.writes or self.ledger_deletes)

    def traces(
        self, ledger: Mapping[Key, LedgerRow], stored: Mapping[Key, str], now: Mapping[Key, str]
    ) -> dict[Key, Change]:
        """What it did, by the ledger and the texts that it was made from, and by the texts that are stored since."""
        rows = {one.key: one.row(now) for one in self.writes}
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
    ours: Collection[Key],
    stored: Mapping[Key, str],
    standing: Collection[Key],
    orphaned: Collection[Key] = (),
) -> Plan:
    """Decide what brings a database to its settings.

    Args:
        owner: the construct that will manage what is asked for.
        resource: the physical id of its resource.
        desired: what is asked for.
        ledger: what is managed, by anybody.
        ours: the settings in the ledger that the owner may change or give up.
        stored: the texts that are stored for the database and for roles in it, managed or not.
        standing: those of ``desired`` that stand already, compared by meaning.
        orphaned: those of ``ours`` that are asked for as before, of roles that are gone: they are noted, nothing else.

    Raises:
        OwnedByAnotherError: something asked for is managed by another owner.
    """
    conflicts = {key: ledger[key].owner for key in desired if key in ledger and key not in ours}
    if conflicts:
        raise OwnedByAnotherError(conflicts)

    actions: list[Action] = []
    writes: list[Write] = []
    changed: list[Key] = []
    adopted: list[Key] = []
    reset: list[Key] = []
    left: list[Key] = []
    repaired: list[Key] = []

    ledger_deletes = [key for key in ledger if key in ours and key not in desired and key not in orphaned]
    # Taking back comes first, so that an error of a new value cannot be confused with one of an old value.
    for key in ledger_deletes:
        row = ledger[key]
        if stored.get(key) != row.applied:
            left.append(key)
        elif row.previous != row.applied:
            actions.append(Action(key, row.previous, is_stored=True, ignorable=IGNORABLE_SQLSTATES))
            reset.append(key)

    for key, value in desired.items():
        known = ledger.get(key)
        if key not in standing:
            actions.append(Action(key, value))
            changed.append(key)
            if known is not None and stored.get(key) != known.applied:
                repaired.append(key)
        elif known is None:
            adopted.append(key)
        elif known == LedgerRow(owner, resource, value, stored[key], known.previous, known.adopted):
            continue
        writes.append(
            Write(key, owner, resource, value, stored.get(key), key in standing)
            if known is None
            else Write(key, owner, resource, value, known.previous, known.adopted)
        )

    for key in orphaned:
        row = replace(ledger[key], owner=owner, resource=resource)
        if row != ledger[key]:
            writes.append(Write.of(key, row))

    return Plan(
        tuple(actions),
        tuple(writes),
        tuple(ledger_deletes),
        tuple(changed),
        tuple(adopted),
        tuple(reset),
        tuple(left),
        tuple(repaired),
    )


def plan_rollback(traces: Mapping[Key, Change], *, ledger: Mapping[Key, LedgerRow], stored: Mapping[Key, str]) -> Plan:
    """Decide what undoes that which was done: each setting is as it was, and so is what the ledger has of it.

    Left alone is what is somebody else's by now: the value where another text stands than the one that was left, and
    all of a setting whose row in the ledger is another than the one that was left.
    """
    actions: list[Action] = []
    writes: list[Write] = []
    ledger_deletes: list[Key] = []
    for key, trace in traces.items():
        if ledger.get(key) != trace.new_row:
            continue
        if stored.get(key) == trace.new_text != trace.text:
            actions.append(Action(key, trace.text, is_stored=True, ignorable=IGNORABLE_SQLSTATES))
        if (row := trace.row) is not None:
            writes.append(Write.of(key, row))
        else:
            ledger_deletes.append(key)
    return Plan(tuple(actions), tuple(writes), tuple(ledger_deletes))
