"""A server and a certificate authority, each made once for all tests that do not change them."""

from collections.abc import Iterator

import pytest

from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation
from cdk_pinsafe.localpg.tls import CertificateAuthority


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18 with the master user `master`, who owns the database `app`."""
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server")) as server:
        server.create_master("master", "secret", "app")
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))
