"""Ending of idle sessions after a change: of the right database, idle, and nobody else's."""

import contextlib
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
    """Idle sessions of an application; those that are ended may be left alone."""
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
def seeing(database: Database) -> Iterator[Database]:
    """The master user may see and end others' sessions, as on RDS."""
    database.admin.run(f"GRANT pg_read_all_stats, pg_signal_backend TO {MASTER}")
    yield database
    database.admin.run(f"REVOKE pg_read_all_stats, pg_signal_backend FROM {MASTER}")


def is_alive(connection: pg8000.native.Connection) -> bool:
    """Whether a session still answers, after a moment for a signal."""
    time.sleep(0.05)
    return _answers(connection)


def is_ended(connection: pg8000.native.Connection) -> bool:
    """Whether a session no longer answers; a signal may take its time."""
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


def test_idle_sessions_of_before_are_ended_and_the_others_counted(seeing: Database) -> None:
    """Idle ones of the database go; one in a transaction, one of another database and one of after stay."""
    with (
        clients(seeing, 3) as idle,
        clients(seeing) as [busy],
        clients(seeing, name="template1") as [elsewhere],
    ):
        busy.run("BEGIN")
        answer = seeing.create({"work_mem": "8MB"}, **IDLE)
        assert counts(answer.raw["Data"]) == ("3", "1")
        assert all(is_ended(one) for one in idle)
        assert is_alive(busy)
        assert is_alive(elsewhere)
        assert busy.run("SHOW work_mem") != [["8MB"]]
        busy.run("COMMIT")
        with clients(seeing) as [fresh]:
            assert counts(seeing.update({"work_mem": "8MB"}, {}, **IDLE).raw["Data"]) == ("0", "unknown")
            assert is_alive(fresh)
            assert is_alive(busy)
            assert fresh.run("SHOW work_mem") == [["8MB"]]


def test_never_is_the_default(seeing: Database) -> None:
    """Nobody's session is ended unless asked for."""
    with clients(seeing) as [idle]:
        assert counts(seeing.create({"work_mem": "8MB"}).raw["Data"]) == ("0", "unknown")
        assert counts(seeing.update({"work_mem": "9MB"}, {}, Recycle="never").raw["Data"]) == ("0", "unknown")
        assert is_alive(idle)


def test_nothing_is_ended_for_what_was_only_adopted_or_refused(seeing: Database) -> None:
    """Sessions are ended after a change that was kept, not for a note in the ledger, nor for a failure."""
    seeing.alter("SET work_mem = '8MB'")
    with clients(seeing) as [idle]:
        assert counts(seeing.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "unknown")
        seeing.refuses(lambda: seeing.update({"work_mem": "much"}, {}, **IDLE))
        assert is_alive(idle)


def test_what_began_between_a_change_and_its_undoing_is_ended(
    seeing: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds values that nobody has asked for; what is older has what it had, and what is younger what it should."""
    meanwhile: list[pg8000.native.Connection] = []

    def unverified(*_: object) -> None:
        meanwhile.extend(stack.enter_context(clients(seeing)))
        raise UnreachableError("it cannot be verified")

    seeing.create({"jit": "off"})
    with contextlib.ExitStack() as stack, clients(seeing) as [older]:
        monkeypatch.setattr(apply_module, "verify", unverified)
        for wish, change in (({"jit": "off", "work_mem": "8MB"}, IDLE), ({}, IDLE), ({}, {})):
            message = seeing.refuses(lambda wish=wish, change=change: seeing.update(wish, {}, **change))  # type: ignore[misc]
            assert message == "it cannot be verified; it was undone"
        after_change, after_giving_up, left = meanwhile
        assert is_ended(after_change)
        assert is_ended(after_giving_up)
        assert is_alive(left)
        assert is_alive(older)


def test_a_deletion_recycles_as_well(seeing: Database) -> None:
    """What is taken back is a change, too."""
    seeing.create({"work_mem": "8MB"})
    with clients(seeing) as [idle]:
        assert counts(seeing.delete({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("1", "0")
        assert is_ended(idle)


def test_a_roles_settings_end_sessions_of_that_role_only(seeing: Database) -> None:
    """Nobody else's values are old."""
    with role_of(seeing) as role, clients(seeing) as [other], clients(seeing, user=role) as [own]:
        given: dict[str, Any] = {"RoleSettings": json.dumps({role: {"work_mem": "8MB"}})}
        assert counts(seeing.create({}, **given, **IDLE).raw["Data"]) == ("1", "0")
        assert is_alive(other)
        assert is_ended(own)
        seeing.delete({}, **given)


def test_sessions_of_the_proxy_itself_are_spared(seeing: Database) -> None:
    """rdsproxyadmin's sessions are RDS Proxy's own; they neither go nor count."""
    with (
        role_of(seeing, "rdsproxyadmin", by_master=False) as role,
        clients(seeing, user=role) as [own],
    ):
        assert counts(seeing.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "0")
        assert is_alive(own)


def test_sessions_that_cannot_be_told_apart_are_left_and_told(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pg_read_all_stats others' sessions show no state: they stay, are counted, and the log says why."""
    with role_of(database, by_master=False) as role, clients(database, user=role) as [own]:
        assert counts(database.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "1")
        assert is_alive(own)
    output = capsys.readouterr().out
    assert '"event": "not_allowed_to_see_sessions", "sessions": 1, "needs": "pg_read_all_stats"' in output


def test_sessions_that_may_not_be_ended_are_a_warning(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Whom PostgreSQL lets see but not end fails no deployment; what it may end is ended all the same."""
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


def test_a_server_that_is_lost_meanwhile_fails_nothing(
    seeing: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The change stands; that nothing could be ended is a warning."""
    monkeypatch.setattr("cdk_pinsafe.applier.sql.RECYCLE", "SELECT pg_catalog.pg_terminate_backend(pg_backend_pid())")
    assert counts(seeing.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("0", "unknown")
    assert '"level": "WARNING", "event": "not_recycled"' in capsys.readouterr().out
    assert seeing.stored() == {"work_mem": "8MB"}


def test_hostile_defaults_of_the_database_do_not_disturb(seeing: Database) -> None:
    """Neither a time zone nor a date style of the database makes a session older than it is."""
    seeing.alter("SET datestyle = 'SQL, DMY'")
    seeing.alter("SET timezone = 'Pacific/Kiritimati'")
    seeing.alter("SET search_path = evil")
    seeing.alter("SET default_transaction_read_only = on")
    with clients(seeing) as [idle]:
        assert counts(seeing.create({"work_mem": "8MB"}, **IDLE).raw["Data"]) == ("1", "0")
        assert is_ended(idle)


@pytest.mark.parametrize("value", ["", "Idle", "all", 1])
def test_another_word_is_refused_unopened(value: object) -> None:
    """Only the two are known."""
    event = {"RequestType": "Create", "ResourceProperties": {**properties({}), "Recycle": value}}
    message = refusal(lambda: on_event(event, LambdaContext()), hidden=ARN)
    assert message.startswith("property 'Recycle' must be 'never' or 'idle'")
