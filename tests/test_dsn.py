"""DSNs as drivers and frameworks write them, and the same DSNs through an emulator."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from cdk_pinsafe.dsn import libpq_dsn, with_address
from cdk_pinsafe.errors import DsnError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://app:p%40ss@db.example:5433/shop", "postgresql://app:p%40ss@127.0.0.1:6000/shop"),
        ("postgres://app@db/shop", "postgres://app@127.0.0.1:6000/shop"),
        ("postgresql+asyncpg://app@[::1]:5432/shop", "postgresql+asyncpg://app@127.0.0.1:6000/shop"),
        ("postgresql:///shop?host=/run/postgresql&port=5433", "postgresql://127.0.0.1:6000/shop"),
        ("postgis://app@db", "postgis://app@127.0.0.1:6000"),
        (
            "postgresql://app@db/shop?sslmode=verify-full&sslrootcert=ca.pem&application_name=a%20b",
            "postgresql://app@127.0.0.1:6000/shop?sslmode=disable&application_name=a%20b",
        ),
        ("postgresql+asyncpg://app@db/shop?ssl=require", "postgresql+asyncpg://app@127.0.0.1:6000/shop?ssl=disable"),
    ],
)
def test_url_through_the_emulator(given: str, expected: str) -> None:
    """Host, port and TLS are the emulator's; everything else is unchanged."""
    assert with_address(given, "127.0.0.1", 6000) == expected


def test_pairs_through_the_emulator() -> None:
    """libpq's pairs stay pairs, whatever their values look like."""
    given = "host=db hostaddr=10.0.0.1 port=5433 dbname=shop password='a=b ://c' sslmode=require sslrootcert=ca.pem"
    assert conninfo_to_dict(with_address(given, "127.0.0.1", 6000)) == {
        "host": "127.0.0.1",
        "port": "6000",
        "dbname": "shop",
        "password": "a=b ://c",
        "sslmode": "disable",
    }
    assert libpq_dsn(given) == given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "postgresql+asyncpg://app:p%40ss@db:5433/shop?ssl=require&prepared_statement_cache_size=0",
            {"host": "db", "port": "5433", "user": "app", "password": "p@ss", "dbname": "shop"},
        ),
        (
            "postgis://app@db/shop?sslmode=require",
            {"host": "db", "user": "app", "dbname": "shop", "sslmode": "require"},
        ),
        ("postgresql:///shop?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "shop"}),
    ],
)
def test_target_for_libpq(given: str, expected: dict[str, str]) -> None:
    """The driver in the scheme, and parameters that only the driver knows, are removed."""
    assert conninfo_to_dict(libpq_dsn(given)) == expected


def test_error_shows_no_password() -> None:
    """The error for a malformed URL contains no part of it, which could be the password."""
    with pytest.raises(DsnError, match="the DSN is not understood") as caught:
        libpq_dsn("postgresql://app:pa[ss@db.example/shop")
    assert "pa[ss" not in str(caught.value)
