"""Brings one database to its settings: one transaction, then verification in a fresh session.

The transaction reads, plans, alters, and writes the ledger. An error undoes all of it; after a transient error the
whole transaction runs again. So the database has either all old or all new settings at any time, and an event may be
repeated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ..errors import ApplyError, PinSafeError, UnreachableError
from . import log, messages, sql
from .connection import DatabaseMissingError, creating_options, immune_options
from .connector import Connector, PreopenedConnector
from .deadline import Deadline, retry
from .plan import Key, LedgerRow
from .properties import DesiredState, Identity
from .recycle import ChangedDatabase, recycle
from .secret import SecretMissingError
from .transaction import Applied, ExtensionsMissingError, Outcome, Transaction
from .verify import verify

_BLOCKS_LOGIN: Final = frozenset({"session_preload_libraries"})
"""If a value names a missing library, nobody can log in to the database any more, not even to roll back."""
_VERIFYING: Final = 0.6
"""The fraction of the time left that verification may use; the rest is for the rollback."""
_DELETION_REMEDY: Final = (
    "if it is gone for good, delete the stack with --retain-resources for this resource, or set removal_policy=RETAIN "
    "and deploy that first"
)


@dataclass(frozen=True)
class Task:
    """The work on one database.

    Attributes:
        connector: opens sessions in the database.
        identity: the database and the construct.
        deadline: when the response must be ready.
        desired: settings and extensions.
        predecessors: other owners whose settings the owner takes over.
    """

    connector: Connector
    identity: Identity
    deadline: Deadline
    desired: DesiredState = field(default_factory=lambda: DesiredState({}))
    predecessors: frozenset[str] = frozenset()

    def owns(self, row: LedgerRow) -> bool:
        """Whether the setting belongs to the owner, or to one that it takes over from."""
        return row.owner == self.identity.owner or row.owner in self.predecessors


def apply(task: Task) -> Applied:
    """Bring the database to the desired state, and verify it in a fresh session; roll back if that fails.

    CloudFormation's own rollback is not enough: there is none after a creation or if it is disabled, and after a
    replacement it does not delete a new resource that failed.

    Raises:
        PinSafeError: the cause and the remedy. Nothing of the change was kept, unless the message says so.
    """
    connector, deadline = task.connector, task.deadline
    if any(key.name in _BLOCKS_LOGIN for key in task.desired.settings):
        with retry(
            lambda: connector.open(deadline, immune_options(deadline)), deadline, str(connector.target)
        ) as session:
            return _apply(task, PreopenedConnector(connector, session))
    return _apply(task, connector)


def _apply(task: Task, rollback_connector: Connector) -> Applied:
    applied = _transact(task, task.desired, task.owns)
    outcome = applied.outcome
    try:
        overridden = _verify(task, applied)
    except PinSafeError as error:
        raise _rolled_back(replace(task, connector=rollback_connector), applied, error) from None
    # The connecting user's own values are either reported already, or are among the role settings.
    known = {name for name, _ in outcome.role_overrides} | {key.name for key in applied.stored if key.role}
    more = [(name, "") for name in overridden if name not in known]
    return replace(applied, outcome=replace(outcome, role_overrides=[*outcome.role_overrides, *more]))


def remove(task: Task, resource: str) -> Applied:
    """Give up all settings of a resource. Of ``task.desired`` only ``terminate_idle`` counts.

    A database that does not exist any more is no error. Extensions are never dropped.

    Only rows with the resource's physical id are given up. CloudFormation deletes the old resource after a replacement;
    the new one may manage the same database (a host's alias, a construct that was moved).
    """
    nothing = DesiredState({}, terminate_idle=task.desired.terminate_idle)
    try:
        return _transact(task, nothing, lambda row: row.resource == resource, is_verified=False)
    except DatabaseMissingError:
        log.warning("database_missing", database=task.identity.target.database)
        return Applied(Outcome())
    except (UnreachableError, SecretMissingError) as error:
        raise type(error)(f"{messages.truncate(str(error), 750)}; {_DELETION_REMEDY}") from None


def try_out(task: Task) -> None:
    """Do everything but the commit.

    Raises:
        PinSafeError: the cause and the remedy.
    """
    _transact(task, task.desired, task.owns, is_committed=False)


def roll_back(task: Task, applied: Applied) -> None:
    """Undo a change in the database and in the ledger, except settings that someone else changed since.

    If idle sessions are ended after a change, those that began between the change and its rollback are ended. In a
    database that was dropped there is nothing to undo.

    Raises:
        PinSafeError: the cause; the change stays, or the part of it that the message names.
    """
    connector, deadline, outcome = task.connector, task.deadline, applied.outcome

    def attempt() -> tuple[list[Key], str]:
        with connector.open(deadline, immune_options(deadline)) as session:
            transaction = Transaction(session, task.identity)
            refused = transaction.roll_back(applied.changes)
            transaction.commit()
            return refused, session.run(sql.CLOCK)[0][0] if outcome.committed_at else ""

    if not applied.changes:
        return
    try:
        refused, now = retry(attempt, deadline, str(connector.target))
    except DatabaseMissingError:
        log.warning("database_missing", database=task.identity.target.database)
        return
    if now:
        keys = (*outcome.changed, *outcome.reset)
        change = ChangedDatabase(task.identity.target.database, now, keys, began_since=outcome.committed_at)
        recycle(connector, [change], deadline)
    if refused:
        raise ApplyError(f"{connector.target}: PostgreSQL refuses to reset {messages.list_names(map(str, refused))}")


def repair(task: Task) -> Applied:
    """Set again what the ledger has for the owner, after changes by other clients. ``task.desired`` does not count.

    Rows of another physical id are skipped: then the resource was replaced, and the drift check still has the old id.
    Written under the old id, the settings would be given up when CloudFormation deletes the old resource.

    Raises:
        PinSafeError: the cause; nothing was changed.
    """
    owned = (task.identity.owner, task.identity.physical_id)
    return _transact(task, None, lambda row: (row.owner, row.resource) == owned, is_verified=False)


def _verify(task: Task, applied: Applied) -> list[str]:
    touched = {key.name for key in (*applied.outcome.changed, *applied.outcome.adopted) if not key.role}
    stored = {key.name: text for key, text in applied.stored.items() if not key.role}
    return verify(task.connector, task.desired.names, touched, stored, task.deadline.fraction(_VERIFYING))


def _rolled_back(task: Task, applied: Applied, failure: PinSafeError) -> PinSafeError:
    """Roll back, and return the error to raise."""
    try:
        roll_back(task, applied)
    except PinSafeError as error:
        log.error("rollback_failed", kind=type(error).__name__)
        result = (
            f"undoing it failed too ({messages.truncate(str(error), 200)}): new values stay until the next deployment"
        )
    else:
        log.warning("rolled_back", names=len(applied.changes))
        result = "it was undone" if applied.changes else "nothing was changed"
    return type(failure)(f"{messages.truncate(str(failure), 700)}; {result}")


def _transact(
    task: Task,
    desired: DesiredState | None,
    is_owned: Callable[[LedgerRow], bool],
    *,
    is_verified: bool = True,
    is_committed: bool = True,
) -> Applied:
    """Run the transaction until it is committed.

    Args:
        task: the work.
        desired: the desired state; None for what the ledger has.
        is_owned: selects the rows of the ledger that may be changed or given up.
        is_verified: whether the change is verified afterwards, for which time must be left at the commit.
        is_committed: whether to commit at all.
    """
    connector, deadline = task.connector, task.deadline
    uncertain: Applied | None = None
    creates = False

    def attempt() -> Applied:
        nonlocal creates
        if not creates:
            try:
                return attempt_in(immune_options(deadline))
            except ExtensionsMissingError:
                # Rare. Only then is a second session opened.
                creates = True
        return attempt_in(creating_options(deadline))

    def attempt_in(options: Mapping[str, str]) -> Applied:
        nonlocal uncertain
        with connector.open(deadline, options) as session:
            transaction = Transaction(session, task.identity, creates=creates)
            applied = transaction.run(desired, is_owned)
            if not is_committed:
                return applied
            if is_verified and not session.has_time_after_commit:
                raise UnreachableError(
                    f"{connector.target}: the server answers so slowly that no time is left to verify a change; "
                    "nothing was changed; see what the server is busy with, then deploy again"
                )
            # A COMMIT without an answer may have succeeded: then the next attempt finds this attempt's rows.
            applied = uncertain = applied.merge_earlier_attempt(uncertain)
            transaction.commit()
            if desired and desired.terminate_idle and (applied.outcome.changed or applied.outcome.reset):
                committed_at = session.run(sql.CLOCK)[0][0]
                return replace(applied, outcome=replace(applied.outcome, committed_at=committed_at))
        return applied

    try:
        return retry(attempt, deadline, str(connector.target))
    except PinSafeError as error:
        if uncertain is None:
            raise
        if is_verified and not isinstance(error, UnreachableError):
            raise _rolled_back(task, uncertain, error) from None
        message = f"{messages.truncate(str(error), 850)}; the change may have been committed"
        raise type(error)(message) from None
