"""A server, an authority and a local cloud, each started once for all tests that only look at them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdk_pinsafe.rehearsal.local_cloud import LocalCloud
from cdk_pinsafe.rehearsal.postgres import PostgresServer, wheel_installation
from cdk_pinsafe.rehearsal.tls import CertificateAuthority


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18 with the master user `master`, who owns the database `app`."""
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server")) as server:
        server.create_master("master", "secret", "app")
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud"), authority) as cloud:
        yield cloud


def processes_with(variable: str) -> list[str]:
    """The commands of running processes that have `NAME=value` in their environment; Linux only."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are found in /proc")
