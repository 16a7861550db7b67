"""The handshake of a login at the database. Knows nothing about clients."""

import struct
from dataclasses import dataclass, field

from ..protocol import SSL_REQUEST, FatalError, error_fields, message
from .authentication import SCRAM, ScramClient, ScramError, md5_response
from .frontend_login import PoolKey
from .handshake import MAX_AUTH_TOKEN_LENGTH, Handshake, Read, Step

__all__ = ["BackendInfo", "DatabaseConnectError", "backend_handshake"]


class DatabaseConnectError(FatalError):
    """The database rejected the login or could not be reached; with its SQLSTATE and message, if any."""


@dataclass
class BackendInfo:
    """What the database reported at login.

    Attributes:
        parameters: the ParameterStatus values by name.
        process: the backend's process id.
        secret: the key for cancel requests.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    process: int = 0
    secret: bytes = b""


def backend_handshake(
    key: PoolKey, password: str | None, *, request_tls: bool, require_tls: bool
) -> Handshake[BackendInfo]:
    """Log in at the database.

    Raises:
        DatabaseConnectError: the database rejects the login.
    """
    if request_tls:
        answer = yield Step(struct.pack(">II", 8, SSL_REQUEST), Read.BYTE)
        if answer == b"S":
            yield Step(b"", Read.TLS)
        elif answer != b"N" or require_tls:
            raise DatabaseConnectError("08001", "the database does not offer TLS, which the target's sslmode requires")
    info = BackendInfo()
    scram: ScramClient | None = None
    answer = yield Step(key.startup_message(), Read.MESSAGE, MAX_AUTH_TOKEN_LENGTH)
    while True:
        kind, body, send = answer[:1], answer[5:], b""
        if kind == b"R" and len(body) >= 4:
            send, scram = _answer(body, key.user, password, scram)
        elif kind == b"S":
            name, _, rest = body.partition(b"\0")
            info.parameters[name.decode(errors="replace")] = rest[:-1].decode(errors="replace")
        elif kind == b"K" and len(body) >= 8:
            info.process, info.secret = struct.unpack_from(">I", body)[0], body[4:]
        elif kind == b"E":
            fields = error_fields(body)
            raise DatabaseConnectError(fields.get("C", "08006"), fields.get("M", "the database refused the connection"))
        elif kind == b"Z":
            return info
        elif kind != b"N":
            raise DatabaseConnectError("08P01", f"the database sent {kind!r} during login")
        answer = yield Step(send, Read.MESSAGE, MAX_AUTH_TOKEN_LENGTH)


def _answer(
    body: bytes, user: str, password: str | None, scram: ScramClient | None
) -> tuple[bytes, ScramClient | None]:
    """Answer an authentication request of the database."""
    code, rest = struct.unpack_from(">I", body)[0], body[4:]
    if code == 0:
        return b"", scram
    if password is None:
        raise DatabaseConnectError("28P01", f"the database requires a password of {user}, but none is known")
    if code == 3:
        return message(b"p", password.encode() + b"\0"), scram
    if code == 5:
        return message(b"p", md5_response(user, password, rest).encode() + b"\0"), scram
    try:
        if code == 10 and SCRAM.encode() in rest.split(b"\0"):
            scram = ScramClient(password)
            first = scram.first().encode()
            return message(b"p", SCRAM.encode() + b"\0" + struct.pack(">I", len(first)) + first), scram
        if code == 11 and scram is not None:
            return message(b"p", scram.final(rest.decode(errors="replace")).encode()), scram
        if code == 12 and scram is not None:
            scram.verify(rest.decode(errors="replace"))
            return b"", scram
    except ScramError as error:
        raise DatabaseConnectError("28000", str(error)) from None
    raise DatabaseConnectError("28000", f"the database requires authentication method {code}, which is not supported")
