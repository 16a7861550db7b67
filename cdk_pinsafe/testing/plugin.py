"""A pytest plugin: a test that pins a session of RDS Proxy fails, and says by which statement.

The plugin is there wherever this package is installed, and does nothing until it is used. What it needs comes with
``pip install 'cdk-pinsafe[tools]'``. Tests run against their own PostgreSQL as before, but through a stand-in for RDS
Proxy (`cdk_pinsafe.emulator`), which runs once a session, in a thread of its own. There are two ways to put it there:

**By the fixture.** `pinsafe_proxy` is of session scope, so that an engine or a pool that lives as long may use it::

    @pytest.fixture(scope="session")
    def engine(pinsafe_proxy):
        return create_engine(pinsafe_proxy.dsn)

The database behind it is the DSN of ``--pinsafe-target``, of ``pinsafe_target`` in pytest's configuration, or of the
environment's ``PINSAFE_TARGET``; or whatever a fixture `pinsafe_target` returns that the suite defines instead. It is a
URL, a driver in its scheme included (``postgresql+asyncpg://…``), or libpq's pairs; the proxy's DSN has the same form.

**By the environment.** For a suite that reads its DSN from a variable, ``pytest --pinsafe-env DATABASE_URL`` (or
``pinsafe_env`` in the configuration) starts the stand-in before anything of the suite is imported, and lets the
variable lead through it. Nothing of the suite changes.

From then on every test is watched. One that ran a statement that pins fails, unless a marker on it, its class or its
module allows the condition: ``@pytest.mark.pinsafe(allow=["set-local"])``. What a failed test pinned is shown with its
failure. ``--pinsafe-report`` shows at the end what pins in the whole suite, what is allowed included.

With pytest-xdist each worker has a stand-in of its own.

Limits:

- The stand-in pins as far as is known of RDS Proxy: see `cdk_pinsafe.emulator`, and each condition's evidence. Nothing
  was compared with a real proxy.
- What is run while tests are collected is told to nobody.
- It sees what the tests run, not what the application may run. Where no test goes, nothing is found; `pinsafe lint`
  and `pinsafe audit` look there.
- A statement belongs to the test that runs while it reaches the proxy. What a fixture of wider scope runs belongs to
  the test that the fixture is set up for, or is torn down after; what a thread or a task leaves behind, to whichever
  test comes next. Migrations and the like, which do not go through the proxy in production either, should use
  `pinsafe_target`.
- Every statement that pins is told, also of a session that an earlier test pinned already. But that session stays
  pinned, and holds a database connection, until its client disconnects: a suite that keeps 30 of them finds the pool
  empty.
- Of several statements that are sent as one text, the first one that pins is told, as by RDS Proxy.
- Clients log in with their own name and password where the target's DSN has a password (the DSN's own, or PGPASSWORD;
  ``~/.pgpass`` is not read), and without one otherwise. They are offered no TLS.
- A pin is told when the test has ended, with the statement and the client's application_name, without the line of code
  that ran it.
"""

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

import pytest

from ..errors import PinSafeError, UnknownNameError
from .watch import Watch

if TYPE_CHECKING:
    from ..emulator import Pin
    from .message import Statement
    from .proxy import WatchedProxy

_TARGET_VARIABLE: Final = "PINSAFE_TARGET"
_NO_TARGET: Final = (
    "pinsafe_proxy needs to know the database: give --pinsafe-target DSN, pinsafe_target in pytest's configuration, or "
    f"{_TARGET_VARIABLE} in the environment, or let a session fixture pinsafe_target return its DSN"
)

_WATCH: Final = pytest.StashKey[Watch]()
_ALLOWED: Final = pytest.StashKey[frozenset[str]]()
_ENVIRONMENT: Final = pytest.StashKey[pytest.MonkeyPatch]()


# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the group `pinsafe`."""
    group = parser.getgroup("pinsafe", "pins of RDS Proxy (cdk-pinsafe)")
    group.addoption(
        "--pinsafe-target", metavar="DSN", help="the PostgreSQL behind pinsafe_proxy; leave the password to PGPASSWORD"
    )
    group.addoption(
        "--pinsafe-env",
        metavar="NAME",
        help="let the DSN in this environment variable lead through a stand-in for RDS Proxy",
    )
    group.addoption("--pinsafe-report", action="store_true", help="show at the end what pins in the whole suite")
    parser.addini("pinsafe_target", "as --pinsafe-target")
    parser.addini("pinsafe_env", "as --pinsafe-env")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and prepare the report."""
    config.stash.setdefault(_WATCH, Watch())
    config.addinivalue_line(
        "markers",
        "pinsafe(allow=[...]): let the test run statements that pin by these conditions; pinsafe conditions lists them",
    )
    if config.getoption("--pinsafe-report"):
        config.pluginmanager.register(_Report(), "pinsafe-report")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the stand-in before the database that the environment names, before the suite can read it."""
    name = early_config.known_args_namespace.pinsafe_env or early_config.getini("pinsafe_env")
    if not name:
        return
    dsn = os.environ.get(name)
    if not dsn:
        raise pytest.UsageError(f"--pinsafe-env: the environment has no {name}, which should hold a database's DSN")
    from .dsn import through

    watch = early_config.stash.setdefault(_WATCH, Watch())
    # Workers of pytest-xdist inherit the environment: they find the database itself in the variable of the target.
    target = _configured_target(early_config) or dsn
    try:
        proxy = watch.start(target)
    except PinSafeError as error:
        raise pytest.UsageError(f"--pinsafe-env: {error}") from None
    environment = early_config.stash[_ENVIRONMENT] = pytest.MonkeyPatch()
    environment.setenv(_TARGET_VARIABLE, target)
    environment.setenv(name, through(dsn, proxy.host, proxy.port))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if _ENVIRONMENT in config.stash:
        config.stash[_ENVIRONMENT].undo()
    if _WATCH in config.stash:
        config.stash[_WATCH].stop()


def _configured_target(config: pytest.Config) -> str | None:
    given = config.known_args_namespace.pinsafe_target or config.getini("pinsafe_target")
    return given or os.environ.get(_TARGET_VARIABLE)


# Fixtures


@pytest.fixture(scope="session")
def pinsafe_target(pytestconfig: pytest.Config) -> str:
    """The DSN of the database behind `pinsafe_proxy`. Define a fixture of this name to choose it by yourself."""
    target = _configured_target(pytestconfig)
    if target is None:
        pytest.fail(_NO_TARGET, pytrace=False)
    return target


@pytest.fixture(scope="session")
def pinsafe_proxy(request: pytest.FixtureRequest) -> "Iterator[WatchedProxy]":
    """A proxy that pins as RDS Proxy does: its `dsn`, the `pins` of the running test, its `metrics()`."""
    watch = request.config.stash[_WATCH]
    if watch.proxy is not None:
        yield watch.proxy
        return
    target = request.getfixturevalue("pinsafe_target")
    if not isinstance(target, str):
        pytest.fail(f"the fixture pinsafe_target should return a DSN, got {type(target).__name__}", pytrace=False)
    try:
        proxy = watch.start(target)
    except PinSafeError as error:
        raise pytest.fail.Exception(f"pinsafe_proxy: {error}", pytrace=False) from None
    yield proxy
    watch.stop()


# Tests


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test begins."""
    item.config.stash[_WATCH].enter("setup")
    item.stash[_ALLOWED] = _allowed(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed and pinned; show what it pinned with another failure."""
    return (yield from _watched(item, "call"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """The same for what fixtures do at the end."""
    return (yield from _watched(item, "teardown"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the last report of a test carry what it pinned, from a worker of pytest-xdist, too."""
    report = yield
    watch = item.config.stash[_WATCH]
    if call.when == "teardown":
        found = _statements(item, watch.pins)
        vars(report)["pinsafe"] = {"requests": watch.requests(), "statements": [one.as_dict() for one in found]}
    return report


def _allowed(item: pytest.Item) -> frozenset[str]:
    """The conditions that the test's markers allow."""
    allowed: set[str] = set()
    for mark in item.iter_markers("pinsafe"):
        given = mark.kwargs.get("allow")
        if mark.args or len(mark.kwargs) != 1 or not isinstance(given, list | tuple | set | frozenset):
            pytest.fail(f'the marker should be as pinsafe(allow=["set-local"]), got {_shown(mark)}', pytrace=False)
        allowed.update(map(str, given))
        wrong = _unknown(allowed)
        if wrong is not None:
            pytest.fail(f"{_shown(mark)}: {wrong}", pytrace=False)
    return frozenset(allowed)


def _unknown(ids: set[str]) -> str | None:
    """What is wrong with conditions' ids."""
    from ..pinning.conditions import condition

    try:
        for one in sorted(ids):
            condition(one)
    except UnknownNameError as error:
        return str(error)
    return None


def _shown(mark: pytest.Mark) -> str:
    given = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
    return f"pinsafe({', '.join(given)})"


def _statements(item: pytest.Item, pins: "list[tuple[str, Pin]]") -> "list[Statement]":
    if not pins:
        return []
    from .message import statements

    return statements(pins, item.stash.get(_ALLOWED, frozenset()))


def _refused(item: pytest.Item) -> str | None:
    """What is to be told of what the test pinned and may not."""
    found = [one for one in _statements(item, item.config.stash[_WATCH].untold()) if not one.allowed]
    if not found:
        return None
    from .message import failure

    return failure(found)


def _watched(item: pytest.Item, phase: str) -> Generator[None, object, object]:
    """Around a phase of a test."""
    item.config.stash[_WATCH].enter(phase)
    try:
        result = yield
    except BaseException:
        message = _refused(item)
        if message is not None:
            item.add_report_section(phase, "pinsafe", message)
        raise
    message = _refused(item)
    if message is not None:
        pytest.fail(message, pytrace=False)
    return result


class _Report:
    """Collects what the reports of the tests carry, and shows it at the end."""

    def __init__(self) -> None:
        self._tests: list[tuple[str, int, list[Statement]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test pinned out of its last report."""
        told = getattr(report, "pinsafe", None)
        if told is not None:
            from .message import Statement

            found = [Statement.from_dict(one) for one in told["statements"]]
            self._tests.append((report.nodeid, told["requests"], found))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show it."""
        from .message import summary

        terminalreporter.section("pinsafe: what pins a session of RDS Proxy")
        for line in summary(self._tests):
            terminalreporter.write_line(line)
