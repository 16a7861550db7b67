"""`pinsafe probe` as people use it, and docs/probe.md."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import jsonschema
import pg8000.native
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import make_conninfo
from rich.console import Console

import cdk_pinsafe.probe
from cdk_pinsafe.cli import main
from cdk_pinsafe.emulator import ProxyTarget, ThreadedEmulator, run_in_thread
from cdk_pinsafe.localpg.server import PostgresServer
from cdk_pinsafe.probe import report as reports
from cdk_pinsafe.probe.rows import rows
from cdk_pinsafe.probe.run import Options, Report, probe
from cdk_pinsafe.probe.verdict import Outcome

from ..docs.pages import blocks, page
from .conftest import DATABASE, PASSWORD, USER, chosen, dsn, pgbouncer

SCHEMA = json.loads((Path(cdk_pinsafe.probe.__file__).parent / "measurement.schema.json").read_text(encoding="utf-8"))
UNREACHABLE = "postgresql://app:h1dden@127.0.0.1:1/shop"


@pytest.fixture
def proxy(target: ProxyTarget) -> Iterator[ThreadedEmulator]:
    with run_in_thread(target, pool_size=10) as proxy:
        yield proxy


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["probe", *arguments])


def normal(text: str) -> str:
    """Without the numbers, which differ from run to run, or when the table gets another row."""
    return re.sub(r"\d+", "#", " ".join(text.split()))


def test_documented_output_is_real(emulated: Report) -> None:
    printed = StringIO()
    reports.text(emulated, Console(file=printed, width=110, highlight=False))
    [block] = [block.text for block in blocks(page("probe")) if block.kind == "console"]
    shown = normal(printed.getvalue())
    for part in block.partition("\n")[2].split("…\n"):
        assert normal(part) in shown
        shown = shown.partition(normal(part))[2]


def test_documented_options_are_the_commands() -> None:
    offered = {option for one in main.commands["probe"].params for option in one.opts}
    table = page("probe").partition("| option |")[2].partition("## How it works")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE)) == offered


def test_json_meets_its_schema_and_names_no_host(emulated: Report) -> None:
    text = reports.as_json(emulated)
    jsonschema.validate(json.loads(text), SCHEMA, format_checker=jsonschema.FormatChecker())
    assert "127.0.0.1" not in text
    assert PASSWORD not in text
    assert len(json.loads(text)["rows"]) == len(rows())


def test_markdown_has_every_row(emulated: Report) -> None:
    text = reports.markdown(emulated)
    assert [row.id for row in rows() if f"| `{row.id}` |" not in text] == []


def test_dry_run_connects_to_nothing() -> None:
    shown = invoke("--dsn", UNREACHABLE, "--dry-run")
    assert shown.exit_code == 0
    assert [row.id for row in rows() if f"{row.id}: " not in shown.output] == []


def test_read_only_sends_nothing_that_creates(proxy: ThreadedEmulator) -> None:
    report = probe(proxy.dsn(), Options(read_only=True), chosen=chosen("schema-alone", "temp-object-1", "copy-from"))
    assert [result.reason for result in report.results[1:]] == ["not sent: it creates something (--read-only)"] * 3
    assert "CREATE" not in invoke("--dsn", UNREACHABLE, "--dry-run", "--read-only").output


def test_without_the_right_to_create_a_schema(server_role: str, target: ProxyTarget) -> None:
    """What needs a schema is not sent, and the rest is measured."""
    with run_in_thread(
        ProxyTarget(target.host, target.port, server_role, PASSWORD, DATABASE, sslmode="disable"), pool_size=10
    ) as limited:
        report = probe(limited.dsn(), chosen=chosen("schema-alone", "copy-from", "copy-to"))
    found = {result.row.id: result for result in report.results}
    assert (found["canary"].outcome, found["copy-to"].outcome) == (Outcome.PINNED, Outcome.SHARED)
    assert found["schema-alone"].outcome == Outcome.REFUSED
    assert found["schema-alone"].reason.startswith("42501: ")
    assert found["copy-from"].reason == "not sent: what it needs first is refused (schema-alone)"


@pytest.fixture
def server_role(admin: pg8000.native.Connection) -> Iterator[str]:
    """A user who may create nothing."""
    admin.run(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    yield "reader"
    admin.run("DROP ROLE reader")


def test_connections_are_bounded(proxy: ThreadedEmulator) -> None:
    most = 0

    def look(_: object) -> None:
        nonlocal most
        most = max(most, len(proxy.snapshot().clients))

    probe(proxy.dsn(), Options(connections=4), chosen=chosen("several-statements", "startup-TimeZone"), progress=look)
    assert 0 < most <= 4


def test_time_is_bounded(proxy: ThreadedEmulator) -> None:
    report = probe(proxy.dsn(), Options(seconds=0.2))
    assert report.results[-1].reason == "not sent: time is up (--seconds 0.2)"
    assert {result.outcome for result in report.results[5:]} == {Outcome.CANNOT_TELL}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--dsn", UNREACHABLE], 2, "could not be probed: "),
        (["--dsn", "postgresql://app:h1dden@x@y/z"], 2, "the DSN is not understood"),
        (["--dsn", "", "--connections", "3"], 2, "--connections should be from 4 to 50, got 3"),
        (["--dsn", "", "--seconds", "0"], 2, "--seconds should be more than 0"),
        (["--dsn", "", "--seconds", "nan"], 2, "--seconds should be more than 0"),
    ],
)
def test_errors_say_what_to_do_and_no_password(arguments: list[str], status: int, said: str) -> None:
    shown = invoke(*arguments)
    assert shown.exit_code == status
    assert said in " ".join(shown.output.split())
    assert "h1dden" not in shown.output


def started(where: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from cdk_pinsafe.cli import main; main()", "probe", "--dsn", where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(proxy: ThreadedEmulator, number: int) -> None:
    """Wait until this many sessions were pinned."""
    end = time.monotonic() + 60
    while len(proxy.pins) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(
    proxy: ThreadedEmulator, admin: pg8000.native.Connection, number: signal.Signals, long: bool
) -> None:
    """Wherever it is stopped, its sessions, locks and objects are gone at once."""
    for pins in range(5, 100, 3) if long else (10,):
        proxy.clear()
        process = started(proxy.dsn())
        until(proxy, pins)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == (130 if number == signal.SIGINT else -9)
        assert number != signal.SIGINT or said.rstrip().endswith("interrupted: all sessions are closed")
        end = time.monotonic() + 10
        while proxy.snapshot().clients or left_behind(admin):
            assert time.monotonic() < end
            time.sleep(0.02)


def left_behind(admin: pg8000.native.Connection) -> list[object]:
    found = admin.run(
        "SELECT relname::text FROM pg_class WHERE relname LIKE 'pinsafe%' "
        "UNION ALL SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pinsafe%' "
        "UNION ALL SELECT locktype FROM pg_locks WHERE locktype = 'advisory'"
    )
    return list(found or [])


def test_burst_counts_wrong_results(proxy: ThreadedEmulator) -> None:
    report = probe(proxy.dsn(), Options(burst=True), chosen=chosen())
    assert {fact.id: fact.result for fact in report.facts}["burst"] == "all 1,200 right"


def test_output_is_written_besides(target: ProxyTarget, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    shown = invoke("--dsn", dsn(target.port), "--output", str(file))
    assert shown.exit_code == 2  # a plain server
    jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), SCHEMA)
    assert "no session's database connection was seen to serve another client" in " ".join(shown.output.split())


def test_lost_server_is_told(server: PostgresServer, admin: pg8000.native.Connection) -> None:
    """Where somebody ends all sessions between two rows, nothing is called pinned, and the probe goes on to its end."""
    ended = 0

    def end_all(_: object) -> None:
        nonlocal ended
        found = admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :user", user=USER)
        ended += len(found or [])

    with pgbouncer(server, "transaction") as where:
        report = probe(where, chosen=chosen("set-local-1", "copy-to", "several-statements"), progress=end_all)
    assert ended
    assert [result.row.id for result in report.results if result.outcome == Outcome.PINNED] == []
    assert len(report.results) == 4


def test_password_may_come_from_the_environment(target: ProxyTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    where = make_conninfo(host="127.0.0.1", port=target.port, user=USER, dbname=DATABASE, sslmode="disable")
    with psycopg.connect(where):
        pass
    assert probe(where, chosen=chosen()).server_version.startswith("18")
