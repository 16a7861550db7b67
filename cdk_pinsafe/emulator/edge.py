"""What the sockets of both sides have in common.

Memory is bounded by passing pressure on: a client that does not read stops its database connection from being read, a
database that does not read stops its client, and a client whose session waits for a connection is not read either.

It must not know what the bytes mean, nor whose they are.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

__all__ = ["Edge"]


class Edge(asyncio.Protocol, ABC):
    """A socket.

    Attributes:
        tls: what goes through it is encrypted.
        write_full: the other end does not read as fast as it is written to.
        read_paused: it is not read now.
    """

    def __init__(self, sockets: "set[Edge]") -> None:
        """Begin. It is among `sockets` while it is open."""
        self.tls = False
        self.write_full = False
        self._sockets = sockets
        self._transport: asyncio.Transport | None = None
        self.read_paused = False

    # asyncio's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sockets.add(self)

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._sockets.discard(self)

    def pause_writing(self) -> None:
        self.write_full = True
        self._pass_on()

    def resume_writing(self) -> None:
        self.write_full = False
        self._pass_on()

    # For its owner, and the other side.

    @property
    def write(self) -> Callable[[bytes], object]:
        """Takes bytes for the other end; once TLS has begun, it is another."""
        assert self._transport is not None  # noqa: S101 - it is connected
        return self._transport.write

    def update_reading(self) -> None:
        """Read, or do not."""
        pause = self._must_pause()
        if pause is not self.read_paused and self._transport is not None and not self._transport.is_closing():
            self.read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def abort(self) -> None:
        """Close the socket without waiting until all is sent."""
        if self._transport is not None:
            self._transport.abort()

    def _pass_on(self) -> None:
        self.update_reading()
        other = self._other()
        if other is not None:
            other.update_reading()

    # What differs.

    @abstractmethod
    def _other(self) -> "Edge | None":
        """The socket on the other side, if there is one now."""

    def _must_pause(self) -> bool:
        """Whether it must not be read now."""
        other = self._other()
        return other is not None and other.write_full
