"""Untrusted servers are refused before anything of the session is sent, least of all the password.

The impostor goes as far as it can: it accepts TLS with its certificate, keeps whatever it can decrypt, and asks for the
password in cleartext.
"""

import contextlib
import datetime
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from cdk_pinsafe.applier import connection
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.applier.secret import Credentials
from cdk_pinsafe.errors import ApplyError
from cdk_pinsafe.localpg.tls import CertificateAuthority

from .harness import MASTER, FakeSecretsManager, LambdaContext, properties, refusal

PASSWORD: Final = "hidden-password-7"
SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
CLEARTEXT_PASSWORD_PLEASE: Final = b"R\x00\x00\x00\x08\x00\x00\x00\x03"


class Impostor:
    """A server for one connection. A context manager.

    Attributes:
        port: its port on 127.0.0.1.
        plain: what it received before or without TLS.
        decrypted: what it received within TLS.
    """

    def __init__(self, certificate: tuple[Path, Path] | None, answer: bytes = b"S") -> None:
        """Begin to listen; without a certificate it only answers the request for TLS."""
        self.plain = b""
        self.decrypted = b""
        self._certificate, self._answer = certificate, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "Impostor":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, contextlib.suppress(OSError):
            client.settimeout(5)
            self.plain += client.recv(8)
            client.sendall(self._answer)
            if self._certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self._certificate)
                client = context.wrap_socket(client, server_side=True)
            with client:
                while data := client.recv(65536):
                    if self._certificate:
                        self.decrypted += data
                        client.sendall(CLEARTEXT_PASSWORD_PLEASE)
                    else:
                        self.plain += data


@pytest.fixture
def trusting_applier(
    secrets_manager: FakeSecretsManager, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The applier trusts the authority, and has a password to lose."""
    secrets_manager.answers = [Credentials(MASTER, PASSWORD)]
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))


def _create(port: int, host: str) -> None:
    given = properties({"jit": "off"}, Host=host, Port=str(port))
    on_event({"RequestType": "Create", "ResourceProperties": given}, LambdaContext(60))


def _certificate(fault: str, authority: CertificateAuthority, directory: Path) -> tuple[Path, Path]:
    now = datetime.datetime.now(datetime.UTC)
    match fault:
        case "another authority":
            return CertificateAuthority(directory, name="other").issue("127.0.0.1", "localhost")
        case "another authority of the same name":
            return CertificateAuthority(directory).issue("127.0.0.1", "localhost")
        case "expired":
            return authority.issue("127.0.0.1", "localhost", not_after=now - datetime.timedelta(seconds=5))
        case "another host":
            return authority.issue("db.example", "127.0.0.2", "localhost.example")
        case _:
            return authority.issue("127.0.0.1", "localhost")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("another authority", "unable to get local issuer certificate"),
        ("another authority of the same name", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("another host", "certificate is not valid for"),
    ],
)
def test_impostor_decrypts_nothing(
    trusting_applier: None, authority: CertificateAuthority, tmp_path: Path, host: str, fault: str, expected: str
) -> None:
    """Wrong authority, wrong host, expired: refused at once, without a byte of the session."""
    with Impostor(_certificate(fault, authority, tmp_path)) as impostor:
        start = time.monotonic()
        message = refusal(lambda: _create(impostor.port, host), kind=ApplyError, hidden=PASSWORD)
        assert time.monotonic() - start < 5
    assert impostor.plain == SSL_REQUEST
    assert impostor.decrypted == b""
    assert expected in message
    assert "no password was sent" in message


def test_valid_certificate_gets_the_password(
    trusting_applier: None, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """With a valid certificate the impostor gets user name and password: the tests above can fail."""
    with Impostor(_certificate("none", authority, tmp_path)) as impostor, contextlib.suppress(ApplyError):
        given = properties({"jit": "off"}, Port=str(impostor.port))
        on_event({"RequestType": "Create", "ResourceProperties": given}, LambdaContext(2))
    assert MASTER.encode() in impostor.decrypted
    assert PASSWORD.encode() in impostor.decrypted


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"N", "the server refuses TLS; no password was sent"), (b"E", ""), (CLEARTEXT_PASSWORD_PLEASE, "")],
    ids=["no", "error", "password"],
)
def test_server_without_tls_gets_only_the_request(trusting_applier: None, answer: bytes, expected: str) -> None:
    """A server that refuses TLS, or continues without it, gets nothing in cleartext."""
    with Impostor(None, answer) as impostor:
        given = properties({"jit": "off"}, Port=str(impostor.port))
        event = {"RequestType": "Create", "ResourceProperties": given}
        message = refusal(lambda: on_event(event, LambdaContext(2)), hidden=PASSWORD)
    assert impostor.plain == SSL_REQUEST
    assert expected in message
