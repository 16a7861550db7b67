"""What happens to connections that were opened before a setting changed."""

from enum import Enum


class Recycle(Enum):
    """Which database connections are terminated after a change, so that new ones start with the new values.

    A connection takes the database's settings when it is opened and keeps them until it is closed, through
    ``RESET ALL`` and ``DISCARD ALL`` (measured). RDS Proxy closes the connections of its pool some time after 24 hours
    (documented).
    """

    NEVER = "never"
    """None: a connection keeps its values until another side closes it."""

    TERMINATE_IDLE = "idle"
    """Connections to the changed database that are idle, outside a transaction, and older than the change, by
    ``pg_terminate_backend``; if only settings of roles changed, those of these roles.

    Connections to other databases and RDS's own, such as ``rdsproxyadmin``, are never terminated. A deployment that
    fails and is rolled back terminates only those that were opened in between.

    It is not limited to the proxy's connections: a client that is connected directly, or pinned, gets SQLSTATE 57P01
    for its next statement, and loses the session's state, such as temporary tables and ``LISTEN``. A transaction that
    begins between the check and the termination is rolled back. The secret's user must see other sessions
    (``pg_read_all_stats``) and may terminate them (``pg_signal_backend``), as RDS's master user can (documented);
    connections that it may not terminate are counted, and the applier's log has a warning. RDS Proxy is expected to
    replace the connections, as after a restart of the instance (inferred; not tried on AWS).
    """
