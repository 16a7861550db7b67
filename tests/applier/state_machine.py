"""Random events of several resources in two databases of a real server, compared with the model."""

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
"""The texts that may be stored, by parameter."""
BAD: Final = st.sampled_from([(one.name, text) for one in PARAMETERS.values() for text in one.bad])


@dataclass(frozen=True)
class Resource:
    """A resource as CloudFormation knows it: its database, its owner, and its desired state."""

    place: int
    owner: str
    address: str
    host: str = "127.0.0.1"
    desired: Mapping[Key, Asked] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    on_role_override: str = "warn"


class ApplierStateMachine(RuleBasedStateMachine):
    """Several resources in two databases, changes of other clients, and the model.

    Attributes:
        databases: the two.
        role: a role that is dropped and created, and that may have own values, as the applier's user may.
        steps: events and manual changes so far, over all runs.
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
    def initial_settings(self, data: st.DataObject) -> None:
        """Before the first Create. The end must restore them."""
        for place in range(len(self.databases)):
            for key in data.draw(st.lists(self._keys(), unique=True, max_size=4)):
                self._alter(place, key, data.draw(VALUES[key.name]).stored)
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
            one = self._with_new_settings(data, Resource(place, owner, f"c8{OWNERS.index(owner)}"))
            if self._send("Create", one):
                self.resources.append(one)

    @precondition(lambda self: self.resources)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        """A failed update is rolled back by another event."""
        old = self._one(data)
        new = self._with_new_settings(data, old)
        if self._send("Update", new, old):
            self._replace(old, new)
        else:
            self._send("Update", old, new)

    @precondition(lambda self: self.resources)
    @rule(data=st.data())
    def update_that_is_rolled_back(self, data: st.DataObject) -> None:
        """Another resource of the stack failed."""
        old = self._one(data)
        new = self._with_new_settings(data, old)
        self._send("Update", new, old)
        self._send("Update", old, new)

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), request=st.sampled_from(["Create", "Update"]))
    def same_event_again(self, data: st.DataObject, request: str) -> None:
        """Events are delivered at least once, and a stack may be deployed again without a change."""
        one = self._one(data)
        self._send(request, one, one if request == "Update" else None)

    @precondition(lambda self: self.resources)
    @rule(data=st.data())
    def rename_host(self, data: st.DataObject) -> None:
        """The resource is replaced by one with another name of the same host."""
        old = self._one(data)
        new = self._with_new_settings(data, replace(old, host="localhost" if old.host == "127.0.0.1" else "127.0.0.1"))
        self._replace_resource(old, new, fails_elsewhere=data.draw(st.booleans()))

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), place=st.sampled_from((0, 0, 1)))
    def move(self, data: st.DataObject, place: int) -> None:
        """Move a construct in the tree, or to another database: CloudFormation replaces the resource."""
        old = self._one(data)
        name = f"Moved/{len(old.owner)}"
        if any((one.place, one.owner) == (place, name) for one in self.resources):
            return
        new = replace(old, place=place, owner=name, address=f"c9{len(old.owner)}")
        if data.draw(st.booleans()):
            new = self._with_new_settings(data, new)
        self._replace_resource(old, new, fails_elsewhere=data.draw(st.booleans()))

    @precondition(lambda self: self.resources)
    @rule(data=st.data(), times=st.sampled_from([1, 1, 2]))
    def delete(self, data: st.DataObject, times: int) -> None:
        one = self._one(data)
        for _ in range(times):
            assert self._send("Delete", one)
        self.resources.remove(one)

    @rule(data=st.data(), place=st.sampled_from((0, 0, 0, 1)))
    def manual_set_or_reset(self, data: st.DataObject, place: int) -> None:
        model = self.models[place]
        if model.is_there:
            managed = sorted(key for key in model.ledger if key.role in {"", *self.roles})
            is_drift: bool = data.draw(st.booleans())
            key = data.draw(st.sampled_from(managed) if managed and is_drift else self._keys())
            self._alter(place, key, data.draw(st.none() | VALUES[key.name].map(lambda one: one.stored)))

    @rule(place=st.sampled_from((0, 0, 0, 1)), is_loss=st.booleans())
    def manual_create_or_drop_extension(self, place: int, is_loss: bool) -> None:
        model = self.models[place]
        if model.is_there and self.has_vector:
            ApplierStateMachine.steps += 1
            if is_loss:
                self.watches[place].run("DROP EXTENSION IF EXISTS vector CASCADE")
                model.extensions.clear()
                # The construct cannot reset these any more, which is due to the manual change.
                self.touched[place] |= {Key(role, "hnsw.ef_search") for role in ("", MASTER, self.role)}
            else:
                self.watches[place].run("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
                model.extensions.add("vector")

    @rule(place=st.sampled_from((0, 0, 0, 1)), dice=st.integers(0, 5))
    def drop_or_create_database(self, place: int, dice: int) -> None:
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
    def drop_or_create_role(self, dice: int) -> None:
        """A dropped role loses its values in every database; the ledgers still have them."""
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
    def server_matches_model(self) -> None:
        """Every value on the server, the ledgers, the extensions."""
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
        """Once everything is deleted, each database is as it was at the beginning, but for manual changes."""
        try:
            if self.is_right:
                for one in self.resources:
                    assert self._send("Delete", one)
                    self.server_matches_model()
                for place, model in enumerate(self.models):
                    if model.is_there:
                        self._assert_restored(place)
        finally:
            for watch, model in zip(self.watches, self.models, strict=True):
                if model.is_there:
                    watch.close()

    def _assert_restored(self, place: int) -> None:
        rest = {
            Key(role, name): text
            for (database, role, name), text in self.cluster.catalogue().items()
            if database == self.databases[place].name and (role, name) not in self.touched[place]
        }
        assert rest == {key: text for key, text in self.begin[place].items() if key not in self.touched[place]}
        assert sorted(self.watches[place].run(OBJECTS) or []) == self.objects[place]

    def _send(self, request: str, now: Resource, was: Resource | None = None, known_as: Resource | None = None) -> bool:
        """Send an event to the applier and to the model; whether it succeeded, in both."""
        ApplierStateMachine.steps += 1
        self.is_right = False
        model, resource = self.models[now.place], self._physical_id(now)
        event = {"RequestType": request, "ResourceProperties": self._properties(now)}
        if request != "Create":
            event["PhysicalResourceId"] = self._physical_id(known_as or was or now)
        if was:
            event["OldResourceProperties"] = self._properties(was)
        expected: Answer | RefusedError
        predecessors = {was.owner} if was and was.place == now.place else set()
        try:
            if request == "Delete":
                expected = model.delete(resource)
            else:
                expected = model.apply(
                    now.owner,
                    resource,
                    now.desired,
                    now.extensions,
                    predecessors=predecessors,
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
        desired: dict[str, dict[str, Asked]] = {"": {}}
        for key, value in one.desired.items():
            desired.setdefault(key.role, {})[key.name] = value
        return self.databases[one.place].properties(
            desired.pop(""),
            RoleSettings=json.dumps(desired),
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

    def _replace_resource(self, old: Resource, new: Resource, *, fails_elsewhere: bool) -> None:
        """Replace a resource, and roll back if this or something else in the stack fails.

        CloudFormation does not know a new resource that failed, so it never deletes it.
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
        """The settings. No other session can tell whether a role's text search configuration is valid."""
        keys = st.builds(Key, st.sampled_from(("", "", "", *sorted(self.roles))), st.sampled_from(sorted(VALUES)))
        return keys.filter(lambda key: not key.role or key.name != "default_text_search_config")

    def _with_new_settings(self, data: st.DataObject, one: Resource) -> Resource:
        """The resource with another desired state: mostly a valid one, and often with the previous settings."""
        model = self.models[one.place]
        extensions = ("vector",) if self.has_vector and data.draw(st.booleans()) else ()
        keys = self._keys()
        if data.draw(st.integers(0, 9)) != 6:
            taken = {key for key, row in model.ledger.items() if row.owner != one.owner}
            usable = {"", *model.extensions, *extensions}
            keys = keys.filter(lambda key: key not in taken and not PARAMETERS[key.name].locked)
            keys = keys.filter(lambda key: PARAMETERS[key.name].extension in usable)
        desired = {key: data.draw(VALUES[key.name]).asked for key in data.draw(st.lists(keys, unique=True, max_size=4))}
        is_more: bool = data.draw(st.booleans())
        if is_more:
            desired = {**one.desired, **desired}
        if data.draw(st.integers(0, 14)) == 11:
            name, text = data.draw(BAD)
            desired[Key("", name)] = text
        on_role_override = data.draw(st.sampled_from(("warn", "warn", "fail")))
        return replace(one, desired=desired, extensions=extensions, on_role_override=on_role_override)

    def _alter(self, place: int, key: Key, text: str | None) -> None:
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
    """The applier's response: physical id and data, or a message."""
    try:
        raw = on_event(event, LambdaContext())
    except PinSafeError as error:
        return str(error)
    data = raw["Data"]
    counts = [int(data[name]) for name in ("Applied", "Changed", "Adopted", "Reset")]
    overridden = frozenset(name for name in data["OverriddenByRole"].split(", ") if name)
    return raw["PhysicalResourceId"], Answer(counts[0], counts[1], counts[2], counts[3], overridden)


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
