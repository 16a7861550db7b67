"""Reaching the database: TLS, secrets, servers that start late, and timeouts."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdk_pinsafe.applier import connection
from cdk_pinsafe.applier.deadline import Deadline, TransientError
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.applier.messages import Target
from cdk_pinsafe.applier.secret import Credentials
from cdk_pinsafe.errors import ApplyError, UnreachableError
from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation
from cdk_pinsafe.localpg.tls import CertificateAuthority, TlsTerminator

from .harness import ARN, MASTER, Database, FakeSecretsManager, LambdaContext, properties, refusal

DESIRED = {"jit": "off"}
PASSWORD = "hidden-password-7"


class Recorder:
    """A server that is not PostgreSQL: it sends one response, then keeps what it receives."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            client.settimeout(2)
            self.received += client.recv(8)
            client.sendall(self._answer)
            try:
                while data := client.recv(4096):
                    self.received += data
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


@pytest.fixture
def credentials_elsewhere(
    secrets_manager: FakeSecretsManager, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> FakeSecretsManager:
    """A secret for servers outside the cluster."""
    secrets_manager.answers = [Credentials(MASTER, PASSWORD)]
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    return secrets_manager


def _create(port: int, *, seconds: float = 10, **changes: object) -> dict[str, object]:
    event = {"RequestType": "Create", "ResourceProperties": properties(DESIRED, Port=str(port), **changes)}
    return on_event(event, LambdaContext(seconds))


def test_bytes_before_tls_are_not_read(credentials_elsewhere: FakeSecretsManager) -> None:
    """Bytes after the server's "S" end the handshake; they are never read as its response."""
    recorder = Recorder(b"S" + b"R\x00\x00\x00\x08\x00\x00\x00\x03")
    refusal(lambda: _create(recorder.port), hidden=PASSWORD)
    recorder.close()
    assert PASSWORD.encode() not in recorder.received


def test_proxy_is_detected(credentials_elsewhere: FakeSecretsManager, authority: CertificateAuthority) -> None:
    """RDS Proxy refuses start-up options with 0A000: the message says which host to give."""
    fields = b"".join(part + b"\0" for part in (b"SFATAL", b"VFATAL", b"C0A000", b"MFeature not supported")) + b"\0"
    refusing = Recorder(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
    with TlsTerminator("127.0.0.1", refusing.port, *authority.issue("127.0.0.1")) as front:
        message = refusal(lambda: _create(front.port, seconds=60), kind=ApplyError, hidden=PASSWORD)
    refusing.close()
    assert "not of a proxy" in message
    assert PASSWORD.encode() not in refusing.received


def test_closed_port_is_unreachable_in_time(credentials_elsewhere: FakeSecretsManager) -> None:
    """The applier retries, and gives up while there is time for the response."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    start = time.monotonic()
    message = refusal(lambda: _create(port, seconds=3), kind=UnreachableError, hidden=PASSWORD)
    assert time.monotonic() - start < 3
    assert "ConnectionRefusedError" in message
    assert "gave up after" in message


def test_silent_server_is_unreachable_in_time(credentials_elsewhere: FakeSecretsManager) -> None:
    """It accepts the connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        refusal(lambda: _create(silent.getsockname()[1], seconds=3), kind=UnreachableError, hidden=PASSWORD)
    assert time.monotonic() - start < 3


def test_unknown_host_is_unreachable_in_time(credentials_elsewhere: FakeSecretsManager) -> None:
    """The applier waits for a name that is not in the DNS yet."""
    message = refusal(lambda: _create(5432, seconds=2, Host="nosuch.invalid"), kind=UnreachableError, hidden=PASSWORD)
    assert "nosuch.invalid" in message


def test_server_that_starts_late_is_reached(
    credentials_elsewhere: FakeSecretsManager, authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The event may come before the database is up."""
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("late")) as server:
        server.create_master(MASTER, PASSWORD, "app")
        with TlsTerminator(server.host, server.port, *authority.issue("127.0.0.1")) as front:
            server.stop()
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(_create, front.port, seconds=60)
                time.sleep(1.5)
                assert not answer.done()
                server.start()
                assert answer.result()["Data"]["Changed"] == "1"  # type: ignore[index]


def test_wrong_password_is_refused_after_one_reread(
    database: Database, secrets_manager: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret is read again once; then the message names the secret and the database."""
    monkeypatch.setattr("cdk_pinsafe.applier.connector._ROTATION_PAUSE", 0.01)
    secrets_manager.answers = [Credentials(MASTER, PASSWORD)]
    message = database.refuses(lambda: database.create(DESIRED), kind=ApplyError)
    assert "28P01" in message
    assert "arn:aws:secretsmanager" in message
    assert PASSWORD not in message
    assert secrets_manager.readings == 2


def test_role_without_login_is_not_a_wrong_password(database: Database, secrets_manager: FakeSecretsManager) -> None:
    """28000 is about the role, not its password: the secret is not read again."""
    role = f"no_login_of_{database.name}"
    database.admin.run(f"CREATE ROLE {role} PASSWORD '{PASSWORD}'")
    secrets_manager.answers = [Credentials(role, PASSWORD)]
    message = database.refuses(lambda: database.create(DESIRED), kind=ApplyError)
    database.admin.run(f"DROP ROLE {role}")
    assert "28000" in message
    assert "check that the role has LOGIN" in message
    assert secrets_manager.readings == 1


def test_invalid_scram_password_is_reported_without_it(database: Database, secrets_manager: FakeSecretsManager) -> None:
    """SCRAM forbids some characters, and the driver refuses them."""
    secrets_manager.answers = [Credentials(MASTER, PASSWORD + "\u0007")]
    message = database.refuses(lambda: database.create(DESIRED), kind=ApplyError)
    assert "give the user a password of printable ASCII characters" in message
    assert PASSWORD not in message


class SlowRelay:
    """Relays bytes between a client and a server, each of the server's responses after a pause."""

    def __init__(self, port: int, pause: float) -> None:
        self._backend, self._pause = port, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._backend))
            for pair in ((client, server, 0.0), (server, client, self._pause)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, pause: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(pause)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> "SlowRelay":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(("pause", "expected"), [(0.4, "gave up after"), (0.06, "no time is left to verify a change")])
def test_slow_server_is_given_up_before_a_change(database: Database, pause: float, expected: str) -> None:
    """Each response comes in time, but not all of them: the applier stops before a change that it could not verify."""
    with SlowRelay(database.cluster.port, pause) as slow:
        start = time.monotonic()
        message = database.refuses(
            lambda: database.create(DESIRED, seconds=5, Port=str(slow.port)), kind=UnreachableError
        )
        assert time.monotonic() - start < 5
    assert expected in message
    assert database.stored() == {}
    assert database.ledger() == {}


def test_session_after_deadline_sends_nothing(database: Database, secrets_manager: FakeSecretsManager) -> None:
    """Least of all a COMMIT."""
    deadline = Deadline(0.5)
    target = Target("127.0.0.1", database.cluster.port, database.name)
    with connection.connect(target, secrets_manager.read(ARN), deadline, {}) as session:
        session.run("CREATE TABLE public.kept (a int)")
        time.sleep(deadline.left)
        with pytest.raises(TransientError, match="no time is left"):
            session.run("DROP TABLE public.kept")
    assert database.rows("SELECT count(*) FROM public.kept") == [[0]]


def test_rotated_password_is_read_again(
    database: Database, secrets_manager: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be rotated between the read of the secret and its use."""
    monkeypatch.setattr("cdk_pinsafe.applier.connector._ROTATION_PAUSE", 0.01)
    secrets_manager.answers = [Credentials(MASTER, "old"), Credentials(MASTER, database.cluster.password)]
    assert database.create(DESIRED).counts == (1, 1, 0, 0)
    assert secrets_manager.readings == 2


def test_missing_bundle_is_named(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message has the variable's value, and what it must be."""
    empty = tmp_path / "empty.pem"
    for path in (tmp_path / "none.pem", empty):
        monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(path))
        message = database.refuses(lambda: database.create(DESIRED), kind=ApplyError)
        assert "PINSAFE_CA_BUNDLE" in message
        empty.touch()


def test_session_is_encrypted_and_named(database: Database) -> None:
    """On a server with its own TLS, pg_stat_ssl shows the applier's session as encrypted."""
    if not database.cluster.installation.has_ssl:
        pytest.skip("this server leaves TLS to the front")
    database.rows("CREATE TABLE public.seen (ssl boolean, name text); GRANT INSERT ON public.seen TO PUBLIC")
    database.rows(
        "CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen "
        "SELECT s.ssl, a.application_name FROM pg_catalog.pg_stat_ssl s JOIN pg_catalog.pg_stat_activity a USING (pid) "
        "WHERE pid = pg_catalog.pg_backend_pid(); END $$; "
        "CREATE EVENT TRIGGER note ON ddl_command_start EXECUTE FUNCTION public.note()"
    )
    database.create(DESIRED)
    assert database.rows("SELECT DISTINCT ssl, name FROM public.seen") == [[True, "cdk-pinsafe"]]


@pytest.mark.parametrize("reached", [False, True])
def test_connection_cut_at_commit_ends_in_the_new_state(
    database: Database, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    """Whether the server got the COMMIT is unknown: the attempt is repeated with the same result."""
    original = connection.Session.run
    cuts = 0

    def cut(self: connection.Session, statement: str, **values: str) -> list[list[object]]:
        nonlocal cuts
        if statement == "COMMIT" and not cuts:
            cuts += 1
            if reached:
                original(self, statement)
            raise TransientError("the connection was lost")
        return original(self, statement, **values)

    database.create(DESIRED)
    monkeypatch.setattr(connection.Session, "run", cut)
    database.update({"jit": "on", "work_mem": "8MB"}, DESIRED)
    assert cuts == 1
    assert database.stored() == {"jit": "on", "work_mem": "8MB"}
    assert database.ledger()["jit"]["previous"] is None
