"""What a rehearsal tells while it goes on: steps, and facts that were seen. Data only."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

__all__ = [
    "Deployed",
    "Fact",
    "Kept",
    "Note",
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
        proxies: name, engine family and whether enhanced logging is on, of each proxy.
        alarms: name and what it watches, of each alarm.
        recorded_only: types of resources that were written down and nothing more.
    """

    kind: ClassVar[str] = "deployed"
    stacks: tuple[str, ...]
    proxies: tuple[dict[str, Any], ...]
    alarms: tuple[dict[str, str], ...]
    recorded_only: tuple[str, ...]


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
    """How to get in while the rehearsal waits."""

    kind: ClassVar[str] = "kept"
    connections: tuple[dict[str, str], ...]
    endpoint: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """Something to know: left out, or different from AWS."""

    kind: ClassVar[str] = "note"
    text: str


Fact = Settings | Query | Deployed | Refusal | Kept | Note


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
