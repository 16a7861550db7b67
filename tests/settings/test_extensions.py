"""Names of extensions, right and mistaken ones."""

from cdk_pinsafe.settings.catalogue.extensions import _OTHER_NAMES, KNOWN, LIBRARIES, _key, meant

from .conftest import Judge


def test_no_two_extensions_are_meant_by_one_name() -> None:
    keys = [_key(name) for name in KNOWN]
    assert len(set(keys)) == len(keys)
    assert not set(_OTHER_NAMES) & set(keys)
    assert set(_OTHER_NAMES.values()) <= KNOWN


def test_lists_do_not_contradict() -> None:
    assert not KNOWN & LIBRARIES
    others = {"age", "citus", "http", "pg_graphql", "pg_net", "pgjwt", "pgvectorscale", "timescaledb"}
    assert [name for name in others | LIBRARIES if meant(name)] == []


def test_no_extension_of_a_server_is_mistaken_for_another(judge: Judge) -> None:
    """What CREATE EXTENSION takes on this machine's servers, contrib and PostGIS where they are, is taken here."""
    available = [name for [name] in judge.connection.run("SELECT name FROM pg_available_extensions") or []]
    assert available
    assert {name: meant(name) for name in available if meant(name)} == {}


def test_mistaken_names_are_of_no_extension(judge: Judge) -> None:
    """A server refuses what is refused here."""
    available = {name for [name] in judge.connection.run("SELECT name FROM pg_available_extensions") or []}
    mistaken = {"pgvector", "uuid", "pgcron", "postgis_tiger", "PostGIS", "pg_crypto", "pgtrgm", *_OTHER_NAMES}
    assert mistaken & available == set()
    assert [name for name in mistaken if meant(name) is None] == []
