"""``pinsafe drift``: compares stored and effective values with the desired ones, and changes nothing."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cdk_pinsafe import drift as drift_command
from cdk_pinsafe.applier.drift import SettingStatus
from cdk_pinsafe.applier.messages import Target
from cdk_pinsafe.applier.plan import Key
from cdk_pinsafe.cli import main
from cdk_pinsafe.drift import Row

from ..docs.pages import page
from .harness import MASTER, Database

DESIRED = {"work_mem": "64MB", "search_path": ["chat", "public"], "timezone": "UTC"}


def drift(database: Database, *options: str, user: str = MASTER) -> Result:
    """Run the command on a database."""
    server, password = database.cluster.server, database.cluster.password
    dsn = f"host={server.host} port={server.port} user={user} password={password} dbname={database.name}"
    shown = CliRunner().invoke(main, ["drift", "--dsn", dsn, *options])
    assert shown.exception is None or isinstance(shown.exception, SystemExit)
    assert password not in shown.output
    return shown


def document(database: Database) -> tuple[int, dict[str, Any]]:
    """Exit status, and each setting by its name."""
    shown = drift(database, "--format", "json")
    content = json.loads(shown.stdout)
    assert content["database"] == database.name
    assert content["findings"] == sum(one["state"] != "ok" for one in content["settings"])
    return shown.exit_code, {one["name"]: one for one in content["settings"]}


def test_no_drift_is_one_line(database: Database) -> None:
    """Exit status 0, also for another spelling, or if nothing is managed."""
    shown = drift(database)
    assert (shown.exit_code, shown.stdout.endswith("no managed settings\n")) == (0, True)
    database.create(DESIRED)
    database.alter("SET work_mem = '65536kB'")
    shown = drift(database)
    assert (shown.exit_code, shown.stdout.endswith("3 settings as desired\n")) == (0, True)
    code, settings = document(database)
    assert code == 0
    assert settings["search_path"] == {
        "name": "search_path",
        "role": None,
        "owner": "Chat/Database/Settings",
        "desired": ["chat", "public"],
        "stored": "chat, public",
        "effective": "chat, public",
        "source": "database",
        "state": "ok",
        "overridden_by": [],
    }


def test_drift_is_shown_as_desired_stored_and_effective(database: Database) -> None:
    """Exit status 1 and a table of the settings that differ; nothing is changed."""
    database.create(DESIRED)
    database.alter("SET work_mem = '5MB'")
    database.alter("RESET search_path")
    before = database.stored(), database.ledger()
    shown = drift(database)
    assert shown.exit_code == 1
    head, titles, *lines = [line.rstrip() for line in shown.stdout.splitlines()]
    assert head.endswith("2 of 3 settings not as desired")
    assert titles.split() == ["setting", "desired", "stored", "effective", "state"]
    assert [line.split("  ")[0] for line in lines] == ["search_path", "work_mem"]
    assert lines[1].split() == ["work_mem", "64MB", "5MB", "5MB", "drifted"]
    assert (database.stored(), database.ledger()) == before
    code, settings = document(database)
    assert code == 1
    assert settings["search_path"]["stored"] is None
    assert settings["search_path"]["effective"] == '"$user", public'
    assert settings["timezone"]["state"] == "ok"


def test_role_overrides_and_role_settings_are_shown(database: Database) -> None:
    """A manual value for a role is an override; a managed value of a role is an own setting."""
    role = f"role of {database.name}"
    database.run_sql(f'CREATE ROLE "{role}"')
    try:
        database.create({"jit": "off"}, RoleSettings=json.dumps({role: {"work_mem": "8MB"}}))
        assert drift(database).exit_code == 0
        database.run_sql(f'ALTER ROLE "{role}" SET jit = on')
        database.run_sql(f"ALTER ROLE \"{role}\" IN DATABASE {database.name} SET work_mem = '9MB'")
        code, settings = document(database)
        assert code == 1
        assert (settings["jit"]["state"], settings["jit"]["overridden_by"]) == ("overridden by role", [role])
        assert (settings["work_mem"]["state"], settings["work_mem"]["role"]) == ("drifted", role)
        assert settings["work_mem"]["effective"] is None
        shown = drift(database)
        assert f"overridden by role {role}" in " ".join(shown.stdout.split())
    finally:
        database.admin.run(f'ALTER ROLE "{role}" IN DATABASE {database.name} RESET ALL')
        database.admin.run(f'DROP ROLE "{role}"')


def test_ineffective_setting_is_shown(database: Database) -> None:
    """Stored, but overridden at log-in."""
    if database.cluster.major < 17:
        pytest.skip("login triggers came with 17")
    database.create({"jit": "off"})
    database.rows(
        "CREATE FUNCTION public.on_login() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.set_config('jit', 'on', false); END $$; "
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION public.on_login()"
    )
    code, settings = document(database)
    assert code == 1
    assert (settings["jit"]["state"], settings["jit"]["effective"]) == ("not effective", "on")


def test_extension_parameters_are_compared_with_their_library(vector_database: Database) -> None:
    """Without the library PostgreSQL does not know its parameters."""
    database = vector_database
    database.create({"hnsw.iterative_scan": "relaxed_order"}, Extensions=["vector"])
    code, settings = document(database)
    assert code == 0
    assert settings["hnsw.iterative_scan"]["effective"] == "relaxed_order"


def test_hostile_settings_do_not_affect_the_comparison(database: Database) -> None:
    desired = {"default_transaction_read_only": "on", "search_path": ["evil"], "standard_conforming_strings": "off"}
    database.create(desired)
    database.rows("CREATE SCHEMA evil; CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT 1/0||$1'")
    assert drift(database).exit_code == 0


def test_unreadable_database_is_one_line(database: Database) -> None:
    """No connection, a bad DSN, someone else's ledger: exit status 2, no traceback, no password."""
    for dsn, expected in (
        ("host=127.0.0.1 port=1 password=hidden", "no connection"),
        ("nonsense", "the DSN is not understood"),
        ("host=127.0.0.1 password=my hidden", "the DSN is not understood"),
        ("postgresql://joe:hidden%zz@127.0.0.1/app", "the DSN is not understood"),
        (f"host=127.0.0.1 port={database.cluster.server.port} user=nobody password=hidden", "no connection"),
    ):
        shown = CliRunner().invoke(main, ["drift", "--dsn", dsn])
        assert shown.exit_code == 2
        assert expected in shown.stderr
        assert shown.stderr.count("\n") == 1
        assert "hidden" not in shown.stderr
    database.rows("CREATE SCHEMA cdk_pinsafe")
    shown = drift(database)
    assert shown.exit_code == 2
    assert 'schema cdk_pinsafe belongs to "postgres"' in shown.stderr


def test_guide_shows_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    owner = "Orders/Settings (stack Orders)"
    rows = [
        Row(SettingStatus(Key("lock_timeout"), owner, "2s", "2s", is_in_place=True), "2s", "database"),
        Row(SettingStatus(Key("statement_timeout", "reports"), owner, "10min", None, is_in_place=False), None, None),
        Row(
            SettingStatus(Key("timezone"), owner, "UTC", "UTC", is_in_place=True, overridden_by=("etl",)),
            "UTC",
            "database",
        ),
        Row(SettingStatus(Key("work_mem"), owner, "64MB", "1GB", is_in_place=False), "1GB", "database"),
    ]
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(drift_command, "check", lambda _: (Target("orders.example.com", 5432, "orders"), rows))
    assert drift_command.run("", output_format="text") == 3
    shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert f"```text\n{shown}\n```" in page("dba")


def test_hostile_values_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters and markup of values and names are shown as text, or not at all."""
    rows = [
        Row(SettingStatus(Key("a", "\x1b[31m[red]"), "o", "\x1b]0;x\x07", "[/bold]", is_in_place=False), None, None)
    ]
    monkeypatch.setattr(drift_command, "check", lambda _: (Target("h", 1, "\x1b[2J"), rows))
    drift_command.run("", output_format="text")
    assert "\x1b" not in capsys.readouterr().out
