"""Fixtures: a real server, and test suites that run against it in their own pytest."""

from collections.abc import Callable, Iterator
from itertools import takewhile

import pytest

from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation

USER = "app"
PASSWORD = "p4ss w@rd/ü"  # a URL must quote most of it
DATABASE = "shop"

Run = Callable[..., pytest.RunResult]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18 with an application's user and database."""
    with PostgresServer(wheel_installation(18), tmp_path_factory.mktemp("server")) as server:
        server.create_master(USER, PASSWORD, DATABASE)
        yield server


@pytest.fixture(scope="session")
def dsn(server: PostgresServer) -> str:
    """The DSN of that database."""
    return f"postgresql://{USER}:p4ss%20w%40rd%2F%C3%BC@{server.host}:{server.port}/{DATABASE}"


@pytest.fixture
def run(pytester: pytest.Pytester, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a suite, given as source text, in its own process against the database."""
    monkeypatch.setenv("PINSAFE_TARGET", dsn)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):  # the last two make pytest's summary show full messages
        monkeypatch.delenv(name, raising=False)

    def run(text: str, *options: str, name: str = "test_suite.py") -> pytest.RunResult:
        (pytester.path / name).write_text(text, encoding="utf-8")
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *options)

    return run


def failed(result: pytest.RunResult, name: str) -> str:
    """Return pytest's output on a failed test or on its error."""
    text = result.stdout.str()
    rest = text.partition(f" {name} _")[2].partition("\n")[2]
    assert rest, text
    return "\n".join(takewhile(lambda line: not line.startswith(("___", "===", "---")), rest.splitlines()))
