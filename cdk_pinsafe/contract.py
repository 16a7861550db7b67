"""The contract between the constructs, the applier and the local cloud: every name that goes over the wire.

``cdk.DatabaseSettings`` writes these names into the template and ``cdk.DriftGuard`` into the schedule's event; the
applier reads them from the events, and answers with the attributes; the rehearsal reads them from templates and
requests.
"""

from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict, get_args

RESOURCE_TYPE: Final = "Custom::PinSafeDatabaseSettings"
"""The CloudFormation type of a ``DatabaseSettings``."""

OnErrorMode: TypeAlias = Literal["rollback", "continue"]
OnRoleOverrideMode: TypeAlias = Literal["warn", "fail"]
RecycleMode: TypeAlias = Literal["never", "idle"]


class Property:
    """The properties of the resource. CloudFormation passes every scalar as text."""

    HOST: Final = "Host"
    PORT: Final = "Port"
    DATABASE: Final = "Database"
    """One database. A resource has either this or :attr:`DATABASES`."""
    DATABASES: Final = "Databases"
    """A list of databases."""
    SECRET_ARN: Final = "SecretArn"  # noqa: S105 - the name of a property
    OWNER: Final = "Owner"
    """Path and stack of the construct, by which the ledger knows it."""
    ADDRESS: Final = "Address"
    """Stack and CDK address of the construct: a part of the physical id."""
    SETTINGS: Final = "Settings"
    """JSON text: an object of parameter and value (text, or a list of texts)."""
    ROLE_SETTINGS: Final = "RoleSettings"
    """JSON text: an object of role and such an object. Optional."""
    EXTENSIONS: Final = "Extensions"
    """A list of names. Optional."""
    DRIFT_CHECK: Final = "DriftCheck"
    """The metrics' dimension value, if there is a schedule: a deployment publishes as a first check. Optional."""


class Choice(NamedTuple):
    """An optional property with few values.

    Attributes:
        name: the property.
        default: its value where it is absent.
        other: the other value.
    """

    name: str
    default: str
    other: str

    def as_property(self, value: str) -> dict[str, str]:
        """The property with a value; nothing for the default."""
        return {} if value == self.default else {self.name: value}


ON_ERROR: Final = Choice("OnError", *get_args(OnErrorMode))
ON_ROLE_OVERRIDE: Final = Choice("OnRoleOverride", *get_args(OnRoleOverrideMode))
RECYCLE: Final = Choice("Recycle", *get_args(RecycleMode))


class Attribute:
    """The attributes of the resource, ``Data`` of the applier's response. All values are texts."""

    APPLIED: Final = "Applied"
    CHANGED: Final = "Changed"
    ADOPTED: Final = "Adopted"
    RESET: Final = "Reset"
    OVERRIDDEN_BY_ROLE: Final = "OverriddenByRole"
    RECYCLED: Final = "Recycled"
    STALE: Final = "Stale"
    FAILED: Final = "Failed"


class ManagedSetting(TypedDict):
    """A setting that the ledger must have: the parameter in lower case; the role is empty for the database."""

    name: str
    role: str


class DriftCheckEvent(TypedDict):
    """The event of the schedule. ``ResourceProperties`` needs only what identifies the databases."""

    RequestType: Literal["DriftCheck"]
    Name: str
    Repair: bool
    Settings: list[ManagedSetting]
    ResourceProperties: dict[str, object]


DRIFT_CHECK: Final = "DriftCheck"
METRIC_NAMESPACE: Final = "cdk-pinsafe"
METRIC_DIMENSION: Final = "DatabaseSettings"
"""The one dimension of the metrics. Its value is :attr:`Property.OWNER` in ASCII."""


class Metric:
    """The metrics of a drift check, also its response."""

    DRIFTED: Final = "Drifted"
    OVERRIDDEN_BY_ROLE: Final = "OverriddenByRole"
    REPAIRED: Final = "Repaired"
    UNCHECKED: Final = "Unchecked"
