"""What becomes of connections that were open before a setting changed."""

from enum import Enum


class Recycle(Enum):
    """Which database connections are ended after a change, so that they come back with the new values.

    A connection takes the database's settings when it is opened, and keeps them for as long as it lives, through
    ``RESET ALL`` and ``DISCARD ALL`` (measured). RDS Proxy closes those of its pool some time after 24 hours
    (documented).
    """

    NEVER = "never"
    """None: every connection keeps what it has until it is closed by somebody else."""

    IDLE = "idle"
    """Those of the changed database that are idle, outside a transaction, and were opened before the change; where only
    settings of roles changed, those of these roles. Never another database's, nor RDS's own, such as ``rdsproxyadmin``.
    A deployment that fails and is undone ends those that were opened in between, and no others.

    Not only the proxy's: an application that is connected directly, or pinned, is cut off between two transactions as
    well, finds its connection closed by its next statement (SQLSTATE 57P01), and loses what the session kept, such as
    temporary tables and ``LISTEN``. Between the last look at a connection and its end lies a moment in which a
    transaction may begin; it is rolled back. The secret's user must see other sessions (``pg_read_all_stats``) and be
    let end them (``pg_signal_backend``); what it may not is counted, and warned of in the applier's log. RDS's master
    user may do both (documented). How RDS Proxy takes it was not tried: it is expected to replace the connections, as
    after a restart of the instance (inferred).
    """
