"""Runs login handshakes without I/O: fed with bytes in pieces of any size.

A handshake is a generator. It yields a `Step`: the bytes to send and what to read next. It is sent what was read. It
returns the result of the login, or raises a `FatalError`.

This module does not know the content of the messages.
"""

import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from ..protocol import MAX_STARTUP_PACKET_LENGTH, ProtocolViolation

__all__ = ["MAX_AUTH_TOKEN_LENGTH", "Handshake", "HandshakeRunner", "NoStartUpError", "Read", "Step"]

MAX_AUTH_TOKEN_LENGTH = 65_535
"""The longest message after the start-up message: PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH."""


class NoStartUpError(ProtocolViolation):
    """What arrived instead of a start-up message has no valid length: PostgreSQL closes the connection in silence.

    A client that gives up sends Terminate (`X`), for example node-postgres after `connect(); end()`.
    """

    def response(self) -> bytes:
        """Return nothing."""
        return b""


class Read(Enum):
    """What a handshake reads next."""

    START_UP = "a start-up message, which has no type byte"
    MESSAGE = "a message"
    BYTE = "one byte"
    TLS = "nothing; TLS starts"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Step:
    """The bytes to send, then something to read. `limit` bounds the length field of the message."""

    send: bytes
    read: Read
    limit: int = MAX_STARTUP_PACKET_LENGTH


Result = TypeVar("Result")
Handshake: TypeAlias = Generator[Step, bytes, Result]


class HandshakeRunner:
    """Runs a handshake over bytes that arrive in pieces. `result` is valid once `done` is true."""

    def __init__(self, handshake: Handshake[object], write: Callable[[bytes], object]) -> None:
        self._handshake = handshake
        self._write = write
        self._buffer = b""
        self.result: object = None
        self.done = False
        self.wants_tls = False
        self._advance(None)

    @property
    def rest(self) -> bytes:
        """The bytes that were received after the end of the handshake."""
        return self._buffer

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            FatalError: the handshake failed; send its response and close the connection.
        """
        self._buffer += data
        while not self.done and not self.wants_tls and (piece := self._next()) is not None:
            self._advance(piece)

    def tls_established(self, write: Callable[[bytes], object]) -> None:
        """Continue after TLS was established; from now on bytes are sent with `write`."""
        self.wants_tls = False
        self._write = write
        self._advance(b"")

    def _advance(self, piece: bytes | None) -> None:
        try:
            self._step = next(self._handshake) if piece is None else self._handshake.send(piece)
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
                # Bytes that arrived before TLS are not protected and must not be processed as if they were
                # (CVE-2021-23214, CVE-2021-23222).
                raise ProtocolViolation("received unencrypted data after SSL request")
            self.wants_tls = True

    def _next(self) -> bytes | None:
        """Return the next piece that the handshake reads, once all of it has arrived."""
        read, buffer = self._step.read, self._buffer
        if read is Read.BYTE:
            size = 1
        else:
            head = 1 if read is Read.MESSAGE else 0
            if len(buffer) < head + 4:
                return None
            length = struct.unpack_from(">I", buffer, head)[0]
            if not (4 if head else 8) <= length <= self._step.limit:
                if read is Read.START_UP:
                    raise NoStartUpError("invalid length of startup packet")
                raise ProtocolViolation(f"invalid message length {length} during login")
            size = head + length
        if len(buffer) < size:
            return None
        self._buffer = buffer[size:]
        return buffer[:size]
