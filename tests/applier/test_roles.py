"""Settings of a role in the database behave like the database's own."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cdk_pinsafe.applier import sql
from cdk_pinsafe.applier.connection import Session
from cdk_pinsafe.applier.handler import on_event

from ..docs.pages import blocks, page
from .harness import ARN, MASTER, Database, LambdaContext, properties, refusal

PASSWORD = "app-password-9"
Roles = Mapping[str, Mapping[str, object]]


@contextlib.contextmanager
def role_of(database: Database, name: str = "", *, by_master: bool = True, extra: str = "") -> Iterator[str]:
    """A role that may log in, created by the master user, who may then alter it, or by the superuser."""
    name = name or f"app of {database.name}"
    quoted = _quoted(name)
    statement = f"CREATE ROLE {quoted} LOGIN {extra} PASSWORD '{PASSWORD}'"
    if by_master:
        database.run_sql(statement)
    else:
        database.admin.run(statement)
    try:
        yield name
    finally:
        database.admin.run(f"DROP ROLE IF EXISTS {quoted}")


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that the master user created."""
    with role_of(database) as name:
        yield name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def role_settings(roles: Roles) -> dict[str, Any]:
    """The property."""
    return {"RoleSettings": json.dumps(roles)}


def stored(database: Database) -> dict[tuple[str, str], str]:
    """What is stored for roles in the database, by role and parameter."""
    rows = database.admin.run(
        "SELECT pg_get_userbyid(s.setrole), lower(o.option_name), o.option_value "
        "FROM pg_db_role_setting s, pg_options_to_table(s.setconfig) o "
        "WHERE s.setrole <> 0 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = :name)",
        name=database.name,
    )
    return {(role, name): text for role, name, text in rows or []}


def ledger(database: Database) -> list[list[Any]]:
    """The whole ledger."""
    if not database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'"):
        return []
    return database.rows(
        "SELECT name, role, owner, resource, desired, applied, previous, adopted FROM cdk_pinsafe.setting ORDER BY 1, 2"
    )


def test_role_and_database_have_different_values(database: Database, role: str) -> None:
    """A log-in of the role gets its own value, all others the database's."""
    mine = {role: {"search_path": ["chat", "public"], "statement_timeout": "5s", "jit": "off"}}
    answer = database.create({"statement_timeout": "30s"}, **role_settings(mine))
    assert answer.counts == (4, 4, 0, 0)
    assert answer.overridden == []
    with database.session(role, PASSWORD) as session:
        assert session.run("SHOW search_path") == [["chat, public"]]
        assert session.run("SHOW statement_timeout") == [["5s"]]
    assert database.show("statement_timeout") == "30s"
    assert stored(database) == {
        (role, "search_path"): "chat, public",
        (role, "statement_timeout"): "5s",
        (role, "jit"): "off",
    }
    assert [row[:2] for row in ledger(database)] == [
        ["jit", role],
        ["search_path", role],
        ["statement_timeout", ""],
        ["statement_timeout", role],
    ]
    assert database.create({"statement_timeout": "30s"}, **role_settings(mine)).counts == (4, 0, 0, 0)


def test_update_rollback_and_delete_of_role_settings(database: Database, role: str) -> None:
    """Adopted, changed, reset and restored as for a database; in the end all is as it was."""
    database.run_sql(
        f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET work_mem = '65536kB'",
        f'ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET search_path = \'Odd "Name\', "$user"',
    )
    begin = stored(database)
    old = role_settings({role: {"work_mem": "64MB", "search_path": ["chat"], "jit": "off"}})
    new = role_settings({role: {"work_mem": "8MB", "search_path": ["chat"], "lock_timeout": "1s"}})
    assert database.create({}, **old).counts == (3, 2, 1, 0)
    after_create = stored(database), ledger(database)
    assert database.update({}, {}, was=old, **new).counts == (3, 2, 0, 1)
    assert stored(database)[role, "work_mem"] == "8MB"
    assert (role, "jit") not in stored(database)
    assert database.update({}, {}, was=new, **old).counts == (3, 2, 0, 1)
    assert {key: text for key, text in stored(database).items() if key[1] != "work_mem"} == {
        key: text for key, text in after_create[0].items() if key[1] != "work_mem"
    }
    assert database.delete({}, **old).counts == (0, 0, 0, 3)
    assert stored(database) == begin
    assert ledger(database) == []


def test_manual_change_for_a_role(database: Database, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Delete keeps it, an update repairs it. Drift of a role's setting is independent of the database's setting of the
    same name."""
    given = role_settings({role: {"work_mem": "8MB"}})
    alter = f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET work_mem = '1MB'"
    database.create({"work_mem": "4MB"}, **given)
    database.run_sql(alter)
    assert database.update({"work_mem": "4MB"}, {}, was=given, **given).counts == (2, 1, 0, 0)
    assert stored(database) == {(role, "work_mem"): "8MB"}
    database.run_sql(alter)
    assert database.delete({"work_mem": "4MB"}, **given).counts == (0, 0, 0, 1)
    assert stored(database) == {(role, "work_mem"): "1MB"}
    assert database.stored() == {}
    assert f'"kept_as_changed_by_others", "names": ["work_mem of role \\"{role}\\""]' in capsys.readouterr().out


def test_owners_share_a_name_for_different_roles(database: Database, role: str) -> None:
    """A setting is owned by name and role."""
    other: dict[str, Any] = {"Owner": "Other/Settings", "Address": "c8ffff"}
    database.create({"work_mem": "4MB"})
    database.create({}, **role_settings({role: {"work_mem": "8MB"}}), **other)
    before = stored(database), ledger(database)
    message = database.refuses(lambda: database.create({"jit": "off"}, **role_settings({role: {"work_mem": "8MB"}})))
    assert f'setting "work_mem" of role "{role}" in database' in message
    assert 'already managed by "Other/Settings"' in message
    assert (stored(database), ledger(database)) == before
    database.delete({}, **role_settings({role: {"work_mem": "8MB"}}), **other)
    assert database.stored() == {"work_mem": "4MB"}


def test_missing_role_is_refused_by_name(database: Database) -> None:
    """Nothing is changed, not even other settings."""
    message = database.refuses(lambda: database.create({"jit": "off"}, **role_settings({"nosuch": {"jit": "on"}})))
    assert message.startswith('role "nosuch" in database')
    assert "create it first" in message
    assert (database.stored(), ledger(database)) == ({}, [])
    for reserved in ("public", "none", "all", "current_user"):
        message = database.refuses(lambda name=reserved: database.create({}, **role_settings({name: {"jit": "on"}})))  # type: ignore[misc]
        assert message.startswith(f'role "{reserved}" in database')


def test_dropped_role_does_not_block_rollback_or_delete(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A role's settings are dropped with it; new desired settings for it fail."""
    with role_of(database) as role:
        given = role_settings({role: {"jit": "off"}})
        database.create({"jit": "on"}, **given)
    assert database.update({"jit": "off"}, {}, was=given, **given).counts == (1, 1, 0, 0)
    assert '"level": "WARNING", "event": "role_missing"' in capsys.readouterr().out
    message = database.refuses(lambda: database.update({}, {}, was=given, **role_settings({role: {"jit": "on"}})))
    assert message.startswith(f'role "{role}" in database')
    assert database.delete({"jit": "off"}, **given).counts == (0, 0, 0, 1)
    assert ledger(database) == []


def test_orphaned_setting_moves_to_the_new_owner(database: Database) -> None:
    """A renamed construct and a replaced resource keep it: the next rollback needs it, too."""
    with role_of(database) as role:
        given = role_settings({role: {"jit": "off"}})
        database.create({}, **given)
    row = ["jit", role, "Chat/Renamed", database.physical_id, "off", "off", None, False]
    database.update({}, {}, was=given, Owner="Chat/Renamed", **given)
    assert ledger(database) == [row]
    renamed: dict[str, Any] = {**given, "Owner": "Chat/Renamed"}
    replaced = {**renamed, "Host": "localhost"}
    for _ in range(2):
        database.update({}, {}, was=renamed, **replaced)
        database.delete({}, **renamed)
        assert ledger(database) == [[*row[:3], database.physical_id.replace("127.0.0.1", "localhost"), *row[4:]]]
    database.delete({}, **replaced)
    assert ledger(database) == []


def test_recreated_role_gets_its_settings_again(database: Database) -> None:
    """The next update sets them."""
    with role_of(database) as role:
        given = role_settings({role: {"jit": "off"}})
        database.create({}, **given)
    with role_of(database) as role:
        assert stored(database) == {}
        assert database.update({}, {}, was=given, **given).counts == (1, 1, 0, 0)
        assert stored(database) == {(role, "jit"): "off"}
        database.delete({}, **given)


def test_role_dropped_concurrently_is_reported(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is about the role, not about an unknown parameter."""
    original = Session.run
    statements: list[str] = []

    def late(self: Session, statement: str, **values: str) -> list[list[Any]]:
        if statement == sql.APPLY_CHANGES and statements:
            database.admin.run(statements.pop())
        return original(self, statement, **values)

    with role_of(database) as role:
        monkeypatch.setattr(Session, "run", late)
        statements.append(f"DROP ROLE {_quoted(role)}")
        message = database.refuses(
            lambda: database.create({"jit": "off"}, **role_settings({role: {"work_mem": "8MB"}}))
        )
        assert message.startswith(f'setting "work_mem" of role "{role}" in database')
        assert "the role was dropped meanwhile" in message
        assert database.stored() == {}


def test_a_superusers_role_is_refused(database: Database) -> None:
    with role_of(database, by_master=False, extra="SUPERUSER") as role:
        message = database.refuses(lambda: database.create({}, **role_settings({role: {"jit": "off"}})))
        assert message.startswith(f'setting "jit" of role "{role}" in database')
        assert message.endswith("the role is a superuser, which only superusers alter: remove it from role_settings")


def test_createrole_is_enough_before_16(database: Database) -> None:
    if database.cluster.major >= 16:
        pytest.skip("16 and later ask for the ADMIN option")
    with role_of(database, by_master=False) as role:
        assert database.create({}, **role_settings({role: {"jit": "off"}})).counts == (1, 1, 0, 0)


@pytest.fixture
def foreign_role(database: Database) -> Iterator[str]:
    """A role that the superuser created, whose name has every hostile character."""
    if database.cluster.major < 16:
        pytest.skip("15 and earlier ask for CREATEROLE alone")
    with role_of(database, f'app "of" {database.name}', by_master=False) as role:
        yield role


def advised(message: str) -> str:
    """The statement in the message's remedy."""
    [statement] = re.findall(r"GRANT .* WITH ADMIN TRUE, INHERIT FALSE, SET FALSE", message)
    return str(statement)


def test_advised_grant_lets_the_user_alter_the_role(database: Database, foreign_role: str) -> None:
    """The statement as it is, run by a superuser, is all that the deployment lacked; without it a deletion says so."""
    given = role_settings({foreign_role: {"jit": "off"}})
    message = database.refuses(lambda: database.create({}, **given))
    assert stored(database) == {}
    assert "if the role is in rds_iam, INHERIT would end this user's password login" in message
    database.admin.run(advised(message))
    assert database.create({}, **given).counts == (1, 1, 0, 0)
    assert stored(database) == {(foreign_role, "jit"): "off"}
    # Revoked again: a deletion must not report a reset that failed.
    database.admin.run(f"REVOKE {_quoted(foreign_role)} FROM {MASTER}")
    message = database.refuses(lambda: database.delete({}, **given))
    assert stored(database) == {(foreign_role, "jit"): "off"}
    database.admin.run(advised(message))
    database.delete({}, **given)
    assert stored(database) == {}


def test_guide_shows_the_advised_grant(database: Database) -> None:
    """docs/settings.md has the applier's statement, with names that need no quotes."""
    if database.cluster.major < 16:
        pytest.skip("15 and earlier ask for CREATEROLE alone")
    [shown] = [block.text for block in blocks(page("settings")) if block.kind == "sql"]
    with role_of(database, "reports", by_master=False) as role:
        message = database.refuses(lambda: database.create({}, **role_settings({role: {"jit": "off"}})))
    assert shown.strip() == advised(message).replace('"', "") + ";"


def test_creator_of_a_role_can_run_the_advised_grant(database: Database) -> None:
    """PostgreSQL 16 gives a role's creator the ADMIN option, which is enough for the statement."""
    if database.cluster.major < 16:
        pytest.skip("15 and earlier ask for CREATEROLE alone")
    maker, role = f"maker of {database.name}", f"made in {database.name}"
    database.admin.run(f"CREATE ROLE {_quoted(maker)} CREATEROLE")
    try:
        database.admin.run(f"SET ROLE {_quoted(maker)}")
        database.admin.run(f"CREATE ROLE {_quoted(role)} LOGIN")
        given = role_settings({role: {"jit": "off"}})
        database.admin.run(advised(database.refuses(lambda: database.create({}, **given))))
        database.admin.run("RESET ROLE")
        assert database.create({}, **given).counts == (1, 1, 0, 0)
        database.delete({}, **given)
    finally:
        database.admin.run("RESET ROLE")
        database.admin.run(f"DROP ROLE IF EXISTS {_quoted(role)}")
        database.admin.run(f"DROP ROLE {_quoted(maker)}")


def test_advised_grant_gives_no_privileges_of_the_role(database: Database, foreign_role: str) -> None:
    """The user gets neither the role's privileges, nor SET ROLE, nor those of a role such as rds_iam above it."""
    above = f"above {database.name}"
    database.admin.run(f"CREATE ROLE {_quoted(above)}")
    try:
        database.admin.run(f"GRANT {_quoted(above)} TO {_quoted(foreign_role)}")
        database.admin.run(
            advised(database.refuses(lambda: database.create({}, **role_settings({foreign_role: {"jit": "off"}}))))
        )
        for role in (foreign_role, above):
            [[usage, may_set]] = database.admin.run(
                "SELECT pg_has_role(:user, CAST(:role AS name), 'USAGE'), "
                "pg_has_role(:user, CAST(:role AS name), 'SET')",
                user=MASTER,
                role=role,
            ) or [[None, None]]
            assert (usage, may_set) == (False, False)
    finally:
        database.admin.run(f"DROP ROLE {_quoted(above)}")


def test_missing_createrole_is_reported(database: Database) -> None:
    """Both statements, or on 15 and earlier the first, are all that the deployment lacked."""
    with role_of(database, by_master=False) as role:
        given = role_settings({role: {"jit": "off"}})
        database.admin.run(f"ALTER ROLE {MASTER} NOCREATEROLE")
        try:
            message = database.refuses(lambda: database.create({}, **given))
            assert f'run ALTER ROLE "{MASTER}" CREATEROLE, and on PostgreSQL 16 and later' in message
        finally:
            database.admin.run(f"ALTER ROLE {MASTER} CREATEROLE")
        if database.cluster.major >= 16:
            database.admin.run(advised(message))
        assert database.create({}, **given).counts == (1, 1, 0, 0)


def test_bad_value_for_a_role_names_the_role(database: Database, role: str) -> None:
    """The same parameter may be valid for the database."""
    message = database.refuses(
        lambda: database.create(
            {"work_mem": "8MB"}, **role_settings({role: {"work_mem": "64mb", "bytea_output": "banana"}})
        )
    )
    assert message.startswith(f'setting "work_mem" of role "{role}" in database')
    assert "Valid units" in message
    assert f'also refused: bytea_output of role "{role}"' in message
    assert (database.stored(), stored(database)) == ({}, {})


@pytest.mark.parametrize(
    "name",
    [
        'quo"te',
        "it's",
        "back\\slash",
        "new\nline",
        "$1",
        "%I %L",
        "; DROP SCHEMA public; --",
        "🐘" * 15,
        "n" * 63,
        "Current_User",
        "ALL",
        ":name",
    ],
)
def test_hostile_role_names_are_quoted(database: Database, name: str) -> None:
    """Only that role gets the value, and loses it again."""
    database.alter("SET standard_conforming_strings = off")
    with role_of(database, name):
        given = role_settings({name: {"search_path": ["it's", 'a"b'], "application_name": "x\\'; SELECT 1; --"}})
        before = stored(database), database.stored()
        assert database.create({}, **given).counts == (2, 2, 0, 0)
        assert stored(database) == {
            **before[0],
            (name, "search_path"): '"it\'s", "a""b"',
            (name, "application_name"): "x\\'; SELECT 1; --",
        }
        assert database.stored() == before[1]
        assert database.delete({}, **given).counts == (0, 0, 0, 2)
        assert (stored(database), database.stored()) == before


@pytest.mark.parametrize("name", ["", "a\0b", "n" * 64, "🐘" * 16, "\ud800"])
def test_invalid_role_name_is_refused_before_connecting(name: str) -> None:
    """PostgreSQL would truncate a longer name to 63 bytes, and alter another role."""
    event = {"RequestType": "Create", "ResourceProperties": properties({}, **role_settings({name: {"jit": "off"}}))}
    assert "property 'RoleSettings' must hold roles" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


@pytest.mark.parametrize("text", ["[]", "{", '{"app": []}', '{"app": "jit"}', "", 5])
def test_malformed_role_settings_are_refused_before_connecting(text: object) -> None:
    event = {"RequestType": "Create", "ResourceProperties": properties({}, RoleSettings=text)}
    assert "property 'RoleSettings'" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_denied_names_are_refused_for_a_role() -> None:
    """A token may have hidden the name at synth."""
    event = {
        "RequestType": "Create",
        "ResourceProperties": properties({}, **role_settings({"app": {"local_preload_libraries": "x"}})),
    }
    assert "local_preload_libraries" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_own_user_may_have_role_settings(database: Database) -> None:
    """They neither affect the applier's session nor count as overrides."""
    given = role_settings({MASTER: {"jit": "on", "search_path": ["evil"], "default_transaction_read_only": "on"}})
    answer = database.create({"jit": "off"}, **given)
    assert answer.overridden == []
    assert answer.counts == (4, 4, 0, 0)
    assert database.delete({"jit": "off"}, **given).counts == (0, 0, 0, 4)


def test_managed_role_settings_are_no_overrides(database: Database, role: str) -> None:
    """Once unmanaged, a kept manual value overrides the database's again."""
    other: dict[str, Any] = {"Owner": "Other/Settings", "Address": "c8ffff"}
    database.run_sql(f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET jit = on")
    given = role_settings({role: {"jit": "off"}})
    assert database.create({"jit": "off"}).overridden == ["jit"]
    database.create({}, **given, **other)
    assert database.create({"jit": "off"}).overridden == []
    database.delete({}, **given, **other)
    assert database.create({"jit": "off"}).overridden == ["jit"]


def test_manual_value_kept_on_removal_is_an_override(database: Database, role: str) -> None:
    """The same event reports it, and fails with ``fail``."""
    given = role_settings({role: {"jit": "on"}})
    database.create({}, **given)
    database.run_sql(f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET jit = true")
    before = stored(database), ledger(database)
    message = database.refuses(lambda: database.update({"jit": "off"}, {}, was=given, OnRoleOverride="fail"))
    assert f'role "{role}" has a value of its own' in message
    assert (stored(database), ledger(database)) == before
    assert database.update({"jit": "off"}, {}, was=given).overridden == ["jit"]


def test_new_role_setting_does_not_check_other_overrides(database: Database, role: str) -> None:
    """Existing overrides of unchanged settings are only reported."""
    database.create({"jit": "off"})
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET jit = on")
    answer = database.update({"jit": "off"}, {}, OnRoleOverride="fail", **role_settings({role: {"jit": "on"}}))
    assert (answer.counts, answer.overridden) == ((2, 1, 0, 0), ["jit"])


def test_role_value_in_all_databases_is_no_override(database: Database, role: str) -> None:
    """The role's managed value in the database takes precedence over it."""
    database.admin.run(f"ALTER ROLE {_quoted(role)} SET jit = on")
    assert database.create({"jit": "off"}).overridden == ["jit"]
    assert database.update({"jit": "off"}, {}, **role_settings({role: {"jit": "off"}})).overridden == []
    with database.session(role, PASSWORD) as session:
        assert session.run("SHOW jit") == [["off"]]


def test_extension_parameters_of_a_role(vector_database: Database, role: str) -> None:
    """The library is loaded to set them. They are removed with a warning if the extension was dropped first."""
    database = vector_database
    given = role_settings({role: {"hnsw.iterative_scan": "relaxed_order"}})
    database.create({}, Extensions=["vector"], **given)
    with database.session(role, PASSWORD) as session:
        assert session.run("SHOW hnsw.iterative_scan") == [["relaxed_order"]]
    database.run_sql("DROP EXTENSION vector")
    assert database.delete({}, **given).counts == (0, 0, 0, 0)
    assert ledger(database) == []
