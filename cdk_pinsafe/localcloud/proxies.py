"""The proxies of the local cloud: for each an emulator that multiplexes and pins, before the database of its target.

A proxy has its address from the start, and is served there as soon as it has a target: `localhost` and a port of its
own. On AWS it is a host name alone and the port is 5432, which here may be somebody's own PostgreSQL, and of which a
machine like macOS has but one. Clients log in with the passwords of the proxy's secrets, where AWS may ask for IAM
tokens, which an emulator does not have. What else it does not imitate is said by `emulator`.

A change of its options starts a proxy anew at the same address; on AWS clients stay connected.

Metrics and log lines are handed over in minutes, each of which lasts a second. It must not know where they go.
"""

import contextlib
import pickle
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from ..emulator import EmulatorOptions, ProxyTarget, ThreadedEmulator, run_in_thread
from ..emulator.log import LogWriter
from ..emulator.metrics import NAMES, Metrics
from ..emulator.timeline import Recording
from ..rds_proxy import PINNED
from .databases import HOST_NAME, Database

__all__ = ["Minute", "Proxies", "recording_of"]

_MINUTE: Final = 1.0  # seconds
_HOST: Final = "127.0.0.1"
_MOST_LINES: Final = 10_000


@dataclass(frozen=True)
class Minute:
    """What a proxy has to say about a minute.

    Attributes:
        start: of the minute, as seconds since 1970.
        metrics: by CloudWatch's names; the pinned metric is missing while nothing is pinned, as on AWS.
        lines: of its log.
    """

    start: int
    metrics: Mapping[str, float]
    lines: Sequence[str]


Publish = Callable[[Minute], None]


class Proxies:
    """Starts proxies, tells of them, and stops them all together. A context manager.

    Attributes:
        tls: the certificate and key with which proxies meet their clients.
    """

    def __init__(self, directory: Path, certificate: Path, key: Path, authority: Path) -> None:
        """Prepare for proxies.

        Args:
            directory: where a proxy's traffic is written when it stops, for `recording_of`.
            certificate: with which proxies meet their clients.
            key: the certificate's.
            authority: the certificate of the authority by which proxies verify databases.
        """
        self._directory = directory
        self.tls = (certificate, key)
        self._authority = authority
        self._lock = threading.Lock()
        self._reserved: dict[str, socket.socket] = {}
        self._ports: dict[str, int] = {}
        self._serving: dict[str, _Serving] = {}
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._tell, name="minutes", daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._clock.join()
        for name in list(self._ports):
            self.delete(name)

    def create(self, name: str) -> str:
        """Give a proxy its address, `localhost:<port>`, at which nobody answers yet."""
        # Kept bound, so that nobody else is given the port before the proxy has a target.
        reserved = self._reserved[name] = socket.socket()
        reserved.bind((_HOST, 0))
        self._ports[name] = reserved.getsockname()[1]
        return f"{HOST_NAME}:{self._ports[name]}"

    def serve(self, name: str, database: Database, options: EmulatorOptions, *, log: bool, publish: Publish) -> None:
        """Serve a proxy's clients, from now on with these options.

        Args:
            name: the proxy's.
            database: behind it.
            options: how it behaves, but for its address.
            log: whether it writes log lines.
            publish: is told of every minute, in another thread.
        """
        options = replace(options, host=_HOST, port=self._ports[name])
        before = self._serving.get(name)
        if before is not None and before.asked == (database, options, log):
            return
        self.stop(name)
        if reserved := self._reserved.pop(name, None):
            reserved.close()
        target = ProxyTarget(database.host, database.port, sslmode="verify-full", sslrootcert=str(self._authority))
        serving = _Serving((database, options, log), target, publish, _traffic(self._directory, name))
        with self._lock:
            self._serving[name] = serving

    def stop(self, name: str) -> None:
        """Serve a proxy no longer, as it has no target."""
        with self._lock:
            serving = self._serving.pop(name, None)
        if serving is not None:
            serving.close()

    def delete(self, name: str) -> None:
        """Forget a proxy."""
        self.stop(name)
        self._ports.pop(name, None)
        if reserved := self._reserved.pop(name, None):
            reserved.close()

    def _tell(self) -> None:
        minute = int(time.time()) // 60 * 60
        while not self._stopped.wait(_MINUTE):
            with self._lock:
                for serving in self._serving.values():
                    serving.tell(minute)
            minute += 60


class _Serving:
    """An emulator at work."""

    def __init__(
        self, asked: tuple[Database, EmulatorOptions, bool], target: ProxyTarget, publish: Publish, traffic: Path
    ) -> None:
        self.asked = asked
        _, options, log = asked
        self._publish = publish
        self._traffic = traffic
        self._lines: list[str] = []
        self._recording = Recording()
        self._running = contextlib.ExitStack()
        observers = [self._recording, *([LogWriter(self._write)] if log else [])]
        self._emulator: ThreadedEmulator = self._running.enter_context(
            run_in_thread(target, options, observers=observers)
        )
        self._before = self._emulator.metrics()

    def tell(self, minute: int) -> None:
        """Tell of a minute that is over."""
        now = self._emulator.metrics()
        lines, self._lines = self._lines, []
        self._publish(Minute(minute, over_a_minute(self._before, now), lines))
        self._before = now

    def close(self) -> None:
        """Stop, and write what was."""
        self._running.close()
        if self._recording.spans:
            self._traffic.touch(mode=0o600)
            self._traffic.write_bytes(pickle.dumps(self._recording))

    def _write(self, line: str) -> None:
        if len(self._lines) < _MOST_LINES:
            self._lines.append(line)


def recording_of(directory: Path, proxy: str) -> Recording | None:
    """The traffic of a proxy that has stopped; None if there was none."""
    path = _traffic(directory, proxy)
    if not path.exists():
        return None
    recording = pickle.loads(path.read_bytes())  # noqa: S301 - of a process and in a folder of this rehearsal's own
    assert isinstance(recording, Recording)  # noqa: S101 - as written above
    return recording


def _traffic(directory: Path, proxy: str) -> Path:
    return directory / f"{proxy}.traffic"


def over_a_minute(before: Metrics, now: Metrics) -> dict[str, float]:
    """A minute's metrics, from what an emulator counted until its beginning and until its end."""
    told = {}
    for name, (kind, _) in NAMES.items():
        if name in now.averaged:
            (was, until), (total, number) = before.averaged[name], now.averaged[name]
            if number > until:
                told[name] = (total - was) / (number - until)
        elif kind == "counter":
            told[name] = now[name] - before[name]
        elif name != PINNED or now[name]:
            told[name] = now[name]
    return told
