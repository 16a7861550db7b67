"""A real server behind stand-ins, and clients before them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import pg8000.native
import pytest

from cdk_pinsafe.emulator import Authentication, RunningStandIn, Target, running
from cdk_pinsafe.rehearsal.postgres import PostgresServer, wheel_installation

USER = "app"
PASSWORD = "p4ss wörd"  # not ASCII, so that SASLprep has something to do
DATABASE = "shop"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18 with a user and a database of an application."""
    settings = {"max_connections": "200", "shared_preload_libraries": ""}
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server"), settings=settings) as server:
        server.create_master(USER, PASSWORD, DATABASE)
        yield server


@pytest.fixture(scope="session")
def target(server: PostgresServer) -> Target:
    return Target(server.host, server.port, USER, PASSWORD, DATABASE, sslmode="disable")


@pytest.fixture
def admin(server: PostgresServer) -> Iterator[pg8000.native.Connection]:
    """A session of the superuser, past every stand-in."""
    with contextlib.closing(server.connect(DATABASE)) as connection:
        yield connection


@pytest.fixture
def proxy(target: Target) -> Iterator[RunningStandIn]:
    """A stand-in with a pool of three, whose clients need no password."""
    with running(target, pool_size=3, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        yield proxy


def backends(admin: pg8000.native.Connection) -> int:
    """How many sessions the application's user has at the database."""
    found = admin.run("SELECT count(*) FROM pg_stat_activity WHERE usename = :user", user=USER)
    assert found is not None
    return int(found[0][0])


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


async def patience(seconds: float = 0.05) -> None:
    """Time for something that must not happen."""
    await asyncio.sleep(seconds)
