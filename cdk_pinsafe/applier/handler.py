"""Entry point of the Lambda function: handles the events of CloudFormation and of the drift check's schedule.

CDK's provider framework sends the returned value, or the message of the raised error, to CloudFormation. This module
knows nothing of PostgreSQL.

It imports nothing slow: the handler starts in well under half a second.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, cast

from .. import contract
from ..contract import Attribute, Property
from ..errors import ApplyError, PinSafeError
from . import log, secret
from .apply import Task, apply, remove
from .batch import BatchRequest, Result, apply_all, remove_all
from .connector import Connector, CredentialsCache
from .deadline import Deadline
from .drift_check import check, publish_deployment
from .messages import LONGEST, list_names, truncate, truncate_quoted
from .plan import Key
from .properties import (
    PHYSICAL_ID_PREFIX,
    DesiredState,
    Identity,
    parse_continue_on_error,
    parse_desired_state,
    parse_identities,
    parse_terminate_idle,
)
from .recycle import ChangedDatabase, Recycled, recycle
from .transaction import Outcome

__all__ = ["on_event"]

_MOST_RESERVED: Final = 10.0
"""Seconds kept for the response, and for what cannot be interrupted, such as a name look-up."""
_LISTED_CHARACTERS: Final = 1000


class Context(Protocol):
    """The part of Lambda's context that the applier uses."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""
        ...


def on_event(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Bring databases to their settings, let them give these up, or check them for drift.

    Returns:
        ``PhysicalResourceId`` and ``Data``, whose values are texts. For several databases the counts are sums:

        * ``Applied``: how many settings are desired, those of roles included; all are in place. Unchanged ones of a
          role that was dropped since do not count.
        * ``Changed``: how many of these had another value stored, or none, before this event.
        * ``Adopted``: how many of these had an equivalent value and were not managed; they are managed from now on.
        * ``Reset``: how many settings that are no longer desired got their previous value back. Those that someone else
          changed since, and those that PostgreSQL refuses to reset, do not count.
        * ``OverriddenByRole``: names, joined by ``, ``, for which some role has an own value that overrides the
          database's, and that this library does not manage.
        * ``Recycled``: how many idle sessions that predate the change were ended.
        * ``Stale``: how many sessions that predate the change are left, which may have old values; ``unknown`` if
          sessions are not to be ended, nothing was changed, or they could not be counted.
        * ``Failed``: names, joined by ``, ``, of databases that failed with ``on_error="continue"``; else empty.

        The whole is below 4096 bytes, whatever the event. A drift check returns the metrics of :mod:`.drift_check`
        instead.

    Raises:
        PinSafeError: one line, below 1000 characters and 2500 bytes, with the cause and the remedy.
    """
    outcome = _answer(event, context)
    if isinstance(outcome, PinSafeError):
        # Raised here, so that its traceback has no frames of the work.
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
    deadline = Deadline(remaining - min(_MOST_RESERVED, remaining / 5))
    identities = parse_identities(properties)
    first = identities[0]
    target = first.target
    databases = len(identities) if first.is_of_list else target.database
    log.info("received", request=request, host=target.host, database=databases, owner=first.owner)
    credentials = CredentialsCache(first.secret_arn, secret.read)
    match request:
        case "Create" | "Update":
            physical_id = first.physical_id
            result = _apply(event, request, identities, credentials, deadline)
        case "Delete":
            desired = DesiredState({}, terminate_idle=parse_terminate_idle(properties))
            if first.is_of_list:
                result = remove_all(credentials, identities, str(physical_id), desired, deadline)
            else:
                task = Task(Connector(target, credentials), first, deadline, desired)
                result = Result({target.database: remove(task, str(physical_id))})
        case contract.DRIFT_CHECK:
            drift_check = cast("contract.DriftCheckEvent", event)
            managed = [Key(setting["name"], setting["role"]) for setting in drift_check["Settings"]]
            return check(credentials, identities, managed, drift_check["Name"], deadline, repairs=drift_check["Repair"])
        case _:
            raise ApplyError(f"RequestType must be Create, Update or Delete, got {truncate(request, 40)!r}")
    if request != "Delete" and (name := properties.get(Property.DRIFT_CHECK)):
        publish_deployment(str(name), len(result.failed))
    for database, applied in result.applied.items():
        with log.bound_fields(database=database) if first.is_of_list else contextlib.nullcontext():
            _log_outcome(applied.outcome)
    recycled = Recycled()
    if changes := _changed_databases(result):
        # Through a database that is known to answer.
        connector = Connector(replace(target, database=changes[0].database), credentials)
        recycled = recycle(connector, changes, deadline)
    return {"PhysicalResourceId": physical_id, "Data": _data(result, recycled)}


def _apply(
    event: Mapping[str, Any],
    request: str,
    identities: Sequence[Identity],
    credentials: CredentialsCache,
    deadline: Deadline,
) -> Result:
    properties = event["ResourceProperties"]
    first = identities[0]
    desired = parse_desired_state(properties)
    if not first.is_of_list:
        connector = Connector(first.target, credentials)
        task = Task(connector, first, deadline, desired, _predecessors(event, request, first))
        return Result({first.target.database: apply(task)})
    continues = parse_continue_on_error(properties) and not _replaces(event, request, identities)
    batch = BatchRequest(desired, lambda identity: _predecessors(event, request, identity), continues)
    return apply_all(credentials, identities, _leaving(event, identities), batch, deadline)


def _predecessors(event: Mapping[str, Any], request: str, identity: Identity) -> frozenset[str]:
    """The previous owner, if the construct was moved or renamed without a replacement of its resource."""
    old = event.get("OldResourceProperties") or {}
    is_same = old.get(Property.HOST) == identity.target.host and identity.target.database in _databases(old)
    owner = old.get(Property.OWNER)
    return frozenset({str(owner)}) if request == "Update" and is_same and owner else frozenset()


def _leaving(event: Mapping[str, Any], staying: Sequence[Identity]) -> list[Identity]:
    """The databases that left the list. After a replacement there are none: CloudFormation deletes the old resource."""
    if event.get("PhysicalResourceId") != staying[0].physical_id:
        return []
    stay = {identity.target.database for identity in staying}
    gone = [name for name in _databases(event.get("OldResourceProperties") or {}) if name not in stay]
    return [replace(staying[0], target=replace(staying[0].target, database=name)) for name in gone]


def _replaces(event: Mapping[str, Any], request: str, identities: Sequence[Identity]) -> bool:
    """Whether this update replaces the resource and keeps a database.

    If that database failed, it would lose its settings when CloudFormation deletes the old resource. Another host may
    be another name of the same server.
    """
    is_same = request == "Create" or event.get("PhysicalResourceId") == identities[0].physical_id
    stay = {identity.target.database for identity in identities}
    return not is_same and not stay.isdisjoint(_databases(event.get("OldResourceProperties") or {}))


def _databases(old: Mapping[str, Any]) -> list[str]:
    """The databases of the old resource. They were validated when it was new."""
    return [str(name) for name in old.get(Property.DATABASES) or [old.get(Property.DATABASE)] if name]


def _changed_databases(result: Result) -> list[ChangedDatabase]:
    outcomes = {database: applied.outcome for database, applied in result.applied.items()}
    return [
        ChangedDatabase(database, outcome.committed_at, keys)
        for database, outcome in outcomes.items()
        if outcome.committed_at and (keys := (*outcome.changed, *outcome.reset))
    ]


def _log_outcome(outcome: Outcome) -> None:
    log.info(
        "done",
        applied=len(outcome.applied),
        changed=outcome.changed,
        adopted=outcome.adopted,
        reset=outcome.reset,
        repaired=outcome.repaired,
    )
    if outcome.kept_foreign:
        log.warning("kept_as_changed_by_others", names=outcome.kept_foreign)
    if outcome.orphaned:
        log.warning("role_missing", names=outcome.orphaned)
    for key, sqlstate in outcome.refused:
        log.warning("not_reset", name=key, sqlstate=sqlstate)
    for name, role in outcome.role_overrides:
        log.warning("overridden_by_role", name=name, role=role)


def _data(result: Result, recycled: Recycled) -> dict[str, str]:
    outcomes = [applied.outcome for applied in result.applied.values()]
    overridden = dict.fromkeys(name for outcome in outcomes for name, _ in outcome.role_overrides)
    return {
        Attribute.APPLIED: str(sum(len(outcome.applied) for outcome in outcomes)),
        Attribute.CHANGED: str(sum(len(outcome.changed) for outcome in outcomes)),
        Attribute.ADOPTED: str(sum(len(outcome.adopted) for outcome in outcomes)),
        Attribute.RESET: str(sum(len(outcome.reset) for outcome in outcomes)),
        Attribute.OVERRIDDEN_BY_ROLE: list_names(overridden, _LISTED_CHARACTERS),
        Attribute.RECYCLED: str(recycled.ended),
        Attribute.STALE: "unknown" if recycled.stale is None else str(recycled.stale),
        Attribute.FAILED: list_names(result.failed, _LISTED_CHARACTERS),
    }


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
