"""The emulator in front of the tests' database."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdk_pinsafe.testing.proxy import watched


@pytest.mark.parametrize("pairs", [False, True])
def test_require_auth_is_removed(dsn: str, pairs: bool) -> None:
    """A DSN that requires an authentication method works through the emulator, which uses another."""
    given = f"{dsn}?require_auth=scram-sha-256"
    if pairs:
        given = make_conninfo("", **conninfo_to_dict(given))
    with (
        watched(given, on_pin=lambda _: None, pins=tuple) as proxy,
        psycopg.connect(proxy.dsn) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
