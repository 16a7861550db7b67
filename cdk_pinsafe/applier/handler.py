"""The Lambda's entry: a CloudFormation event in, an answer or one short error out.

CDK's provider framework sends what this returns, or the message of what this raises, to CloudFormation. It must know
nothing of PostgreSQL.

Nothing slow is imported here: the handler starts in well under half a second.
"""

import json
import os
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ..errors import ApplyError, PinSafeError
from . import log, secret
from .apply import apply, remove
from .deadline import Deadline
from .door import Door, Keys
from .messages import LONGEST, clip, clip_values, names
from .properties import PHYSICAL_ID_PREFIX, identity, recycles, wish
from .recycle import Change, Recycled, recycle
from .transaction import Outcome

__all__ = ["on_event"]

_LONGEST_MARGIN: Final = 10.0
_SHADOWED_CHARACTERS: Final = 1000


class Context(Protocol):
    """What is used of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""
        ...


def on_event(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Bring a database to its settings, or give them up.

    Returns:
        ``PhysicalResourceId`` and ``Data``, whose values are texts:

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

        The whole is below 4096 bytes, whatever the event.

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
        return type(error)(clip_values(str(error), LONGEST))
    except Exception as error:
        # A fault of ours. Where it happened helps; what was being handled stays out of the log.
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        log.error("fault", request=request, kind=type(error).__name__, frames=frames, seconds=_since(start))
        group = clip(os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "of its function"), 512)
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
    who = identity(properties)
    log.info("received", request=request, host=who.target.host, database=who.target.database, owner=who.owner)
    door = Door(who.target, Keys(who.secret_arn, secret.read))
    match request:
        case "Create" | "Update":
            outcome = apply(
                door, who, wish(properties), _predecessors(event, request), deadline, undo=request == "Create"
            )
            physical_id = who.physical_id
        case "Delete":
            outcome = remove(door, who, str(physical_id), deadline, recycles=recycles(properties))
        case _:
            raise ApplyError(f"RequestType must be Create, Update or Delete, got {clip(request, 40)!r}")
    _tell(outcome)
    recycled = Recycled()
    if outcome.committed_at and (keys := (*outcome.changed, *outcome.reset)):
        recycled = recycle(door, [Change(who.target.database, outcome.committed_at, keys)], deadline)
    return {"PhysicalResourceId": physical_id, "Data": _data(outcome, recycled)}


def _predecessors(event: Mapping[str, Any], request: str) -> set[str]:
    """The owner of before, where a construct was moved or renamed while its resource stayed the same."""
    old = event.get("OldResourceProperties") or {}
    new = event["ResourceProperties"]
    is_same = all(old.get(key) == new[key] for key in ("Host", "Database"))
    return {str(old["Owner"])} if request == "Update" and is_same and old.get("Owner") else set()


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


def _data(outcome: Outcome, recycled: Recycled) -> dict[str, str]:
    shadowed = dict.fromkeys(name for name, _ in outcome.shadows)
    return {
        "Applied": str(len(outcome.applied)),
        "Changed": str(len(outcome.changed)),
        "Adopted": str(len(outcome.adopted)),
        "Reset": str(len(outcome.reset)),
        "Shadowed": names(shadowed, _SHADOWED_CHARACTERS),
        "Recycled": str(recycled.ended),
        "Stale": "unknown" if recycled.stale is None else str(recycled.stale),
    }


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
