"""The files that the linter reads."""

import os
import subprocess
from pathlib import Path

import pytest

from cdk_pinsafe.errors import LintError
from cdk_pinsafe.lint.run import LARGEST_FILE, lint


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(tree: Path, *names: str) -> None:
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("SET a = 1;\n")


def read(*paths: str) -> list[str]:
    return [report.path for report in lint(paths) if not report.skipped]


def test_known_file_types_in_a_folder(tree: Path) -> None:
    """In the order of their names, without the folders of tools."""
    make(tree, "b.sql", "a.py", "c/d.TS", "notes.txt", "x.md", ".env", ".git/a.sql", "node_modules/a.js", ".venv/a.py")
    assert read(".") == [".env", "a.py", "b.sql", "c/d.TS"]


def test_named_file_is_always_read(tree: Path) -> None:
    """An unknown type is read as SQL, an ignored file too, and each file once."""
    make(tree, "dump.txt", "a.sql")
    (tree / ".gitignore").write_text("*.txt\n")
    [dump, other] = lint(["dump.txt", "dump.txt", "."])
    assert [dump.path, other.path] == ["dump.txt", "a.sql"]
    assert len(dump.findings) == 1


def test_byte_order_mark_in_gitignore(tree: Path) -> None:
    make(tree, "a.sql", "b.sql", "c.sql")
    (tree / ".gitignore").write_text("\N{BOM}a.sql\n", encoding="utf-8")
    (tree / "pyproject.toml").write_text('\N{BOM}[tool.pinsafe]\nexclude = ["b.sql"]\n', encoding="utf-8")
    assert read(".") == ["c.sql", "pyproject.toml"]


def test_gitignore_as_in_git(tree: Path) -> None:
    names = [
        "a.sql",
        "build/b.sql",
        "x/a.sql",
        "x/keep.sql",
        "x/y/a.sql",
        "x/y/z.sql",
        "top.sql",
        "q/top.sql",
        "é ü.sql",
    ]
    make(tree, *names)
    subprocess.run(["git", "init", "-q", "."], check=True)
    (tree / ".gitignore").write_text("# a comment\nbuild/\n/top.sql\na.sql\n\\\n")
    (tree / "x" / ".gitignore").write_text("*.sql\n!keep.sql\n")
    (tree / "x" / "y" / ".gitignore").write_text("!z.sql\n")
    (tree / ".git" / "info" / "exclude").write_text("q/*\n")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard", "--", "*.sql"],
        check=True,
        capture_output=True,
        text=True,
    )
    expected = sorted(listed.stdout.rstrip("\0").split("\0"))
    assert sorted(read(".")) == expected == ["x/keep.sql", "x/y/z.sql", "é ü.sql"]
    # The patterns of parent folders apply in a subfolder.
    assert read("x") == ["x/keep.sql", "x/y/z.sql"]
    assert read("q") == []
    # A pattern that matches the given folder itself does not.
    assert read("build") == ["build/b.sql"]


def test_links_in_folders_are_not_followed(tree: Path) -> None:
    make(tree, "a/b.sql", "other.sql")
    (tree / "a" / "loop").symlink_to(tree / "a")
    (tree / "a" / "self.sql").symlink_to(tree / "a" / "self.sql")
    (tree / "a" / "out.sql").symlink_to(tree / "other.sql")
    assert read("a") == ["a/b.sql"]
    assert read("a/out.sql") == ["a/out.sql"]


def test_binary_and_large_files_are_skipped(tree: Path) -> None:
    (tree / "a.sql").write_bytes(b"SET\0a")
    with (tree / "b.sql").open("wb") as file:
        file.write(b" ")
        file.truncate(LARGEST_FILE + 1)
    with (tree / "c.sql").open("wb") as file:
        file.write(b" " * 10_000)
        file.truncate(LARGEST_FILE + 1)
    assert [(one.path, one.skipped) for one in lint(["."])] == [
        ("a.sql", "it is binary"),
        ("b.sql", "it is larger than 64 MiB"),
        ("c.sql", "it is larger than 64 MiB"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_encodings(tree: Path, encoding: str) -> None:
    (tree / "a.sql").write_bytes("-- é\nSELECT 'é', nextval('n');\n".encode(encoding))
    [report] = lint(["a.sql"])
    assert [one.start for one in report.findings] == [(2, 13)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_and_folders_are_skipped(tree: Path) -> None:
    make(tree, "a.sql", "b/c.sql", "d.sql")
    (tree / "a.sql").chmod(0)
    (tree / "b").chmod(0)
    assert [(one.path, one.skipped) for one in lint(["."])] == [("a.sql", "Permission denied"), ("d.sql", None)]
    (tree / "b").chmod(0o700)


def test_vanished_file_is_skipped(tree: Path) -> None:
    make(tree, "a.sql", "b.sql")
    reports = lint(["."])
    assert next(reports).path == "a.sql"
    (tree / "b.sql").unlink()
    make(tree, "c.sql")
    assert [one.skipped for one in reports] == ["No such file or directory"]


@pytest.mark.parametrize(("path", "message"), [("nothing", "No such file"), ("a\0b", "null"), ("x" * 5000, "too long")])
def test_missing_path(tree: Path, path: str, message: str) -> None:
    with pytest.raises(LintError, match=message):
        read(path)


def test_pipe_is_rejected(tree: Path) -> None:
    """Reading it would block; a pipe in a folder is skipped."""
    for name in ("pipe", "pyproject.toml", ".gitignore", "a.sql"):
        os.mkfifo(tree / name)
    with pytest.raises(LintError, match="neither a file nor a folder; to read a pipe, pass it as -"):
        read("pipe")
    assert read(".") == []
