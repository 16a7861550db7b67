"""Several databases of one server in one resource: all or none, or as many as possible; each failure by name."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from cdk_pinsafe.applier import apply as apply_module
from cdk_pinsafe.applier import batch, secret
from cdk_pinsafe.applier.apply import Task
from cdk_pinsafe.applier.connection import Session
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.applier.secret import Credentials
from cdk_pinsafe.applier.transaction import Applied
from cdk_pinsafe.errors import ApplyError, PinSafeError, UnreachableError

from .harness import (
    ARN,
    MASTER,
    SECONDS,
    Answer,
    Database,
    FakeSecretsManager,
    LambdaContext,
    Settings,
    properties,
    refusal,
)

ID = "pinsafe:127.0.0.1/*/c8a1f0"


class Fleet:
    """Databases of one server, and events for all of them."""

    def __init__(self, databases: Sequence[Database]) -> None:
        self.databases = databases
        self.names = [database.name for database in databases]

    def properties(
        self, settings: Settings, names: Sequence[str] | None = None, **changes: object
    ) -> dict[str, object]:
        port = str(self.databases[0].cluster.port)
        given = {"Databases": list(self.names if names is None else names), "Database": None, "Port": port}
        return properties(settings, **{**given, **changes})

    def create(self, settings: Settings, *, seconds: float = SECONDS, **changes: Any) -> Answer:
        event = {"RequestType": "Create", "ResourceProperties": self.properties(settings, **changes)}
        return answer(on_event(event, LambdaContext(seconds)))

    def update(
        self, settings: Settings, old: Settings, *, was: Mapping[str, Any] | None = None, id: str = ID, **changes: Any
    ) -> Answer:
        event = {
            "RequestType": "Update",
            "PhysicalResourceId": id,
            "ResourceProperties": self.properties(settings, **changes),
            "OldResourceProperties": self.properties(old, **(was or {})),
        }
        return answer(on_event(event, LambdaContext()))

    def delete(self, settings: Settings, *, id: str = ID, seconds: float = SECONDS, **changes: Any) -> Answer:
        event = {
            "RequestType": "Delete",
            "PhysicalResourceId": id,
            "ResourceProperties": self.properties(settings, **changes),
        }
        return answer(on_event(event, LambdaContext(seconds)))

    def refuses(self, action: Any, *, kind: type[PinSafeError] = PinSafeError) -> str:
        return refusal(action, kind=kind, hidden=self.databases[0].cluster.password)

    def stored(self) -> list[dict[str, str]]:
        return [database.stored() for database in self.databases]

    def ledgers(self) -> list[dict[str, dict[str, Any]]]:
        return [database.ledger() for database in self.databases]


def answer(raw: dict[str, Any]) -> Answer:
    assert len(json.dumps(raw).encode()) < 4096
    return Answer(raw)


@contextlib.contextmanager
def fleet_of(database: Database, secrets_manager: FakeSecretsManager, number: int) -> Iterator[Fleet]:
    """The given database and more."""
    with contextlib.ExitStack() as stack:
        more = [stack.enter_context(database.cluster.fresh_database(secrets_manager)) for _ in range(number - 1)]
        yield Fleet([database, *more])


@pytest.fixture
def fleet(database: Database, secrets_manager: FakeSecretsManager) -> Iterator[Fleet]:
    """Three databases."""
    with fleet_of(database, secrets_manager, 3) as three:
        yield three


def test_all_get_settings_and_give_them_up(fleet: Fleet, secrets_manager: FakeSecretsManager) -> None:
    """One event reads the secret once. Each database has its settings and its ledger until the deletion."""
    desired = {"work_mem": "8MB", "search_path": ["chat", "public"]}
    created = fleet.create(desired)
    assert created.raw["PhysicalResourceId"] == ID
    assert created.counts == (6, 6, 0, 0)
    assert created.raw["Data"]["Failed"] == ""
    assert fleet.stored() == [{"work_mem": "8MB", "search_path": "chat, public"}] * 3
    assert all(row["resource"] == ID for ledger in fleet.ledgers() for row in ledger.values())
    assert secrets_manager.readings == 1
    assert fleet.create(desired).counts == (6, 0, 0, 0)
    assert fleet.delete(desired).counts == (0, 0, 0, 6)
    assert fleet.stored() == [{}] * 3
    assert fleet.ledgers() == [{}] * 3


def test_list_may_grow_and_shrink(fleet: Fleet) -> None:
    """The resource stays the same. A database that leaves the list gives its settings up, even if it is dropped; a
    rollback reverts that."""
    one, two, three = fleet.databases
    desired = {"work_mem": "8MB"}
    two.alter("SET work_mem = '5MB'")
    fleet.create(desired, names=[one.name, two.name])
    fewer = fleet.update(desired, desired, names=[one.name, three.name], was={"names": [one.name, two.name]})
    assert fewer.raw["PhysicalResourceId"] == ID
    assert fewer.counts == (2, 1, 0, 1)
    assert fleet.stored() == [{"work_mem": "8MB"}, {"work_mem": "5MB"}, {"work_mem": "8MB"}]
    assert two.ledger() == {}
    back = fleet.update(desired, desired, names=[one.name, two.name], was={"names": [one.name, three.name]})
    assert back.counts == (2, 1, 0, 1)
    assert fleet.stored() == [{"work_mem": "8MB"}, {"work_mem": "8MB"}, {}]
    gone = fleet.update(desired, desired, names=[one.name], was={"names": [one.name, "nosuch"]})
    assert gone.counts == (1, 0, 0, 0)


def test_change_from_one_to_list_keeps_settings(fleet: Fleet) -> None:
    """That replaces the resource: the deletion of the old one must not reset what the new one manages."""
    one, two, _ = fleet.databases
    desired = {"work_mem": "8MB"}
    one.create(desired)
    pair: dict[str, Any] = {"names": [one.name, two.name]}
    single: dict[str, Any] = {"Databases": None, "Database": one.name}
    assert fleet.update(desired, desired, id=one.physical_id, was=single, **pair).raw["PhysicalResourceId"] == ID
    one.delete(desired)
    assert fleet.stored() == [{"work_mem": "8MB"}, {"work_mem": "8MB"}, {}]
    assert fleet.update(desired, desired, was=pair, **single).raw["PhysicalResourceId"] == one.physical_id
    fleet.delete(desired, **pair)
    assert fleet.stored() == [{"work_mem": "8MB"}, {}, {}]
    one.delete(desired)
    assert fleet.stored() == [{}, {}, {}]


def test_leaving_database_is_kept_after_a_failure(fleet: Fleet) -> None:
    """Its settings are not reset only to be restored by the rollback."""
    desired = {"work_mem": "8MB"}
    fleet.create(desired)
    message = fleet.refuses(lambda: fleet.update(desired, desired, names=["nosuch"], was={"names": fleet.names}))
    assert "1 of 4 databases" in message
    assert "nothing was changed in the others" in message
    assert fleet.stored() == [desired] * 3


def test_renamed_construct_keeps_its_list(fleet: Fleet) -> None:
    """The previous owner's settings are taken over in each database that was in the list."""
    desired = {"work_mem": "8MB"}
    fleet.create(desired)
    assert fleet.update(desired, desired, Owner="Chat/Renamed").counts == (3, 0, 0, 0)
    assert {row["owner"] for ledger in fleet.ledgers() for row in ledger.values()} == {"Chat/Renamed"}


def test_one_failure_rolls_all_back(database: Database, secrets_manager: FakeSecretsManager) -> None:
    """By default. All failures are named, those after the first one, too."""
    with fleet_of(database, secrets_manager, 12) as fleet:
        fleet.databases[1].alter("SET jit = on")
        old = {"work_mem": "8MB"}
        fleet.create(old)
        before = fleet.stored(), fleet.ledgers()
        for index in (3, 11):
            fleet.databases[index].admin.run(f"ALTER DATABASE {fleet.names[index]} OWNER TO postgres")
        message = fleet.refuses(lambda: fleet.update({"work_mem": "9MB", "jit": "off"}, old), kind=ApplyError)
        assert message.startswith("2 of 12 databases at 127.0.0.1:")
        assert f'database "{fleet.names[3]}" at' in message
        assert f'database "{fleet.names[11]}" at' in message
        assert "rolled back" in message
        assert "its owner is" in message
        assert (fleet.stored(), fleet.ledgers()) == before
        message = fleet.refuses(lambda: fleet.create({"work_mem": "much"}))
        assert message.startswith("12 of 12 databases")
        assert "nothing was changed in the others" in message


def test_failed_creation_restores_everything(fleet: Fleet) -> None:
    """CloudFormation sends no event after it."""
    fleet.databases[0].alter("SET work_mem = '5MB'")
    fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}, names=[*fleet.names, "nosuch"]))
    assert fleet.stored() == [{"work_mem": "5MB"}, {}, {}]
    assert fleet.ledgers() == [{}, {}, {}]


def test_continue_keeps_the_others(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """With OnError=continue the deployment succeeds; the response and the log name the failed databases."""
    names = [*fleet.names, "nosuch", "nei, ther"]
    done = fleet.create({"work_mem": "8MB"}, names=names, OnError="continue")
    assert done.counts == (3, 3, 0, 0)
    assert done.raw["Data"]["Failed"] == "nosuch, nei, ther"
    assert fleet.stored() == [{"work_mem": "8MB"}] * 3
    output = capsys.readouterr().out
    assert '"event": "database_failed", "kind": "DatabaseMissingError", "database": "nosuch"' in output
    message = fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}, names=names[3:], OnError="continue"))
    assert message.startswith("2 of 2 databases")


def test_continue_is_ignored_on_change_to_list(fleet: Fleet) -> None:
    """A failed database would lose its settings when the replaced resource is deleted."""
    one = fleet.databases[0]
    desired, more = {"work_mem": "8MB"}, {"work_mem": "8MB", "jit": "off"}
    one.create(desired)
    one.admin.run(f"ALTER DATABASE {one.name} OWNER TO postgres")
    single = {"Databases": None, "Database": one.name}
    message = fleet.refuses(lambda: fleet.update(more, desired, id=one.physical_id, was=single, OnError="continue"))
    assert message.startswith("1 of 3 databases")
    assert fleet.stored() == [desired, {}, {}]


def test_continue_is_ignored_on_change_of_host(fleet: Fleet) -> None:
    """Another host may be another name of the same server, where the deletion of the old resource would reset the
    settings."""
    one = fleet.databases[0]
    desired, more = {"work_mem": "8MB"}, {"work_mem": "8MB", "jit": "off"}
    fleet.create(desired, OnError="continue")
    one.admin.run(f"ALTER DATABASE {one.name} OWNER TO postgres")
    message = fleet.refuses(lambda: fleet.update(more, desired, Host="localhost", OnError="continue"))
    assert message.startswith("1 of 3 databases")
    assert fleet.stored() == [desired] * 3
    assert all(row["resource"] == ID for ledger in fleet.ledgers() for row in ledger.values())
    # No database is in both resources.
    done = fleet.update(more, desired, was={"names": ["another"]}, Host="localhost", OnError="continue")
    assert done.raw["Data"]["Failed"] == one.name


def test_delete_goes_through_all(fleet: Fleet) -> None:
    """A dropped database is no error. One with another owner fails the deletion, but stops no other."""
    desired = {"work_mem": "8MB"}
    fleet.create(desired)
    fleet.databases[1].admin.run(f"ALTER DATABASE {fleet.names[1]} OWNER TO postgres")
    message = fleet.refuses(lambda: fleet.delete(desired, names=[*fleet.names, "nosuch"]))
    assert message.startswith("1 of 4 databases")
    assert "the others gave their settings up" in message
    assert fleet.stored() == [{}, {"work_mem": "8MB"}, {}]


def test_hundreds_of_failures_fit_the_response(fleet: Fleet) -> None:
    """The first messages are reported, and the rest is counted."""
    bad = [f"🐘 {number} {'x' * 40}" for number in range(150)]
    done = fleet.create({"work_mem": "8MB"}, names=[*fleet.names, *bad], OnError="continue")
    assert done.raw["Data"]["Failed"].endswith("more")
    message = fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}, names=bad))
    assert message.startswith("150 of 150 databases")
    assert "create the database first" in message
    assert "more" in message


def test_internal_error_rolls_the_others_back(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The response and the log do not have its content."""
    original = apply_module.apply

    def broken(task: Task) -> Applied:
        if task.identity.target.database == fleet.names[2]:
            raise KeyError("hidden")
        return original(task)

    monkeypatch.setattr(batch, "apply", broken)
    monkeypatch.setattr(batch, "CONNECTIONS", 1)
    message = fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}))
    assert "internal error of the applier (KeyError)" in message
    assert "2 that were changed before were rolled back" in message
    assert fleet.stored() == [{}, {}, {}]
    assert "hidden" not in capsys.readouterr().out


def test_failed_rollback_is_named(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the databases that keep new values."""
    original = apply_module.roll_back

    def broken(task: Task, applied: Applied) -> None:
        if task.identity.target.database == fleet.names[0]:
            raise UnreachableError("out of reach")
        original(task, applied)

    monkeypatch.setattr(batch, "roll_back", broken)
    monkeypatch.setattr(batch, "CONNECTIONS", 1)
    message = fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}, names=[*fleet.names, "nosuch"]))
    assert f"rolled back, but for {fleet.names[0]}, which failed too" in message
    assert fleet.stored() == [{"work_mem": "8MB"}, {}, {}]


def test_at_most_eight_sessions_at_once(
    database: Database, secrets_manager: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = most = 0
    enter, leave = Session.__enter__, Session.__exit__

    def counted_in(self: Session) -> Session:
        nonlocal now, most
        now += 1
        most = max(most, now)
        return enter(self)

    def counted_out(self: Session, *args: object) -> None:
        nonlocal now
        leave(self, *args)
        now -= 1

    monkeypatch.setattr(Session, "__enter__", counted_in)
    monkeypatch.setattr(Session, "__exit__", counted_out)
    with fleet_of(database, secrets_manager, 12) as fleet:
        fleet.create({"work_mem": "8MB"})
        assert fleet.stored() == [{"work_mem": "8MB"}] * 12
    assert 1 < most <= 8


def test_timeout_leaves_nothing_changed(fleet: Fleet) -> None:
    """Databases that are not begun in time are failures."""
    message = fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}, seconds=10), kind=UnreachableError)
    assert "no time was left" in message
    assert fleet.stored() == [{}, {}, {}]


def test_unresponsive_server_does_not_exceed_deadline(
    secrets_manager: FakeSecretsManager,
) -> None:
    """However many databases are left: each would take a tenth of a second more."""
    secrets_manager.answers = [Credentials(MASTER, "hidden-password")]
    names = [f"app_{number}" for number in range(400)]
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as silent:
        given = properties({}, Database=None, Databases=names, Port=str(silent.getsockname()[1]))
        event = {"RequestType": "Delete", "PhysicalResourceId": ID, "ResourceProperties": given}
        start = time.monotonic()
        message = refusal(lambda: on_event(event, LambdaContext(4)), kind=UnreachableError, hidden="hidden-password")
    assert message.startswith("400 of 400 databases")
    assert time.monotonic() - start < 6


def test_locked_database_leaves_time_for_the_others(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that holds the lock of one database delays only that one."""
    monkeypatch.setattr(batch, "CONNECTIONS", 1)
    fleet.create({"jit": "off"})
    with fleet.databases[0].session() as session:
        session.run("SELECT pg_advisory_lock(7227442026)")
        message = fleet.refuses(lambda: fleet.delete({"jit": "off"}, seconds=4), kind=UnreachableError)
    assert message.startswith("1 of 3 databases")
    assert fleet.stored() == [{"jit": "off"}, {}, {}]


def test_unreadable_secret_is_read_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """All databases fail with its error; hundreds of reads would each wait for the timeout."""
    readings: list[str] = []

    def gone(arn: str) -> None:
        readings.append(arn)
        raise secret.SecretMissingError("the secret is gone")

    monkeypatch.setattr(secret, "read", gone)
    message = fleet.refuses(lambda: fleet.create({"work_mem": "8MB"}))
    assert message.startswith("3 of 3 databases")
    assert "the secret is gone" in message
    assert readings == [ARN]


def test_all_changed_databases_are_recycled_at_once(fleet: Fleet) -> None:
    """After the last change. Sessions of unchanged databases are kept."""
    fleet.create({"work_mem": "8MB"})
    fleet.databases[2].alter("SET jit = off")
    server, password = fleet.databases[0].cluster.server, fleet.databases[0].cluster.password
    sessions = [server.connect(name, "master", password) for name in fleet.names]
    try:
        fleet.refuses(lambda: fleet.update({"jit": "off"}, {}, names=[*fleet.names, "nosuch"], Recycle="idle"))
        assert all(session.run("SELECT 1") for session in sessions)
        done = fleet.update({"work_mem": "8MB", "jit": "off"}, {"work_mem": "8MB"}, Recycle="idle")
        assert done.counts == (6, 2, 1, 0)
        assert done.raw["Data"]["Recycled"] == "2"
        assert sessions[2].run("SELECT 1") == [[1]]
    finally:
        for session in sessions:
            with contextlib.suppress(Exception):
                session.close()


def test_failed_database_does_not_prevent_recycling(fleet: Fleet) -> None:
    """Even if it is the first of the list."""
    cluster = fleet.databases[1].cluster
    idle = cluster.server.connect(fleet.names[1], "master", cluster.password)
    try:
        done = fleet.create({"jit": "off"}, names=["nosuch", *fleet.names], OnError="continue", Recycle="idle")
    finally:
        with contextlib.suppress(Exception):  # it was ended
            idle.close()
    assert (done.raw["Data"]["Failed"], done.raw["Data"]["Recycled"]) == ("nosuch", "1")


def test_continue_fails_if_all_staying_fail(fleet: Fleet) -> None:
    """Databases that left the list get their settings back then."""
    fleet.create({"jit": "off"})
    was = {"names": fleet.names}
    fleet.refuses(lambda: fleet.update({"jit": "off"}, {"jit": "off"}, names=["nosuch"], was=was, OnError="continue"))
    assert fleet.stored() == [{"jit": "off"}] * 3
    assert all(set(ledger) == {"jit"} for ledger in fleet.ledgers())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Databases": []}, "'Databases'"),
        ({"Databases": "app"}, "'Databases'"),
        ({"Databases": ["app", ""]}, "'Databases'"),
        ({"Databases": ["app", 5]}, "'Databases'"),
        ({"Databases": ["a\0b"]}, "NUL"),
        ({"Databases": ["\ud800"]}, "Unicode"),
        ({"Databases": ["app"], "Database": "app"}, "both given"),
        ({"Databases": ["app"], "OnError": "ignore"}, "'OnError'"),
    ],
)
def test_malformed_lists_are_refused_before_connecting(change: dict[str, object], expected: str) -> None:
    """The message names the property."""
    given = properties({"jit": "off"}, **{"Database": None, **change})
    event = {"RequestType": "Create", "ResourceProperties": given}
    assert expected in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_duplicate_name_is_one_database(fleet: Fleet) -> None:
    """Two tokens may resolve to the same name."""
    assert fleet.create({"jit": "off"}, names=[fleet.names[0]] * 2).counts == (1, 1, 0, 0)
