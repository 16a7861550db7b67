"""Real servers for the applier: every installation of this machine, through TLS that is verified in full."""

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cdk_pinsafe.applier import connection, secret
from cdk_pinsafe.localpg.server import Installation, PostgresServer, installations
from cdk_pinsafe.localpg.tls import CertificateAuthority, TlsFront

from .trusting import debian_installations, offered, trusting_copy
from .world import MASTER, Cluster, Database, Secrets


def _name(installation: Installation) -> str:
    return f"pg{installation.major}-{'own-ssl' if installation.has_ssl else 'front'}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that every server's certificate comes from."""
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
        front = server if tls else stack.enter_context(TlsFront(server.host, server.port, *files))
        server.create_master(MASTER, password)
        yield Cluster(server, installation, front.port, password, authority, stack.enter_context(server.connect()))


@pytest.fixture(scope="session", params=installations(), ids=_name)
def cluster(
    request: pytest.FixtureRequest, authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Each server of this machine in turn."""
    with running(request.param, authority, tmp_path_factory.mktemp("cluster")) as one:
        yield one


@pytest.fixture(scope="session", params=debian_installations(), ids=_name)
def trusting(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Each of Debian's installations in turn, whose extensions its database's owner may create, as on RDS."""
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
def vault(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """The secrets that the applier can read: the one thing of AWS that is replaced."""
    vault = Secrets()
    monkeypatch.setattr(secret, "read", vault.read)
    return vault


@pytest.fixture
def database(
    cluster: Cluster, vault: Secrets, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A fresh database of the master user."""
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    with cluster.fresh_database(vault) as fresh:
        yield fresh


@pytest.fixture
def trusting_database(
    trusting_cluster: Cluster, vault: Secrets, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A fresh database of a server that has Debian's extensions."""
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    with trusting_cluster.fresh_database(vault) as fresh:
        yield fresh


@pytest.fixture
def postgis_database(trusting_database: Database) -> Database:
    """A fresh database of a server that has PostGIS."""
    if "postgis_tiger_geocoder" not in offered(trusting_database):
        pytest.skip(f"postgresql-{trusting_database.cluster.major}-postgis-3-scripts is not installed")
    return trusting_database


@pytest.fixture
def vector_database(database: Database) -> Database:
    """A fresh database of a server that has pgvector."""
    if not database.cluster.installation.has_vector:
        pytest.skip("this installation has no pgvector")
    return database
