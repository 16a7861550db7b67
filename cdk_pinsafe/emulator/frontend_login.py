"""The handshake of a client's login: which start-up parameters are accepted, and how the client authenticates.

What is accepted, and the error messages, are RDS Proxy's: see `ERRORS`.
"""

import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ..protocol import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    PROTOCOL_3_0,
    SSL_REQUEST,
    FatalError,
    ProtocolViolation,
    authentication,
    startup_message,
    startup_parameters,
)
from ..rds_proxy import STARTUP_PARAMETERS
from .authentication import SCRAM, ScramError, ScramServer, md5_response
from .handshake import MAX_AUTH_TOKEN_LENGTH, Handshake, Read, Step

__all__ = ["ERRORS", "Authentication", "ClientLogin", "LoginRules", "PoolKey", "frontend_handshake"]

# Parameter names are case-insensitive, as in PostgreSQL.
_TRACKED: Final = {name.lower(): name for name in STARTUP_PARAMETERS if name != "application_name"}


class Authentication(Enum):
    """How clients authenticate. RDS Proxy's default is SCRAM; MD5 is its option."""

    SCRAM = "scram-sha-256"
    MD5 = "md5"
    TRUST = "trust"
    """Clients are not authenticated."""
    PASS_THROUGH = "password"  # noqa: S105
    """The client sends its password in clear text; the emulator logs in at the database with it."""


@dataclass(frozen=True)
class PoolKey:
    """Clients with an equal key may share database connections.

    RDS Proxy tracks start-up parameters by means of its own. The emulator opens separate database connections for each
    combination of parameters, within the one pool limit. application_name is not part of the key, because there can be
    as
    many as clients: it is set on a connection when a client borrows it.
    """

    user: str
    database: str
    parameters: tuple[tuple[str, str], ...] = ()

    def startup_message(self) -> bytes:
        """Return the start-up message that opens such a connection."""
        return startup_message((("user", self.user), ("database", self.database), *self.parameters))


@dataclass(frozen=True)
class ClientLogin:
    """The result of a client's successful handshake.

    Attributes:
        key: the connections that it may share.
        application_name: its application_name, in the form that PostgreSQL stores; None if it sent none.
        password: the password for the database; None if it is not known.
    """

    key: PoolKey
    application_name: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True)
class LoginRules:
    """Which clients may log in, and how.

    Attributes:
        authentication: how passwords are checked.
        users: the passwords by user; other users are rejected. Unused with `PASS_THROUGH`; with `TRUST` these are the
            passwords for the database.
        tls: offer TLS to clients.
        require_tls: reject clients without TLS.
    """

    authentication: Authentication
    users: Mapping[str, str] = field(repr=False)
    tls: bool = False
    require_tls: bool = False


def frontend_handshake(rules: LoginRules) -> Handshake[ClientLogin | None]:
    """Log a client in. Return None for a cancel request, which RDS Proxy does not support: it gets no answer."""
    encrypted = False
    packet = yield Step(b"", Read.START_UP)
    for _ in range(2):  # GSSENCRequest and SSLRequest, at most one each
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
            raise ProtocolViolation("the client requested encryption more than once")
        if code >> 16 == 3:
            raise FatalError("0A000", "Feature not supported: " + ERRORS["version"])
        raise ProtocolViolation(f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}")
    given = startup_parameters(packet[8:])
    name = given.pop("application_name", None)
    key = _key(given)
    if rules.require_tls and not encrypted:
        raise FatalError("28000", ERRORS["tls"])
    password = yield from _authenticate(key.user, rules)
    return ClientLogin(key, None if name is None else _stored_name(name), password)


# RDS Proxy's error messages. The first five and `wrong` are AWS's ("Troubleshooting RDS Proxy", and measured by
# others). The SQLSTATE is measured for `option` and `options` (0A000) and for `BORROW_TIMED_OUT` in `pool` (08000), and
# inferred for the rest.
ERRORS: Final = {
    "version": "RDS Proxy supports only version 3.0 of the PostgreSQL messaging protocol.",
    "replication": "RDS Proxy currently doesn’t support streaming replication mode.",  # noqa: RUF001 - quoted from AWS
    "options": "RDS Proxy currently doesn’t support command-line options.",  # noqa: RUF001
    "option": "RDS Proxy currently doesn’t support the option {name}.",  # noqa: RUF001
    "user": "A user name is missing from the connection startup packet. Provide a user name for this connection.",
    "tls": "This RDS Proxy requires TLS connections.",
    "unknown": "This RDS proxy has no credentials for the role {user}. Check the credentials for this role and try "
    "again.",
    "wrong": "The password that was provided for the role {user} is wrong.",
}


def _key(given: dict[str, str]) -> PoolKey:
    """Check the start-up parameters as RDS Proxy does, and return the pool key."""
    user = given.pop("user", "")
    if not user:
        raise FatalError("28000", ERRORS["user"])
    database = given.pop("database", "") or user
    parameters: dict[str, str] = {}
    for name, value in given.items():
        if name == "replication":
            if value.lower() not in ("false", "off", "no", "0"):
                raise FatalError("0A000", "Feature not supported: " + ERRORS["replication"])
        elif name == "options":
            if value.strip():
                raise FatalError("0A000", "Feature not supported: " + ERRORS["options"])
        elif (tracked := _TRACKED.get(name.lower())) is None:
            raise FatalError("0A000", "Feature not supported: " + ERRORS["option"].format(name=name))
        else:
            parameters[tracked] = value
    return PoolKey(user, database, tuple(sorted(parameters.items())))


def _stored_name(name: str) -> str:
    """Return an application_name as PostgreSQL stores it: at most 63 printable ASCII characters."""
    return "".join(char if " " <= char <= "~" else "?" for char in name)[:63]


def _authenticate(user: str, rules: LoginRules) -> Handshake[str | None]:
    """Authenticate a client; return the password to use at the database."""
    method = rules.authentication
    if method is Authentication.TRUST:
        return rules.users.get(user)
    if method is Authentication.PASS_THROUGH:
        return _password_text((yield Step(authentication(3), Read.MESSAGE, MAX_AUTH_TOKEN_LENGTH)))
    password = rules.users.get(user)
    if password is None:
        raise FatalError("28000", ERRORS["unknown"].format(user=user))
    if method is Authentication.MD5:
        salt = secrets.token_bytes(4)
        answer = _password_text((yield Step(authentication(5, salt), Read.MESSAGE, MAX_AUTH_TOKEN_LENGTH)))
        if not hmac.compare_digest(answer.encode(), md5_response(user, password, salt).encode()):
            raise FatalError("28P01", ERRORS["wrong"].format(user=user))
        return password
    scram = ScramServer(password)
    offer = authentication(10, SCRAM.encode() + b"\0\0")
    try:
        mechanism, initial = _initial_response((yield Step(offer, Read.MESSAGE, MAX_AUTH_TOKEN_LENGTH)))
        if mechanism != SCRAM:
            raise ProtocolViolation("client selected an invalid SASL authentication mechanism")
        first = authentication(11, scram.first(initial).encode())
        final = _password_body((yield Step(first, Read.MESSAGE, MAX_AUTH_TOKEN_LENGTH)))
        proof = scram.final(_decoded(final))
    except ScramError:
        raise FatalError("28P01", ERRORS["wrong"].format(user=user)) from None
    yield Step(authentication(12, proof.encode()), Read.NOTHING)
    return password


def _password_body(packet: bytes) -> bytes:
    if packet[:1] != b"p":
        raise ProtocolViolation(f"expected password response, got message type {packet[0]}")
    return packet[5:]


def _password_text(packet: bytes) -> str:
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
