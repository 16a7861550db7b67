"""The emulator against Debian's PgBouncer: transactions a second, latency, memory, in one run on the same server."""

import asyncio
import contextlib
import os
import pwd
import re
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdk_pinsafe.localpg.server import PostgresServer, installations

from ..emulator.wire import Client

PGBOUNCER = Path("/usr/sbin/pgbouncer")
PGBENCH = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
USER, DATABASE = "app", "app"
CLIENTS = 20
ROUNDS = 5
SECONDS = 4
IDLE_CLIENTS = 1000

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(
        not (PGBOUNCER.exists() and PGBENCH), reason="Debian's pgbouncer and postgresql are not installed"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    debian = next(one for one in installations() if not one.copyable)
    with PostgresServer(debian, tmp_path_factory.mktemp("server")) as server:
        server.create_master(USER, "secret", DATABASE)
        pgbench(server.port, "-i", "-q", "-s", "5")
        yield server


def environment() -> dict[str, str]:
    return {**os.environ, "PGPASSWORD": "secret", "PGSSLMODE": "disable"}


def pgbench(port: int, *arguments: str, folder: Path | None = None) -> str:
    command = [str(PGBENCH[-1]), *arguments, "-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < end, "it does not listen"
        time.sleep(0.05)


@contextlib.contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[int]:
    """PgBouncer in transaction mode, with the emulator's pool and authentication."""
    port = free_port()
    folder = Path("/tmp") / f"pinsafe-bouncer-{secrets.token_hex(6)}"
    folder.mkdir()
    (folder / "users.txt").write_text(f'"{USER}" "secret"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{DATABASE} = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
        f"listen_port={port}\nauth_type=scram-sha-256\nauth_file={folder}/users.txt\npool_mode=transaction\n"
        f"default_pool_size=30\nmax_client_conn=2000\nunix_socket_dir=\nserver_tls_sslmode=disable\n"
    )
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    for path in (folder, *folder.iterdir()):
        if account:
            os.chown(path, account.pw_uid, account.pw_gid)
    process = subprocess.Popen(
        [str(PGBOUNCER), "-q", str(folder / "pgbouncer.ini")],
        user=account.pw_uid if account else None,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@contextlib.contextmanager
def emulator(server: PostgresServer, *options: str) -> Iterator[tuple[int, int]]:
    """`pinsafe emulator` in a process of its own, as PgBouncer is: its port and process id."""
    port = free_port()
    target = f"postgresql://{USER}:secret@127.0.0.1:{server.port}/{DATABASE}?sslmode=disable"
    program = str(Path(sys.executable).with_name("pinsafe"))
    process = subprocess.Popen(
        [program, "emulator", "--target", target, "--listen", f"127.0.0.1:{port}", *options], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def measure(port: int, folder: Path) -> tuple[float, float]:
    """Transactions a second, and the 99th percentile of latency in milliseconds."""
    told = pgbench(
        port, "-S", "-n", "-c", str(CLIENTS), "-j", "1", "-T", str(SECONDS), "-M", "simple", "-l", folder=folder
    )
    found = re.search(r"tps = ([\d.]+)", told)
    assert found
    latencies: list[int] = []
    for log in folder.glob("pgbench_log.*"):
        latencies += [int(line.split()[2]) for line in log.read_text().splitlines()]
        log.unlink()
    latencies.sort()
    return float(found[1]), latencies[int(len(latencies) * 0.99)] / 1000


def test_speed_against_pgbouncer(server: PostgresServer, tmp_path: Path) -> None:
    """pgbench -S with 20 clients of the simple protocol: at least 0.6 of PgBouncer's transactions a second, and a 99th
    percentile of latency at most 2 times its.
    """
    with pgbouncer(server) as bouncer, emulator(server) as (proxy, _):
        for port in (bouncer, proxy):
            measure(port, tmp_path)
        # In turns, so that whatever else the machine does falls on both.
        rounds = [(measure(bouncer, tmp_path), measure(proxy, tmp_path)) for _ in range(ROUNDS)]
    speed = statistics.median(ours[0] / theirs[0] for theirs, ours in rounds)
    latency = statistics.median(ours[1] / theirs[1] for theirs, ours in rounds)
    theirs, ours = ([statistics.median(each[side][what] for each in rounds) for what in (0, 1)] for side in (0, 1))
    print(
        f"\nPgBouncer {theirs[0]:,.0f} tps, p99 {theirs[1]:.2f} ms; emulator {ours[0]:,.0f} tps, p99 {ours[1]:.2f} ms; "
        f"median ratios {speed:.2f} and {latency:.2f}"
    )
    assert speed >= 0.6
    assert latency <= 2


def test_memory_of_a_thousand_idle_clients(server: PostgresServer) -> None:
    """With 1,000 idle clients, each of which has run a query, the emulator takes less than 100 MB."""

    async def many(port: int, process: int) -> int:
        clients: list[Client] = []
        for _ in range(IDLE_CLIENTS // 50):
            connecting = (Client.connect(port, USER, DATABASE, "secret") for _ in range(50))
            clients += await asyncio.gather(*connecting)
        for client in clients:
            await client.run("SELECT 1")
        taken = resident(process)
        for client in clients:
            await client.close()
        return taken

    with emulator(server, "--authentication", "password") as (port, process):
        alone = resident(process)
        taken = asyncio.run(many(port, process))
    print(f"\n{taken / 2**20:.0f} MB with {IDLE_CLIENTS} idle clients, {alone / 2**20:.0f} MB with none")
    assert taken < 100 << 20


def resident(process: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
