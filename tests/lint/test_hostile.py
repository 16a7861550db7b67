"""No input causes a traceback, a crash or a long run."""

import os
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdk_pinsafe.errors import LintError
from cdk_pinsafe.lint.formats import as_github, as_json, as_sarif
from cdk_pinsafe.lint.linter import lint_text
from cdk_pinsafe.lint.run import lint
from cdk_pinsafe.lint.source_text import decode
from cdk_pinsafe.lint.text_report import print_text

NAMES = [
    "a.sql",
    "a.py",
    "a.js",
    "a.tsx",
    "a.ts",
    "A.java",
    "a.go",
    "a.rb",
    ".env",
    "database.yml",
    "config.json",
    "appsettings.json",
    "database.php",
    "application.properties",
    "a.prisma",
    "pyproject.toml",
    ".gitignore",
]
PIECES = [
    "SET a = 1",
    "set x to y;",
    "SELECT nextval('n')",
    "LISTEN ",
    "execute(",
    "query(",
    ")",
    '"',
    "'",
    "`",
    '"""',
    "$$",
    "$t$",
    "${",
    "{",
    "}",
    "#{",
    "f'",
    'r"',
    "\\",
    "\\u{110000}",
    "\\x",
    "\\N{",
    "\n",
    "\t",
    " ",
    "--",
    "/*",
    "*/",
    "//",
    "#",
    "<<~SQL",
    "SQL",
    "%s",
    "%(a)s",
    ":a",
    ":'",
    ":{?",
    "?",
    "+",
    "%",
    ";",
    "\\copy",
    "\\g",
    "COPY t FROM STDIN;",
    "\\.\n",
    "-- pinsafe: ignore[",
    "]",
    "pinsafe: ignore-file",
    "Host=a;Database=b;Username=c",
    "postgresql://",
    "?pgbouncer=true",
    "options=-c a=",
    "new Sequelize(",
    "dialect: 'postgres'",
    "DATABASES = {",
    "'ENGINE': 'django.db.backends.postgresql'",
    "  adapter: postgresql\n",
    "import psycopg\npsycopg.connect(",
    "client: 'pg', searchPath: ",
    "é",
    "😀",
    "\x00",
    "\ufeff",
    "\u2028",
    "\x85",
    "\r",
    "\x1b[31m",
    "BEGIN ATOMIC",
    "CREATE FUNCTION",
    "DO $$",
    "U&'",
    "E'\\",
    "[tool.pinsafe]",
    "!",
    "**/",
]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Random bytes, and texts made of pieces that the linter looks for."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=300))
    text = "".join(draw(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=30)))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace")[: draw(st.integers(1, 2000))]


@given(st.sampled_from(NAMES), contents())
@settings(max_examples=600, deadline=None)
def test_any_content_is_reported(name: str, data: bytes) -> None:
    """Each place is in the file, and each format can print the report."""
    text = decode(data)
    if text is None:
        return
    report = lint_text(name, text, {"search_path": "app"})
    lines = text.split("\n")
    for finding in report.findings:
        assert (1, 1) <= finding.start <= finding.end
        assert finding.end[0] <= len(lines)
        assert finding.end[1] <= len(lines[finding.end[0] - 1]) + 1
    for render in (as_json, as_sarif, as_github):
        render([report]).encode()
    print_text([report], StringIO())


@given(st.dictionaries(st.sampled_from(NAMES + [f"d/{name}" for name in NAMES]), contents(), max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_folder_is_read_or_rejected(files: dict[str, bytes]) -> None:
    """An invalid configuration is the only error."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "d").mkdir()
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        try:
            reports = list(lint([folder]))
        except LintError as error:
            if "pyproject.toml" not in str(error):
                raise
        else:
            assert all(not report.skipped or report.skipped == "it is binary" for report in reports)


DEEP = 100_000
HOSTILE = {
    "nested parentheses in SQL": ("a.sql", "SELECT nextval('n') FROM " + "(" * DEEP),
    "nested selects": ("a.sql", "SELECT nextval('n'), " + "(SELECT " * 5000 + "1" + ")" * 5000),
    "a long sum in SQL": ("a.sql", "SELECT nextval('n')" + " + 1" * DEEP),
    "open comments": ("a.sql", "/*" * 5000),
    "many comments": ("a.sql", "/* x */ " * 20_000 + "SET a = 1"),
    "open strings": ("a.sql", "SET a = '" + "'' '" * DEEP),
    "open dollar quotes": ("a.sql", "$a$ $b$ " * 20_000 + "\\x"),
    "many statements that do not parse": ("a.sql", "SET;" * 20_000),
    "backslashes": ("a.sql", "\\" * DEEP),
    "many variables": ("a.sql", "SET a = :b; " * 20_000),
    "COPY without end": ("a.sql", "COPY t FROM STDIN; \\. " * 10_000),
    "nested lists in Python": ("a.py", "x = " + "[" * DEEP + '"LISTEN x;"' + "]" * DEEP),
    "nested calls in Python": ("a.py", "f(" * 20_000 + '"LISTEN x;"' + ")" * 20_000),
    "nested parentheses in JavaScript": ("a.js", "(" * 20_000 + '"LISTEN x;"' + ")" * 20_000),
    "nested templates": ("a.js", "`${" * 5000 + '"LISTEN x;"' + "}`" * 5000),
    "a long sum in JavaScript": ("a.js", "q = " + '"LISTEN " + ' * 5000 + '"x;"'),
    "a long sum in Java": ("A.java", "class A { String q = " + '"SET a.b = " + ' * 5000 + '"x;"; }'),
    "heredocs": ("a.rb", "execute <<~A\nLISTEN x\nA\n" * 3000),
    "a long line": ("a.json", '{"a": "' + "Host=a;/*" * 200_000 + '"}'),
    "one long word": ("appsettings.json", "a" * 3_000_000),
    "spaces": ("application.properties", " " * 2_000_000),
    "spaces behind an option": (".env", "options:" + " " * 200_000 + "PGOPTIONS" + " " * 200_000),
    "spaces in a key's SQL": ("a.yml", "connection-init-sql:" + " " * 200_000 + "'" + " " * 200_000 + "x"),
    "many URLs": (".env", "postgresql://a?" * 100_000),
    "many equals": (".env", "Host=" * 300_000),
    "many ignores": ("a.sql", "-- pinsafe: ignore[x]\n" * 20_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_bounded(tmp_path: Path, name: str) -> None:
    path, text = HOSTILE[name]
    (tmp_path / path).write_text(text)
    start = time.monotonic()
    ran = subprocess.run(
        [Path(sys.executable).with_name("pinsafe"), "lint", "--format", "github", path],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    assert ran.returncode in (0, 1), ran.stderr[-2000:]
    assert ran.stderr == b""
    print(f"{time.monotonic() - start:.1f} s")
