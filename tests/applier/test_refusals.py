"""What cannot be applied: a message in one line, and nothing changed."""

import json

import pytest

from cdk_pinsafe.applier.handler import on_event

from .harness import ARN, MASTER, Database, LambdaContext, Settings, properties, refusal


def test_a_bad_setting_is_named_and_all_is_rolled_back(database: Database) -> None:
    """One bad setting keeps the good ones out too; the message has the parameter, PostgreSQL's words and the remedy."""
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
        wish = {"jit": "on", "maintenance_work_mem": "8MB", name: value}
        message = database.refuses(lambda wish=wish: database.update(wish, old))  # type: ignore[misc]
        assert message.startswith(f'setting "{name}" in database "{database.name}" at 127.0.0.1:')
        assert expected in message
        assert "nothing was changed" in message
        assert (database.stored(), database.ledger()) == before


def test_several_bad_settings_are_all_named(database: Database) -> None:
    """One deployment tells all that is wrong, not one after the other."""
    wish = {"work_mem": "much", "bytea_output": "banana", "jit": "off", "no_such": "1"}
    message = database.refuses(lambda: database.create(wish))
    assert message.startswith('setting "work_mem"')
    assert "also refused: bytea_output, no_such" in message


def test_a_very_long_value_does_not_make_a_long_message(database: Database) -> None:
    """The message fits CloudFormation whatever the value, also with names and hints around it."""
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
def test_a_long_value_that_is_refused_unopened_leaves_the_remedy(settings: Settings, expected: str) -> None:
    """What was received is cut, not what to do about it."""
    assert expected in _refused_unopened(settings)


def _refused_unopened(settings: Settings, **changes: object) -> str:
    """The message of a creation that is refused before the secret is read or anything is opened."""
    event = {"RequestType": "Create", "ResourceProperties": properties(settings, **changes)}
    return refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


@pytest.mark.parametrize("name", ["role", "transaction_read_only", "seed", "LOCAL_PRELOAD_LIBRARIES", "exit_on_error"])
def test_denied_names_are_refused_without_asking_the_server(name: str) -> None:
    """What must not be set in a database is refused here too: a token may have hidden it at synth."""
    assert name in _refused_unopened({name: "1"})


def test_names_that_differ_in_case_only_are_refused() -> None:
    """PostgreSQL would take the last of the two."""
    assert "given twice" in _refused_unopened({"TimeZone": "UTC", "timezone": "GMT"})


def test_one_string_for_a_list_is_refused() -> None:
    """PostgreSQL would take it for one name with a comma in it."""
    assert "expects a list" in _refused_unopened({"search_path": "chat, public"})


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
    """A malformed property is refused by name, before anything is opened."""
    assert expected in _refused_unopened({"jit": "off"}, **change)


def test_unknown_properties_are_ignored(database: Database) -> None:
    """A newer construct may send more than this applier knows."""
    assert database.create({"jit": "off"}, RoleSettings="{}", Recycle="never").counts == (1, 1, 0, 0)


def test_an_unknown_request_is_refused() -> None:
    """CloudFormation knows three."""
    event = {"RequestType": "Describe", "ResourceProperties": properties({})}
    assert "got 'Describe'" in refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)


def test_who_does_not_own_the_database_is_told_who_does(database: Database) -> None:
    """ALTER DATABASE is for owners; the message names user and owner."""
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
    message = database.refuses(lambda: database.create({"jit": "off"}))
    assert 'user "master" may not alter it, its owner is "postgres"' in message
    assert database.stored() == {}


def test_who_lost_the_database_is_not_told_that_a_delete_succeeded(database: Database) -> None:
    """A refusal for want of ownership is no dropped extension."""
    database.create({"jit": "off"})
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
    database.refuses(lambda: database.delete({"jit": "off"}))
    assert database.stored() == {"jit": "off"}
    assert set(database.ledger()) == {"jit"}


def test_a_schema_of_somebody_else_is_not_written_to(database: Database) -> None:
    """A look-alike schema could run its triggers with our rights: it is refused in plain words."""
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
def test_a_look_alike_ledger_is_not_written_to(database: Database, statement: str) -> None:
    """A table that this library did not make is refused, even in a schema of our own."""
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
def test_a_ledger_that_others_may_write_is_not_trusted(database: Database, statement: str) -> None:
    """Whoever writes to the ledger decides what a removal sets with the applier's rights."""
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
    """A master user that grants all of its future tables to others keeps the ledger to itself."""
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


def test_an_error_about_a_column_is_not_told_as_one_of_a_setting(database: Database) -> None:
    """PostgreSQL's errors have columns of their own; only what the applier marked is a parameter's name."""
    database.rows(
        "CREATE FUNCTION public.deny() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not today' USING ERRCODE = '22023', COLUMN = 'jit'; END $$; "
        "CREATE EVENT TRIGGER deny ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION public.deny()"
    )
    message = database.refuses(lambda: database.create({"jit": "off"}))
    assert message.startswith(f'database "{database.name}" at ')
    assert "not today" in message


def test_a_trigger_on_the_ledger_is_refused(database: Database) -> None:
    """A trigger added by hand would run with the applier's rights."""
    database.create({"jit": "off"})
    database.run_sql(
        "CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER evil BEFORE INSERT ON cdk_pinsafe.setting FOR EACH ROW EXECUTE FUNCTION public.evil()",
    )
    database.refuses(lambda: database.update({"jit": "on"}, {"jit": "off"}))
    assert database.stored() == {"jit": "off"}


def test_a_name_that_is_cut_to_63_bytes_is_refused(database: Database) -> None:
    """PostgreSQL would connect to another database than the one that was named."""
    name = "n" * 63
    database.admin.run(f"CREATE DATABASE {name} OWNER master")
    try:
        message = database.refuses(lambda: database.create({"jit": "off"}, Database=name + "tail"))
        assert f'names have at most 63 bytes, PostgreSQL took "{name}" for it' in message
    finally:
        database.admin.run(f"DROP DATABASE {name}")
