"""A look at databases on a schedule: what drifted is counted and published, and repaired only where asked to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from ..errors import ApplyError, PinSafeError
from . import drift, log, messages
from .apply import repair
from .batch import each
from .connection import ServerError, immune_options
from .connector import Connector, CredentialsCache
from .deadline import Deadline, retry
from .drift import SettingStatus
from .plan import Key
from .properties import Identity
from .state import extensions_of
from .transaction import Applied, Outcome
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
            "OverriddenByRole": self.shadowed,
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
    keys: CredentialsCache,
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

    def one(identity: Identity, connector: Connector, most: Deadline) -> Applied:
        patience = Deadline(min(_PATIENCE, most.left))
        rows = _compare(connector, identity, patience)
        drifted = _drifted(connector, rows, patience) | (set(managed) - {row.key for row in rows})
        shadowed = [row.key for row in rows if row.overridden_by]
        if drifted:
            log.warning("drifted", names=sorted(drifted))
        if shadowed:
            log.warning("shadowed", names=shadowed)
        repaired = _repaired(connector, identity, patience) if drifted and repairs else 0
        findings.add(len(drifted), len(shadowed), repaired)
        return Applied(Outcome())

    findings.unchecked = len(each(identities, one, keys, deadline).failed)
    log.metrics(NAMESPACE, {DIMENSION: name}, findings.counts)
    return findings


def _compare(connector: Connector, identity: Identity, deadline: Deadline) -> list[SettingStatus]:
    def attempt() -> list[SettingStatus]:
        with connector.open(deadline, immune_options(deadline)) as session:
            return drift.compare(session, connector.target, lambda row: row.owner == identity.owner)

    try:
        return retry(attempt, deadline, str(connector.target))
    except ServerError as error:
        failure = ApplyError(messages.other_error(connector.target, error.answer))
    raise failure


def _repaired(connector: Connector, identity: Identity, deadline: Deadline) -> int:
    """How many settings were set again. What was found counts all the same where that fails."""
    try:
        names = repair(connector, identity, deadline).outcome.changed
    except PinSafeError as error:
        log.error("not_repaired", kind=type(error).__name__)
        return 0
    log.warning("repaired", names=names)
    return len(names)


def _drifted(connector: Connector, rows: list[SettingStatus], deadline: Deadline) -> set[Key]:
    stored = {
        row.key.name: row.stored
        for row in rows
        if row.is_in_place and row.stored is not None and not row.key.role and not row.overridden_by
    }
    elsewhere = ineffective(connector.target, connector.open, stored, extensions_of(stored), deadline)
    return {row.key for row in rows if not row.is_in_place} | {Key(name) for name in elsewhere}
