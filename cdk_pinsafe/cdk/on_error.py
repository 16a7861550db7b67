"""What a deployment does if some of several databases fail."""

from enum import Enum


class OnError(Enum):
    """What a deployment of several databases does if some of them fail.

    A deployment that replaces the resource (from one name to a list, or to another host) is always ``ROLLBACK``, since
    CloudFormation deletes the old resource afterwards, with the settings of a database that failed. A deletion always
    goes through all databases, and fails if one does.
    """

    ROLLBACK = "rollback"
    """Roll back the databases that were changed already, and fail the deployment with the names of all that failed."""

    CONTINUE = "continue"
    """Keep the changes in the others; the deployment succeeds unless all fail.

    If it failed, CloudFormation would roll all of them back. ``DatabaseSettings.failed`` and the applier's log name the
    databases that failed; the next deployment that changes a prop tries them again. A database that left the list and
    failed is not tried again and keeps its settings: add it to the list, and remove it once more.
    """
