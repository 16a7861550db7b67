"""The command ``pinsafe lint`` as a process."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cdk_pinsafe.lint.file_types import PROGRAMS, is_known

HOOKS = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
PINSAFE = Path(sys.executable).with_name("pinsafe")


def pinsafe(*arguments: str, folder: Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [PINSAFE, "lint", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "error", **environment},
    )
    return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def test_clean_folder(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1; SELECT 2;")
    ran = pinsafe(folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "No findings. Read 1 file, 2 statements; not parsed: 0.\n"


def test_text_report(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\n\tSELECT 'é', nextval('numbers'), 1;\nSET;")
    ran = pinsafe("a.sql", folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout == (
        "a.sql:2:14: nextval('numbers') pins the session [sequence]\n"
        "  |\n"
        "2 |  SELECT 'é', nextval('numbers'), 1;\n"
        "  |              ^^^^^^^^^^^^^^^^^^\n"
        "  = instead: let a column's default or GENERATED … AS IDENTITY draw the number, and read it with RETURNING\n"
        "  = evidence: documented, measured; "
        "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html\n"
        "\n"
        "1 finding in 1 file. Read 1 file, 3 statements; not parsed: 1 (33 %).\n"
    )


def test_long_lines_and_control_characters(tmp_path: Path) -> None:
    """Shows the part of a long line around the finding, without control characters."""
    (tmp_path / "a.sql").write_text(f"SELECT '{'x' * 200}', '\x1b[31m\u202e', nextval('n'), '{'y' * 200}';\n")
    lines = pinsafe("a.sql", folder=tmp_path).stdout.splitlines()
    assert lines[2].startswith("1 | …xxx")
    assert lines[2].endswith("y…")
    assert "\x1b" not in lines[2]
    assert "\u202e" not in lines[2]
    start = lines[3].index("^")
    assert lines[2][start : lines[3].rindex("^") + 1] == "nextval('n')"


def test_standard_input(tmp_path: Path) -> None:
    ran = pinsafe("-", "--format", "github", folder=tmp_path, stdin=b"LISTEN jobs;")
    assert ran.returncode == 1
    assert ran.stdout.startswith("::error file=-,line=1,")


def test_select_and_ignore_take_lists(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SET a = 1; LISTEN x; LOAD 'y';")
    for options in (["--select", "set,listen"], ["--select", "set", "--select", "listen"], ["--ignore", "load"]):
        assert pinsafe(*options, "--format", "github", folder=tmp_path).stdout.count("::error") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.sql"], "nothing.sql cannot be read: No such file or directory"),
        (["--select", "sett"], "--select: there is no rule 'sett'; did you mean set"),
        (["--format", "xml"], "'xml' is not one of 'text', 'json', 'sarif', 'github'"),
    ],
)
def test_usage_errors(tmp_path: Path, arguments: list[str], message: str) -> None:
    ran = pinsafe(*arguments, folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr


def test_bad_configuration_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pinsafe]\nselect = 1\n")
    ran = pinsafe(folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "select expects a list of strings, got 1" in ran.stderr


def test_skipped_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"\0")
    ran = pinsafe(folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "pinsafe: a.sql was passed over: it is binary\n")
    assert ran.stdout.endswith("; passed over: 1 file.\n")


@pytest.mark.parametrize("output_format", ["text", "json", "sarif", "github"])
def test_any_file_name_can_be_printed(tmp_path: Path, output_format: str) -> None:
    """File names that are not text, and an output in ASCII."""
    (tmp_path / "é😀.sql").write_text("SET é = '😀';")
    with open(bytes(tmp_path) + b"/\xff\n.sql", "w") as file:  # noqa: PTH123 # a name that is no text
        file.write("LISTEN x")
    for encoding in ("ascii", "utf-8"):
        ran = pinsafe("--format", output_format, folder=tmp_path, PYTHONIOENCODING=encoding)
        assert ran.returncode == 1
        assert ran.stderr == ""
        assert "listen" in ran.stdout


def test_closed_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("LISTEN x;\n" * 20_000)
    command = f"{shlex.quote(str(PINSAFE))} lint a.sql | head -n 1"
    ran = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "a.sql:1:1: LISTEN x pins the session [listen]\n"
    assert ran.stderr == ""


def test_pre_commit_hook(tmp_path: Path) -> None:
    """The hook's pattern matches the files that the command reads."""
    [hook] = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert hook["id"] == "pinsafe"
    assert hook["additional_dependencies"] == [".[tools]"]
    pattern = re.compile(hook["files"])
    suffixes = [".sql", ".psql", ".pgsql", ".ddl", *PROGRAMS]
    others = [
        ".env",
        ".env.local",
        "x.yml.erb",
        "x.json",
        "x.toml",
        "appsettings.json",
        "Dockerfile",
        "x.prisma",
        "x.md",
    ]
    for name in [*(f"x{suffix}" for suffix in suffixes), *others, "schema.SQL", "notes.txt", "x.sql.bak"]:
        assert bool(pattern.search(f"deep/er/{name}")) == is_known(Path(name)), name
    (tmp_path / "a.sql").write_text("LISTEN x")
    (tmp_path / "b c.py").write_text("x = 1")
    program, *arguments = shlex.split(hook["entry"])
    assert program == "pinsafe"
    ran = subprocess.run(
        [PINSAFE, *arguments, "a.sql", "b c.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stdout.startswith("a.sql:1:1: LISTEN x pins the session [listen]")


def test_help_imports_no_package() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from cdk_pinsafe.cli import main; "
        "CliRunner().invoke(main, ['lint', '--help']); print([m for m in sys.modules if m.startswith('cdk_pinsafe.')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['cdk_pinsafe.rds_proxy', 'cdk_pinsafe.errors', 'cdk_pinsafe.cli']"
