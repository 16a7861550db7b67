"""Reads user and password from Secrets Manager.

CDK's secrets and those that RDS manages are read; the latter hold a user name and a password only. Host, port and
database are in the event. No message has anything of a secret's content.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import ApplyError, UnreachableError

_NO_ROUTE: Final = (
    "the applier has no way to Secrets Manager: add an interface endpoint for Secrets Manager to its subnets "
    "(ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER), allow its security group there, or use subnets with a NAT "
    "gateway"
)

_MISSING: Final = ("ResourceNotFoundException", "InvalidRequestException")


class SecretMissingError(ApplyError):
    """Secrets Manager has no such secret, or it is being deleted."""


@dataclass(frozen=True)
class Credentials:
    """A user and its password, which ``repr`` does not show."""

    user: str
    password: str = field(repr=False)


def read(arn: str) -> Credentials:
    """Fetch and check a secret.

    Raises:
        UnreachableError: Secrets Manager did not respond.
        SecretMissingError: there is no such secret.
        ApplyError: Secrets Manager refused it, or the secret lacks a key.
    """
    return parse(arn, _fetch(arn))


def parse(arn: str, text: str | None) -> Credentials:
    """Parse a secret's text."""
    try:
        content = json.loads(text or "")
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ApplyError(f"secret {arn}: it is not a JSON object; it must hold 'username' and 'password'")
    values = {}
    for key in ("username", "password"):
        value = content.get(key)
        if not isinstance(value, str) or not value or "\0" in value:
            raise ApplyError(f"secret {arn}: its key {key!r} is missing, empty or not text; add it")
        values[key] = value
    return Credentials(values["username"], values["password"])


def _fetch(arn: str) -> str | None:
    # Imported here, as it takes most of the handler's start, and some events do not need it.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionClosedError,
        ConnectTimeoutError,
        EndpointConnectionError,
        ProxyConnectionError,
        ReadTimeoutError,
    )

    unreachable = (
        ConnectionClosedError,
        ConnectTimeoutError,
        EndpointConnectionError,
        ProxyConnectionError,
        ReadTimeoutError,
    )

    try:
        client: Any = boto3.client(
            "secretsmanager",
            # Without a route packets are dropped, and with the default timeouts the error would take minutes.
            config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"}),
        )
        answer = client.get_secret_value(SecretId=arn)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        kind = SecretMissingError if code in _MISSING else ApplyError
        failure = kind(f"secret {arn}: Secrets Manager refused it ({code}); {_remedy(code)}")
    except unreachable as error:
        failure = UnreachableError(f"secret {arn}: {type(error).__name__}; {_NO_ROUTE}")
    except BotoCoreError as error:
        failure = ApplyError(
            f"secret {arn}: the AWS client cannot read it ({type(error).__name__}); check that the applier's "
            "function has its role's credentials and its region, and that the ARN is a secret's"
        )
    else:
        text: str | None = answer.get("SecretString")
        return text
    raise failure


def _remedy(code: str) -> str:
    match code:
        case "AccessDeniedException" | "DecryptionFailure" | "AccessDenied":
            return "grant the applier's role to read it, and to decrypt with its KMS key if it has one of its own"
        case "ResourceNotFoundException":
            return "check the secret's ARN and that it still exists"
        case "InvalidRequestException":
            return "it may be marked for deletion: restore it, or pass another"
        case _:
            return "deploy again later"
