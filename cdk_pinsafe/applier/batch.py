"""Bring many databases of one server to the same settings, in bounded time.

At most :data:`CONNECTIONS` are worked on at once. Each is a transaction of its own, so all of them cannot change in one
moment; but in the end either all have the new settings or, unless the others may go on without those that fail, all
have what they had:

* After the first failure nothing more is kept: the others are only tried out, so that one deployment tells all that is
  wrong.
* Then what was changed before is brought back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Final

from ..errors import ApplyError, PinSafeError, UnreachableError
from . import log, messages
from .apply import apply, bring_back, remove, try_out
from .connector import Connector, CredentialsCache
from .deadline import Deadline
from .plan import Change, Key
from .properties import DesiredState, Identity
from .transaction import Applied

CONNECTIONS: Final = 8
_APPLYING: Final = 0.6
"""The part of the time that is left in which databases are changed; the rest is for bringing them back."""
_ONE: Final = 0.5
"""The part of what is left then that one database may take, so that a few that do not answer leave time for others."""
_LEAST: Final = 8.0
"""Seconds that must be left to begin with a change of a database at all."""


@dataclass
class Result:
    """What became of the databases, by name.

    Attributes:
        done: those that were brought to their settings, or gave them up.
        failed: the others, and why.
    """

    done: dict[str, Applied] = field(default_factory=dict)
    failed: dict[str, PinSafeError] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchRequest:
    """What to do with the databases.

    Attributes:
        wish: what they are to have.
        predecessors: of each, the owners whose settings its owner takes over.
        continue_on_error: whether the others keep what they got where one fails.
    """

    wish: DesiredState
    predecessors: Callable[[Identity], Iterable[str]]
    continue_on_error: bool = False


def apply_all(
    keys: CredentialsCache,
    staying: Sequence[Identity],
    leaving: Sequence[Identity],
    order: BatchRequest,
    deadline: Deadline,
) -> Result:
    """Bring databases to their settings, and let others of the same resource, which left its list, give theirs up.

    Raises:
        PinSafeError: databases failed, and all have what they had before; or, where the others may go on without, none
            of those that are to have settings got them. The message names them.
    """
    phase = deadline if order.continue_on_error else deadline.fraction(_APPLYING)
    stopped = Event()

    def bring(identity: Identity, connector: Connector, patience: Deadline) -> Applied | None:
        if stopped.is_set():
            try_out(connector, identity, order.wish, order.predecessors(identity), patience)
            return None
        return apply(connector, identity, order.wish, order.predecessors(identity), patience)

    def give_up(identity: Identity, connector: Connector, patience: Deadline) -> Applied | None:
        if stopped.is_set():
            return None
        return remove(connector, identity, identity.physical_id, patience, recycles=order.wish.recycles)

    stop_on_failure = (lambda: None) if order.continue_on_error else stopped.set
    result = each(staying, bring, keys, phase, least=_LEAST, on_failure=stop_on_failure)
    gone = each(leaving, give_up, keys, phase, least=_LEAST, on_failure=stop_on_failure)
    any_stays = bool(result.done)
    result.done |= gone.done
    result.failed |= gone.failed
    if not result.failed or (order.continue_on_error and any_stays):
        return result
    raise _failure(result, [*staying, *leaving], _bring_all_back(keys, [*staying, *leaving], result, deadline))


def remove_all(
    keys: CredentialsCache, identities: Sequence[Identity], resource: str, deadline: Deadline, *, recycles: bool
) -> Result:
    """Let all databases of a resource give its settings up, whatever becomes of the others.

    Raises:
        PinSafeError: some failed; the message names them.
    """
    result = each(
        identities,
        lambda identity, connector, patience: remove(connector, identity, resource, patience, recycles=recycles),
        keys,
        deadline,
    )
    if result.failed:
        raise _failure(result, identities, "the others gave their settings up")
    return result


def each(
    identities: Sequence[Identity],
    work: Callable[[Identity, Connector, Deadline], Applied | None],
    keys: CredentialsCache,
    phase: Deadline,
    *,
    least: float = 0.0,
    on_failure: Callable[[], None] = lambda: None,
) -> Result:
    """Do one thing with each database, some at a time; what it answers and what it raises is kept by name.

    With no more than ``least`` seconds left, a database is not begun with: a mere look whether hundreds answer would
    outlast the deadline.
    """
    found = Result()
    alike = _Interned()

    def one(identity: Identity) -> None:
        name = identity.target.database
        with log.bound_fields(database=name):
            try:
                if phase.left <= least:
                    raise UnreachableError(
                        f"{identity.target}: no time was left for it; nothing was changed in it; deploy again, or "
                        "spread the databases over several DatabaseSettings"
                    )
                if done := work(identity, Connector(identity.target, keys), phase.fraction(_ONE)):
                    # There may be hundreds: without what only verification needs, and what is the same but once.
                    found.done[name] = replace(done, stored={}, traces=alike.of(done.traces))
                return
            except PinSafeError as error:
                failure = error
            except Exception as error:
                log.exception(error)
                failure = ApplyError(f"{identity.target}: internal error of the applier ({type(error).__name__})")
            on_failure()
            # Without its trace, which would keep alive whatever was being worked on.
            found.failed[name] = failure.with_traceback(None)
            log.error("database_failed", kind=type(failure).__name__)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(one, identities))
    # In the order of the list, whichever was faster.
    names = [identity.target.database for identity in identities]
    return Result(
        {name: found.done[name] for name in names if name in found.done},
        {name: found.failed[name] for name in names if name in found.failed},
    )


class _Interned:
    """Keeps of traces that are equal one."""

    def __init__(self) -> None:
        self._traces: dict[Change, Change] = {}

    def of(self, traces: Mapping[Key, Change]) -> dict[Key, Change]:
        """The same traces."""
        return {key: self._traces.setdefault(trace, trace) for key, trace in traces.items()}


def _bring_all_back(keys: CredentialsCache, identities: Sequence[Identity], result: Result, deadline: Deadline) -> str:
    """Undo whatever was changed; answers with what to tell of it."""
    before = dict(result.done)
    changed = [one for one in identities if (done := before.get(one.target.database)) and done.traces]
    if not changed:
        return "nothing was changed in the others"

    def back(identity: Identity, connector: Connector, patience: Deadline) -> Applied:
        bring_back(connector, identity, before[identity.target.database], patience)
        return before[identity.target.database]

    undone = each(changed, back, keys, deadline)
    log.warning("brought_back", databases=len(undone.done), failed=len(undone.failed))
    if not undone.failed:
        return f"{len(undone.done)} that were changed before were brought back"
    return f"those changed before were brought back, but for {messages.names(undone.failed, 150)}, which failed too"


def _failure(result: Result, identities: Sequence[Identity], what_of_others: str) -> PinSafeError:
    target = identities[0].target
    failures = {name: str(error) for name, error in result.failed.items()}
    out_of_reach = all(isinstance(error, UnreachableError) for error in result.failed.values())
    kind = UnreachableError if out_of_reach else ApplyError
    return kind(messages.batch_failed(f"{target.host}:{target.port}", failures, len(identities), what_of_others))
