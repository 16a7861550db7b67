"""The README's part on the linter is a real run, and its table the rules themselves."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from cdk_pinsafe.lint.client_rules import CLIENT_RULES
from cdk_pinsafe.lint.configuration import Configurations

README = Path(__file__).parents[2] / "README.md"
[SECTION] = re.findall(
    r"^## Find what pins before it is deployed\n(.*?)^## ", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def test_example_is_what_the_command_prints(tmp_path: Path) -> None:
    """The files of the README, each named by its first line, give the output of the README."""
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
    """The configuration of the README says what its text says."""
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
    """The table has every rule, in its own words."""
    rows = [f"| `{rule.id}` | {rule.files} | {rule.why} |" for rule in CLIENT_RULES]
    table = "\n".join(["| rule | looked for in | why |", "|---|---|---|", *rows])
    assert f"<!-- client rules -->\n{table}\n<!-- end of client rules -->" in SECTION
