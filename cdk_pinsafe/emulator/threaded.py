"""Runs an emulator in a thread, for synchronous programs: tests, the rehearsal, the command line.

A client in the same process must release the GIL while it waits, as drivers do. psycopg 3's `Connection.cancel()` does
not, and would wait forever; use `cancel_safe()`.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from .events import Observer, PinEvent
from .metrics import Metrics
from .server import EmulatorOptions, ProxyEmulator
from .snapshot import Snapshot
from .target import ProxyTarget

__all__ = ["ThreadedEmulator", "event_loop", "run_in_thread"]

_Value = TypeVar("_Value")


class ThreadedEmulator:
    """An emulator that runs in another thread.

    Attributes:
        host: the address that clients connect to.
        port: its port.
        target: the database behind it.
    """

    def __init__(self, emulator: ProxyEmulator, loop: asyncio.AbstractEventLoop) -> None:
        self.host = emulator.options.host
        self.port = emulator.port
        self.target = emulator.target
        self._emulator = emulator
        self._loop = loop

    @property
    def pins(self) -> tuple[PinEvent, ...]:
        """The statements that pinned a session, in order, one for each session. The last 10,000 are kept."""
        return self._call(lambda: tuple(self._emulator.pins))

    @property
    def statements(self) -> tuple[PinEvent, ...]:
        """All statements that pin, in order, including those of sessions that were already pinned (`repeated`).

        The last 10,000 of each kind are kept.
        """
        return self._call(lambda: tuple(sorted((*self._emulator.pins, *self._emulator.repeats), key=_when)))

    def metrics(self) -> Metrics:
        """Return the current metrics."""
        return self._call(self._emulator.metrics)

    def snapshot(self) -> Snapshot:
        """Return the current state of clients and database connections."""
        return self._call(lambda: Snapshot.take(self._emulator))

    def clear(self) -> None:
        """Forget the pins so far. Sessions stay pinned."""
        self._call(self._emulator.forget_pins)

    def dsn(self, database: str | None = None) -> str:
        """Return a DSN for clients: the target's user, password and database, through the emulator."""
        return self._emulator.dsn(database)

    def _call(self, function: Callable[[], _Value]) -> _Value:
        """Call a function in the emulator's thread; it sees the effects of all responses that clients have received."""

        async def call() -> _Value:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)


def _when(pin: PinEvent) -> datetime:
    return pin.when


@contextlib.contextmanager
def run_in_thread(
    target: ProxyTarget | str,
    options: EmulatorOptions | None = None,
    *,
    observers: Sequence[Observer] = (),
    **changes: object,
) -> Iterator[ThreadedEmulator]:
    """Run an emulator until the `with` block ends.

    Args:
        target: the database, as a `ProxyTarget` or a DSN.
        options: how it behaves.
        observers: receive the events, in the emulator's thread.
        changes: attributes of `EmulatorOptions`, instead of `options`, for example `pool_size=5`.

    Raises:
        EmulatorError: it cannot listen, or an option is invalid.
    """
    where = ProxyTarget.from_dsn(target) if isinstance(target, str) else target
    emulator = ProxyEmulator(where, options, observers=observers, **changes)
    loop = event_loop()
    thread = threading.Thread(target=loop.run_forever, name="pinsafe-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
        try:
            yield ThreadedEmulator(emulator, loop)
        finally:
            asyncio.run_coroutine_threadsafe(emulator.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's if it is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
