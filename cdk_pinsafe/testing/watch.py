"""Tracks which test is running and what it pins. Knows nothing of pytest, and imports no extra before `start`."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from ..emulator import PinEvent
    from .proxy import WatchedProxy

__all__ = ["Watch"]


class Watch:
    """The pins of the running test.

    Attributes:
        proxy: the emulator, once it is running.
        pins: the pins of the running test so far, each with its phase: `setup`, `call` or `teardown`.
    """

    def __init__(self) -> None:
        self.proxy: WatchedProxy | None = None
        self.pins: list[tuple[str, PinEvent]] = []
        self._phase = "setup"
        self._taken = 0
        self._requests = 0.0
        self._exit = ExitStack()

    def start(self, dsn: str) -> "WatchedProxy":
        """Run the emulator in front of a database, until `stop`."""
        try:
            from .proxy import watched

            self.proxy = self._exit.enter_context(watched(dsn, on_pin=self._record, pins=self._pins_so_far))
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"{error.name} is not installed: pip install 'cdk-pinsafe[tools]'") from None
        return self.proxy

    def stop(self) -> None:
        """Stop the emulator if it is running."""
        self._requests -= self._all_requests()  # keeps the last test's count, which is read later
        self.proxy = None
        self._exit.close()

    def enter(self, phase: str) -> None:
        """Start a phase of a test; `setup` starts another test."""
        if phase == "setup":
            self.pins = []
            self._taken = 0
            self._requests = self._all_requests()
        self._phase = phase

    def take_new(self) -> "list[tuple[str, PinEvent]]":
        """Return the pins since the last call."""
        new = self.pins[self._taken :]
        self._taken += len(new)
        return new

    def requests(self) -> int:
        """Return how many requests the test sent through the emulator."""
        return int(self._all_requests() - self._requests)

    def _record(self, pin: "PinEvent") -> None:
        """Record a pin. Called in the emulator's thread, before the client receives the response."""
        self.pins.append((self._phase, pin))

    def _pins_so_far(self) -> "tuple[PinEvent, ...]":
        return tuple(pin for _, pin in self.pins)

    def _all_requests(self) -> float:
        return self.proxy.metrics()["QueryRequests"] if self.proxy is not None else 0.0
