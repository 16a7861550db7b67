"""Brings many databases of one server to the same settings in bounded time.

At most :data:`CONNECTIONS` databases are worked on at once, each in its own transaction. In the end either all have the
new settings or, with ``on_error="rollback"``, all have the old ones:

* After the first failure nothing more is committed. The rest is only tried out, so that one deployment reports all
  errors.
* Then the databases that were changed are rolled back.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Final

from ..errors import ApplyError, PinSafeError, UnreachableError
from . import log, messages
from .apply import Task, apply, remove, roll_back, try_out
from .connector import Connector, CredentialsCache
from .deadline import Deadline
from .plan import Change
from .properties import DesiredState, Identity
from .transaction import Applied

CONNECTIONS: Final = 8
_APPLYING: Final = 0.6
"""The fraction of the time left in which databases are changed; the rest is for the rollback."""
_ONE_DATABASE: Final = 0.5
"""The fraction of the time left that one database may take, so that a few without an answer leave time for the rest."""
_LEAST_SECONDS: Final = 8.0
"""With less time left, a change of another database is not begun."""


@dataclass
class Result:
    """The results by database name.

    Attributes:
        applied: the databases that succeeded.
        failed: the errors of the others.
    """

    applied: dict[str, Applied] = field(default_factory=dict)
    failed: dict[str, PinSafeError] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchRequest:
    """What to do with the databases.

    Attributes:
        desired: the desired state of each.
        predecessors: for each, other owners whose settings its owner takes over.
        continue_on_error: whether the others keep the new settings if one fails.
    """

    desired: DesiredState
    predecessors: Callable[[Identity], frozenset[str]]
    continue_on_error: bool = False


def apply_all(
    credentials: CredentialsCache,
    staying: Sequence[Identity],
    leaving: Sequence[Identity],
    request: BatchRequest,
    deadline: Deadline,
) -> Result:
    """Bring databases to their settings, and let those that left the resource's list give theirs up.

    Raises:
        PinSafeError: databases failed, and all have their old settings; with ``continue_on_error``, all of ``staying``
            failed. The message names them.
    """
    phase = deadline if request.continue_on_error else deadline.fraction(_APPLYING)
    stopped = Event()

    def change(task: Task) -> Applied | None:
        task = replace(task, desired=request.desired, predecessors=request.predecessors(task.identity))
        if stopped.is_set():
            try_out(task)
            return None
        return apply(task)

    def give_up(task: Task) -> Applied | None:
        return None if stopped.is_set() else remove(replace(task, desired=request.desired), task.identity.physical_id)

    stop_on_failure = (lambda: None) if request.continue_on_error else stopped.set
    result = for_each_database(
        staying, change, credentials, phase, least_seconds=_LEAST_SECONDS, on_failure=stop_on_failure
    )
    left = for_each_database(
        leaving, give_up, credentials, phase, least_seconds=_LEAST_SECONDS, on_failure=stop_on_failure
    )
    any_stays = bool(result.applied)
    result.applied |= left.applied
    result.failed |= left.failed
    if not result.failed or (request.continue_on_error and any_stays):
        return result
    identities = [*staying, *leaving]
    raise _failure(result, identities, _roll_back_all(credentials, identities, result, deadline))


def remove_all(
    credentials: CredentialsCache,
    identities: Sequence[Identity],
    resource: str,
    desired: DesiredState,
    deadline: Deadline,
) -> Result:
    """Let all databases give up the settings of a resource; see :func:`~.apply.remove`. A failure stops no other.

    Raises:
        PinSafeError: some failed; the message names them.
    """
    result = for_each_database(
        identities, lambda task: remove(replace(task, desired=desired), resource), credentials, deadline
    )
    if result.failed:
        raise _failure(result, identities, "the others gave their settings up")
    return result


def for_each_database(
    identities: Sequence[Identity],
    work: Callable[[Task], Applied | None],
    credentials: CredentialsCache,
    phase: Deadline,
    *,
    least_seconds: float = 0.0,
    on_failure: Callable[[], None] = lambda: None,
) -> Result:
    """Call ``work`` for each database, some at a time.

    A database is not begun with ``least_seconds`` or less left: the log-ins to hundreds of databases would outlast the
    deadline.
    """
    result = Result()
    # Hundreds of databases have mostly equal changes: equal ones are kept once.
    interned = dict[Change, Change]()

    def one(identity: Identity) -> None:
        name = identity.target.database
        with log.bound_fields(database=name):
            try:
                if phase.left <= least_seconds:
                    raise UnreachableError(
                        f"{identity.target}: no time was left for it; nothing was changed in it; deploy again, or "
                        "spread the databases over several DatabaseSettings"
                    )
                task = Task(Connector(identity.target, credentials), identity, phase.fraction(_ONE_DATABASE))
                if applied := work(task):
                    changes = {key: interned.setdefault(change, change) for key, change in applied.changes.items()}
                    result.applied[name] = replace(applied, stored={}, changes=changes)
                return
            except PinSafeError as error:
                failure = error
            except Exception as error:
                log.exception(error)
                failure = ApplyError(f"{identity.target}: internal error of the applier ({type(error).__name__})")
            on_failure()
            # A new error: the traceback of this one would keep the objects of its frames alive.
            result.failed[name] = type(failure)(str(failure))
            log.error("database_failed", kind=type(failure).__name__)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(one, identities))
    # In the order of the list, not in that of completion.
    names = [identity.target.database for identity in identities]
    return Result(
        {name: result.applied[name] for name in names if name in result.applied},
        {name: result.failed[name] for name in names if name in result.failed},
    )


def _roll_back_all(
    credentials: CredentialsCache, identities: Sequence[Identity], result: Result, deadline: Deadline
) -> str:
    """Roll back all databases that were changed; return what to report of it."""
    before = dict(result.applied)
    changed = [one for one in identities if (applied := before.get(one.target.database)) and applied.changes]
    if not changed:
        return "nothing was changed in the others"

    def undo(task: Task) -> Applied:
        applied = before[task.identity.target.database]
        roll_back(task, applied)
        return applied

    undone = for_each_database(changed, undo, credentials, deadline)
    log.warning("databases_rolled_back", databases=len(undone.applied), failed=len(undone.failed))
    if not undone.failed:
        return f"{len(undone.applied)} that were changed before were rolled back"
    failed = messages.list_names(undone.failed, 150)
    return f"those changed before were rolled back, but for {failed}, which failed too"


def _failure(result: Result, identities: Sequence[Identity], others: str) -> PinSafeError:
    target = identities[0].target
    failures = {name: str(error) for name, error in result.failed.items()}
    is_unreachable = all(isinstance(error, UnreachableError) for error in result.failed.values())
    kind = UnreachableError if is_unreachable else ApplyError
    return kind(messages.batch_failed(f"{target.host}:{target.port}", failures, len(identities), others))
