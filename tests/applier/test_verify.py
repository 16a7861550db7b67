"""What a fresh session gets: role overrides are reported, and a setting without effect is an error."""

import json
from collections.abc import Callable

import pytest

from cdk_pinsafe.applier import apply as apply_module
from cdk_pinsafe.applier import sql
from cdk_pinsafe.applier.connection import Session
from cdk_pinsafe.applier.deadline import TransientError
from cdk_pinsafe.applier.verify import verify
from cdk_pinsafe.errors import ApplyError, UnreachableError

from .harness import MASTER, OWNER, Database

PASSWORD = "app-password-9"


def test_role_overrides_are_reported(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The names are in the response, the roles in the log; it is no error."""
    role = f"role_of_{database.name}"
    database.admin.run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        database.admin.run(f"ALTER ROLE {role} SET TimeZone = 'Europe/Zurich'")
        database.admin.run(f"ALTER ROLE {role} IN DATABASE {database.name} SET jit = on")
        database.admin.run(f"ALTER ROLE {role} SET work_mem = '5MB'")
        answer = database.create({"jit": "off", "timezone": "UTC", "lock_timeout": "1s"})
        with database.session(role, PASSWORD) as session:
            assert session.run("SHOW timezone") == [["Europe/Zurich"]]
    finally:
        database.admin.run(f"ALTER ROLE {role} IN DATABASE {database.name} RESET ALL")
        database.admin.run(f"DROP ROLE {role}")
    assert answer.overridden == ["jit", "timezone"]
    assert answer.counts == (3, 3, 0, 0)
    assert f'"event": "overridden_by_role", "name": "timezone", "role": "{role}"' in capsys.readouterr().out


def test_override_of_the_applier_itself_is_no_error(database: Database) -> None:
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET jit = on")
    assert database.create({"jit": "off"}).overridden == ["jit"]
    assert database.show("jit") == "on"


def test_values_elsewhere_are_no_overrides(database: Database) -> None:
    """The database's value takes precedence over ALTER ROLE ALL; values in other databases do not matter."""
    database.admin.run("ALTER ROLE ALL SET jit = on")
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE template1 SET jit = on")
    try:
        assert database.create({"jit": "off"}).overridden == []
        assert database.show("jit") == "off"
    finally:
        database.admin.run("ALTER ROLE ALL RESET jit")
        database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE template1 RESET jit")


def test_login_trigger_override_is_rolled_back(database: Database) -> None:
    """A stored setting that no session gets fails the creation."""
    if database.cluster.major < 17:
        pytest.skip("login triggers came with 17")
    database.alter("SET work_mem = '5MB'")
    database.rows(
        "CREATE FUNCTION public.on_login() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.set_config('jit', 'on', false); END $$; "
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION public.on_login()"
    )
    message = database.refuses(lambda: database.create({"jit": "off", "work_mem": "8MB"}), kind=ApplyError)
    assert 'setting "jit" in database' in message
    assert "from 'session' instead of the database" in message
    assert message.endswith("it was undone")
    assert database.stored() == {"work_mem": "5MB"}
    assert database.ledger() == {}


def test_text_search_configuration_is_checked_in_fresh_session(database: Database) -> None:
    """It is looked up along the search_path, which is another one in the applier's session."""
    database.rows("CREATE TEXT SEARCH CONFIGURATION public.mine (COPY = pg_catalog.simple)")
    assert database.create({"default_text_search_config": "mine"}).counts == (1, 1, 0, 0)
    assert database.show("default_text_search_config") == "public.mine"
    message = database.refuses(lambda: database.create({"default_text_search_config": "nosuch"}))
    assert "check that what it names exists" in message
    assert message.endswith("it was undone")
    assert database.stored() == {"default_text_search_config": "mine"}


def test_ineffective_untouched_setting_fails_no_update(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A rollback must not fail for what a log-in trigger does to another setting since."""
    if database.cluster.major < 17:
        pytest.skip("login triggers came with 17")
    desired = {"jit": "off", "work_mem": "8MB"}
    database.create(desired)
    database.rows(
        "CREATE FUNCTION public.on_login() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.set_config('jit', 'on', false); END $$; "
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION public.on_login()"
    )
    assert database.update({**desired, "work_mem": "9MB"}, desired).counts == (2, 1, 0, 0)
    assert '"event": "not_effective", "names": ["jit"]' in capsys.readouterr().out


def test_failed_verification_restores_everything(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and ledger, after a creation, an update, or a replacement."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database.alter("SET work_mem = '9MB'")
    database.create({"jit": "off", "work_mem": "8MB", "search_path": ["chat", "public"], "random_page_cost": "1.1"})
    database.alter("SET random_page_cost = 2")
    before = database.stored(), database.ledger()
    monkeypatch.setattr(apply_module, "verify", unverified)
    # One changed, one removed, one in another spelling, one new, and one with a manual change.
    desired = {"jit": "on", "search_path": ["public"], "application_name": "x", "random_page_cost": "1.10"}
    other = {"Database": "another"}
    for event in (
        lambda: database.create(desired),
        lambda: database.update(desired, {"jit": "off"}),
        lambda: database.update(desired, {"jit": "off"}, was=other, Address="c8ffff"),
        lambda: database.update({}, {"jit": "off"}, was=other, Address="c8ffff"),
    ):
        message = database.refuses(event, kind=UnreachableError)
        assert message == "it cannot be verified; it was undone"
        assert (database.stored(), database.ledger()) == before


def test_failed_verification_without_a_change(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message does not say that something was undone."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database.create({"jit": "off"})
    monkeypatch.setattr(apply_module, "verify", unverified)
    message = database.refuses(lambda: database.create({"jit": "off"}), kind=UnreachableError)
    assert message == "it cannot be verified; nothing was changed"


def test_rollback_keeps_later_changes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manual value is kept; so is what another construct took over since, with its ledger row."""

    def meanwhile(*_: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(apply_module, "verify", verify)
            database.alter("SET jit = on")
            database.create({"work_mem": "9MB"}, Owner="Another/Settings", Address="c8ffff")
        raise UnreachableError("it cannot be verified")

    database.create({"work_mem": "8MB", "statement_timeout": "30s"})
    monkeypatch.setattr(apply_module, "verify", meanwhile)
    message = database.refuses(
        lambda: database.update({"jit": "off", "statement_timeout": "1min"}, {"work_mem": "8MB"}), kind=UnreachableError
    )
    assert message.endswith("it was undone")
    assert database.stored() == {"jit": "on", "work_mem": "9MB", "statement_timeout": "30s"}
    assert {name: (row["owner"], row["desired"]) for name, row in database.ledger().items()} == {
        "work_mem": ("Another/Settings", "9MB"),
        "statement_timeout": (OWNER, "30s"),
    }


def test_rollback_without_privilege_keeps_the_ledger(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still stored is still in the ledger, so that it can be reset once the user owns the database again."""

    def meanwhile(*_: object) -> None:
        database.admin.run(f"ALTER DATABASE {database.name} OWNER TO postgres")
        raise UnreachableError("it cannot be verified")

    database.alter("SET work_mem = '1MB'")
    with monkeypatch.context() as patch:
        patch.setattr(apply_module, "verify", meanwhile)
        message = database.refuses(lambda: database.create({"work_mem": "8MB"}))
    assert "undoing it failed too" in message
    assert 'its owner is "postgres"' in message
    assert database.stored() == {"work_mem": "8MB"}
    database.admin.run(f"ALTER DATABASE {database.name} OWNER TO {MASTER}")
    assert database.create({"work_mem": "8MB"}).counts == (1, 0, 0, 0)
    assert database.delete({"work_mem": "8MB"}).counts == (0, 0, 0, 1)
    assert database.stored() == {"work_mem": "1MB"}


def test_rollback_in_dropped_database_is_complete(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message does not say that new values stay."""

    def meanwhile(*_: object) -> None:
        database.admin.run(f"DROP DATABASE {database.name}")
        raise UnreachableError("it cannot be verified")

    monkeypatch.setattr(apply_module, "verify", meanwhile)
    message = database.refuses(lambda: database.create({"work_mem": "8MB"}))
    assert message.endswith("it was undone")


def test_rollback_after_lost_commit_restores_the_first_state(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second attempt finds the rows of the first; the rollback restores what the first one found."""
    original = Session.run
    cuts: list[str] = []

    def cut(self: Session, statement: str, **values: str) -> list[list[object]]:
        rows = original(self, statement, **values)
        if statement == "COMMIT" and not cuts:
            cuts.append(statement)
            raise TransientError("the connection was lost")
        return rows

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database.create({"jit": "off"})
    before = database.stored(), database.ledger()
    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", cut)
        assert database.create({"jit": "on", "work_mem": "8MB"}).counts == (2, 2, 0, 0)
        database.create({"jit": "off"})
        cuts.clear()
        patch.setattr(apply_module, "verify", unverified)
        message = database.refuses(lambda: database.create({"jit": "on", "work_mem": "8MB"}))
    assert message.endswith("it was undone")
    assert (database.stored(), database.ledger()) == before


def test_setting_that_blocks_login_is_rolled_back(database: Database) -> None:
    """No session can begin if a preload library is missing; the rollback runs in one that was open before."""
    database.admin.run(f"GRANT SET ON PARAMETER session_preload_libraries TO {MASTER}")
    try:
        database.create({"jit": "off"})
        before = database.ledger()
        desired = {"session_preload_libraries": ["no_such_library"], "jit": "on"}
        message = database.refuses(lambda: database.update(desired, {"jit": "off"}))
        assert "no_such_library" in message
        assert message.endswith("it was undone")
        assert (database.stored(), database.ledger()) == ({"jit": "off"}, before)
    finally:
        database.admin.run(f"REVOKE SET ON PARAMETER session_preload_libraries FROM {MASTER}")
        database.admin.run(f"ALTER DATABASE {database.name} RESET session_preload_libraries")


def lose_commit(monkeypatch: pytest.MonkeyPatch, *, is_done: bool, meanwhile: Callable[[], object]) -> None:
    """The first COMMIT is done, or is not, and its answer is lost; then ``meanwhile`` runs before the next attempt."""
    original = Session.run
    lost: list[str] = []

    def run(self: Session, statement: str, **values: str) -> list[list[object]]:
        if statement != sql.COMMIT or lost:
            return original(self, statement, **values)
        lost.append(statement)
        original(self, sql.COMMIT if is_done else sql.ROLLBACK)
        meanwhile()
        raise TransientError("the connection was lost")

    monkeypatch.setattr(Session, "run", run)


@pytest.mark.parametrize("is_done", [True, False])
def test_lost_commit_ack_keeps_concurrent_manual_change(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """A manual value that was set in between is restored, and so is the first state of the ledger."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database.alter("SET jit = on")
    database.create({"jit": "off", "work_mem": "4MB"})
    ledger = database.ledger()
    lose_commit(monkeypatch, is_done=is_done, meanwhile=lambda: database.alter("SET work_mem = '5MB'"))
    monkeypatch.setattr(apply_module, "verify", unverified)
    message = database.refuses(lambda: database.update({"work_mem": "8MB", "lock_timeout": "1s"}, {}))
    assert message.endswith("it was undone")
    assert database.stored() == {"jit": "off", "work_mem": "5MB"}
    assert database.ledger() == ledger


@pytest.mark.parametrize("is_done", [True, False])
def test_counts_are_those_of_the_committed_attempt(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    alter = f"ALTER DATABASE {database.name} SET jit = off"
    lose_commit(monkeypatch, is_done=is_done, meanwhile=lambda: database.run_sql(*([] if is_done else [alter])))
    assert database.create({"jit": "off", "work_mem": "8MB"}).counts == ((2, 2, 0, 0) if is_done else (2, 1, 1, 0))


def test_lost_commit_is_rolled_back_if_next_attempt_fails(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name may lead to another server now: "nothing was changed" would be wrong for the first one."""
    refusals: list[str] = []
    lose_commit(monkeypatch, is_done=True, meanwhile=lambda: refusals.append(sql.IDENTITY))
    original = Session.run

    def run(self: Session, statement: str, **values: str) -> list[list[object]]:
        if statement in refusals:
            refusals.remove(statement)
            return [[True, database.name]]
        return original(self, statement, **values)

    monkeypatch.setattr(Session, "run", run)
    message = database.refuses(lambda: database.create({"jit": "off"}))
    assert "it is a read replica" in message
    assert message.endswith("it was undone")
    assert (database.stored(), database.ledger()) == ({}, {})


def test_uncertain_removal_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal is never rolled back; it is repeated."""
    database.create({"jit": "off"})
    lock = "GRANT INSERT ON cdk_pinsafe.setting TO PUBLIC"
    database.create({"work_mem": "8MB"}, Owner="Another/Settings", Address="c8ffff")
    lose_commit(monkeypatch, is_done=True, meanwhile=lambda: database.run_sql(lock))
    message = database.refuses(lambda: database.delete({"jit": "off"}))
    assert "is not the one that this library makes" in message
    assert message.endswith("the change may have been committed")
    assert database.stored() == {"work_mem": "8MB"}


def test_log_is_json_without_values_or_secrets(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is an object with level and event; neither the password nor a setting's value is in any."""
    database.create({"work_mem": "12345kB", "search_path": ["hidden_schema"]})
    database.refuses(lambda: database.update({"work_mem": "98765bananas"}, {}))
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"level", "event"} <= line.keys() for line in lines)
    assert {line["event"] for line in lines} >= {"received", "verified", "done", "answered", "failed"}
    for hidden in (database.cluster.password, "12345kB", "hidden_schema", "98765bananas"):
        assert hidden not in text
