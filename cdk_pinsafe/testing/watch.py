"""Which test is running, and what it pins. Must not know pytest, nor import what is of an extra before it starts."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from ..emulator import Pin
    from .proxy import WatchedProxy

__all__ = ["Watch"]


class Watch:
    """What the tests pin, by the test that is running.

    Attributes:
        proxy: the stand-in, once something asked for it.
        pins: what the running test pinned so far, each with the phase: `setup`, `call` or `teardown`.
    """

    def __init__(self) -> None:
        self.proxy: WatchedProxy | None = None
        self.pins: list[tuple[str, Pin]] = []
        self._phase = "setup"
        self._told = 0
        self._requests = 0.0
        self._exit = ExitStack()

    def start(self, dsn: str) -> "WatchedProxy":
        """Run the stand-in before a database, until `stop`."""
        try:
            from .proxy import watched

            self.proxy = self._exit.enter_context(watched(dsn, tell=self._note, pins=self._pins_so_far))
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"{error.name} is not installed: pip install 'cdk-pinsafe[tools]'") from None
        return self.proxy

    def stop(self) -> None:
        """Stop it if it runs."""
        self._requests -= self._all_requests()  # the last test's, which is asked for afterwards
        self.proxy = None
        self._exit.close()

    def enter(self, phase: str) -> None:
        """A phase of a test begins; with `setup`, another test."""
        if phase == "setup":
            self.pins = []
            self._told = 0
            self._requests = self._all_requests()
        self._phase = phase

    def untold(self) -> "list[tuple[str, Pin]]":
        """What the test pinned since it was last asked."""
        new = self.pins[self._told :]
        self._told += len(new)
        return new

    def requests(self) -> int:
        """How many requests the test sent through the stand-in."""
        return int(self._all_requests() - self._requests)

    def _note(self, pin: "Pin") -> None:
        """A client pinned its session. Called in the stand-in's thread, before the client gets its answer."""
        self.pins.append((self._phase, pin))

    def _pins_so_far(self) -> "tuple[Pin, ...]":
        return tuple(pin for _, pin in self.pins)

    def _all_requests(self) -> float:
        return self.proxy.metrics()["QueryRequests"] if self.proxy is not None else 0.0
