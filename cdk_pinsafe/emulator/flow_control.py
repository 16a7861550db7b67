"""Flow control between a client's socket and a database connection's, common to both.

Memory is bounded by back pressure: if a client does not read, its database connection is not read; if the database does
not read, its client is not read; and a client whose session waits for a connection is not read.

This module does not interpret the bytes, nor know which side it serves.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

__all__ = ["FlowControlledProtocol"]


class FlowControlledProtocol(asyncio.Protocol, ABC):
    """An asyncio protocol that pauses reading while its peer cannot write.

    Attributes:
        tls: the socket is encrypted.
        write_full: the write buffer is over its high-water mark.
        read_paused: reading is paused.
    """

    def __init__(self, sockets: "set[FlowControlledProtocol]") -> None:
        """Create the protocol. It is in `sockets` while its socket is open."""
        self.tls = False
        self.write_full = False
        self._sockets = sockets
        self._transport: asyncio.Transport | None = None
        self.read_paused = False

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sockets.add(self)

    def eof_received(self) -> None:
        """Return None: asyncio closes the transport."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._sockets.discard(self)

    def pause_writing(self) -> None:
        self.write_full = True
        self._propagate()

    def resume_writing(self) -> None:
        self.write_full = False
        self._propagate()

    # Called by the owner and the peer.

    @property
    def write(self) -> Callable[[bytes], object]:
        """The transport's `write`. It changes when TLS starts."""
        assert self._transport is not None  # noqa: S101 - it is connected
        return self._transport.write

    def update_reading(self) -> None:
        """Pause or resume reading, as needed."""
        pause = self._should_pause()
        if pause is not self.read_paused and self._transport is not None and not self._transport.is_closing():
            self.read_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def proceed(self) -> None:
        """Continue with the messages that are held."""

    def abort(self) -> None:
        """Close the socket without flushing its write buffer."""
        if self._transport is not None:
            self._transport.abort()

    def _propagate(self) -> None:
        self.update_reading()
        peer = self._peer()
        if peer is not None:
            peer.update_reading()

    # Defined by the two sides.

    @abstractmethod
    def _peer(self) -> "FlowControlledProtocol | None":
        """Return the protocol of the other side, if there is one now."""

    def _should_pause(self) -> bool:
        """Whether reading must be paused."""
        peer = self._peer()
        return peer is not None and peer.write_full
