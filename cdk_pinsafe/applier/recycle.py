"""Ends idle sessions that began before a change, which keep the old values for as long as they live.

No error here fails a deployment: the change is committed and verified already.

Limits: PostgreSQL may signal a session just as its client sends a statement; the client then finds the session closed
(57P01), as after a restart of the server. An ended session loses what it keeps outside transactions, such as temporary
tables, LISTEN and advisory locks. None of this was tried behind a real RDS Proxy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import PinSafeError
from . import log, sql
from .connection import ServerError, immune_options
from .connector import Connector
from .deadline import Deadline, TransientError
from .plan import Key
from .state import AWS_ROLES, run_block


@dataclass(frozen=True)
class ChangedDatabase:
    """A database whose settings changed, and which of its sessions have old values.

    Attributes:
        database: its name.
        began_before: the server's time right after the commit, in seconds of Unix time, as text.
        keys: the settings that changed.
        began_since: only sessions that began at this time or later; same unit.
    """

    database: str
    began_before: str
    keys: tuple[Key, ...]
    began_since: str = "0"


@dataclass(frozen=True)
class Recycled:
    """The result of ending the sessions that predate the change.

    Attributes:
        ended: how many idle sessions were ended.
        stale: how many are left, which may still have old values; None if they could not be counted.
    """

    ended: int = 0
    stale: int | None = None


def recycle(connector: Connector, changes: Sequence[ChangedDatabase], deadline: Deadline) -> Recycled:
    """End the idle sessions that began before the changes, from one session in any database of the server.

    A session is ended if it is a client's, in the changed database and, if only settings of roles changed, of one of
    these roles; if it is idle, outside a transaction; and if its role is none of RDS's own. Its state is read again
    right before.
    """
    request = {
        "changes": [
            {
                "database": change.database,
                "began_before": change.began_before,
                "began_since": change.began_since,
                "all_roles": any(not key.role for key in change.keys),
                "roles": sorted({key.role for key in change.keys if key.role}),
            }
            for change in changes
        ],
        "excluded_roles": sorted(AWS_ROLES),
    }
    try:
        with connector.open(deadline, immune_options(deadline)) as session:
            session.run(sql.BEGIN_READ_ONLY)
            result = run_block(session, sql.RECYCLE, request)
    except (ServerError, TransientError, PinSafeError) as error:
        sqlstate = error.answer.sqlstate if isinstance(error, ServerError) else ""
        log.warning("not_recycled", kind=type(error).__name__, sqlstate=sqlstate)
        return Recycled()
    log.info("recycled", **result)
    if result["denied"]:
        log.warning("not_allowed_to_end_sessions", sessions=result["denied"], needs="pg_signal_backend")
    if result["unseen"]:
        # PostgreSQL hides state and start of other users' sessions without this privilege.
        log.warning("not_allowed_to_see_sessions", sessions=result["unseen"], needs="pg_read_all_stats")
    return Recycled(result["ended"], result["stale"])
