"""A pytest plugin: a test that pins a session of RDS Proxy fails, and its message shows the statement.

The plugin is active wherever this package is installed, and does nothing until it is used. Its requirements come with
``pip install 'cdk-pinsafe[tools]'``. Tests use their own PostgreSQL as before, but through a local RDS Proxy emulator
(`cdk_pinsafe.emulator`), which runs once per session, in its own thread. There are two ways to use it:

**With the fixture.** `pinsafe_proxy` has session scope, so engines and pools of session scope can use it::

    @pytest.fixture(scope="session")
    def engine(pinsafe_proxy):
        return create_engine(pinsafe_proxy.dsn)

The DSN of the database behind it comes from ``--pinsafe-target``, ``pinsafe_target`` in pytest's configuration, or the
environment variable ``PINSAFE_TARGET``; or from a fixture `pinsafe_target` that the suite defines. It is a URL, also
with a driver in its scheme (``postgresql+asyncpg://…``), or libpq's pairs; the proxy's DSN has the same form.

**With an environment variable.** For a suite that reads its DSN from a variable, ``pytest --pinsafe-env DATABASE_URL``
(or ``pinsafe_env`` in the configuration) starts the emulator before the suite is imported, and points the variable to
it. The suite does not change.

Every test is then watched. A test that runs a statement that pins fails, unless a marker on it, its class or its module
allows the condition: ``@pytest.mark.pinsafe(allow=["set-local"])``. If a test fails for another reason, its pins are
shown with the failure. ``--pinsafe-report`` adds a summary of everything that pins in the suite, including what is
allowed.

With pytest-xdist each worker has its own emulator.

Limits:

- The emulator pins as far as RDS Proxy's behavior is known: see `cdk_pinsafe.emulator`, and the evidence of each
  condition. Nothing was compared with a real proxy.
- Statements that run during collection are not reported.
- The plugin sees what the tests run, not everything that the application can run. `pinsafe lint` and `pinsafe audit`
  cover what no test runs.
- A statement belongs to the test that is running when it reaches the proxy. What a fixture of a wider scope runs
  belongs to the test during whose setup or teardown it runs; what a thread or a task runs later, to the test that is
  running then. Migrations and the like, which do not go through the proxy in production either, should use
  `pinsafe_target`.
- Every statement that pins is reported, even if an earlier test already pinned its session. But that session stays
  pinned, and holds a database connection, until its client disconnects: a suite that keeps 30 of them exhausts the
  pool.
- If one text contains several statements, the first one that pins is reported, as RDS Proxy does.
- Clients log in with their own name and password if the target's DSN has a password (in the DSN or PGPASSWORD;
  ``~/.pgpass`` is not read), otherwise without a password. TLS is not offered.
- A pin is reported when the test ends, with the statement and the client's application_name, not with the line of code
  that ran it.
"""

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

import pytest

from ..errors import PinSafeError, UnknownNameError
from .watch import Watch

if TYPE_CHECKING:
    from ..emulator import PinEvent
    from .message import PinningStatement
    from .proxy import WatchedProxy

_TARGET_VARIABLE: Final = "PINSAFE_TARGET"
_NO_TARGET: Final = (
    "pinsafe_proxy needs a database: set --pinsafe-target DSN, pinsafe_target in pytest's configuration, or "
    f"{_TARGET_VARIABLE} in the environment, or define a session fixture pinsafe_target that returns its DSN"
)

_WATCH: Final = pytest.StashKey[Watch]()
_ALLOWED: Final = pytest.StashKey[frozenset[str]]()
_ENVIRONMENT: Final = pytest.StashKey[pytest.MonkeyPatch]()


# EmulatorOptions


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the group `pinsafe`."""
    group = parser.getgroup("pinsafe", "pins of RDS Proxy (cdk-pinsafe)")
    group.addoption(
        "--pinsafe-target", metavar="DSN", help="the PostgreSQL behind pinsafe_proxy; leave the password to PGPASSWORD"
    )
    group.addoption(
        "--pinsafe-env",
        metavar="NAME",
        help="route the DSN in this environment variable through a local RDS Proxy emulator",
    )
    group.addoption("--pinsafe-report", action="store_true", help="show a summary of what pins in the suite")
    parser.addini("pinsafe_target", "same as --pinsafe-target")
    parser.addini("pinsafe_env", "same as --pinsafe-env")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the report."""
    config.stash.setdefault(_WATCH, Watch())
    config.addinivalue_line(
        "markers",
        "pinsafe(allow=[...]): allow the test to pin by these conditions (`pinsafe conditions` lists them)",
    )
    if config.getoption("--pinsafe-report"):
        config.pluginmanager.register(_Report(), "pinsafe-report")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """With --pinsafe-env, start the emulator and change the environment before the suite is imported."""
    name = early_config.known_args_namespace.pinsafe_env or early_config.getini("pinsafe_env")
    if not name:
        return
    dsn = os.environ.get(name)
    if not dsn:
        raise pytest.UsageError(
            f"--pinsafe-env: the environment variable {name}, which should hold the database's DSN, is not set"
        )
    from ..dsn import with_address

    watch = early_config.stash.setdefault(_WATCH, Watch())
    # Workers of pytest-xdist inherit the changed environment; the target variable tells them the database itself.
    target = _configured_target(early_config) or dsn
    try:
        proxy = watch.start(target)
    except PinSafeError as error:
        raise pytest.UsageError(f"--pinsafe-env: {error}") from None
    environment = early_config.stash[_ENVIRONMENT] = pytest.MonkeyPatch()
    environment.setenv(_TARGET_VARIABLE, target)
    environment.setenv(name, with_address(dsn, proxy.host, proxy.port))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restore the environment and stop the emulator."""
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
    """The DSN of the database behind `pinsafe_proxy`. Override this fixture to choose it in code."""
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
    """Start watching a test."""
    item.config.stash[_WATCH].enter("setup")
    item.stash[_ALLOWED] = _allowed(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed but pinned; add the pins to another failure."""
    return (yield from _watched(item, "call"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """The same for the teardown of fixtures."""
    return (yield from _watched(item, "teardown"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the pins to the last report of a test, so that they also come from workers of pytest-xdist."""
    report = yield
    watch = item.config.stash[_WATCH]
    if call.when == "teardown":
        found = _statements(item, watch.pins)
        vars(report)["pinsafe"] = {"requests": watch.requests(), "statements": [one.as_dict() for one in found]}
    return report


def _allowed(item: pytest.Item) -> frozenset[str]:
    """Return the conditions that the test's markers allow."""
    allowed: set[str] = set()
    for mark in item.iter_markers("pinsafe"):
        given = mark.kwargs.get("allow")
        if mark.args or len(mark.kwargs) != 1 or not isinstance(given, list | tuple | set | frozenset):
            pytest.fail(
                f'the marker should look like pinsafe(allow=["set-local"]), got {_marker_text(mark)}', pytrace=False
            )
        allowed.update(map(str, given))
        wrong = _unknown(allowed)
        if wrong is not None:
            pytest.fail(f"{_marker_text(mark)}: {wrong}", pytrace=False)
    return frozenset(allowed)


def _unknown(ids: set[str]) -> str | None:
    """Return the error message for unknown condition ids; None if all are known."""
    from ..pinning.conditions import condition

    try:
        for one in sorted(ids):
            condition(one)
    except UnknownNameError as error:
        return str(error)
    return None


def _marker_text(mark: pytest.Mark) -> str:
    given = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
    return f"pinsafe({', '.join(given)})"


def _statements(item: pytest.Item, pins: "list[tuple[str, PinEvent]]") -> "list[PinningStatement]":
    if not pins:
        return []
    from .message import statements

    return statements(pins, item.stash.get(_ALLOWED, frozenset()))


def _failure_message(item: pytest.Item) -> str | None:
    """Return the failure message for new pins that are not allowed; None if there are none."""
    found = [one for one in _statements(item, item.config.stash[_WATCH].take_new()) if not one.allowed]
    if not found:
        return None
    from .message import failure

    return failure(found)


def _watched(item: pytest.Item, phase: str) -> Generator[None, object, object]:
    """Watch one phase of a test."""
    item.config.stash[_WATCH].enter(phase)
    try:
        result = yield
    except BaseException:
        message = _failure_message(item)
        if message is not None:
            item.add_report_section(phase, "pinsafe", message)
        raise
    message = _failure_message(item)
    if message is not None:
        pytest.fail(message, pytrace=False)
    return result


class _Report:
    """Collects the pins from the test reports and shows a summary."""

    def __init__(self) -> None:
        self._tests: list[tuple[str, int, list[PinningStatement]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Read the pins from the last report of a test."""
        attached = getattr(report, "pinsafe", None)
        if attached is not None:
            from .message import PinningStatement

            found = [PinningStatement.from_dict(one) for one in attached["statements"]]
            self._tests.append((report.nodeid, attached["requests"], found))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the summary."""
        from .message import summary

        terminalreporter.section("pinsafe: what pins a session of RDS Proxy")
        for line in summary(self._tests):
            terminalreporter.write_line(line)
