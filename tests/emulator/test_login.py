"""Logins: which are accepted, how, and the errors of the others, with real drivers; and TLS on both sides."""

import asyncio
import contextlib
import datetime
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, ThreadedEmulator, run_in_thread, threaded
from cdk_pinsafe.emulator.authentication import ScramClient, ScramError, ScramServer
from cdk_pinsafe.errors import EmulatorError
from cdk_pinsafe.localpg.server import PostgresServer, installations
from cdk_pinsafe.localpg.tls import CertificateAuthority

from .conftest import DATABASE, PASSWORD, USER
from .wire import TERMINATE, split, start_up

# As AWS spells it.
NOT_SUPPORTED = "Feature not supported: RDS Proxy currently doesn’t support "  # noqa: RUF001


def connect(proxy: ThreadedEmulator, **changes: str) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("authentication", list(Authentication))
def test_client_authentication_methods(target: ProxyTarget, authentication: Authentication) -> None:
    """psycopg and pg8000 log in with the right password by each method, and fail with a wrong one except with trust."""
    with run_in_thread(target, authentication=authentication, users={USER: PASSWORD}) as proxy:
        for _ in range(2):
            with connect(proxy) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (USER,)
        with contextlib.closing(
            pg8000.native.Connection(USER, host=proxy.host, port=proxy.port, database=DATABASE, password=PASSWORD)
        ) as other:
            assert other.run("SELECT current_user") == [[USER]]
        if authentication is Authentication.TRUST:
            return
        with pytest.raises(psycopg.OperationalError) as raised:
            connect(proxy, password="wrong")
        # With pass-through the error is the database's.
        own = authentication is not Authentication.PASS_THROUGH
        words = f"The password that was provided for the role {USER} is wrong." if own else "authentication failed"
        assert words in str(raised.value)
        with connect(proxy) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("method", ["md5", "password", "scram-sha-256", "trust"])
def test_database_authentication_methods(server: PostgresServer, admin: pg8000.native.Connection, method: str) -> None:
    """The emulator logs in at a database with each authentication method."""
    role = f"by_{method.replace('-', '_')}"
    admin.run(f"SET password_encryption = '{'md5' if method == 'md5' else 'scram-sha-256'}'")
    admin.run(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    ((path,),) = admin.run("SHOW hba_file") or []
    rules = Path(path).read_text()
    Path(path).write_text(f"host all {role} 127.0.0.1/32 {method}\n{rules}")
    admin.run("SELECT pg_reload_conf()")
    target = ProxyTarget(server.host, server.port, role, "secret", DATABASE, sslmode="disable")
    with run_in_thread(target) as proxy, connect(proxy) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)
    if method != "trust":
        wrong = ProxyTarget(server.host, server.port, role, "wrong", DATABASE, sslmode="disable")
        with (
            run_in_thread(wrong) as proxy,
            pytest.raises(psycopg.OperationalError, match="password authentication failed"),
        ):
            connect(proxy)


@pytest.mark.parametrize(
    ("parameters", "sqlstate", "words"),
    [
        ({"options": "-c jit=off"}, "0A000", NOT_SUPPORTED + "command-line options."),
        ({"statement_timeout": "5s"}, "0A000", NOT_SUPPORTED + "the option statement_timeout."),
        ({"replication": "database"}, "0A000", NOT_SUPPORTED + "streaming replication mode."),
        ({"_pq_.feature": "1"}, "0A000", NOT_SUPPORTED + "the option _pq_.feature."),
        ({"user": ""}, "28000", "A user name is missing from the connection startup packet."),
        ({"user": "nobody"}, "28000", "This RDS proxy has no credentials for the role nobody."),
    ],
)
def test_rejected_startup_parameters(
    proxy: ThreadedEmulator, parameters: dict[str, str], sqlstate: str, words: str
) -> None:
    """Start-up parameters that RDS Proxy does not accept are rejected with its messages."""
    if parameters == {"user": "nobody"}:
        with run_in_thread(proxy.target) as strict:
            answers = asyncio.run(_first_answer(strict.port, start_up({"database": DATABASE, **parameters})))
    else:
        answers = asyncio.run(_first_answer(proxy.port, start_up({"user": USER, "database": DATABASE, **parameters})))
    kind, body = answers[0]
    assert kind == "E"
    assert f"C{sqlstate}\0".encode() in body
    assert words.encode() in body


async def _first_answer(port: int, data: bytes) -> list[tuple[str, bytes]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return split(answer)[0]


def test_other_protocols_are_rejected(proxy: ThreadedEmulator) -> None:
    """Another protocol version gets an error, then the connection is closed."""
    for version in ((3 << 16) + 2, 2 << 16):
        answers = asyncio.run(_first_answer(proxy.port, start_up({"user": USER}, version=version)))
        assert [kind for kind, _ in answers] == ["E"]


@pytest.mark.parametrize(
    "data",
    [
        TERMINATE,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
        b"\0\0\0\4",
        b"\0\0\0\0" * 2,
    ],
    ids=["Terminate", "HTTP", "TLS", "too short", "zeros"],
)
def test_no_startup_message_is_answered_as_by_postgresql(
    proxy: ThreadedEmulator, server: PostgresServer, data: bytes
) -> None:
    """PostgreSQL closes such a connection in silence; node-postgres sends Terminate after `connect(); end()`."""
    answer = asyncio.run(_raw(proxy.port, data))
    assert answer == asyncio.run(_raw(server.port, data))
    assert answer == b""


def test_passed_password_is_checked_at_every_login(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """A password that was changed, and a role that may not log in any more, are rejected with PostgreSQL's errors."""
    admin.run("CREATE ROLE rotated LOGIN PASSWORD 'first'")
    with run_in_thread(target, authentication=Authentication.PASS_THROUGH) as proxy:

        def log_in(password: str) -> str:
            try:
                with connect(proxy, user="rotated", password=password) as connection:
                    connection.execute("SELECT 1")
            except psycopg.OperationalError as error:
                return str(error)
            return ""

        assert [log_in("first"), log_in("first")] == ["", ""]
        admin.run("ALTER ROLE rotated PASSWORD 'second'")
        assert "password authentication failed" in log_in("first")
        assert log_in("second") == ""
        admin.run("ALTER ROLE rotated NOLOGIN")
        assert "is not permitted to log in" in log_in("second")


def test_database_error_reaches_client(proxy: ThreadedEmulator) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nothing" does not exist'):
        psycopg.connect(proxy.dsn("nothing"))


def test_target_without_password_is_rejected(server: PostgresServer) -> None:
    """A DSN without a password leaves nothing to authenticate clients with."""
    with (
        pytest.raises(EmulatorError, match="the target's DSN has no password"),
        run_in_thread(ProxyTarget(server.host, server.port, USER)),
    ):
        pass


def test_scram_detects_tampering() -> None:
    """A wrong password, a replayed proof and a server that does not know the password are detected."""
    client, server = ScramClient("right"), ScramServer("right")
    first = server.first(client.first())
    final = client.final(first)
    proof = server.final(final)
    client.verify(proof)
    with pytest.raises(ScramError):
        ScramServer("right").final(final)
    with pytest.raises(ScramError):
        client.verify(proof[:-4] + "AAA=")
    liar = ScramServer("wrong")
    with pytest.raises(ScramError):
        liar.final(ScramClient("right").final(liar.first(client.first())))
    with pytest.raises(ScramError):
        client.final(first.replace("i=4096", "i=999999999"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


def test_tls_for_clients(target: ProxyTarget, authority: CertificateAuthority) -> None:
    """Clients can verify the TLS certificate in full; `require_tls` rejects others with RDS Proxy's message."""
    files = authority.issue("127.0.0.1")
    with run_in_thread(target, tls=files, require_tls=True) as proxy:
        verified = {"sslmode": "verify-full", "sslrootcert": str(authority.certificate)}
        with connect(proxy, **verified) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT repeat('x', 1000000)").fetchone() == ("x" * 1_000_000,)
            assert proxy.metrics()["ClientConnectionsTLS"] == 1
        with pytest.raises(psycopg.OperationalError, match="This RDS Proxy requires TLS connections"):
            connect(proxy, sslmode="disable")


@pytest.mark.parametrize("loop", [threaded.event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_many_concurrent_tls_handshakes(
    loop: Callable[[], asyncio.AbstractEventLoop],
    target: ProxyTarget,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client whose first message arrives with the end of its TLS handshake is answered, with either event loop."""
    monkeypatch.setattr(threaded, "event_loop", loop)
    with (
        run_in_thread(target, tls=authority.issue("127.0.0.1"), require_tls=True) as proxy,
        ThreadPoolExecutor(12) as threads,
    ):

        def log_in(_: int) -> int:
            with psycopg.connect(proxy.dsn(), connect_timeout=10) as connection:
                return len(connection.execute("SELECT 1").fetchall())

        assert sum(threads.map(log_in, range(48))) == 48


def test_plaintext_after_ssl_request_is_rejected(target: ProxyTarget, authority: CertificateAuthority) -> None:
    """Plaintext data behind an SSLRequest is not processed as if TLS had protected it."""
    with run_in_thread(target, tls=authority.issue("127.0.0.1")) as proxy:
        request = b"\0\0\0\x08\x04\xd2\x16\x2f"
        answer = asyncio.run(_raw(proxy.port, request + start_up({"user": USER})))
    assert answer.startswith(b"S")
    assert b"received unencrypted data after SSL request" in answer


async def _raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@contextlib.contextmanager
def tls_server(authority: CertificateAuthority, folder: Path, *, expired: bool = False) -> Iterator[PostgresServer]:
    installation = next((one for one in installations() if one.has_ssl), None)
    if installation is None:
        pytest.skip("no PostgreSQL with SSL is installed")
    end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1) if expired else None
    with PostgresServer(installation, folder, tls=authority.issue("localhost", not_after=end)) as server:
        server.create_master(USER, PASSWORD, DATABASE)
        yield server


def test_tls_with_the_database(authority: CertificateAuthority, server: PostgresServer, tmp_path: Path) -> None:
    """Each sslmode of a target works as in libpq: a server that fails verification never gets the password."""
    stranger = CertificateAuthority(tmp_path / "stranger")

    def attempt(host: str, port: int, mode: str, root: Path | None) -> bool | str:
        """Return whether TLS was used, or the error."""
        where = ProxyTarget(host, port, USER, PASSWORD, DATABASE, mode, str(root) if root else None)
        with run_in_thread(where) as proxy:
            try:
                with connect(proxy) as connection:
                    row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            except psycopg.OperationalError as error:
                return str(error)
            assert row is not None
            assert proxy.metrics()["DatabaseConnectionsWithTLS"] == int(row[0])
            return bool(row[0])

    trusted = authority.certificate
    with tls_server(authority, tmp_path / "tls") as secure:
        assert attempt("127.0.0.1", secure.port, "disable", None) is False
        assert attempt("127.0.0.1", secure.port, "prefer", None) is True
        assert attempt("127.0.0.1", secure.port, "require", None) is True
        assert attempt("127.0.0.1", secure.port, "verify-ca", trusted) is True
        assert attempt("localhost", secure.port, "verify-full", trusted) is True
        assert "IP address mismatch" in str(attempt("127.0.0.1", secure.port, "verify-full", trusted))
        assert "TLS with the database failed" in str(
            attempt("localhost", secure.port, "verify-full", stranger.certificate)
        )
    assert "does not offer TLS" in str(attempt(server.host, server.port, "require", None))
    assert attempt(server.host, server.port, "prefer", None) is False


def test_target_from_a_dsn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DSN is read as libpq does, with defaults from the environment, and no password is shown."""
    monkeypatch.setenv("PGPORT", "5439")
    monkeypatch.setenv("PGPASSWORD", "from the environment")
    target = ProxyTarget.from_dsn("postgresql://me@db.example/shop?sslmode=verify-full&sslrootcert=/ca.pem")
    assert (target.host, target.port, target.user, target.database) == ("db.example", 5439, "me", "shop")
    assert (target.password, target.sslmode, target.sslrootcert) == ("from the environment", "verify-full", "/ca.pem")
    assert "from the environment" not in repr(target)
    assert ProxyTarget.from_dsn("host=/tmp user=me").database == "me"
    for bad, words in (
        ("nonsense", "the DSN is not understood"),
        ("password=my hidden", "^((?!hidden).)*$"),
        ("host=a,b", "one host and port"),
        ("sslmode=sometimes host=a", "sslmode should be one of"),
        ("host=a port=x", "the DSN is not understood"),
    ):
        with pytest.raises(EmulatorError, match=words):
            ProxyTarget.from_dsn(bad)
    with pytest.raises(EmulatorError, match="cannot be read"):
        ProxyTarget("localhost", sslmode="verify-full", sslrootcert="/does/not/exist").tls_context()
