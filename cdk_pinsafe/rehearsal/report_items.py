"""What a rehearsal tells while it goes on: steps, and facts that were seen. Data only."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

__all__ = [
    "AlarmRow",
    "Deployed",
    "Fact",
    "Kept",
    "Note",
    "Pooling",
    "Query",
    "Refusal",
    "Reporter",
    "SettingRow",
    "Settings",
]


@dataclass(frozen=True)
class SettingRow:
    """A setting in one fresh connection before, and in another one after."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Settings:
    """The settings of a database around a step.

    Attributes:
        moment: what happened in between.
        database: its name.
        owner: the path of the construct that keeps the settings, and its stack.
        rows: the settings.
    """

    kind: ClassVar[str] = "settings"
    moment: str
    database: str
    owner: str
    rows: tuple[SettingRow, ...]


@dataclass(frozen=True)
class Query:
    """A filtered query through an HNSW index, the first statement of a fresh connection.

    Attributes:
        database: its name.
        limit: how many rows it asks for.
        rows: how many it got with the database's settings.
        rows_without: how many it got in a database without them.
        uses_index: whether the plan went through the index in both.
    """

    kind: ClassVar[str] = "query"
    database: str
    limit: int
    rows: int
    rows_without: int
    uses_index: bool


@dataclass(frozen=True)
class Deployed:
    """What the local cloud says was made.

    Attributes:
        stacks: the stacks' names.
        proxies: name, endpoint, engine family and whether enhanced logging is on, of each proxy.
        alarms: name and what it watches, of each alarm.
        recorded_only: types of resources that were written down and nothing more.
    """

    kind: ClassVar[str] = "deployed"
    stacks: tuple[str, ...]
    proxies: tuple[dict[str, Any], ...]
    alarms: tuple[dict[str, str], ...]
    recorded_only: tuple[str, ...]


@dataclass(frozen=True)
class AlarmRow:
    """An alarm's state before, and after."""

    name: str
    watches: str
    before: str
    after: str


@dataclass(frozen=True)
class Pooling:
    """What became of a proxy's database connections while clients were there.

    Attributes:
        proxy: its name.
        clients: how many.
        statement: what each sent first; None if nothing.
        setting: the parameter that they looked at.
        value: its value, the same for all of them.
        transactions: how many they did.
        connections: the most database connections in any minute.
        pinned: the most pinned ones.
        pins_in_log: how many lines of the proxy's log tell of a pin.
        line: the first of them.
        alarms: all those on the proxy.
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
class Refusal:
    """The message with which a deployment failed, as it should, and what became of the stack."""

    kind: ClassVar[str] = "refusal"
    setting: str
    value: str
    message: str
    stack: str
    status: str


@dataclass(frozen=True)
class Kept:
    """How to connect while the rehearsal waits.

    Attributes:
        connections: owner, psql command and DSN of each database and proxy.
        endpoint: the local cloud's.
        environments: environment variables of an AWS client, for each account and region.
    """

    kind: ClassVar[str] = "kept"
    connections: tuple[dict[str, str], ...]
    endpoint: str
    environments: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Note:
    """Something to know: left out, or different from AWS."""

    kind: ClassVar[str] = "note"
    text: str


Fact = Settings | Query | Deployed | Pooling | Refusal | Kept | Note


def as_json(fact: Fact) -> dict[str, Any]:
    """A fact as JSON has it."""
    return {"kind": fact.kind, **asdict(fact)}


class Reporter(Protocol):
    """Who is told."""

    def begin(self, step: str) -> None:
        """A step begins."""

    def end(self, step: str, seconds: float) -> None:
        """A step succeeded."""

    def show(self, fact: Fact) -> None:
        """A fact was seen."""
