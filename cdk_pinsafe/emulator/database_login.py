"""Logging in at the database, as a conversation. Knows nothing of clients."""

import struct
from dataclasses import dataclass, field

from .authentication import SCRAM, ScramClient, ScramError, md5_response
from .conversation import LONGEST_TOKEN, Conversation, Read, Step
from .login import Key
from .messages import SSL_REQUEST, Refusal, error_fields, message

__all__ = ["DatabaseLogin", "DatabaseRefusal", "database_login"]


class DatabaseRefusal(Refusal):
    """The database, or the way to it, refused. With the database's own words, where there are any."""


@dataclass
class DatabaseLogin:
    """What the database told at login.

    Attributes:
        parameters: its ParameterStatus messages.
        process: the backend's process id.
        secret: the key for cancel requests.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    process: int = 0
    secret: bytes = b""


def database_login(
    key: Key, password: str | None, *, ask_for_tls: bool, insist_on_tls: bool
) -> Conversation[DatabaseLogin]:
    """Log in at the database.

    Raises:
        DatabaseRefusal: it does not let us in.
    """
    if ask_for_tls:
        answer = yield Step(struct.pack(">II", 8, SSL_REQUEST), Read.BYTE)
        if answer == b"S":
            yield Step(b"", Read.TLS)
        elif answer != b"N" or insist_on_tls:
            raise DatabaseRefusal("08001", "the database does not offer TLS, which the target's sslmode asks for")
    login = DatabaseLogin()
    scram: ScramClient | None = None
    answer = yield Step(key.start_up(), Read.MESSAGE, LONGEST_TOKEN)
    while True:
        kind, body, send = answer[:1], answer[5:], b""
        if kind == b"R" and len(body) >= 4:
            send, scram = _answer(body, key.user, password, scram)
        elif kind == b"S":
            name, _, rest = body.partition(b"\0")
            login.parameters[name.decode(errors="replace")] = rest[:-1].decode(errors="replace")
        elif kind == b"K" and len(body) >= 8:
            login.process, login.secret = struct.unpack_from(">I", body)[0], body[4:]
        elif kind == b"E":
            fields = error_fields(body)
            raise DatabaseRefusal(fields.get("C", "08006"), fields.get("M", "the database refused the connection"))
        elif kind == b"Z":
            return login
        elif kind != b"N":
            raise DatabaseRefusal("08P01", f"the database sent {kind!r} during login")
        answer = yield Step(send, Read.MESSAGE, LONGEST_TOKEN)


def _answer(
    body: bytes, user: str, password: str | None, scram: ScramClient | None
) -> tuple[bytes, ScramClient | None]:
    """The answer to a database's authentication request."""
    code, rest = struct.unpack_from(">I", body)[0], body[4:]
    if code == 0:
        return b"", scram
    if password is None:
        raise DatabaseRefusal("28P01", f"the database asks for a password of {user}, and none is known")
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
        raise DatabaseRefusal("28000", str(error)) from None
    raise DatabaseRefusal("28000", f"the database asks for authentication of kind {code}, which is not supported")
