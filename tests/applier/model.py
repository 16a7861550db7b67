"""What a database must have after each event: the applier's contract, restated in plain Python.

It shares no code with the applier and knows no SQL. For the few parameters that it uses, it has the spellings of a
value that are equivalent, the text that PostgreSQL stores for each, and the values that PostgreSQL refuses.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

Asked: TypeAlias = str | tuple[str, ...]


class Key(NamedTuple):
    """Identifies a setting: of a role in the database, or, with an empty role, of the database."""

    role: str
    name: str


class Spelling(NamedTuple):
    """One way to write a value: as desired, as PostgreSQL stores it, and its meaning."""

    asked: Asked
    stored: str
    meaning: object


@dataclass(frozen=True)
class Parameter:
    """How PostgreSQL handles a parameter.

    Attributes:
        name: in lower case.
        spellings: valid values.
        bad: values that PostgreSQL refuses.
        idle: meanings that PostgreSQL stores, but that no session gets.
        extension: without it, only a superuser may set or reset the parameter.
        locked: only a superuser may set it.
    """

    name: str
    spellings: tuple[Spelling, ...] = ()
    bad: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    extension: str = ""
    locked: bool = False


def _texts(**meanings: str) -> tuple[Spelling, ...]:
    """Values that are stored as written: each meaning with its spellings, separated by ``|``."""
    return tuple(Spelling(text, text, meaning) for meaning, texts in meanings.items() for text in texts.split("|"))


PARAMETERS: Final = {
    one.name: one
    for one in (
        Parameter("work_mem", _texts(eight="8MB|8192kB|8192", nine="9MB|9216"), bad=("8mb", "much", "1")),
        Parameter("jit", _texts(on="on|true|1", off="off|no"), bad=("perhaps",)),
        Parameter("timezone", _texts(zurich="Europe/Zurich|europe/zurich", utc="UTC"), bad=("Mars/Base",)),
        Parameter("random_page_cost", _texts(one="1.1|1.10", two="2"), bad=("cheap",)),
        Parameter("statement_timeout", _texts(half="30s|30000", whole="1min|60s"), bad=("soon",)),
        Parameter("default_transaction_read_only", _texts(on="on|yes", off="off")),
        Parameter(
            "default_text_search_config",
            _texts(english="english|pg_catalog.english", simple="pg_catalog.simple", nosuch="nosuch"),
            idle=("nosuch",),
        ),
        Parameter(
            "search_path",
            (
                Spelling(("chat", "public"), "chat, public", 1),
                Spelling(("$user", "Odd, \"Na'me"), '"$user", "Odd, ""Na\'me"', 2),
                Spelling(("",), '""', 3),
            ),
        ),
        Parameter(
            "model.text",
            tuple(Spelling(text, text, text) for text in ("acme", "it's \\ $1 %I", "🐘\n\"'; RESET ALL; --", "")),
        ),
        Parameter("hnsw.ef_search", _texts(a="100", b="200"), bad=("many", "0"), extension="vector"),
        Parameter("log_min_duration_statement", _texts(one="1s|1000", two="2s"), locked=True),
        Parameter("no_such_parameter", bad=("1",)),
    )
}

OWNED: Final = "already managed by"
MISSING: Final = "create the database first"
REFUSED: Final = "nothing was changed"
OVERRIDDEN: Final = "has a value of its own"
ROLELESS: Final = "the server has no such role"
IDLE: Final = "it is stored, but a fresh session takes its value from"


class RefusedError(Exception):
    """The event must fail for one of these reasons, its arguments."""


@dataclass
class Row:
    """A row of the ledger."""

    owner: str
    resource: str
    desired: Asked
    applied: str
    previous: str | None
    adopted: bool


class Answer(NamedTuple):
    """The response."""

    applied: int = 0
    changed: int = 0
    adopted: int = 0
    reset: int = 0
    overridden: frozenset[str] = frozenset()


@dataclass
class Model:
    """A database.

    Attributes:
        stored: the stored texts, managed or not.
        ledger: the ledger.
        extensions: the extensions in it.
        roles: those of the server.
        is_there: False once it was dropped.
    """

    stored: dict[Key, str] = field(default_factory=dict)
    ledger: dict[Key, Row] = field(default_factory=dict)
    extensions: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    is_there: bool = True

    def apply(
        self,
        owner: str,
        resource: str,
        desired: Mapping[Key, Asked],
        extensions: Iterable[str] = (),
        *,
        predecessors: Collection[str] = (),
        allow_role_overrides: bool,
    ) -> Answer:
        """A Create or an Update: it does everything or nothing."""
        if not self.is_there:
            raise RefusedError(MISSING)
        before = copy.deepcopy(self)
        try:
            self.extensions.update(extensions)
            return self._apply(owner, resource, desired, {owner, *predecessors}, allow_role_overrides)
        except RefusedError as error:
            self.stored, self.ledger = before.stored, before.ledger
            # An ineffective setting is found after the commit; extensions are never dropped.
            if error.args != (IDLE,):
                self.extensions = before.extensions
            raise

    def delete(self, resource: str) -> Answer:
        """A Delete, which never fails because of changes in the database."""
        return Answer(reset=self._give_up((), lambda row: row.resource == resource))

    def may_set(self, key: Key) -> bool:
        """Whether the master user may set and reset it."""
        parameter = PARAMETERS[key.name]
        return not parameter.locked and parameter.extension in {"", *self.extensions}

    def _apply(
        self,
        owner: str,
        resource: str,
        desired: Mapping[Key, Asked],
        owners: Collection[str],
        allow_role_overrides: bool,
    ) -> Answer:
        # An unchanged desired setting of a role that was dropped stays in the ledger.
        orphaned = {key for key in desired if key.role and key.role not in self.roles}
        for key in orphaned:
            row = self.ledger.get(key)
            if row is None or row.owner not in owners or row.desired != desired[key]:
                raise RefusedError(ROLELESS)
        wanted = {key: asked for key, asked in desired.items() if key not in orphaned}

        in_place = {key for key, asked in wanted.items() if self._is_in_place(key, asked)}
        reasons = {OWNED for key in wanted if key in self.ledger and self.ledger[key].owner not in owners}
        for key in wanted.keys() - in_place:
            if not self.may_set(key) or wanted[key] in PARAMETERS[key.name].bad:
                reasons.add(REFUSED)
        if reasons:
            raise RefusedError(*reasons)

        reset = self._give_up(desired, lambda row: row.owner in owners)
        for key in orphaned:
            self.ledger[key].owner, self.ledger[key].resource = owner, resource
        new = wanted.keys() - self.ledger.keys()
        for key, asked in wanted.items():
            previous = self.ledger[key].previous if key in self.ledger else self.stored.get(key)
            adopted = self.ledger[key].adopted if key in self.ledger else key in in_place
            if key not in in_place:
                self.stored[key] = _spelling(key, asked).stored
            self.ledger[key] = Row(owner, resource, asked, self.stored[key], previous, adopted)

        changed = wanted.keys() - in_place
        foreign = {key.name for key in self.stored if key.role and key not in self.ledger}
        if not allow_role_overrides and any(key.name in foreign for key in changed | new if not key.role):
            raise RefusedError(OVERRIDDEN)
        if any(self._means(key, self.stored[key]) in PARAMETERS[key.name].idle for key in changed | new):
            raise RefusedError(IDLE)
        overridden = {key.name for key in wanted if not key.role} & foreign
        return Answer(len(wanted), len(changed), len(new & in_place), reset, frozenset(overridden))

    def _give_up(self, kept: Collection[Key], is_owned: Callable[[Row], bool]) -> int:
        """Restore what is no longer desired, unless someone else changed it or PostgreSQL refuses it."""
        reset = 0
        for key, row in [*self.ledger.items()]:
            if key in kept or not is_owned(row):
                continue
            del self.ledger[key]
            if self.stored.get(key) == row.applied != row.previous and self.may_set(key):
                self.put(key, row.previous)
                reset += 1
        return reset

    def put(self, key: Key, text: str | None) -> None:
        """Store a text, or remove it."""
        self.stored.pop(key, None)
        if text is not None:
            self.stored[key] = text

    def _is_in_place(self, key: Key, asked: Asked) -> bool:
        return (
            key in self.stored
            and asked not in PARAMETERS[key.name].bad
            and (self._means(key, self.stored[key]) == self._means(key, _spelling(key, asked).stored))
        )

    def _means(self, key: Key, text: str) -> object:
        """The meaning of a text; the text itself if the master user may not let the server canonicalize it."""
        if not self.may_set(key):
            return text
        return next(one.meaning for one in PARAMETERS[key.name].spellings if one.stored == text)


def _spelling(key: Key, asked: Asked) -> Spelling:
    return next(one for one in PARAMETERS[key.name].spellings if one.asked == asked)
