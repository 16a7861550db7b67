"""What a fresh session gets: shadows are told, and what does not take effect is an error."""

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


def test_shadows_are_reported_by_name_and_role(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A role-level value beats the database's: the names are in the answer, the roles in the log; it is no error."""
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
    assert answer.shadowed == ["jit", "timezone"]
    assert answer.counts == (3, 3, 0, 0)
    assert f'"event": "shadowed", "name": "timezone", "role": "{role}"' in capsys.readouterr().out


def test_a_shadow_of_the_applier_itself_is_no_error(database: Database) -> None:
    """The applier's own user may have values of its own as well."""
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE {database.name} SET jit = on")
    assert database.create({"jit": "off"}).shadowed == ["jit"]
    assert database.show("jit") == "on"


def test_role_level_values_of_other_databases_and_all_roles_are_no_shadows(database: Database) -> None:
    """ALTER ROLE ALL loses against the database, and another database is another matter."""
    database.admin.run("ALTER ROLE ALL SET jit = on")
    database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE template1 SET jit = on")
    try:
        assert database.create({"jit": "off"}).shadowed == []
        assert database.show("jit") == "off"
    finally:
        database.admin.run("ALTER ROLE ALL RESET jit")
        database.admin.run(f"ALTER ROLE {MASTER} IN DATABASE template1 RESET jit")


def test_what_a_login_trigger_overrides_is_an_error_and_undone(database: Database) -> None:
    """A setting that is stored but that no session gets fails the creation, which then leaves nothing behind."""
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


def test_a_text_search_configuration_is_judged_by_a_fresh_session(database: Database) -> None:
    """It is looked up along the search_path of the session, which is not the applier's; what nobody has is undone."""
    database.rows("CREATE TEXT SEARCH CONFIGURATION public.mine (COPY = pg_catalog.simple)")
    assert database.create({"default_text_search_config": "mine"}).counts == (1, 1, 0, 0)
    assert database.show("default_text_search_config") == "public.mine"
    message = database.refuses(lambda: database.create({"default_text_search_config": "nosuch"}))
    assert "see that what it names exists" in message
    assert message.endswith("it was undone")
    assert database.stored() == {"default_text_search_config": "mine"}


def test_what_was_not_touched_fails_no_update(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The way back from an update must not fail for what a log-in trigger did to another setting since."""
    if database.cluster.major < 17:
        pytest.skip("login triggers came with 17")
    wish = {"jit": "off", "work_mem": "8MB"}
    database.create(wish)
    database.rows(
        "CREATE FUNCTION public.on_login() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.set_config('jit', 'on', false); END $$; "
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION public.on_login()"
    )
    assert database.update({**wish, "work_mem": "9MB"}, wish).counts == (2, 1, 0, 0)
    assert '"event": "not_effective", "names": ["jit"]' in capsys.readouterr().out


def test_a_failed_verification_is_undone_to_the_letter(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and ledger are what they were, be it a creation, an update, or one resource in place of another."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database.alter("SET work_mem = '9MB'")
    database.create({"jit": "off", "work_mem": "8MB", "search_path": ["chat", "public"], "random_page_cost": "1.1"})
    database.alter("SET random_page_cost = 2")
    before = database.stored(), database.ledger()
    monkeypatch.setattr(apply_module, "verify", unverified)
    # One changed, one given up, one spelt otherwise, one new, and one that a hand had changed.
    wish = {"jit": "on", "search_path": ["public"], "application_name": "x", "random_page_cost": "1.10"}
    other = {"Database": "another"}
    for event in (
        lambda: database.create(wish),
        lambda: database.update(wish, {"jit": "off"}),
        lambda: database.update(wish, {"jit": "off"}, was=other, Address="c8ffff"),
        lambda: database.update({}, {"jit": "off"}, was=other, Address="c8ffff"),
    ):
        message = database.refuses(event, kind=UnreachableError)
        assert message == "it cannot be verified; it was undone"
        assert (database.stored(), database.ledger()) == before


def test_where_nothing_was_changed_nothing_is_said_to_be_undone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment without a change may fail to be verified as well."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database.create({"jit": "off"})
    monkeypatch.setattr(apply_module, "verify", unverified)
    message = database.refuses(lambda: database.create({"jit": "off"}), kind=UnreachableError)
    assert message == "it cannot be verified; nothing was changed"


def test_what_changed_before_the_undoing_is_somebody_elses(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand's value stays; what another construct has taken over since stays as it has it, in the ledger too."""

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


def test_an_undoing_that_is_not_allowed_leaves_the_ledger_to_a_later_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What still stands is still noted, so that it can be taken back once the database is ours again."""

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


def test_in_a_database_that_was_dropped_nothing_stands(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is sent to look for values in it."""

    def meanwhile(*_: object) -> None:
        database.admin.run(f"DROP DATABASE {database.name}")
        raise UnreachableError("it cannot be verified")

    monkeypatch.setattr(apply_module, "verify", meanwhile)
    message = database.refuses(lambda: database.create({"work_mem": "8MB"}))
    assert message.endswith("it was undone")


def test_what_is_undone_is_what_stood_before_a_commit_whose_answer_was_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second attempt meets rows of the first; what it goes back to is what the first one met."""
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


def test_what_locks_everybody_out_is_undone(database: Database) -> None:
    """No session can begin where a library to be preloaded is missing; one that was open before leads the way back."""
    database.admin.run(f"GRANT SET ON PARAMETER session_preload_libraries TO {MASTER}")
    try:
        database.create({"jit": "off"})
        before = database.ledger()
        wish = {"session_preload_libraries": ["no_such_library"], "jit": "on"}
        message = database.refuses(lambda: database.update(wish, {"jit": "off"}))
        assert "no_such_library" in message
        assert message.endswith("it was undone")
        assert (database.stored(), database.ledger()) == ({"jit": "off"}, before)
    finally:
        database.admin.run(f"REVOKE SET ON PARAMETER session_preload_libraries FROM {MASTER}")
        database.admin.run(f"ALTER DATABASE {database.name} RESET session_preload_libraries")


def lose_commit(monkeypatch: pytest.MonkeyPatch, *, is_done: bool, meanwhile: Callable[[], object]) -> None:
    """The first COMMIT is done, or is not, and its answer is lost; then something happens before the next attempt."""
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
def test_what_a_hand_changed_after_a_commit_whose_answer_was_lost_is_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """Undone is what each attempt did: a hand's value in between comes back, and so does what the ledger had first."""

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
def test_counts_are_those_of_the_attempt_that_was_committed(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """The answer tells what was changed, whichever attempt did it."""
    alter = f"ALTER DATABASE {database.name} SET jit = off"
    lose_commit(monkeypatch, is_done=is_done, meanwhile=lambda: database.run_sql(*([] if is_done else [alter])))
    assert database.create({"jit": "off", "work_mem": "8MB"}).counts == ((2, 2, 0, 0) if is_done else (2, 1, 1, 0))


def test_a_commit_whose_answer_was_lost_is_undone_where_the_next_attempt_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name may lead to another server by then: that nothing was changed would be said of the first one, too."""
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


def test_a_removal_that_may_have_been_committed_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal is never undone: it is to be repeated."""
    database.create({"jit": "off"})
    lock = "GRANT INSERT ON cdk_pinsafe.setting TO PUBLIC"
    database.create({"work_mem": "8MB"}, Owner="Another/Settings", Address="c8ffff")
    lose_commit(monkeypatch, is_done=True, meanwhile=lambda: database.run_sql(lock))
    message = database.refuses(lambda: database.delete({"jit": "off"}))
    assert "is not the one that this library makes" in message
    assert message.endswith("the change may have been committed")
    assert database.stored() == {"work_mem": "8MB"}


def test_the_log_is_json_lines_without_values_or_secrets(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is an object with level and event; neither the password nor a setting's value is in any."""
    database.create({"work_mem": "12345kB", "search_path": ["hidden_schema"]})
    database.refuses(lambda: database.update({"work_mem": "98765bananas"}, {}))
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"level", "event"} <= line.keys() for line in lines)
    assert {line["event"] for line in lines} >= {"received", "verified", "done", "answered", "failed"}
    for hidden in (database.cluster.password, "12345kB", "hidden_schema", "98765bananas"):
        assert hidden not in text
