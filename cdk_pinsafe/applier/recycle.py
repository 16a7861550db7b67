"""Ending of idle sessions that began before a change, which hold the values of then for as long as they live.

Nothing here makes a deployment fail: what was changed is committed and verified by then.

What it cannot rule out: a client that sends its next statement in the moment between the last look at its session and
the signal finds it closed (57P01), as if the server had been restarted. And what an idle session keeps besides
transactions, such as temporary tables, LISTEN or advisory locks, goes with it. Nothing of this was tried behind a real
RDS Proxy.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import PinSafeError
from . import log, sql
from .connection import ServerError, immune_options
from .connector import Connector
from .deadline import Deadline, TransientError
from .plan import Key
from .state import AWS_ROLES


@dataclass(frozen=True)
class Change:
    """When something was changed that sessions take at log-in.

    Attributes:
        database: its name.
        since: the server's time right after the commit, as seconds of Unix time.
        keys: what was changed.
        begun: sessions that began before this time, of the same kind, do not matter.
    """

    database: str
    since: str
    keys: tuple[Key, ...]
    begun: str = "0"


@dataclass(frozen=True)
class Recycled:
    """What became of the sessions of before.

    Attributes:
        ended: idle ones that were ended.
        stale: all others, which may still hold old values; None if they could not be counted.
    """

    ended: int = 0
    stale: int | None = None


def recycle(connector: Connector, changes: Sequence[Change], deadline: Deadline) -> Recycled:
    """End what is idle of the sessions that began before the changes, in one session of any database of the server.

    A session is ended if it is a client's, of the changed database and, where only settings of roles were changed, of
    such a role; if it is idle, outside a transaction; and if it is of none of RDS's own roles. Its state is looked at
    again right before.
    """
    request = {
        "changes": [
            {
                "database": change.database,
                "since": change.since,
                "begun": change.begun,
                "concerns_all": any(not key.role for key in change.keys),
                "roles": sorted({key.role for key in change.keys if key.role}),
            }
            for change in changes
        ],
        "spared": sorted(AWS_ROLES),
    }
    try:
        with connector.open(deadline, immune_options(deadline)) as session:
            session.run(sql.BEGIN_READ_ONLY)
            session.run(sql.REQUEST, request=json.dumps(request, ensure_ascii=False))
            session.run(sql.RECYCLE)
            result = session.run(sql.RESULT)[0][0]
    except (ServerError, TransientError, PinSafeError) as error:
        state = error.answer.sqlstate if isinstance(error, ServerError) else ""
        log.warning("not_recycled", kind=type(error).__name__, sqlstate=state)
        return Recycled()
    log.info("recycled", **result)
    if result["denied"]:
        log.warning("not_allowed_to_end_sessions", sessions=result["denied"], needs="pg_signal_backend")
    if result["unseen"]:
        # PostgreSQL shows neither state nor age of others' sessions to whom it does not trust.
        log.warning("not_allowed_to_see_sessions", sessions=result["unseen"], needs="pg_read_all_stats")
    return Recycled(result["ended"], result["stale"])
