"""Bring one database to its settings: one transaction, then a look from outside.

The transaction reads, plans, changes and notes in the ledger; any error undoes all of it, and an error that may pass is
answered by the whole transaction again. So the database holds all of the old or all of the new at any time, and the
same event may be repeated at will.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from ..errors import ApplyError, PinSafeError, UnreachableError
from . import log, messages, sql
from .connection import DatabaseMissingError, creating_options, immune_options
from .connector import Connector, PreopenedConnector
from .deadline import Deadline, retry
from .plan import Key, LedgerRow
from .properties import DesiredState, Identity
from .recycle import Change, recycle
from .secret import SecretMissingError
from .state import extensions_of
from .transaction import Applied, ExtensionsMissingError, Outcome, Transaction
from .verify import Verified, verify

_LOCKING: Final = frozenset({"session_preload_libraries"})
"""Parameters of which a value that names something missing keeps everybody out of the database, the undoing too."""
_LOOKING: Final = 0.6
"""The part of the time that is left which verification may use; the rest is for undoing."""
_WAY_OUT: Final = (
    "if it is gone for good, delete the stack with --retain-resources for this resource, or set removal_policy=RETAIN "
    "and deploy that first"
)


def apply(
    connector: Connector, identity: Identity, wish: DesiredState, predecessors: Iterable[str], deadline: Deadline
) -> Applied:
    """Bring the database to what is wished for, and see that a fresh session gets it; if it does not, undo it.

    CloudFormation's own way back is not relied on: there is none after a creation, none where it is switched off, and
    one that does not know of the new resource where that was to replace another.

    Args:
        connector: opens the database.
        identity: which database, for whom.
        wish: settings and extensions.
        predecessors: owners whose settings the owner takes over.
        deadline: when the answer must be ready.

    Raises:
        PinSafeError: why not, and what to do. Nothing of the change was kept, unless the message says so.
    """
    if any(key.name in _LOCKING for key in wish.settings):
        with retry(
            lambda: connector.open(deadline, immune_options(deadline)), deadline, str(connector.target)
        ) as session:
            return _apply(connector, PreopenedConnector(connector, session), identity, wish, predecessors, deadline)
    return _apply(connector, connector, identity, wish, predecessors, deadline)


def _apply(
    connector: Connector,
    plan_rollback: Connector,
    identity: Identity,
    wish: DesiredState,
    predecessors: Iterable[str],
    deadline: Deadline,
) -> Applied:
    owners = {identity.owner, *predecessors}
    done = _transact(connector, identity, wish, lambda row: row.owner in owners, deadline)
    try:
        verified = _verify(connector, wish, done, deadline)
    except PinSafeError as error:
        failure = error
    else:
        # What the connecting user has of its own was told already, or is meant so.
        known = {name for name, _ in done.outcome.shadows} | {key.name for key in done.stored if key.role}
        log.info("verified", names=len(wish.names), shadowed=verified.shadowed, drifted=verified.drifted)
        more = tuple((name, "") for name in verified.shadowed if name not in known)
        return replace(done, outcome=replace(done.outcome, shadows=done.outcome.shadows + more))
    raise _undone(plan_rollback, identity, done, failure, deadline)


def remove(
    connector: Connector, identity: Identity, resource: str, deadline: Deadline, *, recycles: bool = False
) -> Applied:
    """Give up all settings of a resource. A database that is gone needs nothing. Extensions are never dropped.

    Only what bears the resource's physical id is given up. After a replacement CloudFormation deletes the old resource,
    and both may be one database (a host's alias, a construct that was moved), managed by the new resource by then.
    """
    wish = DesiredState({}, recycles=recycles)
    try:
        return _transact(connector, identity, wish, lambda row: row.resource == resource, deadline, in_time=False)
    except DatabaseMissingError:
        log.warning("database_missing", database=identity.target.database)
        return Applied(Outcome())
    except (UnreachableError, SecretMissingError) as error:
        failure = type(error)(f"{messages.truncate(str(error), 750)}; {_WAY_OUT}")
    raise failure


def try_out(
    connector: Connector, identity: Identity, wish: DesiredState, predecessors: Iterable[str], deadline: Deadline
) -> None:
    """See whether the database takes what is wished for, and keep nothing of it.

    Raises:
        PinSafeError: why not, and what to do.
    """
    owners = {identity.owner, *predecessors}
    _transact(connector, identity, wish, lambda row: row.owner in owners, deadline, is_kept=False)


def bring_back(connector: Connector, identity: Identity, done: Applied, deadline: Deadline) -> None:
    """Undo what was done, in the database and in the ledger, but for what is somebody else's by now.

    Where idle sessions were to be ended after the change, those are that began between it and its undoing.

    In a database that was dropped nothing is left to undo.

    Raises:
        PinSafeError: why not; the change stands, or that of it which the message names.
    """

    def attempt() -> tuple[list[Key], str]:
        with connector.open(deadline, immune_options(deadline)) as session:
            transaction = Transaction(session, identity)
            refused = transaction.restore(done.traces)
            transaction.commit()
            return refused, session.run(sql.CLOCK)[0][0] if done.outcome.committed_at else ""

    if not done.traces:
        return
    try:
        refused, now = retry(attempt, deadline, str(connector.target))
    except DatabaseMissingError:
        log.warning("database_missing", database=identity.target.database)
        return
    if now:
        keys = (*done.outcome.changed, *done.outcome.reset)
        recycle(connector, [Change(identity.target.database, now, keys, begun=done.outcome.committed_at)], deadline)
    if refused:
        raise ApplyError(f"{connector.target}: PostgreSQL refuses to take back {messages.names(map(str, refused))}")


def repair(connector: Connector, identity: Identity, deadline: Deadline) -> Applied:
    """Set again what the owner asked for the last time, whatever hands did since.

    What bears another physical id is left alone. A resource was replaced then, and whoever asks does not know of it
    yet: under the old id, the deletion of the old resource would take the settings away.

    Raises:
        PinSafeError: why not; nothing was changed.
    """
    ours = (identity.owner, identity.physical_id)
    return _transact(connector, identity, None, lambda row: (row.owner, row.resource) == ours, deadline, in_time=False)


def _verify(connector: Connector, wish: DesiredState, done: Applied, deadline: Deadline) -> Verified:
    touched = {key.name for key in (*done.outcome.changed, *done.outcome.adopted) if not key.role}
    stored = {key.name: text for key, text in done.stored.items() if not key.role}
    return verify(
        connector.target,
        connector.open,
        wish.names,
        touched,
        stored,
        extensions_of(wish.names),
        deadline.fraction(_LOOKING),
    )


def _undone(
    connector: Connector, identity: Identity, done: Applied, failure: PinSafeError, deadline: Deadline
) -> PinSafeError:
    try:
        bring_back(connector, identity, done, deadline)
    except PinSafeError as error:
        log.error("undo_failed", kind=type(error).__name__)
        how = (
            f"undoing it failed too ({messages.truncate(str(error), 200)}): new values stand until the next deployment"
        )
    else:
        log.warning("undone", names=len(done.traces))
        how = "it was undone" if done.traces else "nothing was changed"
    return type(failure)(f"{messages.truncate(str(failure), 700)}; {how}")


def _transact(
    connector: Connector,
    identity: Identity,
    wish: DesiredState | None,
    is_ours: Callable[[LedgerRow], bool],
    deadline: Deadline,
    *,
    in_time: bool = True,
    is_kept: bool = True,
) -> Applied:
    """Run the transaction until it is committed; with ``in_time`` only while what follows a commit still fits.

    Without ``is_kept`` all is done but the COMMIT.
    """
    uncertain: Applied | None = None
    creates = False

    def attempt() -> Applied:
        nonlocal creates
        if not creates:
            try:
                return attempt_in(immune_options(deadline))
            except ExtensionsMissingError:
                # Seldom, so that nobody else pays for the session that it takes.
                creates = True
        return attempt_in(creating_options(deadline))

    def attempt_in(options: Mapping[str, str]) -> Applied:
        nonlocal uncertain
        with connector.open(deadline, options) as session:
            transaction = Transaction(session, identity, creates=creates)
            done = transaction.run(wish, is_ours)
            if not is_kept:
                return done
            if in_time and not session.has_time_after_commit:
                raise UnreachableError(
                    f"{connector.target}: the server answers so slowly that no time is left to verify a change; nothing "
                    "was changed; see what the server is busy with, then deploy again"
                )
            # A COMMIT whose answer is lost may have been done: then the next attempt meets rows of its own making.
            done = uncertain = done.after(uncertain)
            transaction.commit()
            if wish and wish.recycles and (done.outcome.changed or done.outcome.reset):
                return done.at(session.run(sql.CLOCK)[0][0])
        return done

    try:
        return retry(attempt, deadline, str(connector.target))
    except PinSafeError as error:
        failure = error
    if uncertain is None:
        raise failure
    if in_time and not isinstance(failure, UnreachableError):
        raise _undone(connector, identity, uncertain, failure, deadline)
    raise type(failure)(f"{messages.truncate(str(failure), 850)}; the change may have been committed")
