"""AWS's experiment of November 2023 with Debian's pgbench: a hundred clients, with and without multiplexing."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pg8000.native
import pytest

from cdk_pinsafe.emulator import ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.localpg.server import PostgresServer

from .conftest import DATABASE, PASSWORD, USER, backends, eventually

PGBENCH = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
CLIENTS = 100
POOL = 30

pytestmark = pytest.mark.skipif(not PGBENCH, reason="Debian's postgresql is not installed")


def pgbench(port: int, *arguments: str, seconds: float = 90) -> str:
    environment = {**os.environ, "PGPASSWORD": PASSWORD, "PGSSLMODE": "disable"}
    where = ("-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE)
    ran = subprocess.run(
        [str(PGBENCH[-1]), *arguments, *where], capture_output=True, text=True, env=environment, timeout=seconds
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module", autouse=True)
def tables(server: PostgresServer) -> None:
    pgbench(server.port, "-i", "-q", "-s", "1")


class PeakSampler:
    """Samples the highest numbers of backends, connections and pins, from the database and from the emulator."""

    def __init__(self, proxy: ThreadedEmulator, admin: pg8000.native.Connection) -> None:
        self.backends = self.pinned = self.connections = 0
        self._proxy = proxy
        self._admin = admin
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "PeakSampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            metrics = self._proxy.metrics()
            self.pinned = max(self.pinned, int(metrics["DatabaseConnectionsCurrentlySessionPinned"]))
            self.connections = max(self.connections, int(metrics["DatabaseConnections"]))
            self.backends = max(self.backends, backends(self._admin))
            time.sleep(0.02)


@pytest.mark.parametrize("protocol", ["extended", "prepared", "simple"])
def test_hundred_clients_share_thirty_connections(
    target: ProxyTarget, admin: pg8000.native.Connection, protocol: str
) -> None:
    """With any protocol, a hundred clients need at most thirty connections, and none is pinned."""
    assert eventually(lambda: backends(admin) == 0)
    with run_in_thread(target, pool_size=POOL) as proxy, PeakSampler(proxy, admin) as peaks:
        output = pgbench(proxy.port, "-n", "-S", "-c", str(CLIENTS), "-t", "20", "--protocol", protocol)
    assert f"number of transactions actually processed: {CLIENTS * 20}/{CLIENTS * 20}" in output
    assert re.search(r"number of failed transactions: 0 ", output)
    assert 1 < peaks.backends <= POOL
    assert peaks.connections <= POOL
    assert peaks.pinned == 0


def test_legacy_mode_pins_hundred_clients(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """In legacy mode a hundred clients of the extended protocol pin a hundred connections."""
    assert eventually(lambda: backends(admin) == 0)
    with run_in_thread(target, pool_size=CLIENTS, legacy=True) as proxy, PeakSampler(proxy, admin) as peaks:
        pgbench(proxy.port, "-n", "-S", "-c", str(CLIENTS), "-t", "50", "--protocol", "extended")
        assert len(proxy.pins) == CLIENTS
    assert peaks.pinned == CLIENTS
    assert peaks.backends == CLIENTS
