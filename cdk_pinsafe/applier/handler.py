"""The Lambda's entry: a CloudFormation event in, an answer or one short error out.

CDK's provider framework sends what this returns, or the message of what this raises, to CloudFormation. It must know
nothing of PostgreSQL.

Nothing slow is imported here: the handler starts in well under half a second.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from ..errors import ApplyError, PinSafeError
from . import log, secret
from .apply import apply, remove
from .batch import BatchRequest, Result, apply_all, remove_all
from .connector import Connector, CredentialsCache
from .deadline import Deadline
from .drift_check import check
from .messages import LONGEST, names, truncate, truncate_quoted
from .plan import Key
from .properties import PHYSICAL_ID_PREFIX, Identity, continue_on_error, identities, recycles, wish
from .recycle import Change, Recycled, recycle
from .transaction import Outcome

__all__ = ["on_event"]

_LONGEST_MARGIN: Final = 10.0
_LISTED_CHARACTERS: Final = 1000


class Context(Protocol):
    """What is used of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""
        ...


def on_event(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Bring databases to their settings, or let them give these up; or look whether they still have them.

    Returns:
        ``PhysicalResourceId`` and ``Data``, whose values are texts; of several databases, the counts are sums:

        * ``Applied``: how many settings were asked for, those of roles included; all of them stand. Not counted is what
          was asked for before already, of a role that was dropped since.
        * ``Changed``: how many of these had another value stored, or none, before this event.
        * ``Adopted``: how many of these stood so already and were nobody's; they are managed from now on.
        * ``Reset``: how many settings that are no longer asked for were taken back: removed, or replaced by what stood
          before. Not counted is what somebody else had changed since, or what PostgreSQL refuses to take back.
        * ``Shadowed``: names, joined by ``, ``, for which some role has a value of its own, which beats the database's,
          and which this library does not manage.
        * ``Recycled``: how many idle sessions that began before the change were ended.
        * ``Stale``: how many sessions that began before the change are left, which may hold old values; ``unknown``
          where nobody asked for sessions to be ended, nothing was changed, or they could not be counted.

        * ``Failed``: names, joined by ``, ``, of databases that failed while the others were let go on; else empty.

        The whole is below 4096 bytes, whatever the event. A ``DriftCheck``, which is no event of CloudFormation's, has
        the metrics of :mod:`.guard` instead.

    Raises:
        PinSafeError: one line, below 1000 characters and 2500 bytes, that says what is wrong and what to do.
    """
    outcome = _answer(event, context)
    if isinstance(outcome, PinSafeError):
        # Raised from here, so that no trace of the work inside is attached to it.
        raise outcome
    return outcome


def _answer(event: Mapping[str, Any], context: Context) -> dict[str, Any] | PinSafeError:
    start = time.monotonic()
    request = str(event.get("RequestType"))
    try:
        answer = _dispatch(request, event, context)
    except PinSafeError as error:
        log.error("failed", request=request, kind=type(error).__name__, seconds=_since(start))
        return type(error)(truncate_quoted(str(error), LONGEST))
    except Exception as error:
        log.exception(error, request=request, seconds=_since(start))
        group = truncate(os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "of its function"), 512)
        return ApplyError(
            f"internal error of the applier ({type(error).__name__}); its log group {group} has the place; report it"
        )
    log.info("answered", request=request, seconds=_since(start), bytes=len(json.dumps(answer)))
    return answer


def _dispatch(request: str, event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    physical_id = event.get("PhysicalResourceId")
    if request == "Delete" and not str(physical_id).startswith(PHYSICAL_ID_PREFIX):
        log.info("nothing_to_delete")
        return {"PhysicalResourceId": physical_id}
    properties = event.get("ResourceProperties", {})
    remaining = context.get_remaining_time_in_millis() / 1000
    # What is kept back is for the answer, and for what cannot be interrupted, such as a name look-up.
    deadline = Deadline(remaining - min(_LONGEST_MARGIN, remaining / 5))
    who = identities(properties)
    first = who[0]
    databases = len(who) if first.is_of_list else first.target.database
    log.info("received", request=request, host=first.target.host, database=databases, owner=first.owner)
    keys = CredentialsCache(first.secret_arn, secret.read)
    connector = Connector(first.target, keys)
    match request:
        case "Create" | "Update" if first.is_of_list:
            lenient = continue_on_error(properties) and not _replaces(event, request, who)
            order = BatchRequest(wish(properties), lambda one: _predecessors(event, request, one), lenient)
            result = apply_all(keys, who, _leaving(event, who), order, deadline)
            physical_id = first.physical_id
        case "Create" | "Update":
            done = apply(connector, first, wish(properties), _predecessors(event, request, first), deadline)
            result = Result({first.target.database: done})
            physical_id = first.physical_id
        case "Delete" if first.is_of_list:
            result = remove_all(keys, who, str(physical_id), deadline, recycles=recycles(properties))
        case "Delete":
            done = remove(connector, first, str(physical_id), deadline, recycles=recycles(properties))
            result = Result({first.target.database: done})
        case "DriftCheck":
            name, repairs = str(event.get("Name")), event.get("Repair") is True
            managed = [Key(item["name"], item["role"]) for item in event.get("Settings", [])]
            return check(keys, who, managed, name, deadline, repairs=repairs).counts
        case _:
            raise ApplyError(f"RequestType must be Create, Update or Delete, got {truncate(request, 40)!r}")
    for database, one in result.done.items():
        with log.bound_fields(database=database) if first.is_of_list else contextlib.nullcontext():
            _tell(one.outcome)
    recycled = Recycled()
    if changes := _changes(result):
        # By way of a database that is known to answer.
        target = replace(first.target, database=changes[0].database)
        recycled = recycle(Connector(target, keys), changes, deadline)
    return {"PhysicalResourceId": physical_id, "Data": _data(result, recycled)}


def _predecessors(event: Mapping[str, Any], request: str, identity: Identity) -> set[str]:
    """The owner of before, where a construct was moved or renamed while its resource stayed the same."""
    old = event.get("OldResourceProperties") or {}
    is_same = old.get("Host") == identity.target.host and identity.target.database in _databases(old)
    return {str(old["Owner"])} if request == "Update" and is_same and old.get("Owner") else set()


def _leaving(event: Mapping[str, Any], staying: Sequence[Identity]) -> list[Identity]:
    """The databases that left the list. Where the resource is another one now, CloudFormation deletes the old one."""
    if event.get("PhysicalResourceId") != staying[0].physical_id:
        return []
    stay = {identity.target.database for identity in staying}
    gone = [name for name in _databases(event.get("OldResourceProperties") or {}) if name not in stay]
    return [replace(staying[0], target=replace(staying[0].target, database=name)) for name in gone]


def _replaces(event: Mapping[str, Any], request: str, who: Sequence[Identity]) -> bool:
    """Whether databases go over to another resource: one that failed would lose its settings with the old one.

    Another host may be another name of the same server.
    """
    is_same = request == "Create" or event.get("PhysicalResourceId") == who[0].physical_id
    stay = {identity.target.database for identity in who}
    return not is_same and not stay.isdisjoint(_databases(event.get("OldResourceProperties") or {}))


def _databases(old: Mapping[str, Any]) -> list[str]:
    """What the resource was for; it was checked when it was new."""
    return [str(name) for name in old.get("Databases") or [old.get("Database")] if name]


def _changes(result: Result) -> list[Change]:
    return [
        Change(database, done.outcome.committed_at, keys)
        for database, done in result.done.items()
        if done.outcome.committed_at and (keys := (*done.outcome.changed, *done.outcome.reset))
    ]


def _tell(outcome: Outcome) -> None:
    log.info(
        "done",
        applied=len(outcome.applied),
        changed=outcome.changed,
        adopted=outcome.adopted,
        reset=outcome.reset,
        repaired=outcome.repaired,
    )
    if outcome.left:
        log.warning("left_as_changed_by_others", names=outcome.left)
    if outcome.orphaned:
        log.warning("role_missing", names=outcome.orphaned)
    for key, state in outcome.refused:
        log.warning("not_taken_back", name=key, sqlstate=state)
    for name, role in outcome.shadows:
        log.warning("shadowed", name=name, role=role)


def _data(result: Result, recycled: Recycled) -> dict[str, str]:
    outcomes = [done.outcome for done in result.done.values()]
    shadowed = dict.fromkeys(name for outcome in outcomes for name, _ in outcome.shadows)
    return {
        "Applied": str(sum(len(outcome.applied) for outcome in outcomes)),
        "Changed": str(sum(len(outcome.changed) for outcome in outcomes)),
        "Adopted": str(sum(len(outcome.adopted) for outcome in outcomes)),
        "Reset": str(sum(len(outcome.reset) for outcome in outcomes)),
        "OverriddenByRole": names(shadowed, _LISTED_CHARACTERS),
        "Recycled": str(recycled.ended),
        "Stale": "unknown" if recycled.stale is None else str(recycled.stale),
        "Failed": names(result.failed, _LISTED_CHARACTERS),
    }


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
