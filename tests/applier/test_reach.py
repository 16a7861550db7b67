"""Reaching the database: TLS, secrets, servers that start late, and giving up in time."""

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
from cdk_pinsafe.localpg.tls import CertificateAuthority, TlsFront

from .world import ARN, MASTER, Clock, Database, Secrets, properties, refusal

WISH = {"jit": "off"}
PASSWORD = "hidden-password-7"


class Recorder:
    """A server that speaks no PostgreSQL: it gives one answer, then keeps what it is sent."""

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
def open_vault(vault: Secrets, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """A secret for servers that are none of the cluster's."""
    vault.answers = [Credentials(MASTER, PASSWORD)]
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    return vault


def _create(port: int, *, seconds: float = 10, **changes: object) -> dict[str, object]:
    event = {"RequestType": "Create", "ResourceProperties": properties(WISH, Port=str(port), **changes)}
    return on_event(event, Clock(seconds))


def test_what_comes_before_tls_does_not_pass_for_the_server(open_vault: Secrets) -> None:
    """Bytes stuffed behind the server's yes end the handshake; they are never read as its answer."""
    recorder = Recorder(b"S" + b"R\x00\x00\x00\x08\x00\x00\x00\x03")
    refusal(lambda: _create(recorder.port), hidden=PASSWORD)
    recorder.close()
    assert PASSWORD.encode() not in recorder.received


def test_a_proxy_is_told_from_an_instance(open_vault: Secrets, authority: CertificateAuthority) -> None:
    """RDS Proxy refuses start-up options with 0A000: the message says which host to give."""
    fields = b"".join(part + b"\0" for part in (b"SFATAL", b"VFATAL", b"C0A000", b"MFeature not supported")) + b"\0"
    refusing = Recorder(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
    with TlsFront("127.0.0.1", refusing.port, *authority.issue("127.0.0.1")) as front:
        message = refusal(lambda: _create(front.port, seconds=60), kind=ApplyError, hidden=PASSWORD)
    refusing.close()
    assert "not of a proxy" in message
    assert PASSWORD.encode() not in refusing.received


def test_nobody_there_is_unreachable_in_time(open_vault: Secrets) -> None:
    """It is waited for, and given up while there is still time to answer."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    start = time.monotonic()
    message = refusal(lambda: _create(port, seconds=3), kind=UnreachableError, hidden=PASSWORD)
    assert time.monotonic() - start < 3
    assert "ConnectionRefusedError" in message
    assert "gave up after" in message


def test_a_silent_server_is_unreachable_in_time(open_vault: Secrets) -> None:
    """A server that accepts and says nothing does not hold the applier longer than its time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        refusal(lambda: _create(silent.getsockname()[1], seconds=3), kind=UnreachableError, hidden=PASSWORD)
    assert time.monotonic() - start < 3


def test_an_unknown_host_is_unreachable_in_time(open_vault: Secrets) -> None:
    """A name that is not in the DNS yet is waited for."""
    message = refusal(lambda: _create(5432, seconds=2, Host="nosuch.invalid"), kind=UnreachableError, hidden=PASSWORD)
    assert "nosuch.invalid" in message


def test_a_server_that_starts_late_is_waited_for(
    open_vault: Secrets, authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The event may come before the database is up."""
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("late")) as server:
        server.create_master(MASTER, PASSWORD, "app")
        with TlsFront(server.host, server.port, *authority.issue("127.0.0.1")) as front:
            server.stop()
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(_create, front.port, seconds=60)
                time.sleep(1.5)
                assert not answer.done()
                server.start()
                assert answer.result()["Data"]["Changed"] == "1"  # type: ignore[index]


def test_a_wrong_password_is_refused_after_one_more_reading(
    database: Database, vault: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret is read again once; then the message says which secret does not open which database."""
    monkeypatch.setattr("cdk_pinsafe.applier.door._ROTATION_PAUSE", 0.01)
    vault.answers = [Credentials(MASTER, PASSWORD)]
    message = database.refuses(lambda: database.create(WISH), kind=ApplyError)
    assert "28P01" in message
    assert "arn:aws:secretsmanager" in message
    assert PASSWORD not in message
    assert vault.readings == 2


def test_who_may_not_log_in_is_not_told_that_the_password_is_wrong(database: Database, vault: Secrets) -> None:
    """28000 is about the role, not its password: the secret is not read again."""
    role = f"no_login_of_{database.name}"
    database.admin.run(f"CREATE ROLE {role} PASSWORD '{PASSWORD}'")
    vault.answers = [Credentials(role, PASSWORD)]
    message = database.refuses(lambda: database.create(WISH), kind=ApplyError)
    database.admin.run(f"DROP ROLE {role}")
    assert "28000" in message
    assert "see that the role has LOGIN" in message
    assert vault.readings == 1


def test_a_password_that_the_driver_cannot_send_is_told_without_it(database: Database, vault: Secrets) -> None:
    """SCRAM forbids some characters, and the driver refuses them."""
    vault.answers = [Credentials(MASTER, PASSWORD + "\u0007")]
    message = database.refuses(lambda: database.create(WISH), kind=ApplyError)
    assert "give the user a password of printable ASCII characters" in message
    assert PASSWORD not in message


class Slow:
    """Passes bytes on between a client and a server, each of the server's answers after a pause."""

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

    def __enter__(self) -> "Slow":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(("pause", "expected"), [(0.4, "gave up after"), (0.06, "no time is left to verify a change")])
def test_a_slow_server_neither_overruns_the_time_nor_keeps_a_change(
    database: Database, pause: float, expected: str
) -> None:
    """Each answer comes in time, but not all of them: it is given up before a change that could not be verified."""
    with Slow(database.cluster.port, pause) as slow:
        start = time.monotonic()
        message = database.refuses(lambda: database.create(WISH, seconds=5, Port=str(slow.port)), kind=UnreachableError)
        assert time.monotonic() - start < 5
    assert expected in message
    assert database.stored() == {}
    assert database.ledger() == {}


def test_no_time_left_is_no_statement_sent(database: Database, vault: Secrets) -> None:
    """A session whose deadline is over says so, and sends nothing, least of all a COMMIT."""
    deadline = Deadline(0.5)
    target = Target("127.0.0.1", database.cluster.port, database.name)
    with connection.connect(target, vault.read(ARN), deadline, {}) as session:
        session.run("CREATE TABLE public.kept (a int)")
        time.sleep(deadline.left)
        with pytest.raises(TransientError, match="no time is left"):
            session.run("DROP TABLE public.kept")
    assert database.rows("SELECT count(*) FROM public.kept") == [[0]]


def test_a_password_rotated_meanwhile_is_read_again(
    database: Database, vault: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the secret and using it, it may have been rotated."""
    monkeypatch.setattr("cdk_pinsafe.applier.door._ROTATION_PAUSE", 0.01)
    vault.answers = [Credentials(MASTER, "old"), Credentials(MASTER, database.cluster.password)]
    assert database.create(WISH).counts == (1, 1, 0, 0)
    assert vault.readings == 2


def test_a_bundle_that_is_missing_is_named(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable's value is in the message, and what it must be."""
    empty = tmp_path / "empty.pem"
    for path in (tmp_path / "none.pem", empty):
        monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(path))
        message = database.refuses(lambda: database.create(WISH), kind=ApplyError)
        assert "PINSAFE_CA_BUNDLE" in message
        empty.touch()


def test_the_session_is_encrypted_and_says_who_it_is(database: Database) -> None:
    """On a server with its own TLS, the catalogue shows the applier's session encrypted."""
    if not database.cluster.installation.has_ssl:
        pytest.skip("this server leaves TLS to the front")
    database.rows("CREATE TABLE public.seen (ssl boolean, name text); GRANT INSERT ON public.seen TO PUBLIC")
    database.rows(
        "CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen "
        "SELECT s.ssl, a.application_name FROM pg_catalog.pg_stat_ssl s JOIN pg_catalog.pg_stat_activity a USING (pid) "
        "WHERE pid = pg_catalog.pg_backend_pid(); END $$; "
        "CREATE EVENT TRIGGER note ON ddl_command_start EXECUTE FUNCTION public.note()"
    )
    database.create(WISH)
    assert database.rows("SELECT DISTINCT ssl, name FROM public.seen") == [[True, "cdk-pinsafe"]]


@pytest.mark.parametrize("reached", [False, True])
def test_a_connection_cut_at_commit_ends_in_the_new_state(
    database: Database, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    """Whether the server still got the COMMIT or not cannot be known: the event is repeated, and ends the same."""
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

    database.create(WISH)
    monkeypatch.setattr(connection.Session, "run", cut)
    database.update({"jit": "on", "work_mem": "8MB"}, WISH)
    assert cuts == 1
    assert database.stored() == {"jit": "on", "work_mem": "8MB"}
    assert database.ledger()["jit"]["previous"] is None
