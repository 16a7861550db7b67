"""The pytest plugin, on suites that run in their own pytest, through an emulator in front of a real server."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from cdk_pinsafe.localpg.server import PostgresServer

from ..docs.pages import page
from .conftest import PASSWORD, Run, failed

CONNECTION = """
import psycopg
import pytest
from cdk_pinsafe.testing import WatchedProxy

@pytest.fixture(scope="session")
def connection(pinsafe_proxy):
    with psycopg.connect(pinsafe_proxy.dsn, autocommit=True, application_name="shop") as connection:
        yield connection
"""


def test_guide_example_fails_as_shown(run: Run) -> None:
    """The guide's suite prints what the guide shows, except for the time."""
    text = page("pytest-plugin")
    suite = re.search(r"^```python\n# test_orders\.py\n(.*?)^```$", text, re.M | re.S)
    shown = re.search(r"^```console\n\$ pytest --pinsafe-target \S+ (.*?)\n(.*?)^```$", text, re.M | re.S)
    assert suite is not None
    assert shown is not None
    result = run(suite[1], *shown[1].split(), name="test_orders.py")

    def without_time(output: str) -> list[str]:
        return re.sub(r"in \d+\.\d+s", "in a moment", output).strip().splitlines()

    assert without_time(result.stdout.str()) == without_time(shown[2])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_each_test_fails_for_its_own_statements(run: Run) -> None:
    """Tests share a connection; each fails for what it ran itself, also after an earlier one pinned it."""
    result = run(
        CONNECTION
        + """
def test_first(connection, pinsafe_proxy):
    for _ in range(3):
        connection.execute("SET jit = off")
    assert [pin.repeated for pin in pinsafe_proxy.pins] == [False, True, True]
    assert pinsafe_proxy.metrics()["DatabaseConnectionsCurrentlySessionPinned"] == 1

def test_between(connection, pinsafe_proxy):
    assert isinstance(pinsafe_proxy, WatchedProxy)
    connection.execute("SHOW jit")
    assert pinsafe_proxy.pins == ()

def test_last(connection):
    connection.execute("SELECT 1; CREATE TEMP TABLE batch (id integer); SELECT 2")
    connection.execute("SET jit = on")
"""
    )
    result.assert_outcomes(passed=1, failed=2)
    first, last = failed(result, "test_first"), failed(result, "test_last")
    assert first.count("  statement  ") == 1
    assert "  statement  SET jit = off\n  when       3 times\n" in first
    assert "client     connection 1, application_name shop, user app, database shop\n" in first
    assert "pinned already" not in first
    assert last.startswith("pins behind RDS Proxy: temp-object, set\n")
    assert "  statement  SELECT 1; CREATE TEMP TABLE batch (id integer); SELECT 2\n" in last
    assert "  pins by    CREATE TEMP TABLE batch\n" in last
    assert "  statement  SET jit = on\n" in last
    assert last.count("database shop, pinned already\n") == 2
    assert 'Accept it: @pytest.mark.pinsafe(allow=["temp-object", "set"])' in last


def test_fixtures_and_other_failures(run: Run) -> None:
    """Fixtures count for their test, teardowns as errors; other failures stay, with the pins below."""
    result = run(
        CONNECTION
        + """
@pytest.fixture
def before(connection):
    connection.execute("SET jit = off")

@pytest.fixture
def after(connection):
    yield
    connection.execute("DISCARD ALL")

def test_set_up(before): pass

def test_torn_down(after): pass

def test_broken(connection):
    connection.execute("LISTEN news")
    assert 1 == 2

@pytest.mark.xfail(strict=True, reason="pins")
def test_expected(connection):
    connection.execute("LISTEN news")

@pytest.fixture
def broken(connection):
    yield
    connection.execute("UNLISTEN news; RESET jit")
    raise ValueError("at the end")

def test_broken_at_the_end(broken): pass

def test_skipped(before):
    pytest.skip("when it is too late")
"""
    )
    result.assert_outcomes(passed=2, failed=2, errors=2, xfailed=1, skipped=1)
    assert "  when       in its setup\n" in failed(result, "test_set_up")
    torn_down = failed(result, "ERROR at teardown of test_torn_down")
    assert "  statement  DISCARD ALL\n  when       in its teardown\n" in torn_down
    result.stdout.fnmatch_lines(
        ["E       ValueError: at the end", "*Captured pinsafe teardown*", "  statement  UNLISTEN news; RESET jit"]
    )
    result.stdout.fnmatch_lines(["E       assert 1 == 2", "*Captured pinsafe call*", "  statement  LISTEN news"])


def test_marker_on_test_class_and_module(run: Run) -> None:
    """The markers of a test, its class and its module add up; other conditions still fail."""
    result = run(
        CONNECTION
        + """
pytestmark = pytest.mark.pinsafe(allow=["set"])

def test_module(connection):
    connection.execute("SET jit = off")

@pytest.mark.pinsafe(allow=["listen"])
class TestAll:
    @pytest.mark.pinsafe(allow=("temp-object", "discard"))
    def test_all(self, connection):
        for sql in "SET jit = off", "LISTEN news", "CREATE TEMP TABLE batch (id integer)", "DISCARD ALL":
            connection.execute(sql)

    def test_not_all(self, connection):
        connection.execute("LISTEN news")
        connection.execute("DISCARD ALL")
"""
    )
    result.assert_outcomes(passed=2, failed=1)
    assert failed(result, "TestAll.test_not_all").startswith("pins behind RDS Proxy: discard\n")
    assert "LISTEN" not in failed(result, "TestAll.test_not_all")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('allow=["sett"]', "pinsafe(allow=['sett']): there is no condition 'sett': did you mean set?"),
        ('allow="set"', "the marker should look like pinsafe(allow=[\"set-local\"]), got pinsafe(allow='set')"),
        ('"set"', "the marker should look like pinsafe(allow=[\"set-local\"]), got pinsafe('set')"),
        ('forbid=["set"]', "the marker should look like pinsafe(allow=[\"set-local\"]), got pinsafe(forbid=['set'])"),
        ("", 'the marker should look like pinsafe(allow=["set-local"]), got pinsafe()'),
    ],
)
def test_invalid_marker(run: Run, marker: str, message: str) -> None:
    """An unknown condition or a malformed marker is a one-line error of the test."""
    result = run(f"import pytest\n@pytest.mark.pinsafe({marker})\ndef test_it(): pass\n")
    result.assert_outcomes(errors=1)
    assert failed(result, "ERROR at setup of test_it").startswith(message)


@pytest.mark.parametrize("workers", [0, 2])
def test_environment_variable_is_routed_through_the_emulator(
    run: Run, dsn: str, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """A suite that reads its DSN at import is watched unchanged, also in workers, and reported."""
    monkeypatch.delenv("PINSAFE_TARGET")
    monkeypatch.setenv("DATABASE_URL", dsn.replace("postgresql:", "postgresql+psycopg:") + "?sslmode=prefer")
    result = run(
        """
import os, unittest
import psycopg, pytest

URL = os.environ["DATABASE_URL"]
assert URL.startswith("postgresql+psycopg://") and URL.endswith("?sslmode=disable")

def ask(sql):
    with psycopg.connect(URL.replace("+psycopg", "")) as connection:
        connection.execute(sql)

class CaseTest(unittest.TestCase):
    def test_case(self):
        ask("SET jit = off")

@pytest.mark.parametrize("number", range(3))
def test_clean(number):
    ask("SELECT 1")

@pytest.mark.pinsafe(allow=["set"])
def test_allowed():
    ask("SET jit = off")
    ask("SET jit = off")

def test_same(pinsafe_proxy):
    assert f"@{pinsafe_proxy.host}:{pinsafe_proxy.port}/" in URL
""",
        "--pinsafe-env=DATABASE_URL",
        "--pinsafe-report",
        *(["-n", str(workers)] if workers else []),
    )
    result.assert_outcomes(passed=5, failed=1)
    assert "  statement  SET jit = off\n" in failed(result, "CaseTest.test_case")
    shown = result.stdout.str().partition("pinsafe: what pins a session of RDS Proxy =")[2].splitlines()[1:5]
    assert shown[0] == "set: SET jit = off"
    assert sorted(shown[1:3]) == [
        "  test_suite.py::CaseTest::test_case",
        "  test_suite.py::test_allowed, 2 times (allowed)",
    ]
    # BEGIN, the statement and COMMIT are one request each.
    assert shown[3] == "5 tests sent 18 requests through the emulator; 2 pinned, 1 of them as allowed"


def test_environment_is_restored(run: Run, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the session the variables have their original values, for programs that call pytest."""
    monkeypatch.delenv("PINSAFE_TARGET")
    monkeypatch.setenv("DATABASE_URL", dsn)
    code = (
        "import os, pytest; before = dict(os.environ); assert pytest.main(['-q', '--pinsafe-env=DATABASE_URL']) == 5; "
        "import sys; sys.exit(dict(os.environ) != before)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path.cwd())


def test_precedence_of_targets(run: Run, dsn: str, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """The suite's fixture overrides the option, which overrides the configuration, which overrides the variable."""
    monkeypatch.setenv("PINSAFE_TARGET", "postgresql://nobody@127.0.0.1:1/variable")
    asks = "def test_it(connection): assert connection.info.dbname == 'shop'\n"
    (pytester.path / "pytest.ini").write_text(f"[pytest]\npinsafe_target = {dsn}\n")
    run(CONNECTION + asks).assert_outcomes(passed=1)
    other = "postgresql://nobody@127.0.0.1:1/option"
    (pytester.path / "pytest.ini").write_text(f"[pytest]\npinsafe_target = {other}\n")
    run(CONNECTION + asks, "--pinsafe-target", dsn).assert_outcomes(passed=1)
    fixture = f"@pytest.fixture(scope='session')\ndef pinsafe_target(): return {dsn!r}\n"
    run(CONNECTION + fixture + asks, "--pinsafe-target", other).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "pinsafe_proxy needs a database: set --pinsafe-target DSN, pinsafe_target in pytest's"),
        ("'host=a,b'", "pinsafe_proxy: the target should be one host and port, got host 'a,b', port '5432'"),
        ("'wrong=1'", "pinsafe_proxy: the DSN is not understood"),
        ("17", "the fixture pinsafe_target should return a DSN, got int"),
    ],
)
def test_invalid_target(run: Run, monkeypatch: pytest.MonkeyPatch, target: str | None, message: str) -> None:
    """Without a valid DSN, tests that use the fixture fail with a one-line message."""
    monkeypatch.delenv("PINSAFE_TARGET")
    fixture = "" if target is None else f"@pytest.fixture(scope='session')\ndef pinsafe_target(): return {target}\n"
    result = run(f"import pytest\n{fixture}def test_it(pinsafe_proxy): pass\ndef test_other(): pass\n")
    result.assert_outcomes(passed=1, errors=1)
    assert failed(result, "ERROR at setup of test_it").startswith(message)


def test_missing_environment_variable(run: Run) -> None:
    """A missing variable is a usage error before any test runs."""
    result = run("def test_it(): pass", "--pinsafe-env=NO_SUCH_URL")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().strip() == (
        "ERROR: --pinsafe-env: the environment variable NO_SUCH_URL, which should hold the database's DSN, is not set"
    )


def test_report_of_suite_that_bypasses_the_emulator(run: Run) -> None:
    """The report does not claim that nothing pins if no request came through the emulator."""
    result = run("def test_it(): pass", "--pinsafe-report")
    result.stdout.fnmatch_lines(["1 test sent nothing through the emulator: check that they use its DSN"])


def test_pairs_with_password_from_environment(
    run: Run, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target in libpq's pairs can leave its password to PGPASSWORD; other users log in with their own."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with_pairs = f"host={server.host} port={server.port} dbname=shop user=app"
    result = run(
        CONNECTION
        + f'''
@pytest.fixture(scope="session")
def pinsafe_target():
    return "{with_pairs}"

def test_pairs(connection, pinsafe_proxy):
    assert "sslmode=disable" in pinsafe_proxy.dsn
    assert connection.execute("SELECT current_user").fetchone() == ("app",)

def test_other(pinsafe_proxy):
    with psycopg.connect(pinsafe_proxy.dsn, user="postgres", password={server.superuser_password!r}) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("postgres",)

def test_wrong(pinsafe_proxy):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(pinsafe_proxy.dsn, password="wrong")
''',
    )
    result.assert_outcomes(passed=3)


def test_junit_report_has_the_statement(run: Run, pytester: pytest.Pytester) -> None:
    run(CONNECTION + "def test_it(connection): connection.execute('SET jit = off')", "--junit-xml=junit.xml")
    failure = ET.parse(pytester.path / "junit.xml").find(".//failure")
    assert failure is not None
    assert "  statement  SET jit = off" in (failure.text or "")


def test_plugin_import_is_cheap() -> None:
    """pytest loads the plugin wherever the package is installed: no extra and no slow module is imported."""
    code = (
        "import sys, pytest; before = set(sys.modules); import cdk_pinsafe.testing.plugin; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*new - sys.stdlib_module_names, *new & {'asyncio', 'ssl'})"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "cdk_pinsafe\n"
    [point] = entry_points(group="pytest11", name="pinsafe")
    assert point.value == "cdk_pinsafe.testing.plugin"


def test_missing_extra_is_named(run: Run, pytester: pytest.Pytester) -> None:
    """Without the extra, tests that use the fixture fail with the install command, and other tests run."""
    (pytester.path / "conftest.py").write_text("import sys\nsys.modules.update(postgast=None)\n")
    result = run("def test_it(pinsafe_proxy): pass\ndef test_other(): pass\n")
    result.assert_outcomes(passed=1, errors=1)
    wanted = "pinsafe_proxy: postgast is not installed: pip install 'cdk-pinsafe[tools]'"
    assert failed(result, "ERROR at setup of test_it").strip().startswith(wanted)
