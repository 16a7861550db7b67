"""Ending idle sessions after a change: only idle ones, of the right database and role."""

import contextlib
import functools
import json
import time
from collections.abc import Iterator
from typing import Any

import pg8000.native
import pytest

from cdk_pinsafe.applier import apply as apply_module
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.errors import UnreachableError

from .harness import ARN, MASTER, Database, LambdaContext, properties, refusal

PASSWORD = "app-password-9"
IDLE: dict[str, Any] = {"Recycle": "idle"}


@contextlib.contextmanager
def clients(
    database: Database, count: int = 1, user: str = "", name: str = ""
) -> Iterator[list[pg8000.native.Connection]]:
    """Idle sessions of an application; a test may leave the ended ones."""
    server = database.cluster.server
    password = PASSWORD if user else database.cluster.password
    opened = [server.connect(name or database.name, user or MASTER, password) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            with contextlib.suppress(Exception):
                connection.close()


@contextlib.contextmanager
def role_of(database: Database, name: str = "", *, by_master: bool = True) -> Iterator[str]:
    """A role that may log in."""
    name = name or f"role_of_{database.name}"
    statement = f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"
    if by_master:
        database.run_sql(statement)
    else:
        database.admin.run(statement)
    try:
        yield name
    finally:
        database.admin.run(f"ALTER ROLE {name} IN DATABASE {database.name} RESET ALL")
        database.admin.run(f"DROP ROLE {name}")


@pytest.fixture
def monitoring_database(database: Database) -> Iterator[Database]:
    """The master user may see and end other users' sessions, as on RDS."""
    database.admin.run(f"GRANT pg_read_all_stats, pg_signal_backend TO {MASTER}")
    yield database
    database.admin.run(f"REVOKE pg_read_all_stats, pg_signal_backend FROM {MASTER}")


def is_alive(connection: pg8000.native.Connection) -> bool:
    """Whether a session still answers, after a moment for a signal."""
    time.sleep(0.05)
    return _answers(connection)


def is_ended(connection: pg8000.native.Connection) -> bool:
    """Whether a session stops answering; a signal may take its time."""
    end = time.monotonic() + 10
    while _answers(connection):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _answers(connection: pg8000.native.Connection) -> bool:
    try:
        connection.run("SELECT 1")
    except (pg8000.native.Error, OSError):
        return False
    return True


def counts(data: dict[str, Any]) -> tuple[str, str]:
    return data["Recycled"], data["Stale"]


def test_older_idle_sessions_are_ended_and_others_counted(monitoring_database: Database) -> None:
    """A session in a transaction, one of another database and one that began later are kept."""
    with (
        clients(monitoring_database, 3) as idle,
        clients(monitoring_database) as [busy],
        clients(monitoring_database, name="template1") as [elsewhere],
    ):
        busy.run("BEGIN")
        answer = monitoring_database.create({"work_mem": "8MB"}, **IDLE)
        assert counts(answer.raw["Data"]) == ("3", "1")
        assert all(is_ended(one) for one in idle)
        assert is_alive(busy)
        assert is_alive(elsewhere)
        assert busy.run("SHOW work_mem") != [["8MB"]]
        busy.run("COMMIT")
        with clients(monitoring_database) as [fresh]:
            assert counts(monitoring_database.update({"work_mem": "8MB"}, {}, **IDLE).raw["Data"]) == ("0", "unknown")
            assert is_alive(fresh)
            assert is_alive(busy)
            assert fresh.run("SHOW work_mem") == [["8MB"]]


def test_no_session_is_ended_by_default(monitoring_database: Database) -> None:
    with clients(monitoring_database) as [idle]:
        assert counts(monitoring_database.create({"work_mem": "8MB"}).raw["Data"]) == ("0", "unknown")
        assert counts(monitoring_database.update({"work_mem": "9MB"}, {}, Recycle="never").raw["Data"]) == (
            "0",
            "unknown",
        )
        assert is_alive(idle)


def test_nothing_is_ended_without_a_committed_change(monitoring_database: Database) -> None:
    """Neither after an adoption nor after a failure."""
    monitoring_database.alter("SET work_mem = '8MB'")
    with clients(monitoring_database) as [idle]:
        assert counts(monitoring_database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "unknown")
        monitoring_database.refuses(lambda: monitoring_database.update({"work_mem": "much"}, {}, **IDLE))
        assert is_alive(idle)


def test_sessions_between_change_and_rollback_are_ended(
    monitoring_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have values that nobody wants. Older ones have the old values, and newer ones the restored values."""
    meanwhile: list[pg8000.native.Connection] = []

    def unverified(*_: object) -> None:
        meanwhile.extend(stack.enter_context(clients(monitoring_database)))
        raise UnreachableError("it cannot be verified")

    monitoring_database.create({"jit": "off"})
    with contextlib.ExitStack() as stack, clients(monitoring_database) as [older]:
        monkeypatch.setattr(apply_module, "verify", unverified)
        for desired, change in (({"jit": "off", "work_mem": "8MB"}, IDLE), ({}, IDLE), ({}, {})):
            update = functools.partial(monitoring_database.update, desired, {}, **change)
            message = monitoring_database.refuses(update)
            assert message == "it cannot be verified; it was undone"
        after_change, after_giving_up, left = meanwhile
        assert is_ended(after_change)
        assert is_ended(after_giving_up)
        assert is_alive(left)
        assert is_alive(older)


def test_deletion_recycles(monitoring_database: Database) -> None:
    """A reset is a change, too."""
    monitoring_database.create({"work_mem": "8MB"})
    with clients(monitoring_database) as [idle]:
        assert counts(monitoring_database.delete({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("1", "0")
        assert is_ended(idle)


def test_role_settings_end_sessions_of_that_role_only(monitoring_database: Database) -> None:
    """The others have no old values."""
    with (
        role_of(monitoring_database) as role,
        clients(monitoring_database) as [other],
        clients(monitoring_database, user=role) as [own],
    ):
        given: dict[str, Any] = {"RoleSettings": json.dumps({role: {"work_mem": "8MB"}})}
        assert counts(monitoring_database.create({}, **given, **IDLE).raw["Data"]) == ("1", "0")
        assert is_alive(other)
        assert is_ended(own)
        monitoring_database.delete({}, **given)


def test_sessions_of_the_proxy_itself_are_kept(monitoring_database: Database) -> None:
    """rdsproxyadmin's sessions are RDS Proxy's own; they do not count either."""
    with (
        role_of(monitoring_database, "rdsproxyadmin", by_master=False) as role,
        clients(monitoring_database, user=role) as [own],
    ):
        assert counts(monitoring_database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "0")
        assert is_alive(own)


def test_invisible_sessions_are_kept_and_counted(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Without pg_read_all_stats other users' sessions show no state; the log names the privilege."""
    with role_of(database, by_master=False) as role, clients(database, user=role) as [own]:
        assert counts(database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "1")
        assert is_alive(own)
    output = capsys.readouterr().out
    assert '"event": "not_allowed_to_see_sessions", "sessions": 1, "needs": "pg_read_all_stats"' in output


def test_missing_privilege_to_end_is_a_warning(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Sessions that PostgreSQL lets the user end are ended."""
    database.admin.run(f"GRANT pg_read_all_stats TO {MASTER}")
    try:
        with (
            role_of(database, by_master=False) as role,
            clients(database, user=role) as [own],
            clients(database) as [masters],
        ):
            assert counts(database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("1", "1")
            assert is_alive(own)
            assert is_ended(masters)
    finally:
        database.admin.run(f"REVOKE pg_read_all_stats FROM {MASTER}")
    assert '"not_allowed_to_end_sessions", "sessions": 1, "needs": "pg_signal_backend"' in capsys.readouterr().out


def test_lost_server_does_not_fail_the_event(
    monitoring_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The change is kept; a warning says that no sessions were ended."""
    monkeypatch.setattr("cdk_pinsafe.applier.sql.RECYCLE", "SELECT pg_catalog.pg_terminate_backend(pg_backend_pid())")
    assert counts(monitoring_database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "unknown")
    assert '"level": "WARNING", "event": "not_recycled"' in capsys.readouterr().out
    assert monitoring_database.stored() == {"work_mem": "8MB"}


def test_time_zone_of_the_database_does_not_matter(monitoring_database: Database) -> None:
    """Neither a time zone nor a DateStyle makes a session older than it is."""
    monitoring_database.alter("SET datestyle = 'SQL, DMY'")
    monitoring_database.alter("SET timezone = 'Pacific/Kiritimati'")
    monitoring_database.alter("SET search_path = evil")
    monitoring_database.alter("SET default_transaction_read_only = on")
    with clients(monitoring_database) as [idle]:
        assert counts(monitoring_database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("1", "0")
        assert is_ended(idle)


@pytest.mark.parametrize("value", ["", "Idle", "all", 1])
def test_unknown_value_is_refused_before_connecting(value: object) -> None:
    event = {"RequestType": "Create", "ResourceProperties": {**properties({}), "Recycle": value}}
    message = refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)
    assert message.startswith("property 'Recycle' must be 'never' or 'idle'")
