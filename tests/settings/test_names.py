"""Names of parameters."""

import pytest
from pg8000.exceptions import DatabaseError

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.settings import DENIED, LIST_PARAMETERS, check_name, extension_of

from .conftest import ReferenceServer


@pytest.mark.parametrize("name", ["work_mem", "TimeZone", "hnsw.iterative_scan", "_private.x$1", "statement_timeout"])
def test_valid_name(name: str) -> None:
    assert check_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    ["", "1x", "a-b", "a b", "a.", ".a", "a;b", "a'b", 'a"b', "a\n", "a\0", "ä", "x" * 201, "a..b", "wor\u212a_mem"],
)
def test_malformed_name(name: str) -> None:
    with pytest.raises(SettingError, match="is not a parameter's name"):
        check_name(name)


@pytest.mark.parametrize("name", sorted(DENIED))
def test_denied_name(name: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_name(name.upper())
    assert DENIED[name] in str(caught.value)


def test_parameters_of_rds() -> None:
    with pytest.raises(SettingError, match="put it in a parameter group"):
        check_name("rds.force_ssl")


@pytest.mark.parametrize(
    ("name", "extension"),
    [("hnsw.ef_search", "vector"), ("IVFFLAT.probes", "vector"), ("pg_trgm.x", "pg_trgm"), ("work_mem", None)],
)
def test_extension_by_prefix(name: str, extension: str | None) -> None:
    assert extension_of(name) == extension


def test_list_parameters(reference: ReferenceServer) -> None:
    """A server stores two names separately for these parameters only."""
    names = reference.connection.run(
        "SELECT lower(name) FROM pg_settings WHERE vartype = 'string' AND context IN ('user', 'superuser')"
    )
    listed = set()
    for [name] in names or []:
        try:
            # The names are the server's own.
            reference.connection.run(f"ALTER DATABASE postgres SET {name} TO 'x y', 'z'")
        except DatabaseError:
            continue
        if [[f'{name}="x y", z']] == reference.connection.run(
            "SELECT lower(split_part(o, '=', 1)) || substr(o, strpos(o, '=')) "
            "FROM pg_db_role_setting, unnest(setconfig) o WHERE lower(split_part(o, '=', 1)) = :name",
            name=name,
        ):
            listed.add(name)
    reference.connection.run("ALTER DATABASE postgres RESET ALL")
    assert listed == LIST_PARAMETERS | {"local_preload_libraries"}
