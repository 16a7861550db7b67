"""The proxies of the local cloud: an emulator for each, in front of its target's database.

A proxy has its endpoint from the start and accepts connections once it has a target. The endpoint is `localhost` and a
port of its own; on AWS it is a host name, with port 5432. Clients log in with the passwords of the proxy's secrets; on
AWS a proxy may require IAM tokens. `emulator` documents what else is not emulated.

A change of its options restarts a proxy at the same address; on AWS clients stay connected.

Metrics and log lines are published in minutes, each of which takes one second.
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
_MAX_LINES: Final = 10_000


@dataclass(frozen=True)
class Minute:
    """A minute of a proxy.

    Attributes:
        start: of the minute, in seconds since 1970.
        metrics: by CloudWatch's names; as on AWS, the pinned metric is missing while nothing is pinned.
        lines: the lines of its log.
    """

    start: int
    metrics: Mapping[str, float]
    lines: Sequence[str]


Publish = Callable[[Minute], None]


class Proxies:
    """Starts proxies and publishes their minutes; stops all on exit. A context manager.

    Attributes:
        tls: the certificate and key that proxies present to clients.
    """

    def __init__(self, directory: Path, certificate: Path, key: Path, authority: Path) -> None:
        """Prepare without starting anything.

        Args:
            directory: where a proxy's recording is written when it stops, for `recording_of`.
            certificate: the certificate that proxies present to clients.
            key: the certificate's key.
            authority: the certificate with which proxies verify databases.
        """
        self._directory = directory
        self.tls = (certificate, key)
        self._authority = authority
        self._lock = threading.Lock()
        self._reserved: dict[str, socket.socket] = {}
        self._ports: dict[str, int] = {}
        self._serving: dict[str, _Serving] = {}
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._publish_minutes, name="minutes", daemon=True)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._clock.join()
        for name in list(self._ports):
            self.delete(name)

    def create(self, name: str) -> str:
        """Create a proxy that does not accept connections yet; return its endpoint, `localhost:<port>`."""
        # Bound until the proxy has a target, so that no other process gets the port.
        reserved = self._reserved[name] = socket.socket()
        reserved.bind((_HOST, 0))
        self._ports[name] = reserved.getsockname()[1]
        return f"{HOST_NAME}:{self._ports[name]}"

    def serve(self, name: str, database: Database, options: EmulatorOptions, *, log: bool, publish: Publish) -> None:
        """Start a proxy, or restart it if its options changed.

        Args:
            name: the proxy.
            database: its target.
            options: its options; host and port are replaced.
            log: whether it writes log lines.
            publish: called with every minute, in another thread.
        """
        options = replace(options, host=_HOST, port=self._ports[name])
        before = self._serving.get(name)
        if before is not None and before.requested == (database, options, log):
            return
        self.stop(name)
        if reserved := self._reserved.pop(name, None):
            reserved.close()
        target = ProxyTarget(database.host, database.port, sslmode="verify-full", sslrootcert=str(self._authority))
        serving = _Serving((database, options, log), target, publish, _recording_path(self._directory, name))
        with self._lock:
            self._serving[name] = serving

    def stop(self, name: str) -> None:
        """Stop a proxy that has no target anymore."""
        with self._lock:
            serving = self._serving.pop(name, None)
        if serving is not None:
            serving.close()

    def delete(self, name: str) -> None:
        """Stop a proxy and release its port."""
        self.stop(name)
        self._ports.pop(name, None)
        if reserved := self._reserved.pop(name, None):
            reserved.close()

    def _publish_minutes(self) -> None:
        minute = int(time.time()) // 60 * 60
        while not self._stopped.wait(_MINUTE):
            with self._lock:
                for serving in self._serving.values():
                    serving.publish(minute)
            minute += 60


class _Serving:
    """A running emulator."""

    def __init__(
        self, requested: tuple[Database, EmulatorOptions, bool], target: ProxyTarget, publish: Publish, recording: Path
    ) -> None:
        self.requested = requested
        _, options, log = requested
        self._publish = publish
        self._path = recording
        self._lines: list[str] = []
        self._recording = Recording()
        self._running = contextlib.ExitStack()
        observers = [self._recording, *([LogWriter(self._write)] if log else [])]
        self._emulator: ThreadedEmulator = self._running.enter_context(
            run_in_thread(target, options, observers=observers)
        )
        self._before = self._emulator.metrics()

    def publish(self, minute: int) -> None:
        """Publish the minute that just ended."""
        now = self._emulator.metrics()
        lines, self._lines = self._lines, []
        self._publish(Minute(minute, minute_metrics(self._before, now), lines))
        self._before = now

    def close(self) -> None:
        """Stop the emulator and write its recording."""
        self._running.close()
        if self._recording.spans:
            self._path.touch(mode=0o600)
            self._path.write_bytes(pickle.dumps(self._recording))

    def _write(self, line: str) -> None:
        if len(self._lines) < _MAX_LINES:
            self._lines.append(line)


def recording_of(directory: Path, proxy: str) -> Recording | None:
    """The recording of a stopped proxy; None if it had no traffic."""
    path = _recording_path(directory, proxy)
    if not path.exists():
        return None
    recording = pickle.loads(path.read_bytes())  # noqa: S301 - written by our own child process, in our folder
    assert isinstance(recording, Recording)  # noqa: S101 - see close()
    return recording


def _recording_path(directory: Path, proxy: str) -> Path:
    return directory / f"{proxy}.traffic"


def minute_metrics(before: Metrics, now: Metrics) -> dict[str, float]:
    """A minute's metrics, from an emulator's totals at its start and its end."""
    metrics = {}
    for name, (kind, _) in NAMES.items():
        if name in now.averaged:
            (total_before, number_before), (total, number) = before.averaged[name], now.averaged[name]
            if number > number_before:
                metrics[name] = (total - total_before) / (number - number_before)
        elif kind == "counter":
            metrics[name] = now[name] - before[name]
        elif name != PINNED or now[name]:
            metrics[name] = now[name]
    return metrics
