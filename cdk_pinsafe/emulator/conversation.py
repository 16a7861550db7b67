"""Conversations at login, sans I/O: what is sent and read in turn, fed with bytes in pieces of any size.

A conversation is a generator. It yields a `Step`: bytes to send and what to read next; it is sent what was read; it
returns what the login came to, or raises a `Refusal`.

It must not know what is talked about.
"""

import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from .messages import LONGEST_START_UP, ProtocolViolation

__all__ = ["LONGEST_TOKEN", "Conversation", "Read", "Step", "Talk"]

LONGEST_TOKEN = 65_535
"""The longest message of a login after the first: PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH."""


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
