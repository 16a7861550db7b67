"""The wheel, as somebody gets it who installs this package and nothing else."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cdk_pinsafe.cdk.applier_function import HANDLER

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "app.py"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel and what it requires."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    dist = directory / "dist"
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(dist), str(ROOT)]
    subprocess.run([sys.executable, *pip, *build], check=True)
    [wheel] = dist.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(directory / "venv")], check=True)
    python = directory / "venv" / "bin" / "python"
    subprocess.run([python, *pip, "install", str(wheel)], check=True)
    return python


def synthesise(python: Path | str, output: Path) -> dict[str, Any]:
    """The example's template without hashes: what the package holds depends on the versions installed."""
    subprocess.run(
        [python, str(EXAMPLE)],
        check=True,
        capture_output=True,
        cwd=output.parent,
        env={**os.environ, "CDK_OUTDIR": str(output)},
    )
    template = (output / "Chat.template.json").read_text()
    masked: dict[str, Any] = json.loads(re.sub(r"[0-9a-f]{64}", "<asset hash>", template))
    return masked


def test_wheel_synthesises_as_the_source_tree_does(python: Path, tmp_path: Path) -> None:
    """The example's template is the same, and the applier in its package can be imported as on Lambda."""
    assert synthesise(python, tmp_path / "wheel") == synthesise(sys.executable, tmp_path / "source")
    [package] = (tmp_path / "wheel").glob("asset.*.zip")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "function")
        assert sum(entry.file_size for entry in archive.infolist()) <= 1_500_000
    module, function = HANDLER.rsplit(".", 1)
    code = f"import sys; sys.path.insert(0, '.'); import {module} as m; m.{function}"
    subprocess.run([python, "-S", "-I", "-c", code], check=True, cwd=tmp_path / "function")


def test_wheel_alone_has_a_command_that_says_what_it_lacks(python: Path) -> None:
    """Without the extra `tools` the command names it."""
    ran = subprocess.run([python.with_name("pinsafe")], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "pinsafe: click is not installed: pip install 'cdk-pinsafe[tools]'\n"


def test_wheel_is_typed_and_licensed(python: Path) -> None:
    """Type checkers see the types, and the licence travels along."""
    [site] = python.parents[1].glob("lib/python*/site-packages")
    assert (site / "cdk_pinsafe" / "py.typed").exists()
    assert list(site.glob("cdk_pinsafe-*.dist-info/licenses/LICENSE"))
