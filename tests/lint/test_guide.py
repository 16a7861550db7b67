"""The examples and the table of ``docs/lint.md``."""

import subprocess
import sys
import tomllib
from pathlib import Path

from cdk_pinsafe.lint.configuration import Configurations

from ..docs.pages import blocks, page
from .tables import END, START, with_table

PAGE = page("lint")
BLOCKS = [(block.kind, block.text) for block in blocks(PAGE)]


def test_example_output(tmp_path: Path) -> None:
    """Each file of the page is named by its first line."""
    shown = []
    for kind, text in BLOCKS:
        if kind in ("sql", "js"):
            path = tmp_path / text.split("\n", 1)[0].split(" ", 1)[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif kind == "text":
            shown.append(text)
    pinsafe = Path(sys.executable).with_name("pinsafe")
    ran = subprocess.run([pinsafe, "lint"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert [ran.stdout] == shown


def test_configuration_is_accepted(tmp_path: Path) -> None:
    [toml] = [text for kind, text in BLOCKS if kind == "toml"]
    assert tomllib.loads(toml)
    (tmp_path / "pyproject.toml").write_text(toml)
    configuration = Configurations().of(tmp_path)
    assert configuration.settings == {"search_path": "chat, public", "hnsw.iterative_scan": "relaxed_order"}
    assert configuration.excludes(tmp_path / "vendor" / "x.sql")
    assert not configuration.checks(tmp_path / "tests" / "deep" / "test_x.py", "temp-object")
    assert configuration.checks(tmp_path / "x.py", "temp-object")
    assert not configuration.checks(tmp_path / "x.py", "set-local")


def test_table_of_client_rules() -> None:
    assert PAGE.count(START) == PAGE.count(END) == 1
    assert with_table(PAGE) == PAGE, "run: python -m tests.lint.tables"
