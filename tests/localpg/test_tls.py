"""The authority and the TLS end, with the clients that people use."""

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
from cdk_pinsafe.localpg.tls import CertificateAuthority, TlsFront

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSS_REQUEST = struct.pack("!ii", 8, 80877104)


@pytest.fixture(scope="module")
def front(server: PostgresServer, authority: CertificateAuthority) -> Iterator[TlsFront]:
    with TlsFront(server.host, server.port, *authority.issue("localhost", "127.0.0.1")) as front:
        yield front


def dsn(front: TlsFront, authority: CertificateAuthority, **changes: str) -> str:
    options = {
        "host": "localhost",
        "port": str(front.port),
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
def test_libpq_verifies_it_in_full(front: TlsFront, authority: CertificateAuthority, host: str) -> None:
    """psycopg connects with verify-full, and large results come through whole."""
    with psycopg.connect(dsn(front, authority, host=host)) as connection:
        (row,) = connection.execute("SELECT repeat('x', 5000000)").fetchall()
        assert len(row[0]) == 5_000_000


def test_python_verifies_it_strictly(front: TlsFront, authority: CertificateAuthority) -> None:
    """The chain passes VERIFY_X509_STRICT, which Python sets by default from 3.13 on."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    connection = pg8000.native.Connection(
        "master", host="localhost", port=front.port, database="app", password="secret", ssl_context=context
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
def test_refuses(front: TlsFront, authority: CertificateAuthority, changes: dict[str, str], message: str) -> None:
    """Plain text, another authority and a wrong password are refused, each in the words a client knows."""
    with pytest.raises(psycopg.OperationalError, match=message):
        psycopg.connect(dsn(front, authority, **changes))


def test_a_certificate_for_another_host_is_refused(server: PostgresServer, authority: CertificateAuthority) -> None:
    """verify-full compares the name."""
    with (
        TlsFront(server.host, server.port, *authority.issue("elsewhere.example")) as front,
        pytest.raises(psycopg.OperationalError, match="does not match host name"),
    ):
        psycopg.connect(dsn(front, authority))


def test_an_expired_certificate_is_refused(server: PostgresServer, authority: CertificateAuthority) -> None:
    """A certificate can be issued that ended yesterday."""
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    with (
        TlsFront(server.host, server.port, *authority.issue("localhost", not_after=yesterday)) as front,
        pytest.raises(psycopg.OperationalError, match="certificate verify failed"),
    ):
        psycopg.connect(dsn(front, authority))


def test_stopping_ends_connections(server: PostgresServer, authority: CertificateAuthority) -> None:
    """A client that is connected sees the end, and the port is closed."""
    front = TlsFront(server.host, server.port, *authority.issue("localhost"))
    with front:
        connection = psycopg.connect(dsn(front, authority))
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    with pytest.raises(OSError), socket.create_connection((front.host, front.port), timeout=5):  # noqa: PT011
        pass


def test_a_database_that_is_gone_ends_the_connection(authority: CertificateAuthority) -> None:
    """Where nothing listens behind it, the client gets an end and no hanging."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with (
        TlsFront("127.0.0.1", port, *authority.issue("localhost")) as front,
        pytest.raises(psycopg.OperationalError, match="closed"),
    ):
        psycopg.connect(dsn(front, authority))


def test_gss_is_declined_before_tls(front: TlsFront) -> None:
    """libpq with Kerberos asks for GSS first and goes on with TLS when told no."""
    with socket.create_connection((front.host, front.port), timeout=5) as client:
        client.sendall(GSS_REQUEST)
        assert client.recv(1) == b"N"
        client.sendall(SSL_REQUEST)
        assert client.recv(1) == b"S"


@pytest.mark.parametrize("encrypted", [False, True])
def test_cancel_reaches_the_server(front: TlsFront, authority: CertificateAuthority, encrypted: bool) -> None:
    """Most clients send cancel requests in the clear even when their session is encrypted, the newest ones do not."""
    context = ssl.create_default_context(cafile=authority.certificate)
    connection = pg8000.native.Connection(
        "master", host="localhost", port=front.port, database="app", password="secret", ssl_context=context
    )

    def cancel() -> None:
        with socket.create_connection((front.host, front.port), timeout=5) as client:
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
def test_garbage_is_cut_off(front: TlsFront, garbage: bytes) -> None:
    """What is no start-up message of PostgreSQL gets an end, and nothing is held for it."""
    with socket.create_connection((front.host, front.port), timeout=5) as client:
        client.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):  # which is an end too, when unread bytes were left
            assert client.recv(1) == b""


def test_plain_text_sent_ahead_is_not_taken_for_tls(front: TlsFront) -> None:
    """Bytes injected after the request, before the handshake, break the handshake (CVE-2021-23214)."""
    with socket.create_connection((front.host, front.port), timeout=5) as client:
        client.sendall(SSL_REQUEST + b"Q\0\0\0\rSELECT 1\0")
        assert client.recv(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the handshake fails before any certificate
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(client)
