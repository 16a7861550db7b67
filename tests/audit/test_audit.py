"""The audit of a real server with pg_stat_statements."""

import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cdk_pinsafe.audit import HIDDEN, audit, find_pins, to_move
from cdk_pinsafe.cli import main
from cdk_pinsafe.errors import AuditError, DsnError
from cdk_pinsafe.localpg.server import Installation, PostgresServer, installations

from ..docs.pages import page

PASSWORD = secrets.token_urlsafe(12)
SENT = {
    "SET client_min_messages TO warning;SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE": 3,
    "SET search_path TO app, public": 7,
    "SET SESSION timezone TO 'UTC'": 2,
    "SELECT nextval('app.numbers')": 5,
    "SELECT set_config('app.tenant', '42', true)": 1,
    "SELECT count(*) FROM app.orders WHERE id > 3": 9,
    "CREATE OR REPLACE FUNCTION app.f() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('app.numbers') $$": 1,
    "SELECT app.f()": 4,
}


def with_statistics() -> Installation:
    """The first installation with pg_stat_statements: Debian's package has it, the wheels do not."""
    for one in installations():
        if next(one.bin.parent.glob("lib/pg_stat_statements.so"), None):
            return one
    pytest.skip("no PostgreSQL with pg_stat_statements is installed: Debian's package postgresql has it")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that records statements, with the database `chat`."""
    preload = {"shared_preload_libraries": "pg_stat_statements"}
    with PostgresServer(with_statistics(), tmp_path_factory.mktemp("audited"), settings=preload) as running:
        running.create_master("master", PASSWORD, "chat")
        with contextlib.closing(running.connect("chat")) as connection:
            connection.run("CREATE SCHEMA extensions")
            connection.run("CREATE EXTENSION pg_stat_statements SCHEMA extensions")
            connection.run("GRANT USAGE ON SCHEMA extensions TO master")
            connection.run("GRANT pg_read_all_stats TO master")
            connection.run("CREATE ROLE blind LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA extensions TO blind")
            connection.run("ALTER DATABASE chat SET timezone = 'UTC'")
            connection.run("ALTER ROLE blind SET search_path = 'blind'")
            connection.run("CREATE SCHEMA app AUTHORIZATION master")
            connection.run("CREATE SEQUENCE app.numbers OWNED BY NONE; ALTER SEQUENCE app.numbers OWNER TO master")
            connection.run("CREATE TABLE app.orders (id integer); ALTER TABLE app.orders OWNER TO master")
            connection.run("CREATE DATABASE plain")
        yield running


@pytest.fixture
def used(server: PostgresServer) -> PostgresServer:
    """The server after `SENT` was sent to `chat`, and nothing else since its statistics were reset."""
    with contextlib.closing(server.connect("chat")) as connection:
        connection.run("SELECT extensions.pg_stat_statements_reset()")
    with contextlib.closing(server.connect("chat", "master", PASSWORD)) as connection:
        for statement, times in SENT.items():
            for _ in range(times):
                connection.run(statement)
    return server


def dsn(server: PostgresServer, database: str = "chat", user: str = "master", password: str = PASSWORD) -> str:
    return f"postgresql://{user}:{password}@{server.host}:{server.port}/{database}"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments], env={"COLUMNS": "110"})


def test_report(used: PostgresServer) -> None:
    """SETs are separated; statements inside functions are not counted."""
    report = audit(dsn(used))
    pins = {(pin.condition, pin.statement): pin for pin in report.pins}
    assert {key: pin.calls for key, pin in pins.items()} == {
        ("set", "SET search_path TO app, public"): 7,
        ("sequence", "SELECT nextval($1)"): 5,
        ("set", "SET client_min_messages TO warning"): 3,
        ("set", "SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE"): 3,
        ("set", "SET SESSION timezone TO 'UTC'"): 2,
        ("set-config", "SELECT set_config($1, $2, $3)"): 1,
    }
    assert [pin.calls for pin in report.pins] == sorted((pin.calls for pin in report.pins), reverse=True)
    assert {pin.statement for pin in report.pins if pin.redundant} == {
        "SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE",
        "SET SESSION timezone TO 'UTC'",
    }
    assert report.move == {"client_min_messages": "warning", "search_path": ("app", "public")}
    assert pins["set", "SET search_path TO app, public"].clients == ("Knex", "Laravel")
    assert all(pin.roles == ("master",) for pin in report.pins)
    assert report.role_settings == (("blind", "search_path", "blind"),)
    assert report.utility_tracked
    assert (report.database, report.hidden, report.not_parsed) == ("chat", 0, ())


def test_guide_shows_the_text_report(used: PostgresServer) -> None:
    shown = run("--dsn", dsn(used))
    assert shown.exit_code == 1, shown.output
    lines = [line.rstrip() for line in shown.output.splitlines()]
    text = re.sub(r"PostgreSQL [\d.]+[^:]*:", "PostgreSQL 15.18:", "\n".join(lines).strip())
    print(text)
    assert f'global-bundle.pem"\n{text}\n```' in page("audit")


def test_json_report(used: PostgresServer) -> None:
    shown = run("--dsn", dsn(used), "--format", "json")
    assert shown.exit_code == 1
    document = json.loads(shown.output)
    assert document["move"] == {"client_min_messages": "warning", "search_path": ["app", "public"]}
    assert {"condition", "statement", "calls", "evidence", "remedy", "redundant"} <= set(document["pins"][0])


def test_audit_does_not_change_its_result(used: PostgresServer) -> None:
    """Its transaction is read-only."""
    assert audit(dsn(used)).pins == audit(dsn(used)).pins
    with contextlib.closing(used.connect("chat")) as connection:
        sent = connection.run("SELECT query FROM extensions.pg_stat_statements WHERE query ~* '^begin'")
    assert ["BEGIN READ ONLY"] in sent


def test_hidden_statements_are_reported(used: PostgresServer) -> None:
    report = audit(dsn(used, user="blind", password="x"))
    assert report.hidden > 5
    shown = run("--dsn", dsn(used, user="blind", password="x"))
    assert "statements of other roles are hidden: connect as a member of pg_read_all_stats" in shown.output
    assert "No statement that could be read pins." in shown.output


@pytest.mark.parametrize(
    ("database", "user", "password", "message"),
    [
        ("plain", "master", PASSWORD, "has no extension pg_stat_statements: run CREATE EXTENSION"),
        ("nowhere", "master", PASSWORD, 'database "nowhere" does not exist'),
        ("chat", "master", "wrong-" + PASSWORD, "password authentication failed"),
    ],
    ids=["no extension", "no database", "wrong password"],
)
def test_errors(server: PostgresServer, database: str, user: str, password: str, message: str) -> None:
    shown = run("--dsn", dsn(server, database, user, password))
    assert shown.exit_code == 2
    assert message in shown.output
    assert "Traceback" not in shown.output
    assert PASSWORD not in shown.output


def test_old_extension(server: PostgresServer) -> None:
    with contextlib.closing(server.connect()) as connection:
        connection.run("CREATE DATABASE old")
    with contextlib.closing(server.connect("old")) as connection:
        connection.run("CREATE EXTENSION pg_stat_statements VERSION '1.8'")
    with pytest.raises(AuditError, match="older than version 1.9.*: run ALTER EXTENSION pg_stat_statements UPDATE"):
        audit(dsn(server, "old", server.superuser, server.superuser_password))


def test_statements_without_values() -> None:
    """PostgreSQL 18 records SET without its value."""
    pins, not_parsed = find_pins(
        [
            ("SET search_path TO $1, $2", 3, ["app"]),
            ("SET NAMES $1", 2, ["app"]),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL $1", 1, ["app"]),
            ("SET TIME ZONE INTERVAL $1 HOUR TO MINUTE", 1, ["app"]),
            ("SET TRANSACTION $1 ONLY", 1, ["app"]),
            ("LOAD $1", 1, ["app"]),
            ("SELECT $1 temp nextval", 1, ["app"]),
            (HIDDEN, 9, ["other"]),
        ],
        {"search_path": "app, public"},
    )
    assert [(pin.condition, pin.statement, pin.calls, pin.redundant) for pin in pins] == [
        ("set", "SET search_path TO $1, $2", 3, False),
        ("set", "SET NAMES $1", 2, False),
        ("set", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL $1", 1, False),
        ("set", "SET TIME ZONE INTERVAL $1 HOUR TO MINUTE", 1, False),
        ("set-transaction", "SET TRANSACTION $1 ONLY", 1, False),
        ("load", "LOAD $1", 1, False),
    ]
    assert [dict(pin.settings) for pin in pins] == [
        {"search_path": None},
        {"client_encoding": None},
        {},
        {"timezone": None},
        {},
        {},
    ]
    assert 'if one value suits every session, settings={"search_path": ...} in the database' in pins[0].remedy
    assert not_parsed == ("SELECT $1 temp nextval",)


def test_ambiguous_settings_are_not_moved() -> None:
    pins, _ = find_pins(
        [
            ("SET jit TO off", 1, ["a"]),
            ("SET jit = 'off'", 1, ["b"]),
            ("SET work_mem = '4MB'", 1, ["a"]),
            ("SET work_mem = '8MB'", 1, ["b"]),
            ("SET timezone = 'utc'", 1, ["a"]),
            ("SET timezone = 'UTC'", 1, ["b"]),
            ("SET statement_timeout = '1s'", 1, ["a"]),
            ("SET statement_timeout = '2s'", 1, ["b"]),
            ("SET lock_timeout = $1", 1, ["a"]),
        ],
        {"timezone": "UTC", "statement_timeout": "1s"},
    )
    assert to_move(pins) == ({"jit": "off"}, ("lock_timeout", "statement_timeout", "work_mem"))


def test_control_characters_and_markup_are_escaped(used: PostgresServer) -> None:
    with contextlib.closing(used.connect("chat", "master", PASSWORD)) as connection:
        connection.run("SET app.note = '\x1b]0;title\x07 [bold]loud[/bold]'")
    shown = run("--dsn", dsn(used))
    assert "\x1b" not in shown.output
    assert "[bold]loud[/bold]" in shown.output


def test_library_is_not_loaded(tmp_path: Path) -> None:
    with PostgresServer(with_statistics(), tmp_path) as running:
        with contextlib.closing(running.connect()) as connection:
            connection.run("CREATE EXTENSION pg_stat_statements")
        with pytest.raises(AuditError, match="not loaded, so nothing was recorded: add it to shared_preload_libraries"):
            audit(dsn(running, "postgres", running.superuser, running.superuser_password))


@pytest.mark.parametrize(
    "bad",
    [
        "postgresql://joe:s3cr3t@word@db.example/app",
        "postgresql://joe:s3cr3t/word@db.example/app",
        "postgresql://joe:12345/s3cr3t@db.example/app",
        "postgresql://joe:s3cr3t?word@db.example/app",
        "postgresql://joe:s3cr3t%zzword@db.example/app",
        "s3cr3t",
        "password=s3cr3t host",
        "host=db.example password='s3cr3t",
        "postgresql://joe:s3cr3t@db.example/a\0b",
        "postgresql://joe:s3cr3t\ud800@localhost:1/app",
    ],
)
def test_malformed_dsn_never_shows_its_password(bad: str) -> None:
    """libpq's own message would show a part of it."""
    with pytest.raises((AuditError, DsnError)) as raised:
        audit(bad)
    assert "s3cr3t" not in str(raised.value)
    assert "12345" not in str(raised.value)


def test_unreachable_database() -> None:
    shown = run("--dsn", "postgresql://joe:s3cr3t@127.0.0.1:1/app")
    assert shown.exit_code == 2
    assert len(shown.output.splitlines()) == 1
    assert "port 1 failed" in shown.output
    assert "s3cr3t" not in shown.output
