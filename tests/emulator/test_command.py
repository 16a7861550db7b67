"""`pinsafe emulator`: its output, files, metrics and exit status."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psycopg
import pytest
from click.testing import CliRunner
from rich.console import Console

from cdk_pinsafe.cli import main
from cdk_pinsafe.emulator import ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.emulator.command import address
from cdk_pinsafe.emulator.metrics import NAMES
from cdk_pinsafe.emulator.metrics_server import serve_metrics
from cdk_pinsafe.emulator.terminal_view import render
from cdk_pinsafe.emulator.timeline import Recording, draw
from cdk_pinsafe.errors import EmulatorError
from cdk_pinsafe.pinning.log_lines import parse_line

from ..docs.pages import page
from .conftest import DATABASE, PASSWORD, USER, eventually

PINSAFE = str(Path(sys.executable).with_name("pinsafe"))


def dsn(host: str, port: int) -> str:
    return f"postgresql://{USER}@{host}:{port}/{DATABASE}?sslmode=disable"


@contextlib.contextmanager
def command(target: ProxyTarget, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the command as a process; yields its output lines so far, of which the first has been printed."""
    process = subprocess.Popen(
        [PINSAFE, "emulator", "--target", dsn(target.host, target.port), "--listen", "127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PGPASSWORD": PASSWORD},
    )
    lines: list[str] = []
    assert process.stdout is not None
    lines.append(process.stdout.readline().rstrip())
    reader = threading.Thread(target=lambda: lines.extend(line.rstrip() for line in process.stdout or ()))
    reader.start()
    try:
        yield process, lines
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(20)
        reader.join()
        process.stdout.close()


def use(port: int, *statements: str) -> None:
    with psycopg.connect(dsn("127.0.0.1", port), password=PASSWORD, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def test_text_log_metrics_and_timeline(target: ProxyTarget, tmp_path: Path) -> None:
    """It prints pins with remedies, writes log lines and a picture, serves metrics, and exits with 1."""
    log, picture = tmp_path / "proxy.log", tmp_path / "timeline.svg"
    options = ("--log", str(log), "--timeline", str(picture), "--metrics-port", "0")
    with command(target, *options) as (process, lines):
        port = int(re.findall(r":(\d+)", lines[0])[0])
        use(port, "SELECT 1", "SET search_path TO app")
        assert eventually(lambda: any("search_path" in line for line in lines))
        metrics_port = int(re.findall(r"127.0.0.1:(\d+)", " ".join(lines[1:]))[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics.json") as answer:
            assert json.load(answer)["QueryRequests"] == 2
    assert process.returncode == 1
    assert lines[-1] == "1 client, 2 requests, 1 database connection at most, 1 session pinned"
    assert 'settings={"search_path": ["app"]}' in "\n".join(lines)
    assert "Traceback" not in "\n".join(lines)
    assert [line.kind.value for text in log.read_text().splitlines() if (line := parse_line(text))] == [
        "connected",
        "pinned",
        "closed",
    ]
    assert "SET search_path TO app" in "".join(ElementTree.parse(picture).getroot().itertext())
    assert PASSWORD not in log.read_text() + picture.read_text() + "\n".join(lines)


def test_guide_shows_the_output(target: ProxyTarget) -> None:
    block = re.search(r"```console\n\$ pinsafe emulator [^\n]*\n(.*?)```", page("emulator"), re.DOTALL)
    assert block
    with command(target) as (process, lines):
        port = int(re.findall(r":(\d+)", lines[0])[0])
        with psycopg.connect(dsn("127.0.0.1", port), password=PASSWORD, autocommit=True) as connection:
            with connection.transaction():
                connection.execute("SET LOCAL hnsw.iterative_scan = 'relaxed_order'")
                connection.execute("SELECT 1")
            use(port, "SELECT 1")
    assert process.returncode == 1
    assert "\n".join(lines).replace(str(port), "6432") == block[1].strip()


def test_json(target: ProxyTarget) -> None:
    """With --format json each line is an event; the exit status without pins is 0."""
    with command(target, "--format", "json") as (process, lines):
        start = json.loads(lines[0])
        assert start["event"] == "listening"
        use(start["port"], "SELECT 1")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert process.returncode == 0
    end = json.loads(lines[-1])
    assert end["event"] == "stopped"
    assert end["metrics"]["ClientConnectionsReceived"] == 1
    with command(target, "--format", "json") as (process, lines):
        use(json.loads(lines[0])["port"], "SET timezone TO UTC")
        assert eventually(lambda: len(lines) == 2)
    assert process.returncode == 1
    pin = json.loads(lines[1])
    assert (pin["event"], pin["condition"], pin["digest"]) == ("pinned", "set", "set timezone to $1")


def test_live_view_on_a_terminal(target: ProxyTarget) -> None:
    """On a terminal it shows clients and connections live, and restores the screen at the end."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [PINSAFE, "emulator", "--target", dsn(target.host, target.port), "--listen", "127.0.0.1:0"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "PGPASSWORD": PASSWORD, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"},
    )
    os.close(follower)
    shown = ""

    def read(until: str, seconds: float = 20) -> str:
        nonlocal shown
        end = time.monotonic() + seconds
        while until not in shown:
            assert time.monotonic() < end, shown
            if select.select([leader], [], [], 0.1)[0]:
                shown += os.read(leader, 65536).decode(errors="replace")
        return shown

    try:
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", read("Ctrl-C"))[0])
        with psycopg.connect(dsn("127.0.0.1", port), password=PASSWORD, autocommit=True) as connection:
            connection.execute("SET search_path TO app")
            read("pinned by")
            read("SET search_path TO app")
        process.send_signal(signal.SIGINT)
        read("1 session pinned")
        assert process.wait(20) == 1
        assert "\x1b[?1049l" in shown  # the original screen is restored
    finally:
        process.kill()
        process.wait()
        os.close(leader)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "nonsense"], "the DSN is not understood"),
        (["--target", "host=localhost user=me"], "has no password"),
        (["--target", "host=localhost", "--listen", "here"], "an address should be host:port, got 'here'"),
        (["--target", "host=localhost", "--tls-key", "key.pem"], "--tls-certificate and --tls-key go together"),
        (["--target", "host=localhost", "--timeline", "/nowhere/x.svg"], "cannot write the timeline"),
        (["--target", "host=localhost", "--pool-size", "0"], "pool_size should be at least 1, got 0"),
    ],
)
def test_usage_errors(arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalid options give a one-line error and exit status 2."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    result = CliRunner().invoke(main, ["emulator", *arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_address() -> None:
    """The host of an address is optional."""
    assert address("0.0.0.0:6432") == ("0.0.0.0", 6432)
    assert address(":6432") == address("6432") == ("127.0.0.1", 6432)
    assert address("[::1]:6432") == ("::1", 6432)
    with pytest.raises(EmulatorError):
        address("localhost:65536")


def test_metrics_over_http(proxy: ThreadedEmulator) -> None:
    """Prometheus' text and JSON contain every metric under CloudWatch's name; other paths are not found."""
    with serve_metrics(proxy) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics.json") as answer:
            values = json.load(answer)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        words = f"cannot serve metrics on 127.0.0.1:{port}"
        with pytest.raises(EmulatorError, match=words), serve_metrics(proxy, port):
            pass
    assert set(values) == set(NAMES)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len(NAMES)
    assert "aws_rds_database_connections_currently_session_pinned 0" in lines
    assert "aws_rds_query_requests_no_tls 0" in lines
    assert "aws_rds_max_database_connections_allowed 3" in lines


def test_timeline_shows_recorded_traffic(target: ProxyTarget, tmp_path: Path) -> None:
    """A lane for each connection, a color for each client, a hatch for the pin, no external resources."""
    recording = Recording()
    with run_in_thread(target, pool_size=2, observers=[recording]) as proxy:
        for name in ("one", "two & <three>"):
            with psycopg.connect(proxy.dsn(), autocommit=True, application_name=name) as connection:
                connection.execute("SELECT pg_sleep(0.05)")
                if name == "one":
                    connection.execute("SET search_path TO app, public")
                    connection.execute("SELECT pg_sleep(0.05)")
        assert eventually(lambda: all(span.end is not None for span in recording.spans))
    picture = tmp_path / "timeline.svg"
    recording.save(picture)
    text = picture.read_text()
    root = ElementTree.fromstring(text)
    texts = " ".join("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "2 clients share 2 database connections, 1 pinned" in texts
    assert "client 1 (one)" in texts
    assert "client 2 (two & <three>)" in texts
    assert "client 1 pinned connection 1" in texts
    assert "SET search_path TO app, public" in texts
    hatched = [element for element in root.iter() if element.get("fill", "").startswith("url(#hatch")]
    assert len(hatched) == 2  # the pin and its client in the legend
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in text
    assert draw(Recording())  # an empty recording is not an error


def test_view_of_many_clients(proxy: ThreadedEmulator) -> None:
    """The view fits into its lines and shows pinned clients first."""
    with contextlib.ExitStack() as stack:
        for number in range(25):
            connection = stack.enter_context(psycopg.connect(proxy.dsn(), autocommit=True))
            if number == 20:
                connection.execute("SET jit = off")
        console = Console(width=140, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
        console.print(render(proxy.snapshot(), 12.0, height=24))
        text = console.export_text()
        console.file.close()
    assert len(text.splitlines()) <= 24
    assert "25 clients   1 of 3 database connections, 1 borrowed, 1 pinned" in text
    rows = text.splitlines()
    head = next(index for index, row in enumerate(rows) if row.startswith("client "))
    assert rows[head + 1].startswith("21 ")
    assert "SET jit = off" in rows[head + 1]
