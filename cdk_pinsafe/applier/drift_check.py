"""The scheduled drift check: counts what drifted, publishes the counts as metrics, and repairs only on request."""

from collections.abc import Collection, Sequence
from threading import Lock
from typing import Final

from ..contract import METRIC_DIMENSION, METRIC_NAMESPACE, Metric
from ..errors import ApplyError, PinSafeError
from . import drift, log, messages
from .apply import Task, repair
from .batch import for_each_database
from .connection import ServerError, immune_options
from .connector import CredentialsCache
from .deadline import Deadline, retry
from .drift import SettingStatus
from .plan import Key
from .properties import Identity
from .transaction import Applied, Outcome
from .verify import find_ineffective

_TIMEOUT: Final = 30.0
"""Seconds for one database. Unlike a deployment, a check need not wait longer: the next scheduled one retries."""


def check(
    credentials: CredentialsCache,
    identities: Sequence[Identity],
    managed: Collection[Key],
    name: str,
    deadline: Deadline,
    *,
    repairs: bool,
) -> dict[str, int]:
    """Check all databases of a resource, and publish what was found.

    A database that cannot be checked is counted and is no error: Lambda would run a failed function again at once.

    Args:
        credentials: of the secret.
        identities: the databases.
        managed: the settings that each ledger must have. Their desired values are in the ledger.
        name: the value of the metrics' dimension.
        deadline: when the response must be ready.
        repairs: whether to set again what drifted.

    Returns:
        The metrics: how many settings drifted (another text is stored, or a fresh session does not get it, or the
        ledger has no row), how many a role's own value overrides, how many that drifted were set again, and how many
        databases could not be checked.
    """
    counts = dict.fromkeys((Metric.DRIFTED, Metric.OVERRIDDEN_BY_ROLE, Metric.REPAIRED), 0)
    lock = Lock()

    def check_one(task: Task) -> Applied:
        task = Task(task.connector, task.identity, Deadline(min(_TIMEOUT, task.deadline.left)))
        rows = _compare(task)
        drifted = _drifted(task, rows) | (set(managed) - {row.key for row in rows})
        overridden = [row.key for row in rows if row.overridden_by]
        if drifted:
            log.warning("drifted", names=sorted(drifted))
        if overridden:
            log.warning("overridden_by_role", names=overridden)
        repaired = _repair(task) if drifted and repairs else 0
        with lock:
            counts[Metric.DRIFTED] += len(drifted)
            counts[Metric.OVERRIDDEN_BY_ROLE] += len(overridden)
            counts[Metric.REPAIRED] += repaired
        return Applied(Outcome())

    failed = for_each_database(identities, check_one, credentials, deadline).failed
    counts[Metric.UNCHECKED] = len(failed)
    log.metrics(METRIC_NAMESPACE, {METRIC_DIMENSION: name}, counts)
    return counts


def publish_deployment(name: str, failed: int) -> None:
    """Publish a deployment as a first check: how many databases failed. What it set was verified.

    CloudWatch then misses the checks even if the schedule never starts.
    """
    log.metrics(METRIC_NAMESPACE, {METRIC_DIMENSION: name}, {Metric.UNCHECKED: failed})


def _compare(task: Task) -> list[SettingStatus]:
    target = task.identity.target

    def attempt() -> list[SettingStatus]:
        with task.connector.open(task.deadline, immune_options(task.deadline)) as session:
            return drift.compare(session, target, lambda row: row.owner == task.identity.owner)

    try:
        return retry(attempt, task.deadline, str(target))
    except ServerError as error:
        raise ApplyError(messages.other_error(target, error.answer)) from None


def _repair(task: Task) -> int:
    """How many settings were set again. A failure is logged; the drift counts anyway."""
    try:
        names = repair(task).outcome.changed
    except PinSafeError as error:
        log.error("not_repaired", kind=type(error).__name__)
        return 0
    log.warning("repaired", names=names)
    return len(names)


def _drifted(task: Task, rows: list[SettingStatus]) -> set[Key]:
    stored = {
        row.key.name: row.stored
        for row in rows
        if row.is_in_place and row.stored is not None and not row.key.role and not row.overridden_by
    }
    ineffective = find_ineffective(task.connector, stored, task.deadline)
    return {row.key for row in rows if not row.is_in_place} | {Key(name) for name in ineffective}
