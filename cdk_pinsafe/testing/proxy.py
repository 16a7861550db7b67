"""Runs the RDS Proxy emulator in front of the tests' database. Knows neither pytest nor the running test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..dsn import libpq_dsn, with_address
from ..emulator import Authentication, Metrics, Observer, PinEvent, ProxyTarget, ThreadedEmulator, run_in_thread

__all__ = ["WatchedProxy", "watched"]


class WatchedProxy:
    """The value of the fixture `pinsafe_proxy`: a proxy that pins as RDS Proxy does, in front of the tests' database.

    Attributes:
        dsn: the target's DSN in its original form, but through the proxy.
        host: the proxy's address.
        port: its port.
    """

    def __init__(self, emulator: ThreadedEmulator, dsn: str, pins: Callable[[], tuple[PinEvent, ...]]) -> None:
        self.dsn = with_address(dsn, emulator.host, emulator.port)
        self.host = emulator.host
        self.port = emulator.port
        self._emulator = emulator
        self._pins = pins

    @property
    def pins(self) -> tuple[PinEvent, ...]:
        """The statements that pinned during the running test so far, in order, including its fixtures'.

        Every statement that pins is listed: `PinEvent.repeated` is true if its session was already pinned, in this test
        or an earlier one.
        """
        return self._pins()

    def metrics(self) -> Metrics:
        """Return the current CloudWatch metrics, as in `metrics()["DatabaseConnectionsCurrentlySessionPinned"]`.

        Counts are since the start of the emulator, not of the running test.
        """
        return self._emulator.metrics()


@contextmanager
def watched(
    dsn: str, *, on_pin: Callable[[PinEvent], object], pins: Callable[[], tuple[PinEvent, ...]]
) -> Iterator[WatchedProxy]:
    """Run the emulator in front of a database.

    Any user may log in with its own password; without a password if the DSN has none.

    Args:
        dsn: the database.
        on_pin: called with each pin, in the emulator's thread, before the client receives the response.
        pins: returns the pins of the running test so far.

    Raises:
        PinSafeError: the DSN is malformed.
    """
    target = ProxyTarget.from_dsn(libpq_dsn(dsn))
    authentication = Authentication.TRUST if target.password is None else Authentication.PASS_THROUGH
    with run_in_thread(target, observers=[_Observer(on_pin)], authentication=authentication, users={}) as emulator:
        yield WatchedProxy(emulator, dsn, pins)


class _Observer(Observer):
    def __init__(self, on_pin: Callable[[PinEvent], object]) -> None:
        self._on_pin = on_pin

    def pinned(self, pin: PinEvent) -> None:
        self._on_pin(pin)
