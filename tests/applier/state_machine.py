"""Random lives of several resources in two databases of a real server, beside the plain model of what must become of
them."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import pg8000.native
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.errors import PinSafeError

from .harness import MASTER, Cluster, Database, LambdaContext
from .model import PARAMETERS, Answer, Asked, Key, Model, RefusedError, Row

OBJECTS: Final = """
SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
UNION ALL SELECT 'relation', c.oid::regclass::text FROM pg_class c WHERE c.relpersistence <> 't'
UNION ALL SELECT 'privileges', defaclobjtype::text FROM pg_default_acl
"""

OWNERS: Final = ("Chat/Settings", 'O\'Brien "1"/🐘', "C\\Settings")
VALUES: Final = {name: st.sampled_from(one.spellings) for name, one in PARAMETERS.items() if one.spellings}
"""What may be stored, by parameter."""
BAD: Final = st.sampled_from([(one.name, text) for one in PARAMETERS.values() for text in one.bad])


@dataclass(frozen=True)
class Resource:
    """A resource as CloudFormation knows it: in which database, whose, and what it asks for."""

    place: int
    owner: str
    address: str
    host: str = "127.0.0.1"
    wish: Mapping[Key, Asked] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    on_role_override: str = "warn"


class ApplierStateMachine(RuleBasedStateMachine):
    """Several resources in two databases, the hands of others, and the model of it all.

    Attributes:
        databases: the two.
        role: one that comes and goes, and that may have values of its own, as the applier's own user may.
        steps: events and deeds of hands so far, over all runs.
    """

    databases: ClassVar[list[Database]]
    role: ClassVar[str]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.roles: set[str] = {MASTER}
        self.models = [Model(roles=self.roles) for _ in self.databases]
        self.resources: list[Resource] = []
        self.begin: list[dict[Key, str]] = [{} for _ in self.databases]
        self.touched: list[set[Key]] = [set() for _ in self.databases]
        self.is_right = True
        for database in self.databases:
            if not database.clean():
                self._make(database)
        self._admin(f"DROP ROLE IF EXISTS {self.role}")
        self.watches = [database.watch() for database in self.databases]
        self.objects = [sorted(watch.run(OBJECTS) or []) for watch in self.watches]
        self.elsewhere = self.cluster.catalogue()

    @property
    def cluster(self) -> Cluster:
        return self.databases[0].cluster

    @property
    def has_vector(self) -> bool:
        return self.cluster.installation.has_vector

    @initialize(data=st.data())
    def something_stands_already(self, data: st.DataObject) -> None:
        """Before the first Create; this must come back in the end."""
        for place in range(len(self.databases)):
            for key in data.draw(st.lists(self._keys(), unique=True, max_size=4)):
                self._hand(place, key, data.draw(VALUES[key.name]).stored)
        self.begin = [dict(model.stored) for model in self.models]
        self.touched = [set() for _ in self.databases]

    @precondition(lambda self: len(self.resources) < 4)
    @rule(data=st.data())
    def create(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from((0, 0, 0, 1)))
        taken = {one.owner for one in self.resources if one.place == place}
        free = [owner for owner in OWNERS if owner not in taken]
        if free:
            owner = data.draw(st.sampled_from(free))
            one = self._wished(data, Resource(place, owner, f"c8{OWNERS.index(owner)}"))
            if self._send("Create", one):
                self.resources.append(one)

    @precondition(lambda self: self.resources)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        """One that fails is rolled back by another event."""
        old = self._one(data)
        new = self._wished(data, old)
        if self._send("Update", new, old):
            self._replace(old, new)
        else:
            self._send("Update", old, new)

    @precondition(lambda self: self.resources)
    @rule(data=st.data())
    def update_that_is_rolled_back(self, data: st.DataObject) -> None:
        """Another resource of the stack has failed."""
        old = self._one(data)
        new = self._wished(data, old)
        self._send("Update", new, old)
        self._send("Update", old, new)

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), request=st.sampled_from(["Create", "Update"]))
    def same_again(self, data: st.DataObject, request: str) -> None:
        """Events are delivered at least once, and a stack may be deployed again without a change."""
        one = self._one(data)
        self._send(request, one, one if request == "Update" else None)

    @precondition(lambda self: self.resources)
    @rule(data=st.data())
    def name_the_host_otherwise(self, data: st.DataObject) -> None:
        """The resource is replaced by one on the very same database."""
        old = self._one(data)
        new = self._wished(data, replace(old, host="localhost" if old.host == "127.0.0.1" else "127.0.0.1"))
        self._goes_over(old, new, fails_elsewhere=data.draw(st.booleans()))

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), place=st.sampled_from((0, 0, 1)))
    def move(self, data: st.DataObject, place: int) -> None:
        """A construct goes to another place of the tree, or to another database: it is replaced."""
        old = self._one(data)
        name = f"Moved/{len(old.owner)}"
        if any((one.place, one.owner) == (place, name) for one in self.resources):
            return
        new = replace(old, place=place, owner=name, address=f"c9{len(old.owner)}")
        if data.draw(st.booleans()):
            new = self._wished(data, new)
        self._goes_over(old, new, fails_elsewhere=data.draw(st.booleans()))

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), times=st.sampled_from([1, 1, 2]))
    def delete(self, data: st.DataObject, times: int) -> None:
        one = self._one(data)
        for _ in range(times):
            assert self._send("Delete", one)
        self.resources.remove(one)

    @rule(data=st.data(), place=st.sampled_from((0, 0, 0, 1)))
    def a_hand_sets_or_resets(self, data: st.DataObject, place: int) -> None:
        model = self.models[place]
        if model.is_there:
            managed = sorted(key for key in model.ledger if key.role in {"", *self.roles})
            is_drift: bool = data.draw(st.booleans())
            key = data.draw(st.sampled_from(managed) if managed and is_drift else self._keys())
            self._hand(place, key, data.draw(st.none() | VALUES[key.name].map(lambda one: one.stored)))

    @rule(place=st.sampled_from((0, 0, 0, 1)), is_loss=st.booleans())
    def a_hand_makes_or_drops_the_extension(self, place: int, is_loss: bool) -> None:
        model = self.models[place]
        if model.is_there and self.has_vector:
            ApplierStateMachine.steps += 1
            if is_loss:
                self.watches[place].run("DROP EXTENSION IF EXISTS vector CASCADE")
                model.extensions.clear()
                # What the construct can no longer take back is the hand's doing.
                self.touched[place] |= {Key(role, "hnsw.ef_search") for role in ("", MASTER, self.role)}
            else:
                self.watches[place].run("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
                model.extensions.add("vector")

    @rule(place=st.sampled_from((0, 0, 0, 1)), dice=st.integers(0, 5))
    def a_hand_drops_or_makes_the_database(self, place: int, dice: int) -> None:
        if self.models[place].is_there and not dice:
            ApplierStateMachine.steps += 1
            self.watches[place].close()
            self._admin(f"DROP DATABASE {self.databases[place].name} WITH (FORCE)")
            self.models[place] = Model(roles=self.roles, is_there=False)
            self.begin[place], self.touched[place] = {}, set()
        elif not self.models[place].is_there:
            ApplierStateMachine.steps += 1
            self._make(self.databases[place])
            self.watches[place] = self.databases[place].watch()
            self.models[place] = Model(roles=self.roles)

    @rule(dice=st.integers(0, 2))
    def a_hand_drops_or_makes_the_role(self, dice: int) -> None:
        """A role takes its values in every database along; the ledgers still have them."""
        ApplierStateMachine.steps += 1
        if self.role not in self.roles:
            login = (MASTER, self.cluster.password)
            with contextlib.closing(self.cluster.server.connect("postgres", *login)) as master:
                master.run(f"CREATE ROLE {self.role}")
            self.roles.add(self.role)
        elif not dice:
            self._admin(f"DROP ROLE {self.role}")
            self.roles.remove(self.role)
            for place, model in enumerate(self.models):
                for key in [key for key in model.stored if key.role == self.role]:
                    del model.stored[key]
                self.touched[place] |= {Key(self.role, name) for name in PARAMETERS}

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        """Every value of the whole server, the ledgers, the extensions."""
        self.is_right = False
        expected = dict(self.elsewhere)
        for database, watch, model in zip(self.databases, self.watches, self.models, strict=True):
            expected |= {(database.name, *key): text for key, text in model.stored.items()}
            if model.is_there:
                assert _ledger(watch) == model.ledger
                extensions = {row[0] for row in watch.run("SELECT extname FROM pg_extension") or []}
                assert extensions - {"plpgsql"} == model.extensions
        assert self.cluster.catalogue() == expected
        self.is_right = True

    def teardown(self) -> None:
        """When all is deleted, each database is as it began, but for what hands did to it."""
        try:
            if self.is_right:
                for one in self.resources:
                    assert self._send("Delete", one)
                    self.all_is_as_the_model_says()
                for place, model in enumerate(self.models):
                    if model.is_there:
                        self._is_as_it_began(place)
        finally:
            for watch, model in zip(self.watches, self.models, strict=True):
                if model.is_there:
                    watch.close()

    def _is_as_it_began(self, place: int) -> None:
        rest = {
            Key(role, name): text
            for (database, role, name), text in self.cluster.catalogue().items()
            if database == self.databases[place].name and (role, name) not in self.touched[place]
        }
        assert rest == {key: text for key, text in self.begin[place].items() if key not in self.touched[place]}
        assert sorted(self.watches[place].run(OBJECTS) or []) == self.objects[place]

    def _send(self, request: str, now: Resource, was: Resource | None = None, known_as: Resource | None = None) -> bool:
        """An event to the applier and to the model; whether it succeeded, for both or for neither."""
        ApplierStateMachine.steps += 1
        self.is_right = False
        model, resource = self.models[now.place], self._physical_id(now)
        event = {"RequestType": request, "ResourceProperties": self._properties(now)}
        if request != "Create":
            event["PhysicalResourceId"] = self._physical_id(known_as or was or now)
        if was:
            event["OldResourceProperties"] = self._properties(was)
        expected: Answer | RefusedError
        heir_of = {was.owner} if was and was.place == now.place else set()
        try:
            if request == "Delete":
                expected = model.delete(resource)
            else:
                expected = model.apply(
                    now.owner,
                    resource,
                    now.wish,
                    now.extensions,
                    heir_of=heir_of,
                    allow_role_overrides=now.on_role_override == "warn",
                )
        except RefusedError as refusal:
            expected = refusal
        got = _answer(event)
        if isinstance(expected, RefusedError):
            assert isinstance(got, str), (got, expected)
            assert any(reason in got for reason in expected.args), (got, expected.args)
        else:
            assert got == (resource, expected)
        self.is_right = True
        return not isinstance(expected, RefusedError)

    def _properties(self, one: Resource) -> dict[str, object]:
        wish: dict[str, dict[str, Asked]] = {"": {}}
        for key, value in one.wish.items():
            wish.setdefault(key.role, {})[key.name] = value
        return self.databases[one.place].properties(
            wish.pop(""),
            RoleSettings=json.dumps(wish),
            Extensions=list(one.extensions),
            OnRoleOverride=one.on_role_override,
            Recycle="idle" if one.extensions else "never",
            Host=one.host,
            Owner=one.owner,
            Address=one.address,
        )

    def _physical_id(self, one: Resource) -> str:
        return f"pinsafe:{one.host}/{self.databases[one.place].name}/{one.address}"

    def _one(self, data: st.DataObject) -> Resource:
        return data.draw(st.sampled_from(self.resources))

    def _goes_over(self, old: Resource, new: Resource, *, fails_elsewhere: bool) -> None:
        """Replace a resource, and go back to the old one where this or something else of the stack fails.

        Of a new resource that failed CloudFormation knows nothing, so that it never deletes it.
        """
        is_there = self._send("Update", new, old)
        if is_there and not fails_elsewhere:
            self._send("Delete", old)
            self._replace(old, new)
        else:
            self._send("Update", old, new, known_as=new if is_there else old)
            if is_there:
                self._send("Delete", new)

    def _replace(self, old: Resource, new: Resource) -> None:
        self.resources[self.resources.index(old)] = new

    def _keys(self) -> st.SearchStrategy[Key]:
        """What may be set. Of a role's text search configuration no session of another tells whether it is one."""
        keys = st.builds(Key, st.sampled_from(("", "", "", *sorted(self.roles))), st.sampled_from(sorted(VALUES)))
        return keys.filter(lambda key: not key.role or key.name != "default_text_search_config")

    def _wished(self, data: st.DataObject, one: Resource) -> Resource:
        """The resource with another wish: mostly one that can be had, and often with what it asked for before."""
        model = self.models[one.place]
        extensions = ("vector",) if self.has_vector and data.draw(st.booleans()) else ()
        keys = self._keys()
        if data.draw(st.integers(0, 9)) != 6:
            taken = {key for key, row in model.ledger.items() if row.owner != one.owner}
            usable = {"", *model.extensions, *extensions}
            keys = keys.filter(lambda key: key not in taken and not PARAMETERS[key.name].locked)
            keys = keys.filter(lambda key: PARAMETERS[key.name].extension in usable)
        wish = {key: data.draw(VALUES[key.name]).asked for key in data.draw(st.lists(keys, unique=True, max_size=4))}
        is_more: bool = data.draw(st.booleans())
        if is_more:
            wish = {**one.wish, **wish}
        if data.draw(st.integers(0, 14)) == 11:
            name, text = data.draw(BAD)
            wish[Key("", name)] = text
        on_role_override = data.draw(st.sampled_from(("warn", "warn", "fail")))
        return replace(one, wish=wish, extensions=extensions, on_role_override=on_role_override)

    def _hand(self, place: int, key: Key, text: str | None) -> None:
        ApplierStateMachine.steps += 1
        database = self.databases[place].name
        whom = f"ROLE {key.role} IN DATABASE {database}" if key.role else f"DATABASE {database}"
        if text is None:
            self._admin(f"ALTER {whom} RESET {key.name}")
        else:
            asked = next(one.asked for one in PARAMETERS[key.name].spellings if one.stored == text)
            texts = [asked] if isinstance(asked, str) else asked
            self._admin(f"ALTER {whom} SET {key.name} = {', '.join(map(pg8000.native.literal, texts))}")
        self.models[place].put(key, text)
        self.touched[place].add(key)

    def _make(self, database: Database) -> None:
        self._admin(f"CREATE DATABASE {database.name} OWNER {MASTER} TEMPLATE template0")

    def _admin(self, statement: str) -> None:
        self.cluster.admin.run(statement)


def _answer(event: Mapping[str, object]) -> tuple[str, Answer] | str:
    """What the applier answers: the resource and its data, or a message."""
    try:
        raw = on_event(event, LambdaContext())
    except PinSafeError as error:
        return str(error)
    data = raw["Data"]
    counts = [int(data[name]) for name in ("Applied", "Changed", "Adopted", "Reset")]
    shadowed = frozenset(name for name in data["OverriddenByRole"].split(", ") if name)
    return raw["PhysicalResourceId"], Answer(counts[0], counts[1], counts[2], counts[3], shadowed)


def _ledger(watch: pg8000.native.Connection) -> dict[Key, Row]:
    if watch.run("SELECT to_regclass('cdk_pinsafe.setting')") == [[None]]:
        return {}
    rows: list[list[Any]] = watch.run(
        "SELECT role, name, owner, resource, desired, applied, previous, adopted FROM cdk_pinsafe.setting"
    )
    return {
        Key(role, name): Row(owner, resource, tuple(desired) if isinstance(desired, list) else desired, *rest)
        for role, name, owner, resource, desired, *rest in rows
    }
