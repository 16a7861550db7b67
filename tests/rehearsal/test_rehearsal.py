"""`pinsafe rehearse`, on the example and other apps."""

import contextlib
import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.rehearsal.cdk_cli import App

from .conftest import needs_proc, processes_with

ROOT = Path(__file__).parents[2]


def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with a temporary folder, and with a variable by which the processes of the run are found.

    The AWS profile does not exist: whatever uses it fails.
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return {
        **os.environ,
        "TMPDIR": str(temporary),
        "PINSAFE_TEST_RUN": str(tmp_path),
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "real-key",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from cdk_pinsafe.cli import main; main()", "rehearse", *arguments]


@contextlib.contextmanager
def running(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A running command and its progress, line by line; killed on exit."""
    run = subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if "json" in arguments else subprocess.STDOUT,
        text=True,
    )
    progress = run.stderr or run.stdout
    assert progress is not None
    with run:
        try:
            yield run, progress
        finally:
            run.kill()


def items(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in document["facts"] if item["kind"] == kind]


def rows(item: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["before"], row["after"]) for row in item["rows"]}


def shown(progress: str) -> str:
    """The final output on a terminal, without varying numbers, and without spaces, which a picture does not keep."""
    lines = [line for line in progress.splitlines() if not line.startswith("... ")]
    text = "".join("".join(lines).split())
    for varying, name in (
        (r"localhost:\d+", "localhost:PORT"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "WHEN"),
        (r"(client|db)Connection=\d+", "CONNECTION"),
        (r"\d+(?=databaseconnections,nonepinned)", "FEW"),
        (r"\d+\.\ds|in\d+s", "TIME"),
    ):
        text = re.sub(varying, name, text)
    return text


def shown_in_picture(picture: Path) -> str:
    title, *texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    assert title == "pinsafe&#160;rehearse"
    return shown(html.unescape("".join(texts)))


def drawn(picture: Path) -> list[str]:
    """The texts of a timeline, without times, numbers and the lanes of connections, whose number varies."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    return [text for one in texts if len(text := re.sub(r"[\d.]+ m?s$|connection \d+$|\b\d+\b", "", one).strip()) > 1]


def changes(item: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {row["watches"]: (row["before"], row["after"]) for row in item["alarms"] if row["before"] != row["after"]}


def assert_nothing_is_left(tmp_path: Path) -> None:
    end = time.monotonic() + 10
    while (left := processes_with(f"PINSAFE_TEST_RUN={tmp_path}")) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []
    assert list((tmp_path / "tmp").iterdir()) == []


@needs_proc
def test_example(tmp_path: Path) -> None:
    """All parts of the scenario; no process and no file is left."""
    timeline = tmp_path / "timeline.svg"
    run = subprocess.run(
        command("--format", "json", "--timeline", str(timeline)),
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["ok"]

    deployed, changed, rolled_back, destroyed = items(document, "settings")
    assert rows(deployed) == {
        "hnsw.iterative_scan": ("off", "relaxed_order"),
        "search_path": ('"$user", public', "chat, public"),
        "standard_conforming_strings": ("on", "on"),
        "statement_timeout": ("0", "30s"),
        "timezone": ("UTC", "UTC"),
    }
    assert rows(changed) == {"statement_timeout": ("30s", "45s")}
    assert rows(rolled_back) == {"statement_timeout": ("45s", "45s")}
    assert rows(destroyed)["hnsw.iterative_scan"] == ("relaxed_order", "off")
    assert rows(destroyed)["statement_timeout"] == ("45s", "0")

    (query,) = items(document, "query")
    assert query["uses_index"]
    assert (query["rows"], query["limit"]) == (10, 10)
    assert query["rows_without"] < 10
    (resources,) = items(document, "deployed")
    assert [proxy["enhanced_logging"] for proxy in resources["proxies"]] == [True]
    assert {alarm["watches"] for alarm in resources["alarms"]} == {
        "DatabaseConnectionsCurrentlySessionPinned > 5",
        "DatabaseConnectionsBorrowLatency > 100000",
        "ClientConnectionsSetupFailedAuth > 10",
        "pinned % > 50",
        "pool % > 80",
        "(pinned % > 50 AND DatabaseConnectionsBorrowLatency > 100000)",
    }
    with_set, without = items(document, "pooling")
    assert with_set["statement"] == "SET hnsw.iterative_scan TO 'relaxed_order'"
    assert with_set["clients"] == with_set["connections"] == with_set["pinned"] == with_set["pins_in_log"] == 12
    assert 'Digest: "set hnsw.iterative_scan to $1".' in with_set["line"]
    assert without["statement"] is None
    assert (without["clients"], without["pinned"], without["pins_in_log"], without["line"]) == (12, 0, 0, None)
    assert without["connections"] <= 12
    assert with_set["value"] == without["value"] == "relaxed_order"
    assert min(with_set["transactions"], without["transactions"]) > 12
    assert changes(with_set) == {
        "DatabaseConnectionsCurrentlySessionPinned > 5": ("OK", "ALARM"),
        "pinned % > 50": ("OK", "ALARM"),
    }
    assert changes(without) == {
        "DatabaseConnectionsCurrentlySessionPinned > 5": ("ALARM", "OK"),
        "pinned % > 50": ("ALARM", "OK"),
    }
    (failure,) = items(document, "refusal")
    assert failure["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert re.search(r'"statement_timeout".*45 parsecs.*HINT.*"ms"', failure["message"])
    assert "\n" not in failure["message"]

    assert shown(run.stderr) == shown_in_picture(ROOT / "examples" / "rehearsal.svg")
    assert drawn(timeline) == drawn(ROOT / "examples" / "rehearsal-timeline.svg")

    # Not a terminal: plain lines.
    assert "\x1b" not in run.stderr
    assert "password=" not in run.stderr + run.stdout
    assert_nothing_is_left(tmp_path)


CLIENTS = "the same clients without the SET"


@needs_proc
@pytest.mark.parametrize(
    ("step", "number"),
    [("cdk synth", signal.SIGINT), ("cdk deploy", signal.SIGTERM), (CLIENTS, signal.SIGINT)],
)
def test_interrupt_leaves_nothing_behind(tmp_path: Path, step: str, number: signal.Signals, long: bool) -> None:
    """Ctrl-C and SIGTERM during a step end the command with status 130."""
    if step == CLIENTS and not long:
        pytest.skip("takes half a minute until the clients run: with --long")
    with running(tmp_path, "--format", "json") as (run, progress):
        assert any(line.strip() == f"... {step}" for line in progress)
        time.sleep(2)
        run.send_signal(number)
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert json.loads(output)["error"] == "interrupted"
    assert_nothing_is_left(tmp_path)


OTHER_APP = """
from aws_cdk import App, Duration, Environment, Stack, aws_ec2 as ec2, aws_rds as rds
from cdk_pinsafe import DatabaseSettings, EnhancedLogging, PinningAlarms, PinSafeProxy

app = App()
stack = Stack(app, "Other", env=Environment(account="123456789012", region="eu-central-1"), termination_protection=True)
vpc = ec2.Vpc(stack, "Vpc")
cluster = rds.DatabaseCluster(
    stack,
    "Cluster",
    engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_6),
    vpc=vpc,
    default_database_name="app",
    writer=rds.ClusterInstance.serverless_v2("Writer"),
    readers=[rds.ClusterInstance.serverless_v2("Reader")],
)
instance = rds.DatabaseInstance(
    stack,
    "Instance",
    engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_6),
    vpc=vpc,
    manage_master_user_password=True,
)
first = {"statement_timeout": Duration.seconds(45), "pg_trgm.similarity_threshold": 0.5}
DatabaseSettings(
    stack, "First", database=cluster, vpc=vpc, database_name="app", settings=first, extensions=["pg_trgm"]
)
DatabaseSettings(
    stack, "Second", database=instance, vpc=vpc, database_name="postgres", settings={"application_name": "it's"}
)
proxy = PinSafeProxy(
    stack, "Proxy", target=cluster, vpc=vpc, db_proxy_name="other", iam_auth=False, enhanced_logging=EnhancedLogging.OFF
)
PinningAlarms(stack, "Alarms", proxy=proxy, pinned_threshold=14, evaluation_periods=3)
app.synth()
"""


@needs_proc
def test_keep_another_app(tmp_path: Path) -> None:
    """A cluster, an instance, a secret managed by RDS, an explicit environment, a missing extension, --keep."""
    (tmp_path / "app.py").write_text(OTHER_APP)
    (tmp_path / "cdk.json").write_text('{"app": "python3 app.py"}')
    with running(tmp_path, "--keep", "--app", str(tmp_path)) as (run, progress):
        lines = []
        for line in progress:
            lines.append(line.strip())
            if line.strip().startswith("AWS: "):
                break
        assert "note: left out of Other/First (stack Other): pg_trgm, which the embedded PostgreSQL lacks" in lines
        assert any(line.startswith("note: the app asks for PostgreSQL 17.6, the rehearsal runs 18.") for line in lines)
        assert "ok  cdk deploy with statement_timeout = 60s" in [line.rpartition("  ")[0] for line in lines]
        assert "note: proxy other: it has no log, because enhanced logging is off" in lines
        assert any(line.startswith("15 clients, each sent SET statement_timeout TO '45s': 15 ") for line in lines)
        assert "alarm on DatabaseConnectionsCurrentlySessionPinned > 14: OK -> ALARM" in lines
        assert "alarm on DatabaseConnectionsCurrentlySessionPinned > 14: ALARM -> OK" in lines
        logins = [found.groups() for line in lines if (found := re.search(r"(.+): psql '(.+)'", line))]
        values = []
        for (_, dsn), name in zip(logins, ("statement_timeout", "application_name", "statement_timeout"), strict=True):
            with psycopg.connect(dsn) as connection:
                values.append(connection.execute("SELECT current_setting(%s)", [name]).fetchall())
        assert [owner for owner, _ in logins][2] == "through the proxy other"
        assert values == [[("45s",)], [("it's",)], [("45s",)]]
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert run.returncode == 0
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise RuntimeError('no such table')", "RuntimeError: no such table"),
        ("from aws_cdk import App, Stack; app = App(); Stack(app, 'Empty'); app.synth()", "no DatabaseSettings"),
    ],
    ids=["broken", "without settings"],
)
def test_app_that_cannot_be_rehearsed(tmp_path: Path, program: str, message: str) -> None:
    """Status 1, with the cause."""
    (tmp_path / "app.py").write_text(program)
    (tmp_path / "cdk.json").write_text('{"app": "python3 app.py"}')
    run = subprocess.run(
        command("--app", str(tmp_path), "--format", "json"),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert message in json.loads(run.stdout)["error"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_rehearsal_that_cannot_start(tmp_path: Path) -> None:
    """Status 2 without an app, or with a timeline that cannot be written."""
    (tmp_path / "cdk.json").write_text('{"app": "false"}')
    nowhere = str(tmp_path / "nowhere" / "timeline.svg")
    variables = environment(tmp_path)
    for arguments, message in (
        (["--app", str(tmp_path / "tmp")], "no cdk.json in"),
        (["--app", str(tmp_path), "--timeline", nowhere], "cannot write the timeline"),
    ):
        run = subprocess.run(command(*arguments), env=variables, capture_output=True, text=True, check=False)
        assert run.returncode == 2
        assert message in " ".join((run.stdout + run.stderr).split())
        assert "start the local cloud" not in run.stdout + run.stderr


def test_app_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with cdk.json, by default the current one, or a command; not an assembly."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RehearsalError, match=r"no cdk\.json in"):
        App.from_option(None)
    assert App.from_option("python3 other.py") == App(tmp_path.resolve(), "python3 other.py")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "manifest.json").touch()
    with pytest.raises(RehearsalError, match="give the app itself"):
        App.from_option("app")
    (folder / "cdk.json").touch()
    assert App.from_option("app") == App(folder.resolve(), None)
