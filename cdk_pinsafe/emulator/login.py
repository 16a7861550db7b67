"""Letting clients in: what is accepted at start-up, and how a client proves who it is, as a conversation.

What is accepted, and the words of each refusal, are RDS Proxy's: see `ERRORS`.
"""

import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ..pinning.conditions import STARTUP_PARAMETERS
from .authentication import SCRAM, ScramError, ScramServer, md5_response
from .conversation import LONGEST_TOKEN, Conversation, Read, Step
from .messages import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    PROTOCOL_3_0,
    SSL_REQUEST,
    ProtocolViolation,
    Refusal,
    authentication,
    start_up,
    start_up_parameters,
)

__all__ = ["ERRORS", "Authentication", "ClientRules", "Key", "Login", "client_login"]

# Names are compared as PostgreSQL does, without case.
_TRACKED: Final = {name.lower(): name for name in STARTUP_PARAMETERS if name != "application_name"}


class Authentication(Enum):
    """How clients prove who they are. RDS Proxy offers the first, and the second where it is chosen."""

    SCRAM = "scram-sha-256"
    MD5 = "md5"
    TRUST = "trust"
    """Not at all."""
    PASS_THROUGH = "password"  # noqa: S105
    """The client tells its password, with which the stand-in then logs in at the database."""


@dataclass(frozen=True)
class Key:
    """Clients with an equal key may share database connections.

    RDS Proxy tracks start-up parameters by means of its own. Here each combination of them has database connections of
    its own, opened with them, within the one limit of the pool. Only application_name, of which there can be as many as
    clients, is not of the key: a connection is given its borrower's.
    """

    user: str
    database: str
    parameters: tuple[tuple[str, str], ...] = ()

    def start_up(self) -> bytes:
        """The start-up message that opens such a connection."""
        return start_up((("user", self.user), ("database", self.database), *self.parameters))


@dataclass(frozen=True)
class Login:
    """A client that was let in.

    Attributes:
        key: whose connections it may use.
        application_name: what it calls itself, as the database would show it; None if it does not say.
        password: what the database is to be told; None where it is not known.
    """

    key: Key
    application_name: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True)
class ClientRules:
    """Who is let in, and how.

    Attributes:
        authentication: how passwords are checked.
        users: the passwords by user; a user who is not there is refused. Unused with `PASS_THROUGH`; with `TRUST` it
            gives the passwords for the database.
        tls: whether a client that asks for TLS gets it.
        require_tls: whether one that does not is refused.
    """

    authentication: Authentication
    users: Mapping[str, str] = field(repr=False)
    tls: bool = False
    require_tls: bool = False


def client_login(rules: ClientRules) -> Conversation[Login | None]:
    """Let a client in. Returns None for a cancel request, which RDS Proxy does not support: it gets no answer."""
    encrypted = False
    packet = yield Step(b"", Read.START_UP)
    for _ in range(2):  # GSS and SSL, each once
        code = struct.unpack_from(">I", packet, 4)[0]
        if code == GSS_REQUEST and len(packet) == 8:
            packet = yield Step(b"N", Read.START_UP)
        elif code == SSL_REQUEST and len(packet) == 8 and not encrypted:
            if rules.tls:
                yield Step(b"S", Read.TLS)
                encrypted = True
                packet = yield Step(b"", Read.START_UP)
            else:
                packet = yield Step(b"N", Read.START_UP)
    code = struct.unpack_from(">I", packet, 4)[0]
    if code == CANCEL_REQUEST:
        return None
    if code != PROTOCOL_3_0:
        if code in (SSL_REQUEST, GSS_REQUEST):
            raise ProtocolViolation("the client asks for encryption again and again")
        if code >> 16 == 3:
            raise Refusal("0A000", "Feature not supported: " + ERRORS["version"])
        raise ProtocolViolation(f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}")
    given = start_up_parameters(packet[8:])
    name = given.pop("application_name", None)
    key = _key(given)
    if rules.require_tls and not encrypted:
        raise Refusal("28000", ERRORS["tls"])
    password = yield from _authenticate(key.user, rules)
    return Login(key, None if name is None else _shown(name), password)


# RDS Proxy's words. The first five and `wrong` are AWS's ("Troubleshooting RDS Proxy", and measured by others); the
# SQLSTATE is measured for `option`, `options` (0A000) and for `borrow` in `pool` (08000), inferred for the rest.
ERRORS: Final = {
    "version": "RDS Proxy supports only version 3.0 of the PostgreSQL messaging protocol.",
    "replication": "RDS Proxy currently doesn’t support streaming replication mode.",  # noqa: RUF001 - AWS's quote
    "options": "RDS Proxy currently doesn’t support command-line options.",  # noqa: RUF001
    "option": "RDS Proxy currently doesn’t support the option {name}.",  # noqa: RUF001
    "user": "A user name is missing from the connection startup packet. Provide a user name for this connection.",
    "tls": "This RDS Proxy requires TLS connections.",
    "unknown": "This RDS proxy has no credentials for the role {user}. Check the credentials for this role and try "
    "again.",
    "wrong": "The password that was provided for the role {user} is wrong.",
}


def _key(given: dict[str, str]) -> Key:
    """What a start-up message asks for, if RDS Proxy would take it."""
    user = given.pop("user", "")
    if not user:
        raise Refusal("28000", ERRORS["user"])
    database = given.pop("database", "") or user
    parameters: dict[str, str] = {}
    for name, value in given.items():
        if name == "replication":
            if value.lower() not in ("false", "off", "no", "0"):
                raise Refusal("0A000", "Feature not supported: " + ERRORS["replication"])
        elif name == "options":
            if value.strip():
                raise Refusal("0A000", "Feature not supported: " + ERRORS["options"])
        elif (tracked := _TRACKED.get(name.lower())) is None:
            raise Refusal("0A000", "Feature not supported: " + ERRORS["option"].format(name=name))
        else:
            parameters[tracked] = value
    return Key(user, database, tuple(sorted(parameters.items())))


def _shown(name: str) -> str:
    """An application_name as PostgreSQL keeps it: 63 printable ASCII characters."""
    return "".join(char if " " <= char <= "~" else "?" for char in name)[:63]


def _authenticate(user: str, rules: ClientRules) -> Conversation[str | None]:
    """Check a client's password; return the one to use at the database."""
    method = rules.authentication
    if method is Authentication.TRUST:
        return rules.users.get(user)
    if method is Authentication.PASS_THROUGH:
        return _text((yield Step(authentication(3), Read.MESSAGE, LONGEST_TOKEN)))
    password = rules.users.get(user)
    if password is None:
        raise Refusal("28000", ERRORS["unknown"].format(user=user))
    if method is Authentication.MD5:
        salt = secrets.token_bytes(4)
        answer = _text((yield Step(authentication(5, salt), Read.MESSAGE, LONGEST_TOKEN)))
        if not hmac.compare_digest(answer.encode(), md5_response(user, password, salt).encode()):
            raise Refusal("28P01", ERRORS["wrong"].format(user=user))
        return password
    scram = ScramServer(password)
    offer = authentication(10, SCRAM.encode() + b"\0\0")
    try:
        mechanism, initial = _initial_response((yield Step(offer, Read.MESSAGE, LONGEST_TOKEN)))
        if mechanism != SCRAM:
            raise ProtocolViolation("client selected an invalid SASL authentication mechanism")
        first = authentication(11, scram.first(initial).encode())
        final = _password_body((yield Step(first, Read.MESSAGE, LONGEST_TOKEN)))
        proof = scram.final(_decoded(final))
    except ScramError:
        raise Refusal("28P01", ERRORS["wrong"].format(user=user)) from None
    yield Step(authentication(12, proof.encode()), Read.NOTHING)
    return password


def _password_body(packet: bytes) -> bytes:
    if packet[:1] != b"p":
        raise ProtocolViolation(f"expected password response, got message type {packet[0]}")
    return packet[5:]


def _text(packet: bytes) -> str:
    body = _password_body(packet)
    if not body.endswith(b"\0") or b"\0" in body[:-1]:
        raise ProtocolViolation("invalid password packet")
    return _decoded(body[:-1])


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation("invalid password packet: not UTF-8") from None


def _initial_response(packet: bytes) -> tuple[str, str]:
    mechanism, _, rest = _password_body(packet).partition(b"\0")
    if len(rest) < 4 or struct.unpack_from(">i", rest)[0] != len(rest) - 4:
        raise ProtocolViolation("malformed SASLInitialResponse")
    return _decoded(mechanism), _decoded(rest[4:])
