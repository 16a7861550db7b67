"""The secret: what is read, and how its faults are told without telling it."""

import json

import pytest

from cdk_pinsafe.applier import secret
from cdk_pinsafe.errors import ApplyError, Unreachable

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:Master-AbCdEf"


def test_secrets_of_cdk_and_of_rds_are_read() -> None:
    """RDS-managed secrets hold user name and password only; what else a secret holds is not used."""
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
def test_a_malformed_secret_is_told_by_its_key_never_by_its_content(text: str | None, expected: str) -> None:
    """The message has the ARN and the key; nothing of the content, and no chained error that has it."""
    with pytest.raises(ApplyError) as caught:
        secret.parse(ARN, text)
    assert expected in str(caught.value)
    assert ARN in str(caught.value)
    assert "hidden-7" not in str(caught.value)
    assert caught.value.__context__ is None


def test_credentials_do_not_show_the_password() -> None:
    """A log or a traceback that prints them prints the user only."""
    assert "hidden" not in repr(secret.Credentials("u", "hidden"))


def test_no_route_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolated subnets without an endpoint: a plain sentence, soon."""
    for name, value in {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unreachable, match="add an interface endpoint for Secrets Manager"):
        secret.read(ARN)
