"""What a deployment does if a role overrides a setting."""

from enum import Enum


class OnRoleOverride(Enum):
    """What a deployment does if a role has an own value for a setting that it sets or adopts.

    Such a value (``ALTER ROLE … SET``, not of ``role_settings``) overrides the database's when that role logs in. RDS's
    own roles do not count. What clients send also overrides the database's value, but the applier cannot see their
    sessions.
    """

    WARN = "warn"
    """Log it, and name the settings in ``DatabaseSettings.overridden_by_role``."""

    FAIL = "fail"
    """Fail the deployment with the names of setting and role, and change nothing.

    A setting that was managed before only gets a warning, so that a rollback cannot fail.
    """
