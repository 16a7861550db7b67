"""The list of RDS's extensions against servers and against AWS's own sentences."""

from pathlib import Path

import pytest

from cdk_pinsafe.settings.rds_extensions import EXTENSIONS, MAJORS, PRELOADED, is_offered

DEBIAN = Path("/usr/share/postgresql/15/extension")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the names are compared with those of Debian's PostgreSQL 15")
def test_names_are_spelled_as_servers_have_them() -> None:
    """What a real server has and RDS does not is known, by name: any other name is misspelled in the list."""
    # Debian names PostGIS's controls a second time, with the version.
    there = {control.stem for control in DEBIAN.glob("*.control") if not control.stem.endswith("-3")}
    # They read the server's files, change a running server, or need a superuser.
    assert there - set(EXTENSIONS) <= {"adminpack", "file_fdw", "pg_surgery", "postgis_sfcgal", "xml2"}
    assert len(there & set(EXTENSIONS)) > 40


@pytest.mark.parametrize(
    ("name", "majors"),
    [
        ("vector", {14, 15, 16, 17, 18}),
        ("pgvector", set()),
        ("PostGIS", set()),
        # "supported in RDS for PostgreSQL version 17 isn't supported for RDS for PostgreSQL version 18" (18.1)
        ("postgis_topology", {14, 15, 16, 17}),
        ("plrust", {14, 15, 16, 17}),
        # "The following extension was added: pg_stat_monitor" (18.2)
        ("pg_stat_monitor", {18}),
        # "The pg_walinspect extension version 1.0 was added" (15.2)
        ("pg_walinspect", {15, 16, 17, 18}),
        ("timescaledb", set()),
    ],
)
def test_what_the_release_notes_say(name: str, majors: set[int]) -> None:
    """The sentences are quoted from AWS's notes of the versions in brackets."""
    assert {major for major in MAJORS if is_offered(name, major)} == majors
    assert is_offered(name, 13) is is_offered(name, 19) is None


def test_preloaded_extensions_are_offered() -> None:
    """What has to be preloaded is in the list."""
    assert set(EXTENSIONS) > PRELOADED
