"""Fixtures: a real server, an emulator in front of it, and a superuser session."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pg8000.native
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation

USER = "app"
PASSWORD = "p4ss wörd"  # not ASCII, to exercise SASLprep
DATABASE = "shop"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18 with an application's user and database."""
    settings = {"max_connections": "200", "shared_preload_libraries": ""}
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server"), settings=settings) as server:
        server.create_master(USER, PASSWORD, DATABASE)
        yield server


@pytest.fixture(scope="session")
def target(server: PostgresServer) -> ProxyTarget:
    return ProxyTarget(server.host, server.port, USER, PASSWORD, DATABASE, sslmode="disable")


@pytest.fixture
def admin(server: PostgresServer) -> Iterator[pg8000.native.Connection]:
    """A superuser session directly at the server, not through the emulator."""
    with contextlib.closing(server.connect(DATABASE)) as connection:
        yield connection


@pytest.fixture
def proxy(target: ProxyTarget) -> Iterator[ThreadedEmulator]:
    """An emulator with a pool of three; clients need no password."""
    with run_in_thread(target, pool_size=3, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        yield proxy


def backends(admin: pg8000.native.Connection) -> int:
    """Return the number of the application user's sessions at the database."""
    found = admin.run("SELECT count(*) FROM pg_stat_activity WHERE usename = :user", user=USER)
    assert found is not None
    return int(found[0][0])


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Return whether the condition becomes true in time."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
