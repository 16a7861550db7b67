"""A look at databases on a schedule: what drifted is counted and published, and repaired only where asked to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from ..errors import ApplyError, PinSafeError
from . import drift, log, messages
from .apply import repair
from .connection import ServerError, immune_options
from .deadline import Deadline, persist
from .door import Door, Keys
from .drift import Standing
from .plan import Key
from .properties import Identity
from .reading import extensions_of
from .several import each
from .transaction import Done, Outcome
from .verify import ineffective

NAMESPACE: Final = "cdk-pinsafe"
DIMENSION: Final = "DatabaseSettings"
_PATIENCE: Final = 30.0
"""Seconds for one database: a deployment waits for one that is out of reach, the next look comes by itself."""


@dataclass
class Findings:
    """What was found in all databases.

    Attributes:
        drifted: settings that are not what was asked for: something else is stored, or a fresh session does not get
            it, or the ledger has forgotten them.
        shadowed: settings that a role's own value beats.
        repaired: those of ``drifted`` that were set again.
        unchecked: databases that could not be looked at.
    """

    drifted: int = 0
    shadowed: int = 0
    repaired: int = 0
    unchecked: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """The metrics."""
        return {
            "Drifted": self.drifted,
            "Shadowed": self.shadowed,
            "Repaired": self.repaired,
            "Unchecked": self.unchecked,
        }

    def add(self, drifted: int, shadowed: int, repaired: int) -> None:
        """Count one database's."""
        with self._lock:
            self.drifted += drifted
            self.shadowed += shadowed
            self.repaired += repaired


def check(
    keys: Keys,
    identities: Sequence[Identity],
    managed: Collection[Key],
    name: str,
    deadline: Deadline,
    *,
    repairs: bool,
) -> Findings:
    """Look at all databases of a resource, and publish what was found under its name.

    What was asked for is what each ledger says; ``managed`` is what it must have. A database that cannot be looked at
    is counted, and never an error: a function that fails would be run again at once.
    """
    findings = Findings()

    def one(identity: Identity, door: Door, most: Deadline) -> Done:
        patience = Deadline(min(_PATIENCE, most.left))
        rows = _compare(door, identity, patience)
        drifted = _drifted(door, rows, patience) | (set(managed) - {row.key for row in rows})
        shadowed = [row.key for row in rows if row.shadowed_by]
        if drifted:
            log.warning("drifted", names=sorted(drifted))
        if shadowed:
            log.warning("shadowed", names=shadowed)
        repaired = _repaired(door, identity, patience) if drifted and repairs else 0
        findings.add(len(drifted), len(shadowed), repaired)
        return Done(Outcome())

    findings.unchecked = len(each(identities, one, keys, deadline).failed)
    log.metrics(NAMESPACE, {DIMENSION: name}, findings.counts)
    return findings


def publish_deployment(name: str, failed: int) -> None:
    """Publish a deployment as a first look, with the databases that failed; what it set, it has read back.

    CloudWatch then misses the looks even if the schedule never starts.
    """
    log.metrics(NAMESPACE, {DIMENSION: name}, {"Unchecked": failed})


def _compare(door: Door, identity: Identity, deadline: Deadline) -> list[Standing]:
    def attempt() -> list[Standing]:
        with door.open(deadline, immune_options(deadline)) as session:
            return drift.compare(session, door.target, lambda row: row.owner == identity.owner)

    try:
        return persist(attempt, deadline, str(door.target))
    except ServerError as error:
        failure = ApplyError(messages.other_error(door.target, error.answer))
    raise failure


def _repaired(door: Door, identity: Identity, deadline: Deadline) -> int:
    """How many settings were set again. What was found counts all the same where that fails."""
    try:
        names = repair(door, identity, deadline).outcome.changed
    except PinSafeError as error:
        log.error("not_repaired", kind=type(error).__name__)
        return 0
    log.warning("repaired", names=names)
    return len(names)


def _drifted(door: Door, rows: list[Standing], deadline: Deadline) -> set[Key]:
    stored = {
        row.key.name: row.stored
        for row in rows
        if row.is_standing and row.stored is not None and not row.key.role and not row.shadowed_by
    }
    elsewhere = ineffective(door.target, door.open, stored, extensions_of(stored), deadline)
    return {row.key for row in rows if not row.is_standing} | {Key(name) for name in elsewhere}
