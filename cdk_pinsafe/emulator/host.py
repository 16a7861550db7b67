"""A stand-in in a thread of its own, for programs that are not asynchronous: tests, the rehearsal, the command line.

A client in the same process must let other threads run while it waits, as drivers do; psycopg 3's `Connection.cancel()`
does not, and would wait for ever (`cancel_safe()` does).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from .events import Observer, Pin
from .metrics import Metrics
from .server import Options, StandIn
from .snapshot import Snapshot
from .target import Target

__all__ = ["RunningStandIn", "event_loop", "running"]

_Value = TypeVar("_Value")


class RunningStandIn:
    """A stand-in that runs in another thread.

    Attributes:
        host, port: where clients connect to.
        target: the database behind it.
    """

    def __init__(self, stand_in: StandIn, loop: asyncio.AbstractEventLoop) -> None:
        self.host = stand_in.options.host
        self.port = stand_in.port
        self.target = stand_in.target
        self._stand_in = stand_in
        self._loop = loop

    @property
    def pins(self) -> tuple[Pin, ...]:
        """What pinned a session so far, in order; each session is there once. The last 10,000 are kept."""
        return self._ask(lambda: tuple(self._stand_in.pins))

    @property
    def statements(self) -> tuple[Pin, ...]:
        """Every statement so far that pins, in order, those of sessions that were pinned already (`repeated`) included.

        Of either kind the last 10,000 are kept.
        """
        return self._ask(lambda: tuple(sorted((*self._stand_in.pins, *self._stand_in.repeats), key=_when)))

    def metrics(self) -> Metrics:
        """What CloudWatch would be told, as of now."""
        return self._ask(self._stand_in.metrics)

    def snapshot(self) -> Snapshot:
        """Its clients and database connections, as of now."""
        return self._ask(lambda: Snapshot.of(self._stand_in))

    def clear(self) -> None:
        """Forget the pins so far. Sessions stay pinned."""
        self._ask(self._stand_in.forget_pins)

    def dsn(self, database: str | None = None) -> str:
        """A DSN for clients: the target's user, password and database, through the stand-in."""
        return self._stand_in.dsn(database)

    def _ask(self, question: Callable[[], _Value]) -> _Value:
        """Ask in the stand-in's thread, between two of its steps: what was answered to a client before is known."""

        async def ask() -> _Value:
            return question()

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(10)


def _when(pin: Pin) -> datetime:
    return pin.when


@contextlib.contextmanager
def running(
    target: Target | str, options: Options | None = None, *, observers: Sequence[Observer] = (), **changes: object
) -> Iterator[RunningStandIn]:
    """Run a stand-in until the `with` block ends.

    Args:
        target: the database, as a `Target` or a DSN.
        options: how it behaves.
        observers: who is told what happens, in the stand-in's thread.
        changes: attributes of `Options`, in place of `options`, as `pool_size=5`.

    Raises:
        StandInError: it cannot listen, or was told something that it cannot do.
    """
    where = Target.from_dsn(target) if isinstance(target, str) else target
    stand_in = StandIn(where, options, observers=observers, **changes)
    loop = event_loop()
    thread = threading.Thread(target=loop.run_forever, name="pinsafe-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(stand_in.start(), loop).result()
        try:
            yield RunningStandIn(stand_in, loop)
        finally:
            asyncio.run_coroutine_threadsafe(stand_in.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def event_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's where it is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
