"""The table of harmful defaults: complete, effective, and true on a real server."""

import contextlib
from collections.abc import Iterator

import pg8000.native
import pytest

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation
from cdk_pinsafe.settings import DENIED
from cdk_pinsafe.settings.catalogue import (
    MAJORS,
    Parameter,
    Suits,
    check,
    check_default,
    find,
    hazard,
    hazard_of,
    names,
    versions_of,
)
from cdk_pinsafe.settings.catalogue.defaults import HAZARDS, SAFE
from cdk_pinsafe.settings.catalogue.parameters import SETTABLE

SETTABLE_NAMES = {
    name.lower()
    for major in MAJORS
    for name in names(major)
    if (row := find(name, major)) is not None and row.context in SETTABLE
}
TEXTS = ("", "x", "none", "all", "UTF8", "latin1", "ISO, MDY", "German", "view", "heap")


def test_table_is_complete() -> None:
    """A parameter of a new version must be added."""
    assert SAFE | set(HAZARDS) | (set(DENIED) & SETTABLE_NAMES) == SETTABLE_NAMES
    assert not SAFE & set(HAZARDS)
    assert not (SAFE | set(HAZARDS)) & set(DENIED)


def candidates(row: Parameter) -> list[str]:
    """Values that PostgreSQL takes for the parameter."""
    if row.type == "bool":
        return ["on", "off"]
    if row.type == "enum":
        return [*row.values, *row.hidden_values]
    if row.type == "string":
        return [*TEXTS, "[]"] if row.is_list else list(TEXTS)
    numbers = ["-1", "0", "1", "2", "100", "1000000", "0.5"]
    return [number for number in numbers if _takes(row, number)]


def _takes(row: Parameter, text: str) -> bool:
    try:
        check(row.name, text, row.majors[0])
    except SettingError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(set(HAZARDS) - {"application_name"}))
def test_row_has_harmful_and_harmless_values(name: str) -> None:
    row = versions_of(name)[-1]
    values = [[] if value == "[]" else value for value in candidates(row)]
    harmful = [value for value in values if hazard_of(name, value)]
    assert harmful
    assert len(harmful) < len(values)


@pytest.mark.parametrize(
    ("name", "value", "harmful"),
    [
        ("ROW_SECURITY", "f", True),
        ("row_security", "1", False),
        ("row_security", "perhaps", False),
        ("statement_timeout", "0min", True),
        ("statement_timeout", "1", False),
        ("work_mem", "262144", True),
        ("work_mem", "0.25GB", True),
        ("work_mem", "255MB", False),
        ("temp_buffers", "32768", True),
        ("extra_float_digits", "0", True),
        ("extra_float_digits", "3", False),
        ("default_transaction_isolation", "SERIALIZABLE", True),
        ("search_path", [], True),
        ("search_path", [""], True),
        ("search_path", ["app"], False),
        ("client_encoding", "utf-8", False),
        ("client_encoding", "LATIN1", True),
        ("DateStyle", "ISO, DMY", False),
        ("DateStyle", "SQL, DMY", True),
        ("session_replication_role", "Replica", True),
        ("session_replication_role", "local", False),
        ("app.tenant", "7", True),
        ("shop.bypass_rls", "on", True),
        ("request.jwt.claims", "{}", True),
        ("hnsw.ef_search", "100", False),
        ("pgaudit.log", "ddl", False),
        ("no_such_parameter", "1", False),
    ],
)
def test_spellings_of_values(name: str, value: str | list[str], harmful: bool) -> None:
    assert (hazard_of(name, value) is not None) == harmful


def test_values_that_lose_data_are_errors() -> None:
    for name in ("zero_damaged_pages", "ignore_checksum_failure", "allow_system_table_mods"):
        for of_role in (False, True):
            with pytest.raises(SettingError, match="which is no default: it .*; remove it, and SET it in the one"):
                check_default(name, "on", of_role=of_role)
        assert check_default(name, "off", of_role=False) == []
    with pytest.raises(SettingError, match="foreign keys.*give it to a role of its own by 'role_settings'"):
        check_default("session_replication_role", "replica", of_role=False)
    assert check_default("session_replication_role", "replica", of_role=True) == []


def test_harmful_default_is_a_warning() -> None:
    """For every session; for a role only if it suits no session."""
    for name, value in (("row_security", "off"), ("statement_timeout", "0"), ("default_transaction_read_only", "on")):
        assert [warning.kind for warning in check_default(name, value, of_role=False)] == ["HarmfulDefault"]
        assert check_default(name, value, of_role=True) == []
    assert [warning.kind for warning in check_default("track_counts", "off", of_role=True)] == ["HarmfulDefault"]
    known = hazard("application_name")
    assert known is not None
    assert known.suits is Suits.ONE_SESSION


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server")) as server:
        server.create_master("app", "secret", "shop")
        with contextlib.closing(server.connect("shop")) as connection:
            connection.run(
                "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (parent int REFERENCES parent, "
                "words text[]); CREATE VIEW seen AS SELECT 1; CREATE TABLE secret (x int); "
                "ALTER TABLE secret ENABLE ROW LEVEL SECURITY; GRANT ALL ON ALL TABLES IN SCHEMA public TO app"
            )
        yield server


@contextlib.contextmanager
def with_default(server: PostgresServer, name: str, value: str) -> Iterator[pg8000.native.Connection]:
    """A fresh session of a database with this default."""
    with contextlib.closing(server.connect("postgres")) as admin:
        admin.run(f"ALTER DATABASE shop SET {name} = {value}")
        try:
            with contextlib.closing(server.connect("shop")) as connection:
                yield connection
        finally:
            admin.run(f"ALTER DATABASE shop RESET {name}")


def test_replica_disables_foreign_keys(server: PostgresServer) -> None:
    with with_default(server, "session_replication_role", "replica") as connection:
        connection.run("INSERT INTO child VALUES (99)")
        assert connection.run("SELECT parent FROM child WHERE parent NOT IN (SELECT id FROM parent)") == [[99]]


def test_array_nulls_off_stores_a_word(server: PostgresServer) -> None:
    with with_default(server, "array_nulls", "off") as connection:
        assert connection.run("SELECT ('{NULL}'::text[])[1] IS NULL") == [[False]]


@pytest.mark.parametrize(
    ("name", "value", "statement", "message"),
    [
        ("default_transaction_read_only", "on", "CREATE TABLE t ()", "read-only transaction"),
        ("search_path", "''", "SELECT * FROM parent", 'relation "parent" does not exist'),
        ("restrict_nonsystem_relation_kind", "view", "SELECT * FROM seen", "access to non-system view"),
        ("xmloption", "document", "SELECT 'a <b/>'::xml", "invalid XML document|unsupported XML feature"),
        (
            "row_security",
            "off",
            "SET SESSION AUTHORIZATION app; SELECT * FROM public.secret",
            "would be affected by row-level security",
        ),
    ],
)
def test_default_breaks_sql(server: PostgresServer, name: str, value: str, statement: str, message: str) -> None:
    with with_default(server, name, value) as connection, pytest.raises(pg8000.native.DatabaseError, match=message):
        connection.run(statement)


def test_transform_null_equals_changes_a_condition(server: PostgresServer) -> None:
    with with_default(server, "transform_null_equals", "on") as connection:
        assert connection.run("SELECT 1 WHERE NULLIF(1, 1) = NULL") == [[1]]
