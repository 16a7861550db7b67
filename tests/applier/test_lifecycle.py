"""A resource's life: create, update, roll back, delete, and what hands do in between."""

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


def test_create_stores_every_setting_and_fresh_sessions_get_them(database: Database) -> None:
    """A creation stores the settings, notes them, and every later session has them."""
    answer = database.create(SETTINGS)
    assert answer.raw["PhysicalResourceId"] == database.physical_id
    assert answer.counts == (4, 4, 0, 0)
    assert answer.shadowed == []
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


def test_the_same_event_again_changes_nothing(database: Database) -> None:
    """An event may be repeated: Lambda delivers at least once."""
    database.create(SETTINGS)
    before = database.ledger()
    assert database.create(SETTINGS).counts == (4, 0, 0, 0)
    assert database.ledger() == before


def test_update_changes_adds_and_takes_back_and_its_rollback_reverts_it(database: Database) -> None:
    """An update goes from one set of settings to another; CloudFormation's rollback goes the way back."""
    old = {"work_mem": "8MB", "timezone": "UTC", "jit": "off"}
    new = {"work_mem": "16MB", "timezone": "UTC", "lock_timeout": "5s"}
    database.create(old)
    stored, ledger = database.stored(), database.ledger()
    assert database.update(new, old).counts == (3, 2, 0, 1)
    assert database.stored() == {"work_mem": "16MB", "TimeZone": "UTC", "lock_timeout": "5s"}
    assert database.update(old, new).counts == (3, 2, 0, 1)
    assert database.stored() == stored
    assert database.ledger() == ledger


def test_delete_restores_what_stood_before_and_removes_the_ledger(database: Database) -> None:
    """After a deletion the database is as it was before the creation, schema included."""
    database.alter("SET work_mem = '5MB'")
    database.alter('SET search_path = \'Odd "Name\', "$user", public')
    before = database.stored()
    wish = {**SETTINGS, "work_mem": "64MB"}
    assert database.create(wish).counts == (5, 5, 0, 0)
    assert database.ledger()["work_mem"]["previous"] == "5MB"
    assert database.delete(wish).counts == (0, 0, 0, 5)
    assert database.stored() == before
    assert database.ledger() == {}
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'") == []


def test_previous_survives_updates(database: Database) -> None:
    """What is restored is what stood before the creation, not before the last update."""
    database.alter("SET work_mem = '5MB'")
    database.create({"work_mem": "6MB"})
    database.update({"work_mem": "7MB"}, {"work_mem": "6MB"})
    database.delete({"work_mem": "7MB"})
    assert database.stored() == {"work_mem": "5MB"}


def test_a_setting_that_stands_already_is_adopted_and_stays_on_delete(database: Database) -> None:
    """What already stands, in any spelling, is taken over without a change, and left standing."""
    database.alter("SET work_mem = '65536kB'")
    database.alter("SET search_path = chat, public")
    wish = {"work_mem": "64MB", "search_path": ["chat", "public"]}
    assert database.create(wish).counts == (2, 0, 2, 0)
    assert database.stored()["work_mem"] == "65536kB"
    assert database.ledger()["work_mem"]["adopted"] is True
    assert database.delete(wish).counts == (0, 0, 0, 0)
    assert database.stored() == {"work_mem": "65536kB", "search_path": "chat, public"}


def test_another_spelling_is_no_change(database: Database) -> None:
    """The server tells whether two spellings mean one value; the stored text then stays."""
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


def test_an_update_repairs_drift(database: Database) -> None:
    """What a hand changed is set again by the next update, and removed in the end."""
    wish = {"work_mem": "8MB", "jit": "off"}
    database.create(wish)
    database.alter("SET work_mem = '1MB'")
    database.alter("RESET jit")
    assert database.update(wish, wish).counts == (2, 2, 0, 0)
    assert database.stored() == {"work_mem": "8MB", "jit": "off"}
    database.delete(wish)
    assert database.stored() == {}


def test_a_delete_leaves_what_a_hand_changed(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that somebody set over ours is theirs; it stays, and the log says so."""
    wish = {"work_mem": "8MB", "jit": "off", "timezone": "UTC"}
    database.create(wish)
    database.alter("SET work_mem = '1MB'")
    database.alter("RESET jit")
    assert database.delete(wish).counts == (0, 0, 0, 1)
    assert database.stored() == {"work_mem": "1MB"}
    assert '"event": "left_as_changed_by_others", "names": ["work_mem", "jit"]' in capsys.readouterr().out


def _just_before_acting(monkeypatch: pytest.MonkeyPatch, hand: Callable[[], None]) -> None:
    """Let a hand work, once, between what the applier reads and what it does."""
    original = Session.run
    hands = [hand]

    def late(self: Session, statement: str, **values: str) -> list[list[Any]]:
        if statement == sql.APPLY_CHANGES and hands:
            hands.pop()()
        return original(self, statement, **values)

    monkeypatch.setattr(Session, "run", late)


def test_a_hand_that_comes_between_reading_and_acting_is_not_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock does not bind hands: what they change meanwhile is seen, remembered on creation, left on deletion."""
    _just_before_acting(monkeypatch, lambda: database.alter("SET work_mem = '5MB'"))
    assert database.create({"work_mem": "8MB"}).counts == (1, 1, 0, 0)
    assert database.ledger()["work_mem"]["previous"] == "5MB"
    _just_before_acting(monkeypatch, lambda: database.alter("SET work_mem = '6MB'"))
    assert database.delete({"work_mem": "8MB"}).counts == (0, 0, 0, 0)
    assert database.stored() == {"work_mem": "6MB"}


def test_a_hand_that_resets_what_is_being_adopted_is_noticed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stood when it was read is adopted only if it still stands; else it is set."""
    database.alter("SET work_mem = '8MB'")
    _just_before_acting(monkeypatch, lambda: database.alter("RESET work_mem"))
    assert database.create({"work_mem": "8MB"}).counts == (1, 1, 0, 0)
    assert database.stored() == {"work_mem": "8MB"}


def test_a_way_back_does_not_ask_for_what_stands_already(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that the server no longer takes, but has stored, fails no update of others; it is a warning."""
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


def test_another_owner_is_refused_by_name(database: Database) -> None:
    """One setting has one owner; the message names it, and the way out."""
    database.create({"work_mem": "8MB", "jit": "off"})
    before = database.stored(), database.ledger()
    message = database.refuses(
        lambda: database.create({"timezone": "UTC", "work_mem": "8MB"}, Owner="Other/Settings", Address="c8ffff")
    )
    assert 'setting "work_mem" in database' in message
    assert f'already managed by "{OWNER}"' in message
    assert "remove it there first" in message
    assert (database.stored(), database.ledger()) == before


def test_two_owners_share_a_database_and_one_delete_leaves_the_other(database: Database) -> None:
    """Several resources on one database keep out of each other's way."""
    other: dict[str, Any] = {"Owner": "Other/Settings", "Address": "c8ffff"}
    database.create({"work_mem": "8MB"})
    database.create({"jit": "off"}, **other)
    database.delete({"work_mem": "8MB"})
    assert database.stored() == {"jit": "off"}
    database.delete({"jit": "off"}, **other)
    assert database.stored() == {}
    assert database.ledger() == {}


def test_a_construct_that_moved_keeps_its_settings(database: Database) -> None:
    """After a move the new resource takes over, and deleting the old one takes nothing away."""
    wish = {"work_mem": "8MB", "jit": "off"}
    moved: dict[str, Any] = {"Owner": "Chat/Data/Settings", "Address": "c80000"}
    database.create(wish)
    assert database.update({"work_mem": "8MB"}, wish, **moved).counts == (1, 0, 0, 1)
    assert database.ledger()["work_mem"]["owner"] == "Chat/Data/Settings"
    assert database.delete(wish).counts == (0, 0, 0, 0)
    assert database.stored() == {"work_mem": "8MB"}
    database.delete(wish, **moved)
    assert database.stored() == {}


def test_another_name_of_the_same_host_loses_nothing(database: Database) -> None:
    """A changed host replaces the resource; deleting the old one must not undo the new one on the same database."""
    wish = {"work_mem": "8MB"}
    database.create(wish)
    answer = database.update(wish, wish, Host="localhost")
    assert answer.raw["PhysicalResourceId"] == f"pinsafe:localhost/{database.name}/c8a1f0"
    database.delete(wish)
    assert database.stored() == {"work_mem": "8MB"}
    database.delete(wish, Host="localhost")
    assert database.stored() == {}


def test_a_delete_of_a_database_that_is_gone_succeeds(database: Database) -> None:
    """A dropped database took its settings and its ledger with it."""
    wish = {"work_mem": "8MB"}
    database.create(wish)
    database.admin.run(f'DROP DATABASE "{database.name}"')
    assert database.delete(wish).counts == (0, 0, 0, 0)


def test_a_delete_that_cannot_reach_its_database_names_the_way_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host or secret that is gone may be a mistake, so the delete fails, but it does not hold the stack for good."""
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


def test_a_create_in_a_database_that_is_missing_is_refused(database: Database) -> None:
    """A creation says that the database is missing."""
    message = database.refuses(lambda: database.create({"jit": "off"}, Database="nosuch"), kind=ApplyError)
    assert 'database "nosuch" at 127.0.0.1' in message
    assert "3D000" in message
    assert "create the database first" in message


def test_a_delete_of_a_failed_creation_does_nothing() -> None:
    """The provider framework's marker for what was never created is no resource of ours."""
    marker = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"
    event = {"RequestType": "Delete", "PhysicalResourceId": marker, "ResourceProperties": {}}
    assert on_event(event, LambdaContext()) == {"PhysicalResourceId": marker}


def test_no_settings_leave_no_trace(database: Database) -> None:
    """An empty wish makes no schema; an update to it removes one."""
    assert database.create({}).counts == (0, 0, 0, 0)
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'") == []
    database.update({"jit": "off"}, {})
    assert database.update({}, {"jit": "off"}).counts == (0, 0, 0, 1)
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'") == []


def test_objects_of_others_in_the_schema_are_kept(database: Database) -> None:
    """The schema is only dropped when nothing of anybody is left in it."""
    database.create({"jit": "off"})
    database.run_sql("CREATE VIEW cdk_pinsafe.mine AS SELECT name FROM cdk_pinsafe.setting")
    database.delete({"jit": "off"})
    assert database.stored() == {}
    assert database.ledger() == {}
    assert database.rows("SELECT count(*) FROM cdk_pinsafe.mine") == [[0]]
    assert database.create({"jit": "off"}).counts == (1, 1, 0, 0)


def test_the_ledger_explains_itself_to_whoever_finds_it(database: Database) -> None:
    """Schema, table and columns bear comments."""
    database.create({"jit": "off"})
    described = database.rows(
        "SELECT obj_description('cdk_pinsafe'::regnamespace, 'pg_namespace'), "
        "obj_description('cdk_pinsafe.setting'::regclass), col_description('cdk_pinsafe.setting'::regclass, 5)"
    )
    assert all(described[0])
