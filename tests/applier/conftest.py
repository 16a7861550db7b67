"""Real servers for the applier: every installation on this machine, with verified TLS."""

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cdk_pinsafe.applier import connection, secret
from cdk_pinsafe.localpg.server import Installation, PostgresServer, installations
from cdk_pinsafe.localpg.tls import CertificateAuthority, TlsTerminator

from .harness import MASTER, Cluster, Database, FakeSecretsManager
from .trusted_extensions import debian_installations, offered, trusting_copy


def _name(installation: Installation) -> str:
    return f"pg{installation.major}-{'own-ssl' if installation.has_ssl else 'front'}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that signs every server's certificate."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@contextlib.contextmanager
def running(
    installation: Installation,
    authority: CertificateAuthority,
    directory: Path,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    password = secrets.token_urlsafe(18)
    files = authority.issue("127.0.0.1", "localhost")
    tls = files if installation.has_ssl else None
    with (
        PostgresServer(installation, directory, settings=settings, tls=tls) as server,
        contextlib.ExitStack() as stack,
    ):
        front = server if tls else stack.enter_context(TlsTerminator(server.host, server.port, *files))
        server.create_master(MASTER, password)
        yield Cluster(server, installation, front.port, password, authority, stack.enter_context(server.connect()))


@pytest.fixture(scope="session", params=installations(), ids=_name)
def cluster(
    request: pytest.FixtureRequest, authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Each server on this machine in turn."""
    with running(request.param, authority, tmp_path_factory.mktemp("cluster")) as one:
        yield one


@pytest.fixture(scope="session", params=debian_installations(), ids=_name)
def trusting(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Each of Debian's installations in turn, with extensions that the database's owner may create, as on RDS."""
    with trusting_copy(request.param) as copy:
        yield copy


@pytest.fixture(scope="session")
def trusting_cluster(
    trusting: Installation, authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A server of such an installation."""
    with running(trusting, authority, tmp_path_factory.mktemp("trusting")) as one:
        yield one


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> FakeSecretsManager:
    """The secrets that the applier can read: the only part of AWS that is replaced."""
    secrets_manager = FakeSecretsManager()
    monkeypatch.setattr(secret, "read", secrets_manager.read)
    return secrets_manager


@pytest.fixture
def database(
    cluster: Cluster,
    secrets_manager: FakeSecretsManager,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Database]:
    """An empty database of the master user."""
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    with cluster.fresh_database(secrets_manager) as fresh:
        yield fresh


@pytest.fixture
def trusting_database(
    trusting_cluster: Cluster,
    secrets_manager: FakeSecretsManager,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Database]:
    """An empty database of a server that has Debian's extensions."""
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    with trusting_cluster.fresh_database(secrets_manager) as fresh:
        yield fresh


@pytest.fixture
def postgis_database(trusting_database: Database) -> Database:
    """An empty database of a server that has PostGIS."""
    if "postgis_tiger_geocoder" not in offered(trusting_database):
        pytest.skip(f"postgresql-{trusting_database.cluster.major}-postgis-3-scripts is not installed")
    return trusting_database


@pytest.fixture
def vector_database(database: Database) -> Database:
    """An empty database of a server that has pgvector."""
    if not database.cluster.installation.has_vector:
        pytest.skip("this installation has no pgvector")
    return database
