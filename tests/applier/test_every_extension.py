"""Every extension of this machine's PostgreSQL is created, with settings, and dropped."""

from pathlib import Path
from typing import Final

import pytest

from cdk_pinsafe.localpg.server import Installation
from cdk_pinsafe.localpg.tls import CertificateAuthority
from cdk_pinsafe.settings.libraries import LOAD_ALL_LIBRARIES

from .conftest import running
from .harness import Database, FakeSecretsManager, loader_revoked
from .trusted_extensions import offered

INSTALLED: Final = "SELECT extname, extnamespace::regnamespace::text FROM pg_extension WHERE extname <> 'plpgsql'"
SCHEMAS: Final = {
    "adminpack": "pg_catalog",
    "postgis_tiger_geocoder": "tiger",
    "postgis_topology": "topology",
}
"""Extensions with a fixed schema."""
LIBRARIES: Final = """
SELECT DISTINCT regexp_replace(p.probin, '.*/', '') FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND p.probin IS NOT NULL
  AND has_function_privilege('master', p.oid, 'EXECUTE')
"""
WITHOUT_CALLABLE_FUNCTION: Final = {"bloom", "dict_int", "dict_xsyn", "tsm_system_rows", "tsm_system_time"}


def installed(database: Database) -> dict[str, str]:
    """The extensions of a database, and their schemas."""
    return dict(database.rows(INSTALLED))


@pytest.mark.timeout(1800)
def test_each_is_created_with_settings_and_dropped(trusting_database: Database) -> None:
    """In its fixed schema or in public, whatever the database's search_path begins with."""
    database, desired = trusting_database, {"work_mem": "8MB"}
    names = [name for name in offered(database) if name != "pg_cron"]
    assert len(names) > 20
    database.run_sql("CREATE SCHEMA app")
    database.alter("SET search_path = app, public, topology, tiger")
    before = database.stored()
    for name in names:
        assert database.create(desired, Extensions=[name]).counts == (1, 1, 0, 0), name
        assert installed(database)[name] == SCHEMAS.get(name, "public")
        assert database.delete(desired, Extensions=[name]).counts == (0, 0, 0, 1), name
        assert name in installed(database)
        assert database.stored() == before
        database.run_sql(f'DROP EXTENSION "{name}" CASCADE')


def test_all_are_created_at_once(trusting_database: Database) -> None:
    """In any order: required extensions are created first."""
    database = trusting_database
    names = sorted((name for name in offered(database) if name != "pg_cron"), reverse=True)
    assert database.create({"work_mem": "8MB"}, Extensions=names).counts == (1, 1, 0, 0)
    assert installed(database).keys() == set(names)


def _loaded(database: Database) -> tuple[set[str], set[str]]:
    """The libraries of extensions with functions that the master may execute, and those that a session has loaded."""
    with database.session() as session:
        session.run(LOAD_ALL_LIBRARIES)
        rows = session.run("SELECT pg_backend_pid()")
        assert rows
        maps = Path(f"/proc/{rows[0][0]}/maps").read_text()
    libraries = {row[0] for row in database.rows(LIBRARIES)}
    return libraries, {library for library in libraries if f"/{library}.so" in maps}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has loaded is not shown here")
def test_libraries_are_loaded_both_ways(trusting_database: Database) -> None:
    """Without the validator, every library with a function that SQL can call is loaded."""
    database = trusting_database
    database.create({}, Extensions=[name for name in offered(database) if name != "pg_cron"])
    libraries, loaded = _loaded(database)
    assert loaded == libraries
    with loader_revoked(database):
        libraries, loaded = _loaded(database)
    assert libraries - loaded == WITHOUT_CALLABLE_FUNCTION & libraries
    assert len(loaded) > 20


def _has_cron(database: Database) -> None:
    if "pg_cron" not in offered(database):
        pytest.skip(f"postgresql-{database.cluster.major}-cron is not installed")


def test_pg_cron_needs_the_parameter_group(trusting_database: Database) -> None:
    """Its library is not loaded at the server's start."""
    _has_cron(trusting_database)
    message = trusting_database.refuses(lambda: trusting_database.create({"jit": "off"}, Extensions=["pg_cron"]))
    assert message.startswith('extension "pg_cron" in database')
    assert "pg_cron must be in shared_preload_libraries in the parameter group" in message
    assert trusting_database.stored() == {}


def test_pg_cron_is_created_in_its_own_database(
    trusting: Installation,
    trusting_database: Database,
    authority: CertificateAuthority,
    secrets_manager: FakeSecretsManager,
    tmp_path: Path,
) -> None:
    """The error in another database names the right one."""
    _has_cron(trusting_database)
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": "app_with_jobs"}
    with running(trusting, authority, tmp_path, settings) as cluster:
        with cluster.fresh_database(secrets_manager, "app_without_jobs") as other:
            message = other.refuses(lambda: other.create({"jit": "off"}, Extensions=["pg_cron"]))
            assert "can only create extension in database app_with_jobs" in message
            assert "the database that cron.database_name names there" in message
        with cluster.fresh_database(secrets_manager, "app_with_jobs") as database:
            assert database.create({"jit": "off"}, Extensions=["pg_cron"]).counts == (1, 1, 0, 0)
            assert installed(database).keys() == {"pg_cron"}
            database.delete({"jit": "off"})
            database.run_sql("DROP EXTENSION pg_cron")
