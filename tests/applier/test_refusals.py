"""What cannot be applied: a message in one line, and nothing changed."""

import json

import pytest

from cdk_pinsafe.applier.handler import on_event

from .world import ARN, Clock, Database, Settings, properties, refusal


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
        ("default_text_search_config", "nosuch", "22023"),
        ("default_tablespace", "nosuch", "nosuch"),
        ("log_statement", "all", "put it in a parameter group"),
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
    message = database.refuses(lambda: database.create({"work_mem": "9" * 5000 + "\n\t" + "x" * 5000}))
    assert "correct the value" in message


def _refused_unopened(settings: Settings, **changes: object) -> str:
    """The message of a creation that is refused before the secret is read or anything is opened."""
    event = {"RequestType": "Create", "ResourceProperties": properties(settings, **changes)}
    return refusal(lambda: on_event(event, Clock()), hidden=ARN)


@pytest.mark.parametrize("name", ["role", "transaction_read_only", "seed", "LOCAL_PRELOAD_LIBRARIES", "shared_buffers"])
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
    assert "got 'Describe'" in refusal(lambda: on_event(event, Clock()), hidden=ARN)


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
    database.hand("CREATE SCHEMA cdk_pinsafe", statement)
    assert "is not the one that this library makes" in database.refuses(lambda: database.create({"jit": "off"}))


def test_a_trigger_on_the_ledger_is_refused(database: Database) -> None:
    """A trigger added by hand would run with the applier's rights."""
    database.create({"jit": "off"})
    database.hand(
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
        assert "63 bytes" in message or "3D000" in message
    finally:
        database.admin.run(f"DROP DATABASE {name}")
