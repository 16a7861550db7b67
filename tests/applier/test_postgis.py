"""PostGIS and all its extensions: their scripts look up their own objects along the session's search_path, and store
it."""

from typing import Any, Final

import pytest

from cdk_pinsafe.applier import apply as apply_module
from cdk_pinsafe.errors import UnreachableError

from .harness import Database, Settings
from .test_drift import document

WHOLE: Final = (
    "postgis",
    "postgis_raster",
    "postgis_topology",
    "fuzzystrmatch",
    "address_standardizer",
    "postgis_tiger_geocoder",
)
TOPOLOGY: Final = {"Extensions": ["postgis", "postgis_topology"]}
OF_SCRIPT: Final = '"$user", public, topology'


def _create(database: Database, desired: Settings, **changes: Any) -> tuple[int, int, int, int]:
    return database.create(desired, **{**TOPOLOGY, **changes}).counts


def _update(database: Database, desired: Settings, old: Settings, **changes: Any) -> tuple[int, int, int, int]:
    return database.update(desired, old, **{**TOPOLOGY, **changes}).counts


def _extensions(database: Database) -> set[str]:
    return {row[0] for row in database.rows("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'")}


def test_all_of_it_is_created_and_works(postgis_database: Database) -> None:
    """Geometry, raster, topology and geocoder, for the owner of the database in a fresh session."""
    database = postgis_database
    assert _create(database, {"jit": "off"}, Extensions=list(WHOLE)) == (1, 1, 0, 0)
    assert _extensions(database) == set(WHOLE)
    assert database.stored() == {"jit": "off", "search_path": f"{OF_SCRIPT}, tiger"}
    with database.session() as session:
        assert session.run("SELECT ST_AsText(ST_Point(1, 2))") == [["POINT(1 2)"]]
        assert session.run("SELECT ST_Width(ST_MakeEmptyRaster(2, 3, 0, 0, 1))") == [[2]]
        assert session.run("SELECT count(*) FROM topology.topology") == [[0]]
        assert session.run("SELECT (normalize_address('1 Main St, Boston, MA')).address") == [[1]]


def test_topology_after_geocoder_loses_its_schema(postgis_database: Database) -> None:
    """As in one session of psql: docs/extensions.md says to list it first."""
    _create(postgis_database, {}, Extensions=["postgis_tiger_geocoder", "postgis_topology"])
    assert postgis_database.stored() == {"search_path": OF_SCRIPT}


def test_search_path_of_the_script_stays_unmanaged(postgis_database: Database) -> None:
    """It belongs to the extension, which also stays: no drift, and nothing to reset."""
    database = postgis_database
    assert _create(database, {"jit": "off"}) == (1, 1, 0, 0)
    assert database.ledger().keys() == {"jit"}
    assert _create(database, {"jit": "off"}) == (1, 0, 0, 0)
    assert database.delete({"jit": "off"}).counts == (0, 0, 0, 1)
    assert database.stored() == {"search_path": OF_SCRIPT}


def test_desired_search_path_comes_first(postgis_database: Database) -> None:
    """The script's value is the previous one, and is restored."""
    database = postgis_database
    desired: Settings = {"search_path": ["app", "public", "topology"]}
    assert _create(database, desired) == (1, 1, 0, 0)
    assert database.stored() == {"search_path": "app, public, topology"}
    assert database.ledger()["search_path"]["previous"] == OF_SCRIPT
    assert database.delete(desired).counts == (0, 0, 0, 1)
    assert database.stored() == {"search_path": OF_SCRIPT}


def test_search_path_of_the_script_is_adopted(postgis_database: Database) -> None:
    """Desired and stored in the same event."""
    desired: Settings = {"search_path": ["$user", "public", "topology"]}
    assert _create(postgis_database, desired) == (1, 0, 1, 0)
    assert postgis_database.delete(desired).counts == (0, 0, 0, 0)
    assert postgis_database.stored() == {"search_path": OF_SCRIPT}


def test_managed_search_path_is_restored(postgis_database: Database) -> None:
    """An extension that is added later does not alter a managed setting, and that is no repair."""
    database = postgis_database
    desired: Settings = {"search_path": ["app", "public"], "jit": "off"}
    database.create(desired)
    before = database.stored(), database.ledger()
    assert _update(database, desired, desired) == (2, 0, 0, 0)
    assert (database.stored(), database.ledger()) == before
    assert document(database)[0] == 0
    assert "postgis_topology" in _extensions(database)
    assert database.delete(desired).counts == (0, 0, 0, 2)
    assert database.stored() == {}


def test_managed_search_path_changes_in_same_event(postgis_database: Database) -> None:
    """The result is the desired value, or the previous one."""
    database = postgis_database
    database.alter("SET search_path = first, public")
    old: Settings = {"search_path": ["app", "public"]}
    new: Settings = {"search_path": ["app", "public", "topology"]}
    database.create(old)
    assert _update(database, new, old) == (1, 1, 0, 0)
    assert database.stored() == {"search_path": "app, public, topology"}
    database.run_sql("DROP EXTENSION postgis_topology")
    assert _update(database, {}, new) == (0, 0, 0, 1)
    assert database.stored() == {"search_path": "first, public"}


def test_search_path_of_another_construct_is_restored(postgis_database: Database) -> None:
    database, other = postgis_database, {"Owner": "Other/Settings", "Address": "c8other"}
    desired: Settings = {"search_path": ["app", "public"]}
    database.create(desired, **other)  # type: ignore[arg-type]
    before = database.stored(), database.ledger()
    assert _create(database, {}) == (0, 0, 0, 0)
    assert (database.stored(), database.ledger()) == before
    assert database.delete(desired, **other).counts == (0, 0, 0, 1)  # type: ignore[arg-type]
    assert database.stored() == {}


def test_failed_setting_rolls_the_extension_back(postgis_database: Database) -> None:
    """Extensions, what their scripts stored, and schemas."""
    database = postgis_database
    message = database.refuses(lambda: _create(database, {"work_mem": "much"}, Extensions=list(WHOLE)))
    assert message.startswith('setting "work_mem"')
    assert (_extensions(database), database.stored(), database.ledger()) == (set(), {}, {})
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname IN ('tiger', 'tiger_data', 'topology')") == []


def test_rollback_keeps_what_belongs_to_the_extension(
    postgis_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committed extension is never dropped, and keeps the search_path that its script stored."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    monkeypatch.setattr(apply_module, "verify", unverified)
    database = postgis_database
    desired: Settings = {"search_path": ["app"], "jit": "off"}
    message = database.refuses(lambda: _create(database, desired), kind=UnreachableError)
    assert message.endswith("it was undone")
    assert _extensions(database) == {"postgis", "postgis_topology"}
    assert (database.stored(), database.ledger()) == ({"search_path": OF_SCRIPT}, {})


def test_script_finds_the_schemas_of_the_database(postgis_database: Database) -> None:
    """PostGIS is in its own schema, which is in the database's search_path."""
    database = postgis_database
    database.run_sql("CREATE SCHEMA gis", "CREATE EXTENSION postgis SCHEMA gis")
    database.alter("SET search_path = app, gis")
    assert _create(database, {"jit": "off"}) == (1, 1, 0, 0)
    assert database.stored() == {"jit": "off", "search_path": "app, gis, topology"}
    assert database.rows("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'postgis'") == [
        ["gis"]
    ]


def test_raster_parameters_are_effective(postgis_database: Database) -> None:
    """Their prefix is postgis, but postgis's own library does not define them."""
    database = postgis_database
    desired: Settings = {"postgis.gdal_vsi_options": "GDAL_HTTP_MAX_RETRY=3"}
    assert _create(database, desired, Extensions=["postgis_raster"]) == (1, 1, 0, 0)
    assert database.show("postgis.gdal_vsi_options") == "GDAL_HTTP_MAX_RETRY=3"
    assert database.delete(desired).counts == (0, 0, 0, 1)
    assert database.stored() == {}
