"""`CertificateAuthority` and `TlsTerminator`, with real clients."""

import contextlib
import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.localpg.server import PostgresServer
from cdk_pinsafe.localpg.tls import CertificateAuthority, TlsTerminator

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)


@pytest.fixture(scope="module")
def terminator(server: PostgresServer, authority: CertificateAuthority) -> Iterator[TlsTerminator]:
    with TlsTerminator(server.host, server.port, *authority.issue("localhost", "127.0.0.1")) as terminator:
        yield terminator


def dsn(terminator: TlsTerminator, authority: CertificateAuthority, **changes: str) -> str:
    options = {
        "host": "localhost",
        "port": str(terminator.port),
        "dbname": "app",
        "user": "master",
        "password": "secret",
        "sslmode": "verify-full",
        "sslrootcert": str(authority.certificate),
        "connect_timeout": "10",
        **changes,
    }
    return " ".join(f"{name}={value}" for name, value in options.items())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_libpq_verify_full(terminator: TlsTerminator, authority: CertificateAuthority, host: str) -> None:
    """Large results arrive complete."""
    with psycopg.connect(dsn(terminator, authority, host=host)) as connection:
        (row,) = connection.execute("SELECT repeat('x', 5000000)").fetchall()
        assert len(row[0]) == 5_000_000


def test_python_verify_x509_strict(terminator: TlsTerminator, authority: CertificateAuthority) -> None:
    """Python sets this flag by default from 3.13 on."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    connection = pg8000.native.Connection(
        "master", host="localhost", port=terminator.port, database="app", password="secret", ssl_context=context
    )
    assert connection.run("SELECT 1") == [[1]]
    connection.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sslmode": "disable"}, "no encryption"),
        ({"sslrootcert": "system"}, "certificate verify failed"),
        ({"password": "wrong"}, "password authentication failed"),
    ],
)
def test_rejected_connections(
    terminator: TlsTerminator, authority: CertificateAuthority, changes: dict[str, str], message: str
) -> None:
    """No TLS, another authority, a wrong password."""
    with pytest.raises(psycopg.OperationalError, match=message):
        psycopg.connect(dsn(terminator, authority, **changes))


def test_certificate_for_another_host(server: PostgresServer, authority: CertificateAuthority) -> None:
    with (
        TlsTerminator(server.host, server.port, *authority.issue("elsewhere.example")) as terminator,
        pytest.raises(psycopg.OperationalError, match="does not match host name"),
    ):
        psycopg.connect(dsn(terminator, authority))


def test_expired_certificate(server: PostgresServer, authority: CertificateAuthority) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    with (
        TlsTerminator(server.host, server.port, *authority.issue("localhost", not_after=yesterday)) as terminator,
        pytest.raises(psycopg.OperationalError, match="certificate verify failed"),
    ):
        psycopg.connect(dsn(terminator, authority))


def test_stop_closes_connections_and_port(server: PostgresServer, authority: CertificateAuthority) -> None:
    terminator = TlsTerminator(server.host, server.port, *authority.issue("localhost"))
    with terminator:
        connection = psycopg.connect(dsn(terminator, authority))
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with pytest.raises(OSError), socket.create_connection((terminator.host, terminator.port), timeout=5):  # noqa: PT011
        pass


def test_unreachable_server_closes_the_connection(authority: CertificateAuthority) -> None:
    """The client does not hang."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with (
        TlsTerminator("127.0.0.1", port, *authority.issue("localhost")) as terminator,
        pytest.raises(psycopg.OperationalError, match="closed"),
    ):
        psycopg.connect(dsn(terminator, authority))


def test_gss_request_is_declined_before_tls(terminator: TlsTerminator) -> None:
    """libpq with Kerberos requests GSS encryption first, then TLS."""
    with socket.create_connection((terminator.host, terminator.port), timeout=5) as client:
        client.sendall(GSS_REQUEST)
        assert client.recv(1) == b"N"
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"


@pytest.mark.parametrize("encrypted", [False, True])
def test_cancel_request_reaches_the_server(
    terminator: TlsTerminator, authority: CertificateAuthority, encrypted: bool
) -> None:
    """Only the newest clients encrypt their cancel requests."""
    context = ssl.create_default_context(cafile=authority.certificate)
    connection = pg8000.native.Connection(
        "master", host="localhost", port=terminator.port, database="app", password="secret", ssl_context=context
    )

    def cancel() -> None:
        with socket.create_connection((terminator.host, terminator.port), timeout=5) as client:
            if encrypted:
                client.sendall(SSL_REQUEST)
                assert client.recv(1) == b"S"
                client = context.wrap_socket(client, server_hostname="localhost")
            client.sendall(struct.pack("!ii", 16, 80877102) + connection._backend_key_data)
            assert client.recv(1) == b""
            client.close()

    timer = threading.Timer(0.3, cancel)
    timer.start()
    with pytest.raises(pg8000.native.DatabaseError, match="canceling statement due to user request"):
        connection.run("SELECT pg_sleep(20)")
    timer.join()
    connection.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!ii", 2_000_000_000, 196608),
        struct.pack("!ii", 4, 0),
        b"\x16\x03\x01" * 9,
    ],
    ids=["http", "too long", "too short", "direct tls"],
)
def test_garbage_closes_the_connection(terminator: TlsTerminator, garbage: bytes) -> None:
    with socket.create_connection((terminator.host, terminator.port), timeout=5) as client:
        client.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):  # the terminator closed with unread bytes
            assert client.recv(1) == b""


def test_plaintext_before_tls_is_not_data(terminator: TlsTerminator) -> None:
    """Bytes injected after the request, before the handshake, break the handshake (CVE-2021-23214)."""
    with socket.create_connection((terminator.host, terminator.port), timeout=5) as client:
        client.sendall(SSL_REQUEST + b"Q\0\0\0\rSELECT 1\0")
        assert client.recv(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the handshake fails before any certificate
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(client)
