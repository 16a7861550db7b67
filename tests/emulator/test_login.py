"""Who is let in, how, and in which words others are turned away, with real drivers; and TLS on both sides."""

import asyncio
import contextlib
import datetime
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, RunningStandIn, Target, host, running
from cdk_pinsafe.emulator.authentication import ScramClient, ScramError, ScramServer
from cdk_pinsafe.errors import StandInError
from cdk_pinsafe.rehearsal.postgres import PostgresServer, installations
from cdk_pinsafe.rehearsal.tls import CertificateAuthority

from .conftest import DATABASE, PASSWORD, USER
from .wire import split, start_up

# As AWS writes them.
NOT_SUPPORTED = "Feature not supported: RDS Proxy currently doesn’t support "  # noqa: RUF001


def connect(proxy: RunningStandIn, **changes: str) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("authentication", list(Authentication))
def test_each_way_to_prove_who_one_is(target: Target, authentication: Authentication) -> None:
    """psycopg and pg8000 are let in with the right password by any method, and with a wrong one by none that asks."""
    with running(target, authentication=authentication, users={USER: PASSWORD}) as proxy:
        for _ in range(2):
            with connect(proxy) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (USER,)
        with contextlib.closing(
            pg8000.native.Connection(USER, host=proxy.host, port=proxy.port, database=DATABASE, password=PASSWORD)
        ) as other:
            assert other.run("SELECT current_user") == [[USER]]
        if authentication is Authentication.TRUST:
            return
        with pytest.raises(psycopg.OperationalError) as refused:
            connect(proxy, password="wrong")
        # Passed through, the words are the database's.
        own = authentication is not Authentication.PASS_THROUGH
        words = f"The password that was provided for the role {USER} is wrong." if own else "authentication failed"
        assert words in str(refused.value)
        with connect(proxy) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("method", ["md5", "password", "scram-sha-256", "trust"])
def test_each_way_that_a_database_asks(server: PostgresServer, admin: pg8000.native.Connection, method: str) -> None:
    """The stand-in logs in at a database by whatever method that asks for."""
    role = f"by_{method.replace('-', '_')}"
    admin.run(f"SET password_encryption = '{'md5' if method == 'md5' else 'scram-sha-256'}'")
    admin.run(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    ((path,),) = admin.run("SHOW hba_file") or []
    rules = Path(path).read_text()
    Path(path).write_text(f"host all {role} 127.0.0.1/32 {method}\n{rules}")
    admin.run("SELECT pg_reload_conf()")
    target = Target(server.host, server.port, role, "secret", DATABASE, sslmode="disable")
    with running(target) as proxy, connect(proxy) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)
    if method != "trust":
        wrong = Target(server.host, server.port, role, "wrong", DATABASE, sslmode="disable")
        with running(wrong) as proxy, pytest.raises(psycopg.OperationalError, match="password authentication failed"):
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
def test_refusals_at_start_up(proxy: RunningStandIn, parameters: dict[str, str], sqlstate: str, words: str) -> None:
    """What RDS Proxy does not accept is refused in its words."""
    if parameters == {"user": "nobody"}:
        with running(proxy.target) as strict:
            told = asyncio.run(_first_answer(strict.port, start_up({"database": DATABASE, **parameters})))
    else:
        told = asyncio.run(_first_answer(proxy.port, start_up({"user": USER, "database": DATABASE, **parameters})))
    kind, body = told[0]
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


def test_other_protocols_are_refused(proxy: RunningStandIn) -> None:
    """Another version, HTTP, or nothing of sense gets an error and is hung up on."""
    for data in (
        start_up({"user": USER}, version=(3 << 16) + 2),
        start_up({"user": USER}, version=2 << 16),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
    ):
        told = asyncio.run(_first_answer(proxy.port, data))
        assert [kind for kind, _ in told] == ["E"]


def test_an_unknown_database_is_told_in_the_databases_words(proxy: RunningStandIn) -> None:
    """The database's own refusal reaches the client."""
    with pytest.raises(psycopg.OperationalError, match='database "nothing" does not exist'):
        psycopg.connect(proxy.dsn("nothing"))


def test_users_without_a_password_in_the_target_need_a_choice(server: PostgresServer) -> None:
    """A DSN without a password leaves nothing to check clients with, which is said."""
    with (
        pytest.raises(StandInError, match="the target's DSN has no password"),
        running(Target(server.host, server.port, USER)),
    ):
        pass


def test_scram_refuses_what_was_tampered_with() -> None:
    """A wrong password, another login's proof and a server that does not know the password are found out."""
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


def test_tls_for_clients(target: Target, authority: CertificateAuthority) -> None:
    """Clients get TLS that they can verify in full; with `require_tls` others are refused, in RDS Proxy's words."""
    files = authority.issue("127.0.0.1")
    with running(target, tls=files, require_tls=True) as proxy:
        verified = {"sslmode": "verify-full", "sslrootcert": str(authority.certificate)}
        with connect(proxy, **verified) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT repeat('x', 1000000)").fetchone() == ("x" * 1_000_000,)
            assert proxy.metrics()["ClientConnectionsTLS"] == 1
        with pytest.raises(psycopg.OperationalError, match="This RDS Proxy requires TLS connections"):
            connect(proxy, sslmode="disable")


@pytest.mark.parametrize("loop", [host.event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_many_clients_begin_tls_at_once(
    loop: Callable[[], asyncio.AbstractEventLoop],
    target: Target,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client whose first words come with the last of its TLS handshake is answered, whatever the event loop."""
    monkeypatch.setattr(host, "event_loop", loop)
    with (
        running(target, tls=authority.issue("127.0.0.1"), require_tls=True) as proxy,
        ThreadPoolExecutor(12) as threads,
    ):

        def come(_: int) -> int:
            with psycopg.connect(proxy.dsn(), connect_timeout=10) as connection:
                return len(connection.execute("SELECT 1").fetchall())

        assert sum(threads.map(come, range(48))) == 48


def test_nothing_may_come_between_request_and_tls(target: Target, authority: CertificateAuthority) -> None:
    """What is sent in clear text behind an SSLRequest is not taken for what TLS protects: the client is refused."""
    with running(target, tls=authority.issue("127.0.0.1")) as proxy:
        request = b"\0\0\0\x08\x04\xd2\x16\x2f"
        asked = asyncio.run(_raw(proxy.port, request + start_up({"user": USER})))
    assert asked.startswith(b"S")
    assert b"received unencrypted data after SSL request" in asked


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
    """Each sslmode of a target means what it means to libpq: what does not verify is not told the password."""
    stranger = CertificateAuthority(tmp_path / "stranger")

    def attempt(host: str, port: int, mode: str, root: Path | None) -> bool | str:
        """Whether TLS was used; or why it could not be."""
        where = Target(host, port, USER, PASSWORD, DATABASE, mode, str(root) if root else None)
        with running(where) as proxy:
            try:
                with connect(proxy) as connection:
                    row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            except psycopg.OperationalError as error:
                return str(error)
            assert row is not None
            assert proxy.metrics()["DatabaseConnectionsWithTLS"] == int(row[0])
            return bool(row[0])

    mine = authority.certificate
    with tls_server(authority, tmp_path / "tls") as secure:
        assert attempt("127.0.0.1", secure.port, "disable", None) is False
        assert attempt("127.0.0.1", secure.port, "prefer", None) is True
        assert attempt("127.0.0.1", secure.port, "require", None) is True
        assert attempt("127.0.0.1", secure.port, "verify-ca", mine) is True
        assert attempt("localhost", secure.port, "verify-full", mine) is True
        assert "IP address mismatch" in str(attempt("127.0.0.1", secure.port, "verify-full", mine))
        assert "TLS with the database failed" in str(
            attempt("localhost", secure.port, "verify-full", stranger.certificate)
        )
    assert "does not offer TLS" in str(attempt(server.host, server.port, "require", None))
    assert attempt(server.host, server.port, "prefer", None) is False


def test_target_from_a_dsn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DSN is read as libpq reads it, with the environment's defaults, and nothing of a password is shown."""
    monkeypatch.setenv("PGPORT", "5439")
    monkeypatch.setenv("PGPASSWORD", "from the environment")
    target = Target.from_dsn("postgresql://me@db.example/shop?sslmode=verify-full&sslrootcert=/ca.pem")
    assert (target.host, target.port, target.user, target.database) == ("db.example", 5439, "me", "shop")
    assert (target.password, target.sslmode, target.sslrootcert) == ("from the environment", "verify-full", "/ca.pem")
    assert "from the environment" not in repr(target)
    assert Target.from_dsn("host=/tmp user=me").database == "me"
    for bad, words in (
        ("nonsense", "the DSN is not understood"),
        ("password=my hidden", "^((?!hidden).)*$"),
        ("host=a,b", "one host and port"),
        ("sslmode=sometimes host=a", "sslmode should be one of"),
        ("host=a port=x", "the DSN is not understood"),
    ):
        with pytest.raises(StandInError, match=words):
            Target.from_dsn(bad)
    with pytest.raises(StandInError, match="cannot be read"):
        Target("localhost", sslmode="verify-full", sslrootcert="/does/not/exist").tls_context()
