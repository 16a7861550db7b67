"""The commands of CONTRIBUTING.md name paths and options that exist."""

import shlex
import subprocess
import sys

from .pages import ROOT, blocks


def test_commands_name_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [commands] = [block.text for block in blocks(text) if block.test == "tests/docs/test_contributing.py"]
    options = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for line in commands.splitlines():
        for word in shlex.split(line.partition("-m pytest")[2]):
            assert not word.startswith("--") or word in options
            assert word in ("-k", "-m", "role", "benchmark") or word.startswith("--") or (ROOT / word).exists()
