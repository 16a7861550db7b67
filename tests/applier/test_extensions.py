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
DESIRED: Final = {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "100", "ivfflat.probes": "10"}


def test_extension_is_created_with_its_parameters(vector_database: Database) -> None:
    """One event creates pgvector in public and sets its parameters, which fresh sessions get."""
    database = vector_database
    assert database.create(DESIRED, Extensions=["vector"]).counts == (3, 3, 0, 0)
    assert database.rows("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'") == [
        ["public"]
    ]
    assert database.show("hnsw.iterative_scan", load=LOAD) == "relaxed_order"
    assert database.show("ivfflat.probes", load=LOAD) == "10"


def test_delete_resets_parameters_and_keeps_the_extension(vector_database: Database) -> None:
    """Extensions hold data: they are never dropped."""
    vector_database.create(DESIRED, Extensions=["vector"])
    assert vector_database.delete(DESIRED, Extensions=["vector"]).counts == (0, 0, 0, 3)
    assert vector_database.stored() == {}
    assert vector_database.rows("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == [[1]]


def test_rollback_loads_the_library(vector_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it PostgreSQL would refuse to reset new, changed and removed parameters."""

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


def test_other_spelling_of_extension_parameter_is_no_change(vector_database: Database) -> None:
    """With the library loaded, the server canonicalizes these, too."""
    vector_database.create(DESIRED, Extensions=["vector"])
    new = {**DESIRED, "hnsw.iterative_scan": "RELAXED_ORDER", "hnsw.ef_search": "0x64"}
    assert vector_database.update(new, DESIRED, Extensions=["vector"]).counts == (3, 0, 0, 0)


def test_bad_value_rolls_the_extension_back(vector_database: Database) -> None:
    """The message has PostgreSQL's HINT. The extension of the same event is not kept."""
    desired = {"timezone": "UTC", "hnsw.iterative_scan": "relaxed"}
    message = vector_database.refuses(lambda: vector_database.create(desired, Extensions=["vector"]))
    assert 'setting "hnsw.iterative_scan" in database' in message
    assert 'invalid value for parameter "hnsw.iterative_scan": "relaxed"' in message
    assert "HINT: Available values: off, relaxed_order, strict_order" in message
    assert "correct the value" in message
    assert vector_database.stored() == {}
    assert vector_database.rows("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == [[0]]


def test_typo_in_reserved_prefix_is_refused(vector_database: Database) -> None:
    """The error differs from that of a library that is not loaded."""
    message = vector_database.refuses(
        lambda: vector_database.create({"hnsw.iterativ_scan": "off"}, Extensions=["vector"])
    )
    assert "42602" in message
    assert '"hnsw" is a reserved prefix' in message
    assert "check its spelling" in message


def test_missing_extension_is_named_with_remedy(database: Database) -> None:
    """The message names the extension to add. Nothing else is kept."""
    message = database.refuses(lambda: database.create({"timezone": "UTC", "hnsw.ef_search": "100"}))
    assert 'setting "hnsw.ef_search"' in message
    assert "42501" in message
    assert "the extension 'vector' is not in the database: add it to 'extensions'" in message
    assert database.stored() == {}


def test_unavailable_extension_is_refused(database: Database) -> None:
    """The message blames its name only."""
    for name in ('no"such; DROP', "pgvector"):
        message = database.refuses(lambda name=name: database.create({"jit": "off"}, Extensions=[name]))  # type: ignore[misc]
        assert message.startswith(f'extension "{name}" in database')
        assert "the server has no such extension: check its name (pgvector's is vector)" in message
    assert database.stored() == {}


def test_dropped_extension_does_not_block_deletion(vector_database: Database) -> None:
    """PostgreSQL refuses the reset, which is a warning. The rest is reset."""
    database = vector_database
    desired = {**DESIRED, "jit": "off"}
    database.create(desired, Extensions=["vector"])
    database.run_sql("DROP EXTENSION vector")
    assert database.delete(desired).counts == (0, 0, 0, 1)
    assert set(database.stored()) == set(DESIRED)
    assert database.ledger() == {}


def test_extension_in_another_schema_is_kept_there(vector_database: Database) -> None:
    """IF NOT EXISTS: the schema is up to the user."""
    vector_database.run_sql("CREATE SCHEMA ext", "CREATE EXTENSION vector SCHEMA ext")
    assert vector_database.create(DESIRED, Extensions=["vector"]).counts == (3, 3, 0, 0)
    assert vector_database.show("hnsw.ef_search", load="NULL::ext.vector") == "100"


def test_custom_parameter_error_names_the_grant(database: Database) -> None:
    """The message for an application's own parameter does not suggest an extension."""
    message = database.refuses(lambda: database.create({"app.tenant": "acme"}))
    assert 'setting "app.tenant"' in message
    assert "GRANT SET ON PARAMETER" in message
    assert "add it to 'extensions'" not in message


def test_missing_schema_public_is_reported(vector_database: Database) -> None:
    """The extension must not go into a temporary schema."""
    vector_database.rows("DROP SCHEMA public")
    message = vector_database.refuses(lambda: vector_database.create(DESIRED, Extensions=["vector"]))
    assert "3F000" in message
    assert "create schema public" in message


SLOW: Final = """
CREATE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(2); END';
CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.slow()
"""


def test_extension_may_take_all_time_left(vector_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Creating an extension may take longer than any other statement."""
    monkeypatch.setattr(connection, "_STATEMENT_SECONDS", 1.0)
    vector_database.rows(SLOW)
    assert vector_database.create(DESIRED, Extensions=["vector"]).counts == (3, 3, 0, 0)


def test_slow_extension_is_not_retried(vector_database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The timeout is no conflict: another attempt would take as long."""
    vector_database.rows(SLOW)
    message = vector_database.refuses(lambda: vector_database.create(DESIRED, Extensions=["vector"], seconds=5.5))
    assert message.startswith('extension "vector" in database')
    assert "create the extension manually" in message
    assert '"event": "retry"' not in capsys.readouterr().out


def test_granted_custom_parameter_is_set_and_verified(database: Database) -> None:
    """No library defines it."""
    database.rows("GRANT SET ON PARAMETER app.tenant TO master")
    assert database.create({"app.tenant": "acme"}).counts == (1, 1, 0, 0)
    assert database.show("app.tenant") == "acme"
    database.delete({"app.tenant": "acme"})
    assert database.stored() == {}


@pytest.mark.parametrize("way", ["validator", "call"])
def test_library_is_loaded_both_ways(vector_database: Database, way: str) -> None:
    """With one of the two ways revoked, parameters are set, verified, compared, repaired and reset."""
    database = vector_database
    database.rows("CREATE EXTENSION vector SCHEMA public")
    with contextlib.ExitStack() as stack:
        if way == "call":
            stack.enter_context(loader_revoked(database))
        else:
            # The remaining function cannot be called: SQL has no values of an argument's type.
            database.rows("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
            database.rows("GRANT EXECUTE ON FUNCTION public.hnswhandler(internal) TO PUBLIC")
        assert database.create(DESIRED).counts == (3, 3, 0, 0)
        new = {**DESIRED, "hnsw.ef_search": "0x64", "ivfflat.probes": "20"}
        assert database.update(new, DESIRED).counts == (3, 1, 0, 0)
        assert "22023" in database.refuses(lambda: database.update({**DESIRED, "hnsw.ef_search": "0"}, new))
        assert document(database)[0] == 0
        assert database.delete(new).counts == (0, 0, 0, 3)
    assert database.stored() == {}


def test_both_ways_revoked_are_reported(vector_database: Database) -> None:
    """The message has PostgreSQL's own error of the parameter."""
    database = vector_database
    database.rows("CREATE EXTENSION vector SCHEMA public")
    database.rows("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
    assert "42501" in database.refuses(lambda: database.create(DESIRED))


def test_required_extensions_are_created(trusting_database: Database) -> None:
    """Whether they are listed before, after, or not."""
    for extensions in (["earthdistance"], ["earthdistance", "cube"], ["cube", "earthdistance", "cube"]):
        assert trusting_database.create({"jit": "off"}, Extensions=extensions).counts == (1, 1, 0, 0)
        assert _installed(trusting_database) == {"cube", "earthdistance"}
        trusting_database.delete({"jit": "off"})
        trusting_database.run_sql("DROP EXTENSION cube CASCADE")


def test_extension_of_another_role_is_kept(trusting_database: Database) -> None:
    """Its owner and its schema are up to the user."""
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
def test_existing_objects_are_not_retried(
    trusting_database: Database, name: str, before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another attempt would find them again."""
    database = trusting_database
    database.run_sql("GRANT CREATE ON SCHEMA public TO master", before)
    message = database.refuses(lambda: database.create({"jit": "off"}, Extensions=[name]))
    assert message.startswith(f'extension "{name}" in database')
    assert "the database has an object of that name already" in message
    assert '"event": "retry"' not in capsys.readouterr().out
    assert _installed(database) == set()


def test_missing_privileges_are_named(database: Database) -> None:
    """Only superusers create untrusted extensions; the wheels' servers have none of these."""
    name = "pg_buffercache"
    if not database.rows(f"SELECT 1 FROM pg_available_extensions WHERE name = '{name}'"):
        pytest.skip(f"this installation has no {name}")
    message = database.refuses(lambda: database.create({"jit": "off"}, Extensions=[name]))
    assert "rds_superuser" in message
    assert "rds.allowed_extensions" in message


def test_extension_created_concurrently_is_used(trusting_database: Database) -> None:
    """The applier waits for the other session."""
    database = trusting_database
    with database.session() as client, ThreadPoolExecutor(1) as pool:
        client.run("BEGIN")
        client.run("CREATE EXTENSION hstore SCHEMA public")
        answer = pool.submit(database.create, {"jit": "off"}, Extensions=["hstore"])
        while not database.admin.run(
            "SELECT 1 FROM pg_stat_activity WHERE datname = :name AND wait_event_type = 'Lock'", name=database.name
        ):
            assert not answer.done()
            time.sleep(0.01)
        client.run("COMMIT")
        assert answer.result().counts == (1, 1, 0, 0)
    assert _installed(database) == {"hstore"}


def test_concurrent_appliers_create_an_extension_once(vector_database: Database) -> None:
    """The others find it."""
    names = ("work_mem", "jit_above_cost", "lock_timeout", "seq_page_cost")

    def create(name: str) -> tuple[int, int, int, int]:
        more = {"Owner": f"Owner/{name}", "Address": f"c8{name}", "Extensions": ["vector"]}
        return vector_database.create({name: "99"}, **more).counts  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(create, names)) == [(1, 1, 0, 0)] * len(names)


def test_duration_of_creation_is_not_latency(vector_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time left must suffice for verification and rollback, not for another creation."""
    monkeypatch.setattr(connection, "_LEAST_RESERVE", 1.0)
    vector_database.rows(SLOW)
    assert vector_database.create(DESIRED, Extensions=["vector"], seconds=6.0).counts == (3, 3, 0, 0)


def _installed(database: Database) -> set[str]:
    return {row[0] for row in database.rows("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'")}
