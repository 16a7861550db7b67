"""``pinsafe settings``."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from aws_cdk import Duration, Size
from click.testing import CliRunner, Result

from cdk_pinsafe.cli import main
from cdk_pinsafe.settings import DENIED, to_text
from cdk_pinsafe.settings.catalogue import MAJORS, Suits, check, check_default, find, names


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["settings", *arguments])


def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--format", "json").stdout)


def test_parameter() -> None:
    lines = run("hnsw.max_scan_tuples").output.splitlines()
    assert lines[:3] == ["hnsw.max_scan_tuples", "Sets the max number of tuples to visit for iterative scans", ""]
    assert [line.split(maxsplit=1) for line in lines[3:5]] == [
        ["PostgreSQL", "14 to 18"],
        ["extension", "vector, since 0.8.0"],
    ]
    assert "a whole number from 1 to 2147483647" in lines[6]
    assert "the database's owner sets its default" in lines[7]
    assert lines[8].split(maxsplit=1) == ["default", "any value may be that of every session"]
    assert lines[9].endswith('settings={"hnsw.max_scan_tuples": 100}')


def test_clients_that_send_the_parameter() -> None:
    assert document("STATEMENT_TIMEOUT")["clients"] == ["node-postgres"]
    assert "node-postgres (sometimes)" in run("STATEMENT_TIMEOUT").output
    assert document("jit")["clients"] == []
    assert "sent by" not in run("jit").output


def test_versions_with_different_bounds() -> None:
    shown = run("maintenance_work_mem").output
    assert re.search(r"14 to 16.*from 1024kB.*17 and 18.*from 64kB", shown, re.DOTALL)
    assert "in B, kB, MB, GB, TB; without a unit it counts kB" in shown
    assert "1024kB" not in run("maintenance_work_mem", "--engine-version", "17").output


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shared_buffers", "no database: PostgreSQL reads it at server start only (postmaster); set it in a parameter"),
        (
            "auto_explain.log_analyze",
            "on RDS      only superusers may set it, and RDS's master user is none: put it in a",
        ),
        ("session_preload_libraries", "add the library to shared_preload_libraries in a parameter group"),
        ("log_min_messages", "(denied on RDS 17.2, https://github.com/supabase/realtime/issues/1326)"),
        ("session_replication_role", "roles that were granted SET on it; RDS lets its master user set it"),
        ("pg_stat_statements.track", "pg_stat_statements, measured in 1.9 to 1.12"),
        ("SEARCH_PATH", 'settings={"search_path": ["app", "public"]}'),
        *((name, f"denied      {reason}") for name, reason in DENIED.items()),
    ],
)
def test_parameter_that_cannot_be_set(name: str, text: str) -> None:
    """Its reason is shown, with exit status 0."""
    shown = run(name)
    assert shown.exit_code == 0
    assert text in shown.output
    assert ("in CDK" in shown.output) == ("database's owner" in shown.output or "lets its master" in shown.output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wrok_mem"], "'wrok_mem' is not a parameter of PostgreSQL 18; did you mean 'work_mem'?"),
        (["wrok_mem", "--engine-version", "14"], "'wrok_mem' is not a parameter of PostgreSQL 14; did you mean"),
        (["io_method", "--engine-version", "14"], "'io_method' is not a parameter of PostgreSQL 14, but of 18"),
        (["app.tenant"], "'app.tenant': RDS refuses a name that no loaded library defines"),
        (
            ["pgaudit.log"],
            "'pgaudit.log' belongs to an extension or engine that the catalogue of parameters does not know",
        ),
        (["rds.force_ssl"], "'rds.force_ssl' is one of RDS's own"),
        (["sort_mem"], "'sort_mem' is an old name of 'work_mem'"),
        (["a;b"], "'a;b' is not a parameter's name"),
        (["work_mem", "--engine-version", "13"], "'13' is not one of '14', '15', '16', '17', '18'"),
    ],
)
def test_unknown_parameter_is_a_usage_error(arguments: list[str], message: str) -> None:
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert message in shown.stderr
    assert shown.stdout == ""


@pytest.mark.parametrize("major", MAJORS)
def test_list(major: int) -> None:
    """One parameter per line, without denied ones."""
    shown = run("--engine-version", str(major)).output
    listed = {match[1] for match in re.finditer(r"^([\w.]+)\*? {2,}\S", shown, re.MULTILINE)} - {"parameter"}
    settable = {name for name in names(major) if (one := find(name, major)) and one.is_settable}
    assert listed == settable
    assert f"{len(settable)} parameters that a database of PostgreSQL {major} can set" in shown
    assert f"Measured on PostgreSQL {major}." in shown
    assert not settable & {"seed", "role", "shared_buffers", "log_connections"}


def test_list_shows_the_newest_version() -> None:
    assert run().output == run("--engine-version", str(MAJORS[-1])).output
    assert document()["engine_version"] == MAJORS[-1]


def test_parameter_as_json() -> None:
    found = document("WORK_MEM")
    [version] = found.pop("versions")
    assert found == {
        "name": "work_mem",
        "description": "Sets the maximum memory to be used for query workspaces.",
        "extension": None,
        "list": False,
        "denied": None,
        "clients": [],
    }
    assert version == {
        "engine_versions": [14, 15, 16, 17, 18],
        "since": None,
        "context": "user",
        "settable": True,
        "denied_on_rds": None,
        "harmful_default": {
            "suits": "a role of its own",
            "values": "256MB or more",
            "reason": "each sort and hash of each session may take so much, and together more than the instance has",
        },
        "type": "integer",
        "unit": "kB",
        "units": ["B", "kB", "MB", "GB", "TB"],
        "minimum": 64,
        "maximum": 2_147_483_647,
        "values": [],
        "example": 'settings={"work_mem": Size.mebibytes(64)}',
    }
    assert document("role")["denied"] == DENIED["role"]


@pytest.mark.parametrize("major", MAJORS)
def test_examples_are_valid(major: int) -> None:
    """Each is Python, and the catalogue accepts its value."""
    shown = document("--engine-version", str(major))["parameters"]
    for one in shown:
        [version] = one["versions"]
        harmful = version["harmful_default"]
        if version["denied_on_rds"] or (harmful and harmful["suits"] in (Suits.NEVER, Suits.ONE_SESSION)):
            assert version["example"] is None
            continue
        written: dict[str, Any] = {}
        exec(version["example"], {"Duration": Duration, "Size": Size}, written)
        of_role = "role_settings" in written
        [[name, value]] = (written["role_settings"]["<role>"] if of_role else written["settings"]).items()
        assert name == one["name"]
        assert check(name, to_text(name, value), major) == []
        assert check_default(name, to_text(name, value), of_role=of_role) == []
    assert len(shown) > 150


def test_command_imports_no_cdk_and_no_driver() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from cdk_pinsafe.cli import main; "
        "assert CliRunner().invoke(main, ['settings', 'jit']).exit_code == 0; "
        "print(*{'aws_cdk', 'jsii', 'boto3', 'pg8000', 'psycopg', 'difflib'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
