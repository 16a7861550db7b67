"""A server, and what stands between it and the probe: the emulator, Debian's PgBouncer, nothing."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pg8000.native
import pytest
from psycopg.conninfo import make_conninfo

from cdk_pinsafe.emulator import Authentication, ProxyTarget, run_in_thread
from cdk_pinsafe.localpg.installations import wheel_installation
from cdk_pinsafe.localpg.server import PostgresServer
from cdk_pinsafe.probe.rows import CANARY, Row, rows
from cdk_pinsafe.probe.run import Options, Report, probe

PGBOUNCER = Path("/usr/sbin/pgbouncer")
ALL = Options(seconds=600)
"""Enough time on a busy machine."""
USER, PASSWORD, DATABASE = "app", "p4ss wörd", "shop"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    settings = {"max_connections": "200", "shared_preload_libraries": "", "fsync": "off"}
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server"), settings=settings) as server:
        server.create_master(USER, PASSWORD, DATABASE)
        yield server


@pytest.fixture(scope="session")
def target(server: PostgresServer) -> ProxyTarget:
    return ProxyTarget(server.host, server.port, USER, PASSWORD, DATABASE, sslmode="disable")


@pytest.fixture(scope="session")
def emulated(target: ProxyTarget) -> Report:
    """All rows on the emulator."""
    with run_in_thread(target, pool_size=10, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        return probe(proxy.dsn(), ALL)


@pytest.fixture
def admin(server: PostgresServer) -> Iterator[pg8000.native.Connection]:
    """A superuser session directly at the server."""
    with contextlib.closing(server.connect(DATABASE)) as connection:
        yield connection


def dsn(port: int) -> str:
    """A DSN of this port."""
    return make_conninfo(host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname=DATABASE, sslmode="disable")


@contextlib.contextmanager
def pgbouncer(server: PostgresServer, mode: str, pool_size: int = 10) -> Iterator[str]:
    """Debian's PgBouncer in front of the server: a DSN through it."""
    if not PGBOUNCER.exists():
        pytest.skip("Debian's pgbouncer is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path("/tmp") / f"pinsafe-probe-{secrets.token_hex(6)}"
    folder.mkdir()
    (folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n', encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{DATABASE} = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
        f"listen_port={port}\nunix_socket_dir=\nauth_type=scram-sha-256\nauth_file={folder / 'users'}\n"
        f"pool_mode={mode}\ndefault_pool_size={pool_size}\nserver_tls_sslmode=disable\n"
        f"logfile={folder / 'log'}\n"
    )
    drop = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    if drop:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")
    process = subprocess.Popen([PGBOUNCER, "-q", folder / "pgbouncer.ini"], **drop)  # type: ignore[call-overload]
    try:
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, "pgbouncer does not listen"
            time.sleep(0.05)
        yield dsn(port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def chosen(*ids: str) -> Sequence[Row]:
    """The canary and these rows."""
    return [CANARY, *(row for row in rows() if row.id in ids)]
