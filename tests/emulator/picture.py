"""Draws ``examples/timeline.svg``, the documentation's picture of multiplexing and pinning, from real traffic.

Run ``python -m tests.emulator.picture`` in the root of the repository.
"""

import random
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from cdk_pinsafe.emulator import ProxyTarget, run_in_thread
from cdk_pinsafe.emulator.timeline import Recording
from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation

PICTURE = Path(__file__).parents[2] / "examples" / "timeline.svg"
REQUESTS = "ABCDEFGH"
POOL = 4
# The statement that two of the requests send in their second transaction.
SETS = {"C": "SET LOCAL hnsw.iterative_scan = 'relaxed_order'", "F": "SET search_path TO chat, public"}


def request(name: str, dsn: str) -> None:
    """Run three transactions with other work between them, like a web request that calls a language model."""
    rng = random.Random(name)
    time.sleep(REQUESTS.index(name) * 0.11)
    with psycopg.connect(dsn, autocommit=True, application_name=f"request {name}") as connection:
        for number in range(3):
            with connection.transaction():
                connection.execute("SELECT pg_sleep(%s)", (rng.uniform(0.05, 0.12),))
                if number == 1 and name in SETS:
                    connection.execute(SETS[name])
                connection.execute("SELECT pg_sleep(%s)", (rng.uniform(0.05, 0.12),))
            time.sleep(rng.uniform(0.15, 0.45))


def record() -> Recording:
    """Run eight requests through an emulator with four database connections."""
    recording = Recording()
    with tempfile.TemporaryDirectory() as folder, PostgresServer(wheel_installation(18), Path(folder)) as server:
        server.create_master("app", "secret", "chat")
        target = ProxyTarget(server.host, server.port, "app", "secret", "chat", sslmode="disable")
        with run_in_thread(target, pool_size=POOL, observers=[recording]) as proxy:
            threads = [threading.Thread(target=request, args=(name, proxy.dsn())) for name in REQUESTS]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(0.1)
    return recording


if __name__ == "__main__":
    record().save(PICTURE)
