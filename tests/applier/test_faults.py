"""Faults at every point of an event: the connection is cut, the process is killed.

After each, the database has either all old or all new settings, and the same event again leads to the new.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

import pytest

from cdk_pinsafe.applier import connection, deadline
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.errors import UnreachableError

from .harness import MASTER, Database, FakeSecretsManager, LambdaContext
from .tcp_relay import After, TcpRelay

OLD: Final = {"jit": "off", "work_mem": "8MB", "search_path": ["chat", "public"]}
NEW: Final = {"jit": "on", "lock_timeout": "5s", "search_path": ["chat"]}
BY_HAND: Final = ("SET work_mem = '5MB'", "SET lock_timeout = '1s'", "SET timezone = 'UTC'")

State = tuple[dict[str, str], dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Scenario:
    """An event with its response, the event that undoes it, and the states before and after."""

    event: Mapping[str, Any]
    back: Mapping[str, Any]
    answer: Mapping[str, Any]
    old: State
    new: State


def _event(database: Database, request: str, now: Mapping[str, Any], was: Mapping[str, Any] | None) -> dict[str, Any]:
    given: dict[str, Any] = {"RequestType": request, "ResourceProperties": database.properties(now)}
    if request != "Create":
        given["PhysicalResourceId"] = database.physical_id
    if was is not None:
        given["OldResourceProperties"] = database.properties(was)
    return given


def _through(event: Mapping[str, Any], relay: TcpRelay) -> dict[str, Any]:
    return {**event, "ResourceProperties": {**event["ResourceProperties"], "Port": str(relay.port)}}


def _state(database: Database) -> State:
    """The stored settings and the ledger, once no session of the applier is left."""
    end = time.monotonic() + 30
    of_applier = "SELECT 1 FROM pg_stat_activity WHERE datname = :name AND usename = :user"
    while database.admin.run(of_applier, name=database.name, user=MASTER):
        assert time.monotonic() < end
        time.sleep(0.002)
    return database.stored(), database.ledger()


@pytest.fixture(params=["create", "update", "delete"])
def scenario(request: pytest.FixtureRequest, database: Database, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A database in the initial state."""
    # Pauses between attempts would take most of the time.
    monkeypatch.setattr(deadline, "random", types.SimpleNamespace(uniform=lambda *_: 0.001))
    for statement in BY_HAND:
        database.alter(statement)
    event, back = {
        "create": (_event(database, "Create", NEW, None), _event(database, "Delete", NEW, None)),
        "update": (_event(database, "Update", NEW, OLD), _event(database, "Update", OLD, NEW)),
        "delete": (_event(database, "Delete", OLD, None), _event(database, "Create", OLD, None)),
    }[request.param]
    if request.param != "create":
        database.create(OLD)
    old = _state(database)
    answer = on_event(event, LambdaContext())
    new = _state(database)
    assert old != new
    on_event(back, LambdaContext())
    assert _state(database) == old
    return Scenario(event, back, answer, old, new)


def _cuts(scenario: Scenario, database: Database, every: int) -> Iterator[tuple[int, bool]]:
    """Where to cut, and whether the server still gets that record: all records of a successful event, both ways, or a
    few that differ from server to server."""
    with TcpRelay(database.cluster.port) as relay:
        on_event(_through(scenario.event, relay), LambdaContext())
        records = relay.records
    on_event(scenario.back, LambdaContext())
    assert records > 20
    yield from list(itertools.product(range(records), (False, True)))[database.cluster.major % every :: every]


@pytest.mark.timeout(1800)
def test_cut_connection_does_not_fail_the_event(database: Database, scenario: Scenario, long: bool) -> None:
    """Cut at any message, before or after it reached the server."""
    for cut, arrives in _cuts(scenario, database, 1 if long else 23):
        with TcpRelay(database.cluster.port, cut, arrives=arrives) as relay:
            assert on_event(_through(scenario.event, relay), LambdaContext()) == scenario.answer, (cut, arrives)
            # The last record of a session may arrive after the response.
            assert relay.records >= cut
        assert _state(database) == scenario.new, (cut, arrives)
        on_event(scenario.back, LambdaContext())
        assert _state(database) == scenario.old, (cut, arrives)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", ["update"], indirect=True)
@pytest.mark.parametrize("after", [After.CLOSED, After.SILENT], ids=["closed", "silent"])
def test_unresponsive_server_does_not_exceed_deadline(
    database: Database, scenario: Scenario, after: After, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    """Whatever was sent before: either all old or all new settings are stored, and the same event later leads to the
    new."""
    seconds = 1.5
    monkeypatch.setattr(connection, "_LEAST_RESERVE", 0.3)
    for cut, arrives in _cuts(scenario, database, 1 if long else 101):
        with TcpRelay(database.cluster.port, cut, arrives=arrives, after=after) as relay:
            start = time.monotonic()
            with contextlib.suppress(UnreachableError):
                on_event(_through(scenario.event, relay), LambdaContext(seconds))
            assert time.monotonic() - start < seconds
        assert _state(database) in (scenario.old, scenario.new), (cut, arrives)
        _again_and_back(database, scenario)


def _again_and_back(database: Database, scenario: Scenario) -> None:
    on_event(scenario.event, LambdaContext())
    assert _state(database) == scenario.new
    on_event(scenario.back, LambdaContext())
    assert _state(database) == scenario.old


@dataclass
class CrashWorker:
    """Runs events in processes, one after the other."""

    process: subprocess.Popen[str]
    pid: int = 0
    requests: IO[str] = field(init=False)
    answers: IO[str] = field(init=False)

    def __post_init__(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.requests, self.answers = self.process.stdin, self.process.stdout

    def begin(self, message: Mapping[str, Any]) -> None:
        self.requests.write(json.dumps(message) + "\n")
        self.requests.flush()

    def answer(self, event: Mapping[str, Any]) -> int:
        """The exit status of a process that handles an event, or minus the signal that killed it."""
        self.begin(event)
        self.pid = int(self.answers.readline())
        return int(self.answers.readline())

    def kill(self) -> None:
        """Kill the process that handles the event."""
        while not self.pid:
            time.sleep(0.001)
        # It may have ended already, but its id is not reused yet.
        os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def crash_worker(database: Database) -> Iterator[CrashWorker]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.applier.crash_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        crash_worker = CrashWorker(process)
        crash_worker.begin({"user": MASTER, "password": database.cluster.password})
        yield crash_worker


@pytest.mark.timeout(1800)
def test_killed_process_leaves_all_old_or_all_new(
    database: Database, scenario: Scenario, crash_worker: CrashWorker, long: bool
) -> None:
    """Killed at any message, before or after it reached the server; the same event again leads to the new."""
    killed = 0
    for cut, arrives in _cuts(scenario, database, 1 if long else 23):
        crash_worker.pid = 0
        with TcpRelay(database.cluster.port, cut, arrives=arrives, at_the_cut=crash_worker.kill) as relay:
            status = crash_worker.answer(_through(scenario.event, relay))
        assert status in (0, -signal.SIGKILL)
        killed += status != 0
        assert _state(database) in (scenario.old, scenario.new), (cut, arrives)
        _again_and_back(database, scenario)
    assert killed > 1


@pytest.mark.timeout(1800)
def test_extension_and_settings_are_atomic(
    vector_database: Database, crash_worker: CrashWorker, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    """Cut at any message of both sessions, the event succeeds; killed there, it does everything or nothing."""
    monkeypatch.setattr(deadline, "random", types.SimpleNamespace(uniform=lambda *_: 0.001))
    database = vector_database
    event = _event(database, "Create", {"hnsw.ef_search": "50", "jit": "off"}, None)
    event["ResourceProperties"]["Extensions"] = ["vector"]

    def state() -> tuple[State, list[list[Any]]]:
        return _state(database), database.rows("SELECT extname FROM pg_extension ORDER BY extname")

    def back() -> None:
        on_event({**event, "RequestType": "Delete", "PhysicalResourceId": database.physical_id}, LambdaContext())
        database.run_sql("DROP EXTENSION IF EXISTS vector")

    old = state()
    with TcpRelay(database.cluster.port) as relay:
        on_event(_through(event, relay), LambdaContext())
        records = relay.records
    new = state()
    assert old != new
    back()
    assert state() == old
    for cut in range(database.cluster.major % 7, records, 1 if long else 7):
        arrives = bool(cut % 2)
        with TcpRelay(database.cluster.port, cut, arrives=arrives) as relay:
            on_event(_through(event, relay), LambdaContext())
        assert state() == new, cut
        back()
        crash_worker.pid = 0
        with TcpRelay(database.cluster.port, cut, arrives=arrives, at_the_cut=crash_worker.kill) as relay:
            crash_worker.answer(_through(event, relay))
        assert state() in (old, new), cut
        on_event(event, LambdaContext())
        assert state() == new, cut
        back()


@pytest.mark.timeout(1800)
def test_batch_is_atomic_in_each_database(
    database: Database,
    secrets_manager: FakeSecretsManager,
    crash_worker: CrashWorker,
    monkeypatch: pytest.MonkeyPatch,
    long: bool,
) -> None:
    """Cut anywhere, an event for several databases succeeds in all. Killed anywhere, it does everything or nothing in
    each, and the same event again leads to the new in all."""
    monkeypatch.setattr(deadline, "random", types.SimpleNamespace(uniform=lambda *_: 0.001))
    with contextlib.ExitStack() as stack:
        every = [database, *(stack.enter_context(database.cluster.fresh_database(secrets_manager)) for _ in range(2))]
        event, back = _event(database, "Update", NEW, OLD), _event(database, "Update", OLD, NEW)
        for one in (event, back):
            one["PhysicalResourceId"] = "pinsafe:127.0.0.1/*/c8a1f0"
            for given in (one["ResourceProperties"], one["OldResourceProperties"]):
                given["Databases"] = [one.name for one in every]
                del given["Database"]

        def states() -> list[State]:
            return [_state(one) for one in every]

        on_event({**back, "RequestType": "Create"}, LambdaContext())
        old = states()
        with TcpRelay(database.cluster.port) as relay:
            on_event(_through(event, relay), LambdaContext())
            records = relay.records
        new = states()
        on_event(back, LambdaContext())
        assert states() == old
        for cut in range(database.cluster.major, records, 5 if long else 83):
            arrives = bool(cut % 2)
            with TcpRelay(database.cluster.port, cut, arrives=arrives) as relay:
                on_event(_through(event, relay), LambdaContext())
            assert states() == new, cut
            on_event(back, LambdaContext())
            crash_worker.pid = 0
            with TcpRelay(database.cluster.port, cut, arrives=arrives, at_the_cut=crash_worker.kill) as relay:
                crash_worker.answer(_through(event, relay))
            assert all(state in pair for state, *pair in zip(states(), old, new, strict=True)), cut
            on_event(event, LambdaContext())
            assert states() == new, cut
            on_event(back, LambdaContext())
            assert states() == old, cut
