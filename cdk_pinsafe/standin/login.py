"""Logging in, both ways, as conversations: clients at the stand-in, and the stand-in at the database.

A conversation is a generator. It yields a `Step`: bytes to send and what to read next; it is sent what was read; it
returns what the login came to, or raises a `Refusal`. `Talk` feeds it from bytes in pieces of any size.

What is accepted at start-up, and the words of each refusal, are RDS Proxy's: see `ERRORS`.
"""

import hmac
import secrets
import struct
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from .authentication import SCRAM, ScramClient, ScramError, ScramServer, md5_response
from .messages import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    LONGEST_START_UP,
    PROTOCOL_3_0,
    SSL_REQUEST,
    ProtocolViolation,
    Refusal,
    authentication,
    error_fields,
    message,
    start_up,
    start_up_parameters,
)

__all__ = [
    "Authentication",
    "ClientRules",
    "DatabaseLogin",
    "DatabaseRefusal",
    "Key",
    "Login",
    "Read",
    "Step",
    "Talk",
    "client_login",
    "database_login",
]

# The start-up parameters that RDS Proxy keeps for a client without pinning (documented and measured); names are
# compared as PostgreSQL does, without case.
_TRACKED: Final = {
    name.lower(): name for name in ("client_encoding", "DateStyle", "TimeZone", "extra_float_digits", "search_path")
}
_LONGEST_TOKEN: Final = 65_535  # PG_MAX_AUTH_TOKEN_LENGTH


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


class Read(Enum):
    """What a conversation reads next."""

    START_UP = "a message without a type"
    MESSAGE = "a message"
    BYTE = "one byte"
    TLS = "nothing, but TLS begins"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Step:
    """What a conversation wants: bytes sent, then something read. `limit` bounds a message's length field."""

    send: bytes
    read: Read
    limit: int = LONGEST_START_UP


Result = TypeVar("Result")
Conversation: TypeAlias = Generator[Step, bytes, Result]


class Talk:
    """Runs a conversation over bytes that come in pieces. `done` and `result` tell how it ended."""

    def __init__(self, conversation: Conversation[object], write: Callable[[bytes], object]) -> None:
        self._conversation = conversation
        self._write = write
        self._buffer = b""
        self.result: object = None
        self.done = False
        self.wants_tls = False
        self._advance(None)

    @property
    def rest(self) -> bytes:
        """What came after the conversation's end."""
        return self._buffer

    def receive(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            Refusal: the other side is to be told so, and its connection closed.
        """
        self._buffer += data
        while not self.done and not self.wants_tls and (piece := self._next()) is not None:
            self._advance(piece)

    def tls_began(self, write: Callable[[bytes], object]) -> None:
        """Go on after TLS was established; from now on bytes go out through `write`."""
        self.wants_tls = False
        self._write = write
        self._advance(b"")

    def _advance(self, piece: bytes | None) -> None:
        try:
            self._step = next(self._conversation) if piece is None else self._conversation.send(piece)
        except StopIteration as end:
            self.done = True
            self.result = end.value
            return
        if self._step.send:
            self._write(self._step.send)
        if self._step.read is Read.NOTHING:
            self._advance(b"")
        elif self._step.read is Read.TLS:
            if self._buffer:
                # What came before TLS began was not protected by it, and must not pass for something that was.
                raise ProtocolViolation("received unencrypted data after SSL request")
            self.wants_tls = True

    def _next(self) -> bytes | None:
        """The next piece that the conversation wants, if all of it is there."""
        read, buffer = self._step.read, self._buffer
        if read is Read.BYTE:
            size = 1
        else:
            head = 1 if read is Read.MESSAGE else 0
            if len(buffer) < head + 4:
                return None
            length = struct.unpack_from(">I", buffer, head)[0]
            if not (4 if head else 8) <= length <= self._step.limit:
                raise ProtocolViolation(f"invalid message length {length} during login")
            size = head + length
        if len(buffer) < size:
            return None
        self._buffer = buffer[size:]
        return buffer[:size]


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
        return _text((yield Step(authentication(3), Read.MESSAGE, _LONGEST_TOKEN)))
    password = rules.users.get(user)
    if password is None:
        raise Refusal("28000", ERRORS["unknown"].format(user=user))
    if method is Authentication.MD5:
        salt = secrets.token_bytes(4)
        answer = _text((yield Step(authentication(5, salt), Read.MESSAGE, _LONGEST_TOKEN)))
        if not hmac.compare_digest(answer.encode(), md5_response(user, password, salt).encode()):
            raise Refusal("28P01", ERRORS["wrong"].format(user=user))
        return password
    scram = ScramServer(password)
    offer = authentication(10, SCRAM.encode() + b"\0\0")
    try:
        mechanism, initial = _initial_response((yield Step(offer, Read.MESSAGE, _LONGEST_TOKEN)))
        if mechanism != SCRAM:
            raise ProtocolViolation("client selected an invalid SASL authentication mechanism")
        first = authentication(11, scram.first(initial).encode())
        final = _password_body((yield Step(first, Read.MESSAGE, _LONGEST_TOKEN)))
        proof = scram.final(_decoded(final))
    except ScramError:
        raise Refusal("28P01", ERRORS["wrong"].format(user=user)) from None
    yield Step(authentication(12, proof.encode()), Read.NOTHING)
    return password


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
    answer = yield Step(key.start_up(), Read.MESSAGE, _LONGEST_TOKEN)
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
        answer = yield Step(send, Read.MESSAGE, _LONGEST_TOKEN)


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
