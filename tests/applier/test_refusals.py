"""Settings that cannot be applied: a message of one line, and nothing changed."""

import json

import pytest

from cdk_pinsafe.applier.handler import on_event

from .harness import ARN, MASTER, Database, LambdaContext, Settings, properties, refusal


def test_bad_setting_is_named_and_all_rolled_back(database: Database) -> None:
    """One bad setting prevents the good ones, too. The message has the parameter, PostgreSQL's text and the remedy."""
    old = {"jit": "off"}
    database.create(old)
    before = database.stored(), database.ledger()
    for name, value, expected in (
        ("work_mem", "64mb", "HINT: Valid units for this parameter are"),
        ("bytea_output", "banana", "HINT: Available values: escape, hex"),
        ("timezone", "Mars/Base", "22023"),
        ("no_such_param", "1", "42704"),
        ("default_tablespace", "nosuch", "create the tablespace first"),
        ("temp_tablespaces", "nosuch", "create the tablespace first"),
        ("log_statement", "all", "put it in a parameter group"),
        ("shared_buffers", "1GB", "put it in a parameter group"),
    ):
        desired = {"jit": "on", "maintenance_work_mem": "8MB", name: value}
        message = database.refuses(lambda desired=desired: database.update(desired, old))  # type: ignore[misc]
        assert message.startswith(f'setting "{name}" in database "{database.name}" at 127.0.0.1:')
        assert expected in message
        assert "nothing was changed" in message
        assert (database.stored(), database.ledger()) == before


def test_several_bad_settings_are_all_named(database: Database) -> None:
    """In one deployment."""
    desired = {"work_mem": "much", "bytea_output": "banana", "jit": "off", "no_such": "1"}
    message = database.refuses(lambda: database.create(desired))
    assert message.startswith('setting "work_mem"')
    assert "also refused: bytea_output, no_such" in message


def test_long_value_makes_no_long_message(database: Database) -> None:
    """The message fits CloudFormation for any value, name and hint."""
    for value in ("9" * 5000 + "\n\t" + "x" * 5000, "🐘" * 5000):
        message = database.refuses(lambda value=value: database.create({"work_mem": value}))  # type: ignore[misc]
        assert message.endswith("nothing was changed; correct the value")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"search_path": "a" * 3000 + ", it's"}, "; pass ["),
        ({"search_path": "🐘" * 900 + ", b"}, "; pass ["),
        ({"search_path": ", ".join(f"schema_{number}" for number in range(500))}, "; pass ["),
        ({"work_mem": ["x" * 3000]}, "; pass one string, such as"),
    ],
)
def test_long_value_leaves_the_remedy(settings: Settings, expected: str) -> None:
    """The received value is truncated, not the remedy."""
    assert expected in _refused_before_connecting(settings)


def _refused_before_connecting(settings: Settings, **changes: object) -> str:
    """The message of a creation that is refused before the secret is read or a connection is opened."""
    event = {"RequestType": "Create", "ResourceProperties": properties(settings, **changes)}
    return refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


@pytest.mark.parametrize("name", ["role", "transaction_read_only", "seed", "LOCAL_PRELOAD_LIBRARIES", "exit_on_error"])
def test_denied_names_are_refused_without_the_server(name: str) -> None:
    """A token may have hidden the name at synth."""
    assert name in _refused_before_connecting({name: "1"})


def test_names_that_differ_in_case_only_are_refused() -> None:
    """PostgreSQL would take the last one."""
    assert "given twice" in _refused_before_connecting({"TimeZone": "UTC", "timezone": "GMT"})


def test_string_for_a_list_is_refused() -> None:
    """PostgreSQL would take it as one name with a comma in it."""
    assert "expects a list" in _refused_before_connecting({"search_path": "chat, public"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Host": None}, "'Host'"),
        ({"Port": "0"}, "'Port'"),
        ({"Port": "5432; DROP"}, "'Port'"),
        ({"Port": "٥٤٣٢"}, "'Port'"),
        ({"Database": ""}, "'Database'"),
        ({"Database": "a\0b"}, "NUL"),
        ({"SecretArn": 5}, "'SecretArn'"),
        ({"Settings": "{"}, "'Settings'"),
        ({"Settings": "[]"}, "'Settings'"),
        ({"Settings": json.dumps({"work_mem": None})}, "work_mem"),
        ({"Settings": json.dumps({"work_mem": "a\0"})}, "NUL"),
        ({"Settings": '{"work_mem": "\\ud800"}'}, "Unicode"),
        ({"Extensions": "vector"}, "'Extensions'"),
        ({"Extensions": [""]}, "'Extensions'"),
        ({"Owner": None}, "'Owner'"),
        ({"Address": None}, "'Address'"),
    ],
)
def test_malformed_properties_are_named(change: dict[str, object], expected: str) -> None:
    """Before a connection is opened."""
    assert expected in _refused_before_connecting({"jit": "off"}, **change)


def test_unknown_properties_are_ignored(database: Database) -> None:
    """A newer construct may send more than this applier knows."""
    assert database.create({"jit": "off"}, RoleSettings="{}", Recycle="never").counts == (1, 1, 0, 0)


def test_unknown_request_is_refused() -> None:
    """CloudFormation has three."""
    event = {"RequestType": "Describe", "ResourceProperties": properties({})}
    assert "got 'Describe'" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_missing_ownership_names_user_and_owner(database: Database) -> None:
    """ALTER DATABASE is for owners."""
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
    message = database.refuses(lambda: database.create({"jit": "off"}))
    assert 'user "master" may not alter it, its owner is "postgres"' in message
    assert database.stored() == {}


def test_delete_fails_after_lost_ownership(database: Database) -> None:
    """Missing ownership is not a dropped extension."""
    database.create({"jit": "off"})
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
    database.refuses(lambda: database.delete({"jit": "off"}))
    assert database.stored() == {"jit": "off"}
    assert set(database.ledger()) == {"jit"}


def test_schema_of_another_role_is_refused(database: Database) -> None:
    """Its triggers could run with the applier's privileges."""
    database.rows("CREATE SCHEMA cdk_pinsafe; GRANT ALL ON SCHEMA cdk_pinsafe TO PUBLIC")
    message = database.refuses(lambda: database.create({"jit": "off"}))
    assert 'schema cdk_pinsafe belongs to "postgres"' in message
    assert database.stored() == {}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE cdk_pinsafe.setting (name text, role text)",
        "CREATE VIEW cdk_pinsafe.setting AS SELECT 1 AS name",
        "CREATE TABLE cdk_pinsafe.setting (name text NOT NULL, role text NOT NULL, owner text NOT NULL, "
        "resource text NOT NULL, desired jsonb NOT NULL, applied text DEFAULT 'x' NOT NULL, previous text, "
        "adopted boolean NOT NULL, at timestamp with time zone NOT NULL, PRIMARY KEY (name, role))",
    ],
)
def test_foreign_table_as_ledger_is_refused(database: Database, statement: str) -> None:
    """Even in a schema of the applier's user."""
    database.run_sql("CREATE SCHEMA cdk_pinsafe", statement)
    assert "is not the one that this library makes" in database.refuses(lambda: database.create({"jit": "off"}))


@pytest.mark.parametrize(
    "statement",
    [
        "GRANT INSERT ON cdk_pinsafe.setting TO PUBLIC",
        "GRANT UPDATE (previous) ON cdk_pinsafe.setting TO pg_monitor",
        "GRANT TRUNCATE ON cdk_pinsafe.setting TO pg_monitor",
        "ALTER TABLE cdk_pinsafe.setting DROP CONSTRAINT setting_pkey",
        "ALTER TABLE cdk_pinsafe.setting OWNER TO {other}",
        "ALTER SCHEMA cdk_pinsafe OWNER TO {other}",
    ],
)
def test_ledger_writable_by_others_is_refused(database: Database, statement: str) -> None:
    """A writer of the ledger decides what a removal sets with the applier's privileges."""
    other = f"other_of_{database.name}"
    database.create({"jit": "off"})
    database.admin.run(f"CREATE ROLE {other}")
    try:
        database.admin.run(f"GRANT {other} TO {MASTER}")
        database.rows(statement.format(other=other))
        message = database.refuses(lambda: database.update({"jit": "on"}, {"jit": "off"}))
    finally:
        database.rows(f"REASSIGN OWNED BY {other} TO {MASTER}; DROP ROLE {other}")
    assert "nothing is read from or written to it" in message
    assert database.stored() == {"jit": "off"}


def test_default_privileges_do_not_open_the_ledger(database: Database) -> None:
    """A master user may have granted all of its future tables to others."""
    database.run_sql(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO pg_monitor",
    )
    try:
        database.create({"jit": "off"})
        assert database.update({"jit": "on"}, {"jit": "off"}).counts == (1, 1, 0, 0)
    finally:
        database.run_sql(
            "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC",
            "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM pg_monitor",
        )


def test_error_about_a_column_is_not_of_a_setting(database: Database) -> None:
    """PostgreSQL's errors have columns of their own; only those that the applier marked are names of parameters."""
    database.rows(
        "CREATE FUNCTION public.deny() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not today' USING ERRCODE = '22023', COLUMN = 'jit'; END $$; "
        "CREATE EVENT TRIGGER deny ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION public.deny()"
    )
    message = database.refuses(lambda: database.create({"jit": "off"}))
    assert message.startswith(f'database "{database.name}" at ')
    assert "not today" in message


def test_trigger_on_the_ledger_is_refused(database: Database) -> None:
    """It would run with the applier's privileges."""
    database.create({"jit": "off"})
    database.run_sql(
        "CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER evil BEFORE INSERT ON cdk_pinsafe.setting FOR EACH ROW EXECUTE FUNCTION public.evil()",
    )
    database.refuses(lambda: database.update({"jit": "on"}, {"jit": "off"}))
    assert database.stored() == {"jit": "off"}


def test_truncated_database_name_is_refused(database: Database) -> None:
    """PostgreSQL truncates names to 63 bytes, and would connect to another database."""
    name = "n" * 63
    database.admin.run(f"CREATE DATABASE {name} OWNER master")
    try:
        message = database.refuses(lambda: database.create({"jit": "off"}, Database=name + "tail"))
        assert f'names have at most 63 bytes, PostgreSQL took "{name}" for it' in message
    finally:
        database.admin.run(f"DROP DATABASE {name}")
