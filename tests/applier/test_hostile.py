"""Hostile input and hostile databases: nothing but the parameter named is ever changed."""

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
def test_values_arrive_as_they_are(database: Database, conforming: str) -> None:
    """Quotes, backslashes and statements in a value are a value, also where backslashes escape."""
    database.alter(f"SET standard_conforming_strings = {conforming}")
    everywhere = "SELECT count(*) FROM pg_db_role_setting"
    before = database.rows(everywhere)
    texts = {f"app.v{number}": value for number, value in enumerate(VALUES)}
    for name in texts:
        database.rows(f"GRANT SET ON PARAMETER {name} TO {MASTER}")
    path = [*VALUES, "$user", "a,b", "Upper"]
    wish = {**texts, "search_path": path}
    assert database.create(wish).counts == (len(wish), len(wish), 0, 0)
    stored = database.stored()
    assert {name: stored[name] for name in texts} == texts
    assert stored["search_path"] == ", ".join('"' + value.replace('"', '""') + '"' for value in path)
    assert database.update(wish, wish).counts == (len(wish), 0, 0, 0)
    database.delete(wish)
    assert set(database.stored()) == {"standard_conforming_strings"}
    assert database.rows(everywhere) == before


@pytest.mark.parametrize("name", ["quo\"te's back\\slash", "UPPER sp ace $1 %I a/b:name", "🐘" * 15])
def test_any_database_name_works(
    cluster: Cluster, database: Database, secrets_manager: FakeSecretsManager, name: str
) -> None:
    """A database's name is quoted by the server."""
    with cluster.fresh_database(secrets_manager, name) as odd:
        assert odd.create({"jit": "off"}).counts == (1, 1, 0, 0)
        assert odd.stored() == {"jit": "off"}
        odd.delete({"jit": "off"})
        assert odd.stored() == {}


@pytest.mark.parametrize(
    "standing",
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
def test_settings_that_already_stand_do_not_disturb(database: Database, standing: dict[str, str]) -> None:
    """What a hand stored for the database does not reach the applier's session, and stays as it was."""
    since = {"transaction_timeout": 17, "restrict_nonsystem_relation_kind": 17}
    standing = {name: value for name, value in standing.items() if database.cluster.major >= since.get(name, 0)}
    if not standing:
        pytest.skip("this version knows none of them")
    for name, value in standing.items():
        with contextlib.suppress(pg8000.native.DatabaseError):
            database.rows(f"LOAD 'plpgsql'; ALTER DATABASE {database.name} SET {name} = '{value}'")
    before = database.stored()
    assert {name.lower(): value for name, value in before.items()} == standing
    wish: Settings = {"jit": "off", "search_path": ["chat", "public"], "work_mem": "8MB"}
    assert database.create(wish).counts == (3, 3, 0, 0)
    assert database.update({"jit": "on"}, wish).counts == (1, 1, 0, 2)
    database.delete({"jit": "on"})
    assert database.stored() == before


def test_an_error_does_not_end_the_session_where_errors_do(database: Database) -> None:
    """exit_on_error makes every error fatal, also those that the applier means to catch."""
    database.alter("SET exit_on_error = on")
    message = database.refuses(lambda: database.create({"work_mem": "64mb"}))
    assert 'setting "work_mem" in database' in message
    assert "HINT: Valid units" in message


def test_a_commit_is_durable_where_others_need_not_be(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation is told of a success that a crash must not take back."""
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
    "wish",
    [
        {"default_transaction_read_only": "on", "lock_timeout": "1", "search_path": ["evil"]},
        {"statement_timeout": "1"},
        {"idle_session_timeout": "1", "idle_in_transaction_session_timeout": "1"},
        {"transaction_timeout": "1"},
        {"client_encoding": "EUC_TW", "search_path": []},
    ],
    ids=str,
)
def test_the_applier_survives_what_it_sets_itself(database: Database, wish: Settings) -> None:
    """A setting that would end or mislead a session can be set, verified, changed and taken back."""
    if "transaction_timeout" in wish and database.cluster.major < 17:
        pytest.skip("transaction_timeout came with 17")
    assert database.create(wish).counts == (len(wish), len(wish), 0, 0)
    both = {**wish, "work_mem": "8MB"}
    assert database.update(both, wish).counts == (len(both), 1, 0, 0)
    assert database.delete(both).counts == (0, 0, 0, len(both))
    assert database.stored() == {}


def test_a_role_with_odd_values_of_its_own_does_not_disturb(database: Database) -> None:
    """Role-level values of the applier's own user are overridden in its session as well."""
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET default_transaction_read_only = on")
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET search_path = evil")
    assert database.create({"jit": "off"}).counts == (1, 1, 0, 0)
