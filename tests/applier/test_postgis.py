"""PostGIS as a whole: its scripts look for their own objects along the session's search_path, and store it."""

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


def _create(database: Database, wish: Settings, **changes: Any) -> tuple[int, int, int, int]:
    return database.create(wish, **{**TOPOLOGY, **changes}).counts


def _update(database: Database, wish: Settings, old: Settings, **changes: Any) -> tuple[int, int, int, int]:
    return database.update(wish, old, **{**TOPOLOGY, **changes}).counts


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


def test_topology_after_the_geocoder_forgets_its_schema(postgis_database: Database) -> None:
    """As in one session of psql: docs/extensions.md tells to list it first."""
    _create(postgis_database, {}, Extensions=["postgis_tiger_geocoder", "postgis_topology"])
    assert postgis_database.stored() == {"search_path": OF_SCRIPT}


def test_search_path_of_the_script_stays_unmanaged(postgis_database: Database) -> None:
    """It belongs to the extension, which stays as well: no drift, and nothing to take back."""
    database = postgis_database
    assert _create(database, {"jit": "off"}) == (1, 1, 0, 0)
    assert database.ledger().keys() == {"jit"}
    assert _create(database, {"jit": "off"}) == (1, 0, 0, 0)
    assert database.delete({"jit": "off"}).counts == (0, 0, 0, 1)
    assert database.stored() == {"search_path": OF_SCRIPT}


def test_search_path_of_the_code_comes_first(postgis_database: Database) -> None:
    """What the script stored is what stood before, and comes back."""
    database = postgis_database
    wish: Settings = {"search_path": ["app", "public", "topology"]}
    assert _create(database, wish) == (1, 1, 0, 0)
    assert database.stored() == {"search_path": "app, public, topology"}
    assert database.ledger()["search_path"]["previous"] == OF_SCRIPT
    assert database.delete(wish).counts == (0, 0, 0, 1)
    assert database.stored() == {"search_path": OF_SCRIPT}


def test_search_path_as_the_script_stores_it_is_adopted(postgis_database: Database) -> None:
    """Asked for and stored in the same event."""
    wish: Settings = {"search_path": ["$user", "public", "topology"]}
    assert _create(postgis_database, wish) == (1, 0, 1, 0)
    assert postgis_database.delete(wish).counts == (0, 0, 0, 0)
    assert postgis_database.stored() == {"search_path": OF_SCRIPT}


def test_managed_search_path_is_put_back(postgis_database: Database) -> None:
    """An extension that is added later does not alter what the code manages, nor is that a repair."""
    database = postgis_database
    wish: Settings = {"search_path": ["app", "public"], "jit": "off"}
    database.create(wish)
    before = database.stored(), database.ledger()
    assert _update(database, wish, wish) == (2, 0, 0, 0)
    assert (database.stored(), database.ledger()) == before
    assert document(database)[0] == 0
    assert "postgis_topology" in _extensions(database)
    assert database.delete(wish).counts == (0, 0, 0, 2)
    assert database.stored() == {}


def test_managed_search_path_is_changed_or_given_up_in_the_same_event(postgis_database: Database) -> None:
    """The value is the code's, or what stood before it."""
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


def test_search_path_of_another_construct_is_put_back(postgis_database: Database) -> None:
    """Whoever manages it finds it as it was."""
    database, other = postgis_database, {"Owner": "Other/Settings", "Address": "c8other"}
    wish: Settings = {"search_path": ["app", "public"]}
    database.create(wish, **other)  # type: ignore[arg-type]
    before = database.stored(), database.ledger()
    assert _create(database, {}) == (0, 0, 0, 0)
    assert (database.stored(), database.ledger()) == before
    assert database.delete(wish, **other).counts == (0, 0, 0, 1)  # type: ignore[arg-type]
    assert database.stored() == {}


def test_failed_setting_leaves_nothing_of_it(postgis_database: Database) -> None:
    """Neither extensions, nor what their scripts stored, nor schemas."""
    database = postgis_database
    message = database.refuses(lambda: _create(database, {"work_mem": "much"}, Extensions=list(WHOLE)))
    assert message.startswith('setting "work_mem"')
    assert (_extensions(database), database.stored(), database.ledger()) == (set(), {}, {})
    assert database.rows("SELECT 1 FROM pg_namespace WHERE nspname IN ('tiger', 'tiger_data', 'topology')") == []


def test_undoing_keeps_what_belongs_to_the_extension(
    postgis_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extension that was committed is never dropped, and keeps the search_path that its script stored."""

    def unverified(*_: object) -> None:
        raise UnreachableError("it cannot be verified")

    monkeypatch.setattr(apply_module, "verify", unverified)
    database = postgis_database
    wish: Settings = {"search_path": ["app"], "jit": "off"}
    message = database.refuses(lambda: _create(database, wish), kind=UnreachableError)
    assert message.endswith("it was undone")
    assert _extensions(database) == {"postgis", "postgis_topology"}
    assert (database.stored(), database.ledger()) == ({"search_path": OF_SCRIPT}, {})


def test_a_script_finds_the_schemas_of_the_database(postgis_database: Database) -> None:
    """PostGIS stands in a schema of its own, which is in the database's search_path."""
    database = postgis_database
    database.run_sql("CREATE SCHEMA gis", "CREATE EXTENSION postgis SCHEMA gis")
    database.alter("SET search_path = app, gis")
    assert _create(database, {"jit": "off"}) == (1, 1, 0, 0)
    assert database.stored() == {"jit": "off", "search_path": "app, gis, topology"}
    assert database.rows("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'postgis'") == [
        ["gis"]
    ]


def test_parameters_of_the_raster_library_hold(postgis_database: Database) -> None:
    """They bear the name of postgis, whose own library does not define them."""
    database = postgis_database
    wish: Settings = {"postgis.gdal_vsi_options": "GDAL_HTTP_MAX_RETRY=3"}
    assert _create(database, wish, Extensions=["postgis_raster"]) == (1, 1, 0, 0)
    assert database.show("postgis.gdal_vsi_options") == "GDAL_HTTP_MAX_RETRY=3"
    assert database.delete(wish).counts == (0, 0, 0, 1)
    assert database.stored() == {}
