"""The applier's deployment package."""

import hashlib
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2

from cdk_pinsafe import DatabaseSettings
from cdk_pinsafe.cdk import applier_function, asset
from cdk_pinsafe.errors import ConfigurationError

from .conftest import plain_instance

ROOT = Path(__file__).parents[2]
BUNDLE = asset.ca_bundle(None, "")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package, unzipped."""
    with zipfile.ZipFile(io.BytesIO(asset.archive(BUNDLE))) as archive:
        archive.extractall(tmp_path / "package")
    return tmp_path / "package"


def test_package_is_small(package: Path) -> None:
    """At most 1.5 MB unzipped, which keeps cold starts short."""
    assert sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) <= 1_500_000


def test_package_has_portable_files_only(package: Path) -> None:
    """No bytecode, compiled code, installers' files, constructs or catalogue."""
    names = {path.name for path in package.rglob("*")}
    assert not {"__pycache__", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json"} & names
    assert not {"cdk", "localpg", "localcloud", "rehearsal", "catalogue"} & names
    assert not [name for name in names if name.endswith((".pyc", ".so", ".pyd"))]


def test_package_is_reproducible(tmp_path: Path) -> None:
    """Another directory, other dates and modes, and bytecode give the same archive."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(ROOT / "cdk_pinsafe", elsewhere / "cdk_pinsafe")
    (elsewhere / "cdk_pinsafe" / "applier" / "__pycache__").mkdir(exist_ok=True)
    (elsewhere / "cdk_pinsafe" / "applier" / "__pycache__" / "plan.cpython-0.pyc").touch()
    for path in elsewhere.rglob("*.py"):
        os.utime(path, (0, 0))
        path.chmod(0o600)
    code = (
        "import hashlib; from cdk_pinsafe.cdk import asset; bundle = asset.ca_bundle(None, ''); "
        "print(bundle, hashlib.sha256(asset.archive(bundle)).hexdigest())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(elsewhere)},
    )
    bundle, digest = ran.stdout.split()
    assert bundle.startswith(str(elsewhere))
    assert digest == hashlib.sha256(asset.archive(BUNDLE)).hexdigest()


def test_package_runs_by_itself(package: Path) -> None:
    """It has Lambda's handler, and all that it imports except boto3."""
    module, function = applier_function.HANDLER.rsplit(".", 1)
    code = (
        f"import sys; sys.path.insert(0, {str(package)!r}); import {module} as m; "
        f"assert m.__file__.startswith({str(package)!r}); m.{function}"
    )
    # -S -I: without site-packages, as on Lambda.
    subprocess.run([sys.executable, "-S", "-I", "-c", code], check=True)


@pytest.mark.parametrize("by", ["prop", "variable"])
def test_other_authorities_replace_those_of_rds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """The bundle that the prop or the environment variable names."""
    own = tmp_path / "own.pem"
    own.write_text("-----BEGIN CERTIFICATE-----\nown\n")
    if by == "variable":
        monkeypatch.setenv(asset.CA_BUNDLE_VARIABLE, str(own))
    app = App(outdir=str(tmp_path / "out"))
    stack = Stack(app, "Test")
    vpc = ec2.Vpc(stack, "Vpc")
    DatabaseSettings(
        stack,
        "Settings",
        database=plain_instance(stack, vpc),
        vpc=vpc,
        database_name="app",
        settings={},
        ca_bundle=str(own) if by == "prop" else None,
    )
    app.synth()
    [package] = (tmp_path / "out").glob("asset.*.zip")
    with zipfile.ZipFile(package) as archive:
        [bundle] = [name for name in archive.namelist() if name.endswith(".pem")]
        assert archive.read(bundle) == own.read_bytes()


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), ("nothing", "which has none")])
def test_bad_authorities_name_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, message: str
) -> None:
    """A missing file, or a file that is not PEM."""
    path = tmp_path / "own.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(asset.CA_BUNDLE_VARIABLE, str(path))
    with pytest.raises(ConfigurationError, match=f"environment variable CDK_PINSAFE_CA_BUNDLE should be.*{message}"):
        asset.ca_bundle(None, "'ca_bundle'")


def test_compiled_dependency_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would work on one of Lambda's architectures only."""
    distribution = importlib.metadata.distribution("six")
    real = importlib.metadata.distribution

    class Compiled:
        name, version, requires = "six", distribution.version, None

        def read_text(self, _name: str) -> str:
            return "Root-Is-Purelib: false"

    def find(name: str) -> Any:
        return Compiled() if name == "six" else real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", find)
    with pytest.raises(ConfigurationError, match="needs a pure Python build of 'six'"):
        asset.archive(BUNDLE)


def test_synth_without_a_network(tmp_path: Path) -> None:
    """And without Docker."""
    unshare = shutil.which("unshare")
    command = [sys.executable, "examples/app.py"]
    if unshare and subprocess.run([unshare, "-rn", "true"], check=False, capture_output=True).returncode == 0:
        command = [unshare, "-rn", *command]
    environment = {**os.environ, "CDK_OUTDIR": str(tmp_path), "DOCKER_HOST": "tcp://127.0.0.1:1"}
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.glob("asset.*.zip"))
