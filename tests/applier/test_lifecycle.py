"""The lifecycle of a resource: create, update, rollback, delete, and manual changes in between."""

from collections.abc import Callable
from typing import Any

import pytest

from cdk_pinsafe.applier import secret, sql
from cdk_pinsafe.applier.connection import Session
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.errors import ApplyError, UnreachableError

from .harness import ARN, MASTER, OWNER, Database, LambdaContext

SETTINGS = {
    "search_path": ["chat", "public"],
    "timezone": "UTC",
    "statement_timeout": "30s",
    "standard_conforming_strings": "on",
}


def test_create_stores_settings_for_fresh_sessions(database: Database) -> None:
    """Create stores the settings and writes the ledger; later sessions get them."""
    answer = database.create(SETTINGS)
    assert answer.raw["PhysicalResourceId"] == database.physical_id
    assert answer.counts == (4, 4, 0, 0)
    assert answer.overridden == []
    assert database.stored() == {
        "search_path": "chat, public",
        "TimeZone": "UTC",
        "statement_timeout": "30s",
        "standard_conforming_strings": "on",
    }
    assert database.show("search_path") == "chat, public"
    assert database.show("statement_timeout") == "30s"
    ledger = database.ledger()
    assert set(ledger) == set(SETTINGS)
    assert ledger["search_path"] == {
        "name": "search_path",
        "role": "",
        "owner": OWNER,
        "resource": database.physical_id,
        "desired": ["chat", "public"],
        "applied": "chat, public",
        "previous": None,
        "adopted": False,
    }


def test_same_event_again_changes_nothing(database: Database) -> None:
    """Lambda delivers events at least once."""
    database.create(SETTINGS)
    before = database.ledger()
    assert database.create(SETTINGS).counts == (4, 0, 0, 0)
    assert database.ledger() == before


def test_update_and_its_rollback(database: Database) -> None:
    """CloudFormation's rollback is the reverse update."""
    old = {"work_mem": "8MB", "timezone": "UTC", "jit": "off"}
    new = {"work_mem": "16MB", "timezone": "UTC", "lock_timeout": "5s"}
    database.create(old)
    stored, ledger = database.stored(), database.ledger()
    assert database.update(new, old).counts == (3, 2, 0, 1)
    assert database.stored() == {"work_mem": "16MB", "TimeZone": "UTC", "lock_timeout": "5s"}
    assert database.update(old, new).counts == (3, 2, 0, 1)
    assert database.stored() == stored
    assert database.ledger() == ledger


def test_delete_restores_and_removes_the_ledger(database: Database) -> None:
    """The database is as it was before the creation, schema included."""
    database.alter("SET work_mem = '5MB'")
    database.alter('SET search_path = \'Odd "Name\', "$user", public')
    before = database.stored()
    desired = {**SETTINGS, "work_mem": "64MB"}
    assert database.create(desired).counts == (5, 5, 0, 0)
    assert database.ledger()["work_mem"]["previous"] == "5MB"
    assert database.delete(desired).counts == (0, 0, 0, 5)
    assert database.stored() == before
    assert database.ledger() == {}
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'") == []


def test_previous_value_survives_updates(database: Database) -> None:
    """Delete restores the value from before the creation, not from before the last update."""
    database.alter("SET work_mem = '5MB'")
    database.create({"work_mem": "6MB"})
    database.update({"work_mem": "7MB"}, {"work_mem": "6MB"})
    database.delete({"work_mem": "7MB"})
    assert database.stored() == {"work_mem": "5MB"}


def test_existing_setting_is_adopted_and_kept_on_delete(database: Database) -> None:
    """In any spelling."""
    database.alter("SET work_mem = '65536kB'")
    database.alter("SET search_path = chat, public")
    desired = {"work_mem": "64MB", "search_path": ["chat", "public"]}
    assert database.create(desired).counts == (2, 0, 2, 0)
    assert database.stored()["work_mem"] == "65536kB"
    assert database.ledger()["work_mem"]["adopted"] is True
    assert database.delete(desired).counts == (0, 0, 0, 0)
    assert database.stored() == {"work_mem": "65536kB", "search_path": "chat, public"}


def test_other_spelling_is_no_change(database: Database) -> None:
    """The server decides whether two spellings are equivalent; the stored text is kept."""
    first = {
        "work_mem": "64MB",
        "jit": "off",
        "timezone": "Europe/Zurich",
        "random_page_cost": "1.1",
        "statement_timeout": "30s",
        "bytea_output": "hex",
        "datestyle": "ISO, DMY",
    }
    second = {
        "work_mem": "65536kB",
        "jit": "false",
        "timezone": "europe/zurich",
        "random_page_cost": "1.10",
        "statement_timeout": "30000",
        "bytea_output": "HEX",
        "datestyle": "iso,dmy",
    }
    database.create(first)
    stored = database.stored()
    assert database.update(second, first).counts == (7, 0, 0, 0)
    assert database.stored() == stored
    assert database.ledger()["work_mem"]["desired"] == "65536kB"


def test_update_repairs_drift(database: Database) -> None:
    """The next update sets a manually changed setting again, and the deletion resets it."""
    desired = {"work_mem": "8MB", "jit": "off"}
    database.create(desired)
    database.alter("SET work_mem = '1MB'")
    database.alter("RESET jit")
    assert database.update(desired, desired).counts == (2, 2, 0, 0)
    assert database.stored() == {"work_mem": "8MB", "jit": "off"}
    database.delete(desired)
    assert database.stored() == {}


def test_delete_keeps_manual_changes(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The log names them."""
    desired = {"work_mem": "8MB", "jit": "off", "timezone": "UTC"}
    database.create(desired)
    database.alter("SET work_mem = '1MB'")
    database.alter("RESET jit")
    assert database.delete(desired).counts == (0, 0, 0, 1)
    assert database.stored() == {"work_mem": "1MB"}
    assert '"event": "kept_as_changed_by_others", "names": ["work_mem", "jit"]' in capsys.readouterr().out


def before_changes(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Run a manual change, once, between the applier's reads and its changes."""
    original = Session.run
    changes = [change]

    def late(self: Session, statement: str, **values: str) -> list[list[Any]]:
        if statement == sql.APPLY_CHANGES and changes:
            changes.pop()()
        return original(self, statement, **values)

    monkeypatch.setattr(Session, "run", late)


def test_concurrent_manual_change_is_not_lost(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The advisory lock does not stop other clients. Create remembers their value as previous, delete keeps it."""
    before_changes(monkeypatch, lambda: database.alter("SET work_mem = '5MB'"))
    assert database.create({"work_mem": "8MB"}).counts == (1, 1, 0, 0)
    assert database.ledger()["work_mem"]["previous"] == "5MB"
    before_changes(monkeypatch, lambda: database.alter("SET work_mem = '6MB'"))
    assert database.delete({"work_mem": "8MB"}).counts == (0, 0, 0, 0)
    assert database.stored() == {"work_mem": "6MB"}


def test_concurrent_reset_of_adopted_setting_is_detected(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is adopted only if it is still stored; else it is set."""
    database.alter("SET work_mem = '8MB'")
    before_changes(monkeypatch, lambda: database.alter("RESET work_mem"))
    assert database.create({"work_mem": "8MB"}).counts == (1, 1, 0, 0)
    assert database.stored() == {"work_mem": "8MB"}


def test_rollback_does_not_check_existing_values(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A stored value that the server no longer takes fails no update of others; it is a warning."""
    space = f"space_of_{database.name}"
    database.admin.run("SET allow_in_place_tablespaces = on")
    database.admin.run(f"CREATE TABLESPACE {space} OWNER {MASTER} LOCATION ''")
    old = {"default_tablespace": space, "jit": "off"}
    try:
        database.create(old)
    finally:
        database.admin.run(f"DROP TABLESPACE {space}")
    assert database.update({**old, "jit": "on"}, old).counts == (2, 1, 0, 0)
    assert '"level": "WARNING", "event": "not_effective", "names": ["default_tablespace"]' in capsys.readouterr().out
    assert database.update(old, {**old, "jit": "on"}).counts == (2, 1, 0, 0)


def test_setting_of_another_owner_is_refused(database: Database) -> None:
    """A setting has one owner; the message has its name and the remedy."""
    database.create({"work_mem": "8MB", "jit": "off"})
    before = database.stored(), database.ledger()
    message = database.refuses(
        lambda: database.create({"timezone": "UTC", "work_mem": "8MB"}, Owner="Other/Settings", Address="c8ffff")
    )
    assert 'setting "work_mem" in database' in message
    assert f'already managed by "{OWNER}"' in message
    assert "remove it there first" in message
    assert (database.stored(), database.ledger()) == before


def test_two_owners_share_a_database(database: Database) -> None:
    """Deleting one keeps the other."""
    other: dict[str, Any] = {"Owner": "Other/Settings", "Address": "c8ffff"}
    database.create({"work_mem": "8MB"})
    database.create({"jit": "off"}, **other)
    database.delete({"work_mem": "8MB"})
    assert database.stored() == {"jit": "off"}
    database.delete({"jit": "off"}, **other)
    assert database.stored() == {}
    assert database.ledger() == {}


def test_moved_construct_keeps_its_settings(database: Database) -> None:
    """The new resource takes over, and the deletion of the old one changes nothing."""
    desired = {"work_mem": "8MB", "jit": "off"}
    moved: dict[str, Any] = {"Owner": "Chat/Data/Settings", "Address": "c80000"}
    database.create(desired)
    assert database.update({"work_mem": "8MB"}, desired, **moved).counts == (1, 0, 0, 1)
    assert database.ledger()["work_mem"]["owner"] == "Chat/Data/Settings"
    assert database.delete(desired).counts == (0, 0, 0, 0)
    assert database.stored() == {"work_mem": "8MB"}
    database.delete(desired, **moved)
    assert database.stored() == {}


def test_other_name_of_the_same_host_keeps_settings(database: Database) -> None:
    """A changed host replaces the resource; the deletion of the old one must not undo the new one in the same
    database."""
    desired = {"work_mem": "8MB"}
    database.create(desired)
    answer = database.update(desired, desired, Host="localhost")
    assert answer.raw["PhysicalResourceId"] == f"pinsafe:localhost/{database.name}/c8a1f0"
    database.delete(desired)
    assert database.stored() == {"work_mem": "8MB"}
    database.delete(desired, Host="localhost")
    assert database.stored() == {}


def test_delete_of_dropped_database_succeeds(database: Database) -> None:
    """Its settings and its ledger are gone with it."""
    desired = {"work_mem": "8MB"}
    database.create(desired)
    database.admin.run(f'DROP DATABASE "{database.name}"')
    assert database.delete(desired).counts == (0, 0, 0, 0)


def test_delete_of_unreachable_database_names_the_remedy(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host or secret that is gone may be a mistake, so the delete fails, but the message says how to delete the stack
    anyway."""
    message = database.refuses(
        lambda: database.delete({"jit": "off"}, Host="nosuch.invalid", seconds=1), kind=UnreachableError
    )
    assert "--retain-resources" in message

    def gone(_: str) -> None:
        raise secret.SecretMissingError(f"secret {ARN}: it is gone")

    monkeypatch.setattr(secret, "read", gone)
    message = database.refuses(lambda: database.delete({"jit": "off"}))
    assert "it is gone; if it is gone for good" in message
    assert "removal_policy=RETAIN" in message
    assert "--retain-resources" not in database.refuses(lambda: database.create({"jit": "off"}))


def test_create_in_missing_database_is_refused(database: Database) -> None:
    message = database.refuses(lambda: database.create({"jit": "off"}, Database="nosuch"), kind=ApplyError)
    assert 'database "nosuch" at 127.0.0.1' in message
    assert "3D000" in message
    assert "create the database first" in message


def test_delete_of_failed_creation_does_nothing() -> None:
    """The provider framework has its own physical id for a resource that was never created."""
    marker = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"
    event = {"RequestType": "Delete", "PhysicalResourceId": marker, "ResourceProperties": {}}
    assert on_event(event, LambdaContext()) == {"PhysicalResourceId": marker}


def test_empty_settings_make_no_ledger(database: Database) -> None:
    """An update to them removes it."""
    assert database.create({}).counts == (0, 0, 0, 0)
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'") == []
    database.update({"jit": "off"}, {})
    assert database.update({}, {"jit": "off"}).counts == (0, 0, 0, 1)
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'") == []


def test_foreign_objects_in_the_schema_are_kept(database: Database) -> None:
    """The schema is dropped only if it is empty."""
    database.create({"jit": "off"})
    database.run_sql("CREATE VIEW cdk_pinsafe.mine AS SELECT name FROM cdk_pinsafe.setting")
    database.delete({"jit": "off"})
    assert database.stored() == {}
    assert database.ledger() == {}
    assert database.rows("SELECT count(*) FROM cdk_pinsafe.mine") == [[0]]
    assert database.create({"jit": "off"}).counts == (1, 1, 0, 0)


def test_ledger_has_comments(database: Database) -> None:
    """Schema, table and columns."""
    database.create({"jit": "off"})
    described = database.rows(
        "SELECT obj_description('cdk_pinsafe'::regnamespace, 'pg_namespace'), "
        "obj_description('cdk_pinsafe.setting'::regclass), col_description('cdk_pinsafe.setting'::regclass, 5)"
    )
    assert all(described[0])
