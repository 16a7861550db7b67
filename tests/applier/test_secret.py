"""The secret: what is read, and errors without its content."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest

from cdk_pinsafe.applier import secret
from cdk_pinsafe.errors import ApplyError, UnreachableError

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:Master-AbCdEf"


def test_secrets_of_cdk_and_rds_are_read() -> None:
    """Secrets that RDS manages have user name and password only; other keys are not used."""
    assert secret.parse(ARN, '{"username": "u", "password": "p"}') == secret.Credentials("u", "p")
    more = {"username": "u", "password": "p", "host": "elsewhere", "port": 1, "dbname": "other"}
    assert secret.parse(ARN, json.dumps(more)) == secret.Credentials("u", "p")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "not a JSON object"),
        ("hidden-7", "not a JSON object"),
        ('{"password": "hidden-7"', "not a JSON object"),
        ('["hidden-7"]', "not a JSON object"),
        ('{"password": "hidden-7"}', "'username'"),
        ('{"username": "u", "Password": "hidden-7"}', "'password'"),
        ('{"username": "u", "password": ["hidden-7"]}', "'password'"),
        ('{"username": "u", "password": ""}', "'password'"),
        ('{"username": "u", "password": "hidden-7\\u0000"}', "'password'"),
    ],
)
def test_malformed_secret_is_reported_by_key(text: str | None, expected: str) -> None:
    """The message has the ARN and the key, nothing of the content, and no chained error that has it."""
    with pytest.raises(ApplyError) as caught:
        secret.parse(ARN, text)
    assert expected in str(caught.value)
    assert ARN in str(caught.value)
    assert "hidden-7" not in str(caught.value)
    assert caught.value.__context__ is None


def test_repr_of_credentials_hides_the_password() -> None:
    assert "hidden" not in repr(secret.Credentials("u", "hidden"))


def test_missing_route_is_reported_with_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """For isolated subnets without an endpoint, and soon."""
    for name, value in {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnreachableError, match="add an interface endpoint for Secrets Manager"):
        secret.read(ARN)


def test_other_client_errors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function without credentials gets no advice about an endpoint."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it has the credentials of other tests
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ApplyError, match="NoCredentialsError") as caught:
        secret.read(ARN)
    assert not isinstance(caught.value, UnreachableError)
    assert "endpoint" not in str(caught.value)


@pytest.fixture
def secrets_manager_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, dict[str, str]]]]:
    """An endpoint that gives boto3 these responses, one after the other."""
    answers: list[tuple[int, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, content = answers.pop(0)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield answers
        server.shutdown()
        thread.join()


def test_boto3_reads_a_secret(secrets_manager_endpoint: list[tuple[int, dict[str, str]]]) -> None:
    """The real client, with a local endpoint."""
    secrets_manager_endpoint.append((200, {"ARN": ARN, "SecretString": '{"username": "u", "password": "p"}'}))
    assert secret.read(ARN) == secret.Credentials("u", "p")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDeniedException", "grant the applier's role to read it"),
        ("ResourceNotFoundException", "check the secret's ARN"),
        ("InvalidRequestException", "marked for deletion"),
    ],
)
def test_refusal_of_secrets_manager_names_the_remedy(
    secrets_manager_endpoint: list[tuple[int, dict[str, str]]], code: str, expected: str
) -> None:
    """The message has the ARN, AWS's code and the remedy, but not AWS's text."""
    secrets_manager_endpoint.append((400, {"__type": code, "message": "User hidden is not authorized"}))
    with pytest.raises(ApplyError, match=code) as caught:
        secret.read(ARN)
    assert expected in str(caught.value)
    assert ARN in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.__context__ is None
    assert isinstance(caught.value, secret.SecretMissingError) == (code != "AccessDeniedException")
