"""What to do about a database's settings: a pure function of what is asked for and what stands.

Knows nothing of connections, SQL or time. Names are in lower case, as PostgreSQL compares them.

The rules, for one construct (the owner):

* A setting asked for that another owner manages is refused.
* A setting asked for that already stands, in whatever spelling, is kept; on first sight it is adopted, that is,
  remembered as something that stood there before.
* A setting asked for that does not stand so is set. What stood there when the owner first took it is remembered.
* A setting no longer asked for goes back to what stood there before the owner took it, if it still stands as the owner
  left it. If somebody changed it since, it is theirs: it is left alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Value: TypeAlias = str | tuple[str, ...]
"""One text, or the elements of a list parameter."""

TOLERATED: Final = ("0A000", "22023", "42501", "42602", "42704", "55P02")
"""SQLSTATEs with which PostgreSQL may refuse to take a setting back, which must not keep a construct from being
deleted: the extension was dropped (42501), it cannot be reset (0A000), the server no longer knows it or its value."""


class OwnedByAnotherError(Exception):
    """Settings asked for that other owners manage.

    Attributes:
        conflicts: name to owner.
    """

    def __init__(self, conflicts: dict[str, str]) -> None:
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
        name: the parameter.
        value: what to set; a text that is stored already is set with :attr:`is_stored`. None removes it.
        is_stored: whether ``value`` is a text as PostgreSQL stored it, where a list is one text.
        tolerated: SQLSTATEs that make it a warning instead of an error.
    """

    name: str
    value: Value | None
    is_stored: bool = False
    tolerated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """A row to insert or replace in the ledger. What it has applied is only known once it is stored."""

    name: str
    desired: Value
    previous: str | None
    adopted: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, and how to tell of it.

    Attributes:
        actions: changes, in order.
        writes: ledger rows to write.
        forgets: ledger rows to delete.
        changed: names whose stored value is replaced.
        adopted: names that stood as asked for and are managed from now on.
        reset: names no longer managed whose value is taken back.
        left: names no longer managed that somebody else had changed.
        repaired: names among ``changed`` that somebody else had changed.
    """

    actions: tuple[Action, ...]
    writes: tuple[Write, ...]
    forgets: tuple[str, ...]
    changed: tuple[str, ...]
    adopted: tuple[str, ...]
    reset: tuple[str, ...]
    left: tuple[str, ...]
    repaired: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do, not even in the ledger."""
        return not (self.actions or self.writes or self.forgets)


def plan(
    owner: str,
    resource: str,
    desired: Mapping[str, Value],
    *,
    ledger: Mapping[str, LedgerRow],
    ours: Collection[str],
    stored: Mapping[str, str],
    standing: Collection[str],
) -> Plan:
    """Decide what brings a database to its settings.

    Args:
        owner: the construct that will manage what is asked for.
        resource: the physical id of its resource.
        desired: what is asked for.
        ledger: what is managed, by anybody.
        ours: the names in the ledger that the owner may change or give up.
        stored: the texts that are stored for the database, managed or not.
        standing: those of ``desired`` that stand already, compared by meaning.

    Raises:
        OwnedByAnotherError: something asked for is managed by another owner.
    """
    conflicts = {name: ledger[name].owner for name in desired if name in ledger and name not in ours}
    if conflicts:
        raise OwnedByAnotherError(conflicts)

    actions: list[Action] = []
    writes: list[Write] = []
    changed: list[str] = []
    adopted: list[str] = []
    reset: list[str] = []
    left: list[str] = []
    repaired: list[str] = []

    forgets = [name for name in ledger if name in ours and name not in desired]
    # Taking back comes first, so that an error of a new value cannot be confused with one of an old value.
    for name in forgets:
        row = ledger[name]
        if stored.get(name) != row.applied:
            left.append(name)
        elif row.previous != row.applied:
            actions.append(Action(name, row.previous, is_stored=True, tolerated=TOLERATED))
            reset.append(name)

    for name, value in desired.items():
        known = ledger.get(name)
        if name not in standing:
            actions.append(Action(name, value))
            changed.append(name)
            if known is not None and stored.get(name) != known.applied:
                repaired.append(name)
        elif known is None:
            adopted.append(name)
        elif known == LedgerRow(owner, resource, value, stored[name], known.previous, known.adopted):
            continue
        writes.append(
            Write(name, value, stored.get(name), name in standing)
            if known is None
            else Write(name, value, known.previous, known.adopted)
        )

    return Plan(
        tuple(actions),
        tuple(writes),
        tuple(forgets),
        tuple(changed),
        tuple(adopted),
        tuple(reset),
        tuple(left),
        tuple(repaired),
    )
