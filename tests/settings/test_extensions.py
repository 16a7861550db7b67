"""Valid and mistaken names of extensions."""

from cdk_pinsafe.settings.catalogue.extensions import _OTHER_NAMES, KNOWN, LIBRARIES, _key, meant

from .conftest import ReferenceServer


def test_mistaken_names_are_unambiguous() -> None:
    keys = [_key(name) for name in KNOWN]
    assert len(set(keys)) == len(keys)
    assert not set(_OTHER_NAMES) & set(keys)
    assert set(_OTHER_NAMES.values()) <= KNOWN


def test_lists_do_not_contradict() -> None:
    assert not KNOWN & LIBRARIES
    others = {"age", "citus", "http", "pg_graphql", "pg_net", "pgjwt", "pgvectorscale", "timescaledb"}
    assert [name for name in others | LIBRARIES if meant(name)] == []


def test_valid_names_are_accepted(reference: ReferenceServer) -> None:
    """With contrib and PostGIS, if they are installed."""
    available = [name for [name] in reference.connection.run("SELECT name FROM pg_available_extensions") or []]
    assert available
    assert {name: meant(name) for name in available if meant(name)} == {}


def test_mistaken_names_do_not_exist(reference: ReferenceServer) -> None:
    available = {name for [name] in reference.connection.run("SELECT name FROM pg_available_extensions") or []}
    mistaken = {"pgvector", "uuid", "pgcron", "postgis_tiger", "PostGIS", "pg_crypto", "pgtrgm", *_OTHER_NAMES}
    assert mistaken & available == set()
    assert [name for name in mistaken if meant(name) is None] == []
