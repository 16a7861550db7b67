"""The SQL of docs/row-level-security.md does through the local proxy what the page says."""

import contextlib
from collections.abc import Iterator

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import ThreadedEmulator

from ..docs.pages import blocks, page
from .conftest import USER

TABLE, BY_PARAMETER, FUNCTION, CALL, LEAKING_FUNCTION, ROLE, SET_CONFIG = (
    block.text for block in blocks(page("row-level-security"))
)


@pytest.fixture
def shop(admin: pg8000.native.Connection) -> Iterator[pg8000.native.Connection]:
    """A database with the page's table and functions, as its owner sees it."""
    admin.run(TABLE + FUNCTION + LEAKING_FUNCTION + ROLE)
    yield admin
    admin.run("DROP TABLE orders; DROP FUNCTION use_tenant, remember_tenant; DROP ROLE tenant_7")


@contextlib.contextmanager
def client(proxy: ThreadedEmulator) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        yield connection


def items(connection: psycopg.Connection) -> list[str]:
    return [item for (item,) in connection.execute("SELECT item FROM orders ORDER BY item").fetchall()]


def last_rows(connection: psycopg.Connection, script: str) -> list[str]:
    """The rows of the last SELECT of a script that is sent statement by statement."""
    rows: list[str] = []
    for statement in filter(str.strip, script.split(";")):
        cursor = connection.execute(statement)
        if cursor.description:
            rows = [row[0] for row in cursor.fetchall()]
    return rows


@pytest.mark.usefixtures("shop")
def test_function_sets_the_tenant_for_one_transaction(proxy: ThreadedEmulator) -> None:
    """Its rows are seen within the transaction alone, by nobody else on the connection, and nothing pins."""
    with client(proxy) as seven, client(proxy) as other:
        assert items(other) == []
        assert last_rows(seven, CALL) == ["lamp"]
        assert (items(seven), items(other)) == ([], [])
        seven.execute("SELECT use_tenant('7')")
        assert items(seven) == []
    assert list(proxy.pins) == []


@pytest.mark.usefixtures("shop")
def test_session_setting_of_a_function_leaks(proxy: ThreadedEmulator) -> None:
    """It does not pin, and the connection's next client sees the rows of a tenant that it never named."""
    with client(proxy) as seven:
        seven.execute("SELECT remember_tenant('7')")
    with client(proxy) as other:
        assert items(other) == ["lamp"]
    assert list(proxy.pins) == []


@pytest.mark.usefixtures("shop")
def test_set_config_pins_and_is_safe(proxy: ThreadedEmulator) -> None:
    """The local setting ends with the transaction; the local proxy pins for it, as AWS's list says."""
    with client(proxy) as seven:
        assert last_rows(seven, SET_CONFIG) == ["lamp"]
        assert items(seven) == []
    (pin,) = proxy.pins
    assert pin.condition is not None
    assert pin.condition.id == "set-config"
    assert "docs/row-level-security.md" in pin.remedy


@pytest.mark.usefixtures("shop")
def test_setting_is_an_empty_text_after_its_transaction(proxy: ThreadedEmulator) -> None:
    """A session that once had the setting shows it as empty, not as NULL: so the policy needs nullif."""
    with client(proxy) as seven:
        assert seven.execute("SELECT current_setting('app.tenant', true)").fetchone() == (None,)
        last_rows(seven, CALL)
        assert seven.execute("SELECT current_setting('app.tenant', true)").fetchone() == ("",)


def test_parameter_filters_without_a_policy(shop: pg8000.native.Connection, proxy: ThreadedEmulator) -> None:
    """The page's query gives a tenant's rows where no policy stands in the way, and does not pin."""
    shop.run("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")
    with client(proxy) as connection:
        assert connection.execute(BY_PARAMETER.replace("$1", "%s"), ["8"]).fetchall() == [("chair",)]
    assert list(proxy.pins) == []


def test_role_is_its_tenant(shop: pg8000.native.Connection) -> None:
    """A tenant's role sees its own rows, whatever it sets."""
    shop.run("SET SESSION AUTHORIZATION tenant_7")
    shop.run("SET app.tenant = '8'")
    assert shop.run("SELECT item FROM orders") == [["lamp"]]
    shop.run("RESET SESSION AUTHORIZATION")


def test_row_security_off_fails(shop: pg8000.native.Connection) -> None:
    """As a default it would not show all rows, but fail."""
    shop.run(f"SET SESSION AUTHORIZATION {USER}")
    shop.run("SET row_security = off")
    with pytest.raises(pg8000.native.DatabaseError, match="would be affected by row-level security policy"):
        shop.run("SELECT item FROM orders")
    shop.run("RESET SESSION AUTHORIZATION; RESET row_security")
