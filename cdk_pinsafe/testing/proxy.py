"""A stand-in for RDS Proxy before the tests' database. It must not know pytest, nor which test is running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..emulator import Authentication, Metrics, Observer, Pin, RunningStandIn, Target, running
from .dsn import libpq_dsn, through

__all__ = ["WatchedProxy", "watched"]


class WatchedProxy:
    """What the fixture `pinsafe_proxy` gives: a proxy that pins as RDS Proxy does, before the tests' database.

    Attributes:
        dsn: the target's DSN, in the form in which it was given, leading through the proxy.
        host, port: where the proxy listens.
    """

    def __init__(self, stand_in: RunningStandIn, dsn: str, pins: Callable[[], tuple[Pin, ...]]) -> None:
        self.dsn = through(dsn, stand_in.host, stand_in.port)
        self.host = stand_in.host
        self.port = stand_in.port
        self._stand_in = stand_in
        self._pins = pins

    @property
    def pins(self) -> tuple[Pin, ...]:
        """What the running test pinned so far, in order, its fixtures included.

        Every statement that pins is there: `Pin.repeated` tells that its session was pinned already, in this test or
        in one before.
        """
        return self._pins()

    def metrics(self) -> Metrics:
        """What CloudWatch would be told, as of now: `metrics()["DatabaseConnectionsCurrentlySessionPinned"]`.

        Counts are since the stand-in was started, not of the running test.
        """
        return self._stand_in.metrics()


@contextmanager
def watched(dsn: str, *, tell: Callable[[Pin], object], pins: Callable[[], tuple[Pin, ...]]) -> Iterator[WatchedProxy]:
    """Run a stand-in before a database.

    Clients log in as whom they like, with that user's password; with none if the DSN has none.

    Args:
        dsn: the database.
        tell: is told each pin, in the stand-in's thread, before the client gets its answer.
        pins: those of the running test so far.

    Raises:
        StandInError: the DSN is none.
    """
    target = Target.from_dsn(libpq_dsn(dsn))
    authentication = Authentication.TRUST if target.password is None else Authentication.PASS_THROUGH
    with running(target, observers=[_Observer(tell)], authentication=authentication, users={}) as stand_in:
        yield WatchedProxy(stand_in, dsn, pins)


class _Observer(Observer):
    def __init__(self, tell: Callable[[Pin], object]) -> None:
        self._tell = tell

    def pinned(self, pin: Pin) -> None:
        self._tell(pin)
