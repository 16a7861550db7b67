"""Settings of one role in the database: the same promises as for the database's own."""

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
    """A role that may log in, made by the master user, who may then alter it, or by the superuser."""
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
    """A role of the master user's making."""
    with role_of(database) as name:
        yield name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def wish(roles: Roles) -> dict[str, Any]:
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
    """Everything that is written down."""
    if not database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'cdk_pinsafe'"):
        return []
    return database.rows(
        "SELECT name, role, owner, resource, desired, applied, previous, adopted FROM cdk_pinsafe.setting ORDER BY 1, 2"
    )


def test_a_role_gets_its_own_and_everybody_else_the_databases(database: Database, role: str) -> None:
    """One parameter may have one value for the database and another for a role, which a log-in of the role gets."""
    mine = {role: {"search_path": ["chat", "public"], "statement_timeout": "5s", "jit": "off"}}
    answer = database.create({"statement_timeout": "30s"}, **wish(mine))
    assert answer.counts == (4, 4, 0, 0)
    assert answer.shadowed == []
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
    assert database.create({"statement_timeout": "30s"}, **wish(mine)).counts == (4, 0, 0, 0)


def test_update_and_rollback_and_delete_of_a_roles_settings(database: Database, role: str) -> None:
    """Adopted, changed, taken back and restored as for a database; in the end all is as it was."""
    database.run_sql(
        f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET work_mem = '65536kB'",
        f'ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET search_path = \'Odd "Name\', "$user"',
    )
    begin = stored(database)
    old = wish({role: {"work_mem": "64MB", "search_path": ["chat"], "jit": "off"}})
    new = wish({role: {"work_mem": "8MB", "search_path": ["chat"], "lock_timeout": "1s"}})
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


def test_what_a_hand_changed_for_a_role_is_its_own_on_delete_and_repaired_on_update(
    database: Database, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drift of a role's setting is told apart from drift of the database's setting of the same name."""
    given = wish({role: {"work_mem": "8MB"}})
    alter = f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET work_mem = '1MB'"
    database.create({"work_mem": "4MB"}, **given)
    database.run_sql(alter)
    assert database.update({"work_mem": "4MB"}, {}, was=given, **given).counts == (2, 1, 0, 0)
    assert stored(database) == {(role, "work_mem"): "8MB"}
    database.run_sql(alter)
    assert database.delete({"work_mem": "4MB"}, **given).counts == (0, 0, 0, 1)
    assert stored(database) == {(role, "work_mem"): "1MB"}
    assert database.stored() == {}
    assert f'"left_as_changed_by_others", "names": ["work_mem of role \\"{role}\\""]' in capsys.readouterr().out


def test_two_owners_may_have_one_name_for_different_roles_but_not_for_one(database: Database, role: str) -> None:
    """A setting is owned by name and role."""
    other: dict[str, Any] = {"Owner": "Other/Settings", "Address": "c8ffff"}
    database.create({"work_mem": "4MB"})
    database.create({}, **wish({role: {"work_mem": "8MB"}}), **other)
    before = stored(database), ledger(database)
    message = database.refuses(lambda: database.create({"jit": "off"}, **wish({role: {"work_mem": "8MB"}})))
    assert f'setting "work_mem" of role "{role}" in database' in message
    assert 'already managed by "Other/Settings"' in message
    assert (stored(database), ledger(database)) == before
    database.delete({}, **wish({role: {"work_mem": "8MB"}}), **other)
    assert database.stored() == {"work_mem": "4MB"}


def test_a_role_that_is_missing_is_refused_by_name(database: Database) -> None:
    """Nothing is changed, not even what the others ask for."""
    message = database.refuses(lambda: database.create({"jit": "off"}, **wish({"nosuch": {"jit": "on"}})))
    assert message.startswith('role "nosuch" in database')
    assert "create it first" in message
    assert (database.stored(), ledger(database)) == ({}, [])
    for reserved in ("public", "none", "all", "current_user"):
        message = database.refuses(lambda name=reserved: database.create({}, **wish({name: {"jit": "on"}})))  # type: ignore[misc]
        assert message.startswith(f'role "{reserved}" in database')


def test_a_role_dropped_later_holds_nothing_up(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A role takes its settings with it: neither a way back nor a deletion fails; asking for more does."""
    with role_of(database) as role:
        given = wish({role: {"jit": "off"}})
        database.create({"jit": "on"}, **given)
    assert database.update({"jit": "off"}, {}, was=given, **given).counts == (1, 1, 0, 0)
    assert '"level": "WARNING", "event": "role_missing"' in capsys.readouterr().out
    message = database.refuses(lambda: database.update({}, {}, was=given, **wish({role: {"jit": "on"}})))
    assert message.startswith(f'role "{role}" in database')
    assert database.delete({"jit": "off"}, **given).counts == (0, 0, 0, 1)
    assert ledger(database) == []


def test_what_was_asked_for_of_a_role_that_is_gone_goes_over_with_the_rest(database: Database) -> None:
    """A construct that is renamed, and a resource that replaces another, keep it: the next way back needs it, too."""
    with role_of(database) as role:
        given = wish({role: {"jit": "off"}})
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


def test_a_role_that_comes_back_gets_its_settings_again(database: Database) -> None:
    """Dropped and made anew, a role has none of its settings: the next update sets them."""
    with role_of(database) as role:
        given = wish({role: {"jit": "off"}})
        database.create({}, **given)
    with role_of(database) as role:
        assert stored(database) == {}
        assert database.update({}, {}, was=given, **given).counts == (1, 1, 0, 0)
        assert stored(database) == {(role, "jit"): "off"}
        database.delete({}, **given)


def test_a_role_that_is_dropped_between_reading_and_acting_is_noticed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is about the role, not about a parameter that is unknown."""
    original = Session.run
    hands: list[str] = []

    def late(self: Session, statement: str, **values: str) -> list[list[Any]]:
        if statement == sql.APPLY_CHANGES and hands:
            database.admin.run(hands.pop())
        return original(self, statement, **values)

    with role_of(database) as role:
        monkeypatch.setattr(Session, "run", late)
        hands.append(f"DROP ROLE {_quoted(role)}")
        message = database.refuses(lambda: database.create({"jit": "off"}, **wish({role: {"work_mem": "8MB"}})))
        assert message.startswith(f'setting "work_mem" of role "{role}" in database')
        assert "the role was dropped meanwhile" in message
        assert database.stored() == {}


def test_a_superusers_role_is_refused(database: Database) -> None:
    with role_of(database, by_master=False, extra="SUPERUSER") as role:
        message = database.refuses(lambda: database.create({}, **wish({role: {"jit": "off"}})))
        assert message.startswith(f'setting "jit" of role "{role}" in database')
        assert message.endswith("the role is a superuser, which only superusers alter: take it out of role_settings")


def test_createrole_is_enough_before_16(database: Database) -> None:
    if database.cluster.major >= 16:
        pytest.skip("16 and later ask for the ADMIN option")
    with role_of(database, by_master=False) as role:
        assert database.create({}, **wish({role: {"jit": "off"}})).counts == (1, 1, 0, 0)


@pytest.fixture
def granting(database: Database) -> Iterator[str]:
    """A role that somebody else made, whom a name as bad as names can be belongs to."""
    if database.cluster.major < 16:
        pytest.skip("15 and earlier ask for CREATEROLE alone")
    with role_of(database, f'app "of" {database.name}', by_master=False) as role:
        yield role


def advised(message: str) -> str:
    """The statement that the message tells to run."""
    [statement] = re.findall(r"GRANT .* WITH ADMIN TRUE, INHERIT FALSE, SET FALSE", message)
    return str(statement)


def test_advised_grant_lets_the_user_alter_the_role(database: Database, granting: str) -> None:
    """The statement as it is, run by a superuser, is all that the deployment lacked; without it a deletion says so."""
    given = wish({granting: {"jit": "off"}})
    message = database.refuses(lambda: database.create({}, **given))
    assert stored(database) == {}
    assert "if the role is in rds_iam, INHERIT would end this user's password login" in message
    database.admin.run(advised(message))
    assert database.create({}, **given).counts == (1, 1, 0, 0)
    assert stored(database) == {(granting, "jit"): "off"}
    # Lost again: a deletion must not say that it took back what it could not.
    database.admin.run(f"REVOKE {_quoted(granting)} FROM {MASTER}")
    message = database.refuses(lambda: database.delete({}, **given))
    assert stored(database) == {(granting, "jit"): "off"}
    database.admin.run(advised(message))
    database.delete({}, **given)
    assert stored(database) == {}


def test_guide_shows_the_advised_grant(database: Database) -> None:
    """What docs/settings.md shows is the applier's statement, but for names that need no quotes."""
    if database.cluster.major < 16:
        pytest.skip("15 and earlier ask for CREATEROLE alone")
    [shown] = [block.text for block in blocks(page("settings")) if block.kind == "sql"]
    with role_of(database, "reports", by_master=False) as role:
        message = database.refuses(lambda: database.create({}, **wish({role: {"jit": "off"}})))
    assert shown.strip() == advised(message).replace('"', "") + ";"


def test_advised_grant_can_come_from_who_made_the_role(database: Database) -> None:
    """PostgreSQL 16 gives a role's maker the ADMIN option, which is enough for the statement."""
    if database.cluster.major < 16:
        pytest.skip("15 and earlier ask for CREATEROLE alone")
    maker, role = f"maker of {database.name}", f"made in {database.name}"
    database.admin.run(f"CREATE ROLE {_quoted(maker)} CREATEROLE")
    try:
        database.admin.run(f"SET ROLE {_quoted(maker)}")
        database.admin.run(f"CREATE ROLE {_quoted(role)} LOGIN")
        given = wish({role: {"jit": "off"}})
        database.admin.run(advised(database.refuses(lambda: database.create({}, **given))))
        database.admin.run("RESET ROLE")
        assert database.create({}, **given).counts == (1, 1, 0, 0)
        database.delete({}, **given)
    finally:
        database.admin.run("RESET ROLE")
        database.admin.run(f"DROP ROLE IF EXISTS {_quoted(role)}")
        database.admin.run(f"DROP ROLE {_quoted(maker)}")


def test_advised_grant_gives_nothing_of_the_role(database: Database, granting: str) -> None:
    """The user gets neither the role's privileges nor the role, nor those of a role such as rds_iam above it."""
    above = f"above {database.name}"
    database.admin.run(f"CREATE ROLE {_quoted(above)}")
    try:
        database.admin.run(f"GRANT {_quoted(above)} TO {_quoted(granting)}")
        database.admin.run(advised(database.refuses(lambda: database.create({}, **wish({granting: {"jit": "off"}})))))
        for role in (granting, above):
            [[usage, may_set]] = database.admin.run(
                "SELECT pg_has_role(:user, CAST(:role AS name), 'USAGE'), "
                "pg_has_role(:user, CAST(:role AS name), 'SET')",
                user=MASTER,
                role=role,
            ) or [[None, None]]
            assert (usage, may_set) == (False, False)
    finally:
        database.admin.run(f"DROP ROLE {_quoted(above)}")


def test_user_without_createrole_is_told(database: Database) -> None:
    """Both statements, or on 15 and earlier the first, are all that the deployment lacked."""
    with role_of(database, by_master=False) as role:
        given = wish({role: {"jit": "off"}})
        database.admin.run(f"ALTER ROLE {MASTER} NOCREATEROLE")
        try:
            message = database.refuses(lambda: database.create({}, **given))
            assert f'run ALTER ROLE "{MASTER}" CREATEROLE, and on PostgreSQL 16 and later' in message
        finally:
            database.admin.run(f"ALTER ROLE {MASTER} CREATEROLE")
        if database.cluster.major >= 16:
            database.admin.run(advised(message))
        assert database.create({}, **given).counts == (1, 1, 0, 0)


def test_a_bad_value_for_a_role_is_told_with_the_role(database: Database, role: str) -> None:
    """The same parameter may be right for the database and wrong for a role."""
    message = database.refuses(
        lambda: database.create({"work_mem": "8MB"}, **wish({role: {"work_mem": "64mb", "bytea_output": "banana"}}))
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
def test_hostile_role_names_are_names(database: Database, name: str) -> None:
    """Whatever a role is called, it and nobody else gets the value, and loses it again."""
    database.alter("SET standard_conforming_strings = off")
    with role_of(database, name):
        given = wish({name: {"search_path": ["it's", 'a"b'], "application_name": "x\\'; SELECT 1; --"}})
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
def test_a_role_name_that_cannot_be_one_is_refused_unopened(name: str) -> None:
    """PostgreSQL would cut a longer name to 63 bytes, and alter somebody else."""
    event = {"RequestType": "Create", "ResourceProperties": properties({}, **wish({name: {"jit": "off"}}))}
    assert "property 'RoleSettings' must hold roles" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


@pytest.mark.parametrize("text", ["[]", "{", '{"app": []}', '{"app": "jit"}', "", 5])
def test_a_malformed_property_is_refused_unopened(text: object) -> None:
    """It is named, before anything is opened."""
    event = {"RequestType": "Create", "ResourceProperties": properties({}, RoleSettings=text)}
    assert "property 'RoleSettings'" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_what_is_denied_for_a_database_is_denied_for_a_role() -> None:
    """A token may have hidden it at synth."""
    event = {
        "RequestType": "Create",
        "ResourceProperties": properties({}, **wish({"app": {"local_preload_libraries": "x"}})),
    }
    assert "local_preload_libraries" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_the_appliers_own_user_may_have_settings(database: Database) -> None:
    """They do not disturb the applier, and are no shadows."""
    given = wish({MASTER: {"jit": "on", "search_path": ["evil"], "default_transaction_read_only": "on"}})
    answer = database.create({"jit": "off"}, **given)
    assert answer.shadowed == []
    assert answer.counts == (4, 4, 0, 0)
    assert database.delete({"jit": "off"}, **given).counts == (0, 0, 0, 4)


def test_a_role_of_another_construct_is_no_shadow_but_a_hands_is(database: Database, role: str) -> None:
    """What this library manages is meant so; what it gives up and leaves to a hand's value beats the database again."""
    other: dict[str, Any] = {"Owner": "Other/Settings", "Address": "c8ffff"}
    database.run_sql(f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET jit = on")
    given = wish({role: {"jit": "off"}})
    assert database.create({"jit": "off"}).shadowed == ["jit"]
    database.create({}, **given, **other)
    assert database.create({"jit": "off"}).shadowed == []
    database.delete({}, **given, **other)
    assert database.create({"jit": "off"}).shadowed == ["jit"]


def test_a_value_that_is_given_up_and_left_to_a_hand_is_a_shadow_at_once(database: Database, role: str) -> None:
    """The event that gives it up tells of it, and fails where shadows are not borne."""
    given = wish({role: {"jit": "on"}})
    database.create({}, **given)
    database.run_sql(f"ALTER ROLE {_quoted(role)} IN DATABASE {database.name} SET jit = true")
    before = stored(database), ledger(database)
    message = database.refuses(lambda: database.update({"jit": "off"}, {}, was=given, OnRoleOverride="fail"))
    assert f'role "{role}" has a value of its own' in message
    assert (stored(database), ledger(database)) == before
    assert database.update({"jit": "off"}, {}, was=given).shadowed == ["jit"]


def test_a_roles_new_value_does_not_bring_up_the_shadows_of_the_databases(database: Database, role: str) -> None:
    """What stood before is only warned of: what another role is to have does not touch the database's value."""
    database.create({"jit": "off"})
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET jit = on")
    answer = database.update({"jit": "off"}, {}, OnRoleOverride="fail", **wish({role: {"jit": "on"}}))
    assert (answer.counts, answer.shadowed) == ((2, 1, 0, 0), ["jit"])


def test_a_value_for_every_database_is_no_shadow_where_the_role_has_one_of_ours(database: Database, role: str) -> None:
    """A role's value in the database beats its value everywhere."""
    database.admin.run(f"ALTER ROLE {_quoted(role)} SET jit = on")
    assert database.create({"jit": "off"}).shadowed == ["jit"]
    assert database.update({"jit": "off"}, {}, **wish({role: {"jit": "off"}})).shadowed == []
    with database.session(role, PASSWORD) as session:
        assert session.run("SHOW jit") == [["off"]]


def test_extension_parameters_of_a_role(vector_database: Database, role: str) -> None:
    """The library is loaded to set them, and they go where the extension was dropped first, with a warning."""
    database = vector_database
    given = wish({role: {"hnsw.iterative_scan": "relaxed_order"}})
    database.create({}, Extensions=["vector"], **given)
    with database.session(role, PASSWORD) as session:
        assert session.run("SHOW hnsw.iterative_scan") == [["relaxed_order"]]
    database.run_sql("DROP EXTENSION vector")
    assert database.delete({}, **given).counts == (0, 0, 0, 0)
    assert ledger(database) == []
