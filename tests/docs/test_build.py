"""The documentation builds, and its API reference is complete."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

from .pages import ROOT

DOCUMENTED = ["cdk_pinsafe", "cdk_pinsafe.emulator", "cdk_pinsafe.errors", "cdk_pinsafe.testing"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages: a warning, such as a reference that leads nowhere, fails the build."""
    target = tmp_path_factory.mktemp("docs")
    options = ["-W", "--keep-going", "-n", "-q", "-d", str(target / "doctrees")]
    command = [sys.executable, "-m", "sphinx", *options, "docs", str(target / "html")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return target / "html"


def test_reference_has_every_public_name(built: Path) -> None:
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    names = {
        item.rpartition(".")[2] for kind in inventory.data if kind.startswith("py:") for item in inventory.data[kind]
    }
    for module in DOCUMENTED:
        assert set(import_module(module).__all__) <= names


def test_every_public_class_has_a_docstring() -> None:
    for module in map(import_module, DOCUMENTED):
        assert [name for name in module.__all__ if not getattr(module, name).__doc__] == []
