"""What a rehearsal reports: steps, and the results that it observed. Data only."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

__all__ = [
    "AlarmRow",
    "ConnectInfo",
    "DeployedResources",
    "FailedDeployment",
    "Note",
    "ProxyUse",
    "ReportItem",
    "Reporter",
    "SettingRow",
    "SettingsTable",
    "VectorQuery",
    "as_json",
]


@dataclass(frozen=True)
class SettingRow:
    """A setting in two fresh connections, before and after a step."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class SettingsTable:
    """Settings of a database before and after a step.

    Attributes:
        moment: the step.
        database: its name.
        owner: the path and stack of the `DatabaseSettings`.
        rows: the settings.
    """

    kind: ClassVar[str] = "settings"
    moment: str
    database: str
    owner: str
    rows: tuple[SettingRow, ...]


@dataclass(frozen=True)
class VectorQuery:
    """The result of a filtered query through an HNSW index, the first statement of a fresh connection.

    Attributes:
        database: its name.
        limit: the LIMIT of the query.
        rows: the number of rows with the database's settings.
        rows_without: the number of rows in a database without them.
        uses_index: whether both plans used the index.
    """

    kind: ClassVar[str] = "query"
    database: str
    limit: int
    rows: int
    rows_without: int
    uses_index: bool


@dataclass(frozen=True)
class DeployedResources:
    """What the local cloud deployed.

    Attributes:
        stacks: the stacks' names.
        proxies: name, endpoint, engine family, enhanced logging and TLS requirement of each proxy.
        alarms: name and watched metric of each alarm.
        recorded_only: the types of resources that the local cloud only records.
    """

    kind: ClassVar[str] = "deployed"
    stacks: tuple[str, ...]
    proxies: tuple[dict[str, Any], ...]
    alarms: tuple[dict[str, str], ...]
    recorded_only: tuple[str, ...]


@dataclass(frozen=True)
class AlarmRow:
    """The state of an alarm before and after."""

    name: str
    watches: str
    before: str
    after: str


@dataclass(frozen=True)
class ProxyUse:
    """A proxy while clients used it.

    Attributes:
        proxy: its name.
        clients: the number of clients.
        statement: the first statement of each client; None if there was none.
        setting: the parameter that the clients read.
        value: its value, the same for all clients.
        transactions: the number of transactions.
        connections: the maximum of database connections in a minute.
        pinned: the maximum of pinned database connections in a minute.
        pins_in_log: the number of log lines about pins.
        line: the first of them.
        alarms: all alarms on the proxy.
    """

    kind: ClassVar[str] = "pooling"
    proxy: str
    clients: int
    statement: str | None
    setting: str
    value: str
    transactions: int
    connections: int
    pinned: int
    pins_in_log: int
    line: str | None
    alarms: tuple[AlarmRow, ...]


@dataclass(frozen=True)
class FailedDeployment:
    """The expected failure of a deployment: its message, and the resulting status of the stack."""

    kind: ClassVar[str] = "refusal"
    setting: str
    value: str
    message: str
    stack: str
    status: str


@dataclass(frozen=True)
class ConnectInfo:
    """How to connect while the rehearsal waits.

    Attributes:
        connections: owner, psql command and DSN of each database and proxy.
        endpoint: the URL of the local cloud.
        environments: environment variables for AWS clients, per account and region.
    """

    kind: ClassVar[str] = "kept"
    connections: tuple[dict[str, str], ...]
    endpoint: str
    environments: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Note:
    """A part that was skipped, or a difference from AWS."""

    kind: ClassVar[str] = "note"
    text: str


ReportItem = SettingsTable | VectorQuery | DeployedResources | ProxyUse | FailedDeployment | ConnectInfo | Note


def as_json(item: ReportItem) -> dict[str, Any]:
    """An item as JSON-compatible data."""
    return {"kind": item.kind, **asdict(item)}


class Reporter(Protocol):
    """Receives the progress of a rehearsal."""

    def begin(self, step: str) -> None:
        """A step begins."""

    def end(self, step: str, seconds: float) -> None:
        """A step succeeded."""

    def show(self, item: ReportItem) -> None:
        """Report a result."""
