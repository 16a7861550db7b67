"""Parameters of extensions: their libraries, and CREATE EXTENSION."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from cdk_pinsafe.applier import apply as apply_module
from cdk_pinsafe.applier import connection
from cdk_pinsafe.errors import UnreachableError

from .harness import Database, loader_revoked
from .test_drift import document

LOAD: Final = "NULL::vector"
WISH: Final = {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "100", "ivfflat.probes": "10"}


def test_the_extension_is_created_and_its_parameters_hold(vector_database: Database) -> None:
    """One event creates pgvector, in public, and sets its parameters, which fresh sessions have."""
    database = vector_database
    assert database.create(WISH, Extensions=["vector"]).counts == (3, 3, 0, 0)
    assert database.rows("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'") == [
        ["public"]
    ]
    assert database.show("hnsw.iterative_scan", load=LOAD) == "relaxed_order"
    assert database.show("ivfflat.probes", load=LOAD) == "10"


def test_delete_resets_the_parameters_and_keeps_the_extension(vector_database: Database) -> None:
    """Extensions hold data: they are never dropped."""
    vector_database.create(WISH, Extensions=["vector"])
    assert vector_database.delete(WISH, Extensions=["vector"]).counts == (0, 0, 0, 3)
    assert vector_database.stored() == {}
    assert vector_database.rows("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == [[1]]


def test_an_undoing_loads_the_library_as_well(vector_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it PostgreSQL would refuse to take back what it let set, be it new, changed or given up."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    database = vector_database
    database.create({"hnsw.ef_search": "100", "ivfflat.probes": "10"}, Extensions=["vector"])
    before = database.stored(), database.ledger()
    monkeypatch.setattr(apply_module, "verify", unverified)
    new = {"hnsw.ef_search": "200", "hnsw.iterative_scan": "relaxed_order"}
    message = database.refuses(lambda: database.update(new, {}, Extensions=["vector"]), kind=UnreachableError)
    assert message.endswith("it was undone")
    assert (database.stored(), database.ledger()) == before


def test_another_spelling_of_an_extensions_value_is_no_change(vector_database: Database) -> None:
    """With the library loaded, the server canonicalises these too."""
    vector_database.create(WISH, Extensions=["vector"])
    new = {**WISH, "hnsw.iterative_scan": "RELAXED_ORDER", "hnsw.ef_search": "0x64"}
    assert vector_database.update(new, WISH, Extensions=["vector"]).counts == (3, 0, 0, 0)


def test_a_bad_value_brings_the_hint_and_rolls_the_extension_back(vector_database: Database) -> None:
    """The message has PostgreSQL's HINT; nothing is kept, not even the extension made in the same event."""
    wish = {"timezone": "UTC", "hnsw.iterative_scan": "relaxed"}
    message = vector_database.refuses(lambda: vector_database.create(wish, Extensions=["vector"]))
    assert 'setting "hnsw.iterative_scan" in database' in message
    assert 'invalid value for parameter "hnsw.iterative_scan": "relaxed"' in message
    assert "HINT: Available values: off, relaxed_order, strict_order" in message
    assert "correct the value" in message
    assert vector_database.stored() == {}
    assert vector_database.rows("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == [[0]]


def test_a_typo_in_a_reserved_prefix_is_refused(vector_database: Database) -> None:
    """A parameter that the extension's version does not know is told from one that it has not got loaded."""
    message = vector_database.refuses(
        lambda: vector_database.create({"hnsw.iterativ_scan": "off"}, Extensions=["vector"])
    )
    assert "42602" in message
    assert '"hnsw" is a reserved prefix' in message
    assert "check its spelling" in message


def test_a_missing_extension_is_named_with_the_remedy(database: Database) -> None:
    """A parameter of an extension that the database lacks says which to add, and nothing else was kept."""
    message = database.refuses(lambda: database.create({"timezone": "UTC", "hnsw.ef_search": "100"}))
    assert 'setting "hnsw.ef_search"' in message
    assert "42501" in message
    assert "the extension 'vector' is not in the database: add it to 'extensions'" in message
    assert database.stored() == {}


def test_an_extension_that_the_server_lacks_is_refused(database: Database) -> None:
    """Its name is blamed, nothing else."""
    for name in ('no"such; DROP', "pgvector"):
        message = database.refuses(lambda name=name: database.create({"jit": "off"}, Extensions=[name]))  # type: ignore[misc]
        assert message.startswith(f'extension "{name}" in database')
        assert "the server offers no such extension: check its name (pgvector's is vector)" in message
    assert database.stored() == {}


def test_a_dropped_extension_does_not_keep_a_resource_from_being_deleted(vector_database: Database) -> None:
    """PostgreSQL then refuses to reset; that is a warning, and the rest is taken back."""
    database = vector_database
    wish = {**WISH, "jit": "off"}
    database.create(wish, Extensions=["vector"])
    database.run_sql("DROP EXTENSION vector")
    assert database.delete(wish).counts == (0, 0, 0, 1)
    assert set(database.stored()) == set(WISH)
    assert database.ledger() == {}


def test_an_extension_that_exists_elsewhere_is_left_there(vector_database: Database) -> None:
    """IF NOT EXISTS: where somebody put the extension is their business."""
    vector_database.run_sql("CREATE SCHEMA ext", "CREATE EXTENSION vector SCHEMA ext")
    assert vector_database.create(WISH, Extensions=["vector"]).counts == (3, 3, 0, 0)
    assert vector_database.show("hnsw.ef_search", load="NULL::ext.vector") == "100"


def test_a_parameter_of_no_extension_names_the_grant(database: Database) -> None:
    """An application's own parameter is not sent looking for an extension that does not exist."""
    message = database.refuses(lambda: database.create({"app.tenant": "acme"}))
    assert 'setting "app.tenant"' in message
    assert "GRANT SET ON PARAMETER" in message
    assert "add it to 'extensions'" not in message


def test_a_database_without_schema_public_is_told_so(vector_database: Database) -> None:
    """The extension must not land in a temporary schema for want of another."""
    vector_database.rows("DROP SCHEMA public")
    message = vector_database.refuses(lambda: vector_database.create(WISH, Extensions=["vector"]))
    assert "3F000" in message
    assert "create schema public" in message


SLOW: Final = """
CREATE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(2); END';
CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.slow()
"""


def test_an_extension_may_take_what_the_deadline_leaves(
    vector_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating an extension may take longer than any other statement."""
    monkeypatch.setattr(connection, "_STATEMENT_SECONDS", 1.0)
    vector_database.rows(SLOW)
    assert vector_database.create(WISH, Extensions=["vector"]).counts == (3, 3, 0, 0)


def test_an_extension_that_takes_too_long_is_told_at_once(
    vector_database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """A timeout of a statement is no conflict with others: another attempt would take as long."""
    vector_database.rows(SLOW)
    message = vector_database.refuses(lambda: vector_database.create(WISH, Extensions=["vector"], seconds=5.5))
    assert message.startswith('extension "vector" in database')
    assert "create the extension by hand" in message
    assert '"event": "retry"' not in capsys.readouterr().out


def test_a_placeholder_that_was_granted_is_set_and_verified(database: Database) -> None:
    """An application's own parameter works where a superuser granted it; no library defines it."""
    database.rows("GRANT SET ON PARAMETER app.tenant TO master")
    assert database.create({"app.tenant": "acme"}).counts == (1, 1, 0, 0)
    assert database.show("app.tenant") == "acme"
    database.delete({"app.tenant": "acme"})
    assert database.stored() == {}


@pytest.mark.parametrize("way", ["validator", "call"])
def test_a_library_is_loaded_in_either_way(vector_database: Database, way: str) -> None:
    """With one of the two ways taken away, parameters are set, verified, compared, repaired and taken back."""
    database = vector_database
    database.rows("CREATE EXTENSION vector SCHEMA public")
    with contextlib.ExitStack() as stack:
        if way == "call":
            stack.enter_context(loader_revoked(database))
        else:
            # What is left cannot be called: one argument is of a type that SQL has no values of.
            database.rows("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
            database.rows("GRANT EXECUTE ON FUNCTION public.hnswhandler(internal) TO PUBLIC")
        assert database.create(WISH).counts == (3, 3, 0, 0)
        new = {**WISH, "hnsw.ef_search": "0x64", "ivfflat.probes": "20"}
        assert database.update(new, WISH).counts == (3, 1, 0, 0)
        assert "22023" in database.refuses(lambda: database.update({**WISH, "hnsw.ef_search": "0"}, new))
        assert document(database)[0] == 0
        assert database.delete(new).counts == (0, 0, 0, 3)
    assert database.stored() == {}


def test_both_ways_taken_away_are_told(vector_database: Database) -> None:
    """PostgreSQL's own refusal of the parameter."""
    database = vector_database
    database.rows("CREATE EXTENSION vector SCHEMA public")
    database.rows("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
    assert "42501" in database.refuses(lambda: database.create(WISH))


def test_what_an_extension_requires_is_created_too(trusting_database: Database) -> None:
    """Whether it is in the list, before or after, or not."""
    for extensions in (["earthdistance"], ["earthdistance", "cube"], ["cube", "earthdistance", "cube"]):
        assert trusting_database.create({"jit": "off"}, Extensions=extensions).counts == (1, 1, 0, 0)
        assert _installed(trusting_database) == {"cube", "earthdistance"}
        trusting_database.delete({"jit": "off"})
        trusting_database.run_sql("DROP EXTENSION cube CASCADE")


def test_an_extension_that_another_role_made_is_left_alone(trusting_database: Database) -> None:
    """It exists: whose it is, and where, is not this library's business."""
    database = trusting_database
    database.rows("CREATE SCHEMA theirs")
    database.rows('CREATE EXTENSION "uuid-ossp" SCHEMA theirs')
    assert database.create({"jit": "off"}, Extensions=["uuid-ossp"]).counts == (1, 1, 0, 0)
    assert database.rows("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'uuid-ossp'") == [
        ["theirs"]
    ]


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("hstore", "CREATE TYPE public.hstore AS ENUM ('a')"),
        ("pgcrypto", "CREATE FUNCTION public.gen_salt(text) RETURNS text LANGUAGE sql AS 'SELECT $1'"),
        ("pg_stat_statements", "CREATE VIEW public.pg_stat_statements AS SELECT 1"),
    ],
)
def test_objects_of_the_same_name_are_no_conflict_with_others(
    trusting_database: Database, name: str, before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another attempt would meet them again."""
    database = trusting_database
    database.run_sql("GRANT CREATE ON SCHEMA public TO master", before)
    message = database.refuses(lambda: database.create({"jit": "off"}, Extensions=[name]))
    assert message.startswith(f'extension "{name}" in database')
    assert "the database has an object of that name already" in message
    assert '"event": "retry"' not in capsys.readouterr().out
    assert _installed(database) == set()


def test_missing_rights_are_blamed_where_they_are_missing(database: Database) -> None:
    """PostgreSQL lets only superusers create what is not trusted; the wheels' servers have nothing of the kind."""
    name = "pg_buffercache"
    if not database.rows(f"SELECT 1 FROM pg_available_extensions WHERE name = '{name}'"):
        pytest.skip(f"this installation has no {name}")
    message = database.refuses(lambda: database.create({"jit": "off"}, Extensions=[name]))
    assert "rds_superuser" in message
    assert "rds.allowed_extensions" in message


def test_an_extension_that_somebody_creates_meanwhile_is_taken(trusting_database: Database) -> None:
    """It is waited for: whoever was faster, it exists."""
    database = trusting_database
    with database.session() as hand, ThreadPoolExecutor(1) as pool:
        hand.run("BEGIN")
        hand.run("CREATE EXTENSION hstore SCHEMA public")
        answer = pool.submit(database.create, {"jit": "off"}, Extensions=["hstore"])
        while not database.admin.run(
            "SELECT 1 FROM pg_stat_activity WHERE datname = :name AND wait_event_type = 'Lock'", name=database.name
        ):
            assert not answer.done()
            time.sleep(0.01)
        hand.run("COMMIT")
        assert answer.result().counts == (1, 1, 0, 0)
    assert _installed(database) == {"hstore"}


def test_appliers_at_once_create_an_extension_once(vector_database: Database) -> None:
    """The others find it, whatever they want besides."""
    names = ("work_mem", "jit_above_cost", "lock_timeout", "seq_page_cost")

    def create(name: str) -> tuple[int, int, int, int]:
        more = {"Owner": f"Owner/{name}", "Address": f"c8{name}", "Extensions": ["vector"]}
        return vector_database.create({name: "99"}, **more).counts  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(create, names)) == [(1, 1, 0, 0)] * len(names)


def test_time_that_an_extension_took_is_not_the_servers(
    vector_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left need not be enough for another creation, but for verifying and undoing."""
    monkeypatch.setattr(connection, "_LEAST_RESERVE", 1.0)
    vector_database.rows(SLOW)
    assert vector_database.create(WISH, Extensions=["vector"], seconds=6.0).counts == (3, 3, 0, 0)


def _installed(database: Database) -> set[str]:
    return {row[0] for row in database.rows("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'")}
