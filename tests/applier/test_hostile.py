"""Hostile input and hostile databases: only the named parameter is ever changed."""

import contextlib

import pg8000.native
import pytest

from cdk_pinsafe.applier import connection

from .harness import MASTER, Cluster, Database, FakeSecretsManager, Settings

VALUES = [
    "it's",
    "back\\slash",
    "\\'; ALTER DATABASE postgres SET work_mem = '1MB'; --",
    "'; DROP TABLE t; --",
    "$1 %s %I %L {0} :name",
    "$pinsafe$ END; $pinsafe$",
    "emoji 🐘 é",
    'double "quotes"',
    "tab\tand\nline",
    "",
    "default",
]


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_values_are_stored_literally(database: Database, conforming: str) -> None:
    """Quotes, backslashes and statements are part of the value, also with backslash escapes."""
    database.alter(f"SET standard_conforming_strings = {conforming}")
    everywhere = "SELECT count(*) FROM pg_db_role_setting"
    before = database.rows(everywhere)
    texts = {f"app.v{number}": value for number, value in enumerate(VALUES)}
    for name in texts:
        database.rows(f"GRANT SET ON PARAMETER {name} TO {MASTER}")
    path = [*VALUES, "$user", "a,b", "Upper"]
    desired = {**texts, "search_path": path}
    assert database.create(desired).counts == (len(desired), len(desired), 0, 0)
    stored = database.stored()
    assert {name: stored[name] for name in texts} == texts
    assert stored["search_path"] == ", ".join('"' + value.replace('"', '""') + '"' for value in path)
    assert database.update(desired, desired).counts == (len(desired), 0, 0, 0)
    database.delete(desired)
    assert set(database.stored()) == {"standard_conforming_strings"}
    assert database.rows(everywhere) == before


@pytest.mark.parametrize("name", ["quo\"te's back\\slash", "UPPER sp ace $1 %I a/b:name", "🐘" * 15])
def test_any_database_name_works(
    cluster: Cluster, database: Database, secrets_manager: FakeSecretsManager, name: str
) -> None:
    """The server quotes it."""
    with cluster.fresh_database(secrets_manager, name) as odd:
        assert odd.create({"jit": "off"}).counts == (1, 1, 0, 0)
        assert odd.stored() == {"jit": "off"}
        odd.delete({"jit": "off"})
        assert odd.stored() == {}


@pytest.mark.parametrize(
    "existing",
    [
        {
            "default_transaction_read_only": "on",
            "default_transaction_isolation": "serializable",
            "default_transaction_deferrable": "on",
        },
        {"statement_timeout": "1"},
        {"transaction_timeout": "1"},
        {"lock_timeout": "1", "idle_in_transaction_session_timeout": "1", "idle_session_timeout": "1"},
        {
            "standard_conforming_strings": "off",
            "backslash_quote": "off",
            "client_encoding": "LATIN1",
            "quote_all_identifiers": "on",
            "transform_null_equals": "on",
        },
        {
            "client_min_messages": "error",
            "row_security": "off",
            "plpgsql.extra_errors": "all",
            "datestyle": "SQL, DMY",
            "restrict_nonsystem_relation_kind": "view",
        },
        {"exit_on_error": "on"},
    ],
    ids=str,
)
def test_existing_settings_do_not_affect_the_session(database: Database, existing: dict[str, str]) -> None:
    """The applier's session does not get the database's manual settings, and they are kept."""
    since = {"transaction_timeout": 17, "restrict_nonsystem_relation_kind": 17}
    existing = {name: value for name, value in existing.items() if database.cluster.major >= since.get(name, 0)}
    if not existing:
        pytest.skip("this version knows none of them")
    for name, value in existing.items():
        with contextlib.suppress(pg8000.native.DatabaseError):
            database.rows(f"LOAD 'plpgsql'; ALTER DATABASE {database.name} SET {name} = '{value}'")
    before = database.stored()
    assert {name.lower(): value for name, value in before.items()} == existing
    desired: Settings = {"jit": "off", "search_path": ["chat", "public"], "work_mem": "8MB"}
    assert database.create(desired).counts == (3, 3, 0, 0)
    assert database.update({"jit": "on"}, desired).counts == (1, 1, 0, 2)
    database.delete({"jit": "on"})
    assert database.stored() == before


def test_exit_on_error_does_not_end_the_session(database: Database) -> None:
    """It makes every error fatal, also those that the applier catches."""
    database.alter("SET exit_on_error = on")
    message = database.refuses(lambda: database.create({"work_mem": "64mb"}))
    assert 'setting "work_mem" in database' in message
    assert "HINT: Valid units" in message


def test_commit_is_durable_with_synchronous_commit_off(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation gets a success that a crash must not undo."""
    original = connection.Session.run
    seen: list[object] = []

    def watched(self: connection.Session, statement: str, **values: str) -> list[list[object]]:
        if statement == "COMMIT":
            seen.extend(original(self, "SHOW synchronous_commit"))
        return original(self, statement, **values)

    database.alter("SET synchronous_commit = off")
    monkeypatch.setattr(connection.Session, "run", watched)
    database.create({"jit": "off"})
    assert seen == [["on"]]


@pytest.mark.parametrize(
    "desired",
    [
        {"default_transaction_read_only": "on", "lock_timeout": "1", "search_path": ["evil"]},
        {"statement_timeout": "1"},
        {"idle_session_timeout": "1", "idle_in_transaction_session_timeout": "1"},
        {"transaction_timeout": "1"},
        {"client_encoding": "EUC_TW", "search_path": []},
    ],
    ids=str,
)
def test_applier_survives_its_own_settings(database: Database, desired: Settings) -> None:
    """A setting that would end or mislead a session can be set, verified, changed and reset."""
    if "transaction_timeout" in desired and database.cluster.major < 17:
        pytest.skip("transaction_timeout came with 17")
    assert database.create(desired).counts == (len(desired), len(desired), 0, 0)
    both = {**desired, "work_mem": "8MB"}
    assert database.update(both, desired).counts == (len(both), 1, 0, 0)
    assert database.delete(both).counts == (0, 0, 0, len(both))
    assert database.stored() == {}


def test_own_role_values_do_not_affect_the_session(database: Database) -> None:
    """The session overrides the values of the applier's own role, too."""
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET default_transaction_read_only = on")
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET search_path = evil")
    assert database.create({"jit": "off"}).counts == (1, 1, 0, 0)
