"""SCRAM-SHA-256 (RFC 5802, RFC 7677) and MD5 as PostgreSQL implements them, for both ends. No sockets, no messages.

`scramp`, a dependency of pg8000, is not used: its server rejects the empty user name that libpq sends (PostgreSQL takes
the name from the start-up message). Channel binding is not offered, because the emulator terminates TLS.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass

__all__ = ["SCRAM", "ScramClient", "ScramError", "ScramServer", "md5_response"]

SCRAM = "SCRAM-SHA-256"
_ITERATIONS = 4096  # the default of PostgreSQL's scram_iterations
_MAX_ITERATIONS = 1_000_000  # limits the work that a server can demand


class ScramError(Exception):
    """The peer's message is malformed or its proof is wrong. The message never contains a password."""


def md5_response(user: str, password: str, salt: bytes) -> str:
    """Return the client's response to AuthenticationMD5Password."""
    inner = hashlib.md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class _Verifier:
    salt: bytes
    stored_key: bytes
    server_key: bytes


class ScramServer:
    """Server side of one SCRAM exchange: call `first`, then `final`."""

    def __init__(self, password: str) -> None:
        self._verifier = _verifier(password)
        self._nonce = ""
        self._header = ""
        self._signed = ""

    def first(self, client_first: str) -> str:
        """Answer the client-first message."""
        flag, _, rest = client_first.partition(",")
        name, _, bare = rest.partition(",")
        if flag not in ("n", "y") or name:
            raise ScramError("channel binding and authorization identities are not supported")
        attributes = _attributes(bare)
        self._header = f"{flag},{name},"
        self._nonce = attributes.get("r", "") + secrets.token_urlsafe(18)
        answer = f"r={self._nonce},s={_b64(self._verifier.salt)},i={_ITERATIONS}"
        self._signed = f"{bare},{answer}"
        return answer

    def final(self, client_final: str) -> str:
        """Check the client's proof and return the server's.

        Raises:
            ScramError: the password is wrong, or the message is malformed.
        """
        without_proof, _, proof = client_final.rpartition(",p=")
        attributes = _attributes(without_proof)
        if attributes.get("r") != self._nonce or _unb64(attributes.get("c", "")) != self._header.encode():
            raise ScramError("the client's final message does not belong to this login")
        signed = f"{self._signed},{without_proof}".encode()
        signature = _hmac(self._verifier.stored_key, signed)
        given = _unb64(proof)
        if len(given) != len(signature):
            raise ScramError("the client's proof has a wrong length")
        key = bytes(a ^ b for a, b in zip(given, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(key).digest(), self._verifier.stored_key):
            raise ScramError("the password is wrong")
        return "v=" + _b64(_hmac(self._verifier.server_key, signed))


class ScramClient:
    """Client side of one SCRAM exchange: call `first`, `final`, then `verify`."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._nonce = secrets.token_urlsafe(18)
        self._bare = f"n=,r={self._nonce}"
        self._expected = ""

    def first(self) -> str:
        """Return the client-first message."""
        return f"n,,{self._bare}"

    def final(self, server_first: str) -> str:
        """Answer the server-first message.

        Raises:
            ScramError: the message is malformed, or demands too many iterations.
        """
        attributes = _attributes(server_first)
        nonce, iterations = attributes.get("r", ""), attributes.get("i", "")
        if not nonce.startswith(self._nonce) or not iterations.isascii() or not iterations.isdigit():
            raise ScramError("the server's first message does not belong to this login")
        if not 1 <= int(iterations) <= _MAX_ITERATIONS:
            raise ScramError(f"the server requires {iterations[:20]} iterations")
        salted = _salted(self._password, _unb64(attributes.get("s", "")), int(iterations))
        without_proof = f"c={_b64(b'n,,')},r={nonce}"
        signed = f"{self._bare},{server_first},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        self._expected = "v=" + _b64(_hmac(_hmac(salted, b"Server Key"), signed))
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without_proof},p={_b64(proof)}"

    def verify(self, server_final: str) -> None:
        """Check the server's proof that it knows the password."""
        if not hmac.compare_digest(server_final.encode(), self._expected.encode()):
            raise ScramError("the server did not prove that it knows the password")


@functools.lru_cache(maxsize=256)
def _verifier(password: str) -> _Verifier:
    """Cached per password: 4096 rounds for each of a hundred clients would block the event loop."""
    salt = secrets.token_bytes(16)
    salted = _salted(password, salt, _ITERATIONS)
    stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    return _Verifier(salt, stored_key, _hmac(salted, b"Server Key"))


@functools.lru_cache(maxsize=256)
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", _saslprep(password), salt, iterations)


def _saslprep(password: str) -> bytes:
    """Apply SASLprep; if it prohibits the password, use the raw UTF-8 bytes, as PostgreSQL does."""
    if password.isascii():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
        stringprep.in_table_a1,
    )
    right_to_left = [stringprep.in_table_d1(char) for char in normal]
    mixed = any(right_to_left) and (
        not (right_to_left[0] and right_to_left[-1]) or any(stringprep.in_table_d2(char) for char in normal)
    )
    if not normal or mixed or any(check(char) for char in normal for check in prohibited):
        return password.encode()
    return normal.encode()


def _attributes(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if any(len(name) != 1 or not equals for name, equals, _ in pairs) or len({name for name, _, _ in pairs}) < len(
        pairs
    ):
        raise ScramError("malformed SCRAM message")
    return {name: value for name, _, value in pairs}


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("malformed SCRAM message: not base64") from None
