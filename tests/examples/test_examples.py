"""The examples are what a newcomer copies, so they are held to everything that a reviewer might bring.

Other linters judge them in tests/authorities.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from cdk_pinsafe.testing import masked_template

EXAMPLES = Path(__file__).parents[2] / "examples"
CONTEXT = json.loads((EXAMPLES.parent / "cdk.json").read_text())["context"]
NAMES = ["app", "existing_database"]


def synthesize(name: str, directory: Path, *, code: str = "") -> dict[str, Any]:
    """Run an example like `cdk synth`, with CDK's validation; returns the report."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", *(["-c", code] if code else [str(EXAMPLES / f"{name}.py")])],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps(CONTEXT),
            "CDK_OUTDIR": str(directory),
            "CDK_VALIDATION": "true",
            "PYTHONPATH": str(EXAMPLES),
        },
    )
    report = directory / "validation-report.json"
    findings: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    assert ran.returncode == 0 or findings, ran.stderr
    return findings


@pytest.mark.parametrize("name", NAMES)
def test_example_has_no_warnings_and_no_findings(name: str, tmp_path: Path) -> None:
    """CDK's validation finds nothing, and no construct has a warning."""
    report = synthesize(name, tmp_path)
    assert report["pluginReports"] == []
    for manifest in [tmp_path / "manifest.json", *tmp_path.glob("*.metadata.json")]:
        assert "aws:cdk:warning" not in manifest.read_text()
        assert "aws:cdk:error" not in manifest.read_text()


def test_validation_can_fail(tmp_path: Path) -> None:
    """Without its acknowledgment, the same example has a finding."""
    code = (
        "import app, aws_cdk\n"
        "aws_cdk.Validations.acknowledge = lambda *_: None\n"
        "a = aws_cdk.App()\napp.ChatStack(a, 'Chat')\na.synth()\n"
    )
    report = synthesize("app", tmp_path, code=code)
    assert "SqlInProxyLogs" in json.dumps(report) + (tmp_path / "manifest.json").read_text() + "".join(
        path.read_text() for path in tmp_path.glob("*.metadata.json")
    )


@pytest.mark.parametrize("name", NAMES)
def test_example_is_reproducible(name: str, tmp_path: Path) -> None:
    """Another directory, time and hash seed give the same templates and assets."""
    seen = []
    for seed in ("1", "2"):
        directory = tmp_path / seed / "out"
        subprocess.run(
            [sys.executable, str(EXAMPLES / f"{name}.py")],
            check=True,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "CDK_OUTDIR": str(directory), "PYTHONHASHSEED": seed},
        )
        seen.append(
            {
                path.name: path.read_text()
                for pattern in ("*.template.json", "*.assets.json")
                for path in directory.glob(pattern)
            }
            | {path.name: "" for path in directory.glob("asset.*")}
        )
    assert seen[0] == seen[1]


@pytest.fixture
def json_snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(JSONSnapshotExtension)


@pytest.mark.parametrize("stack", ["Data", "PinSafe"])
def test_existing_database_template(stack: str, json_snapshot: SnapshotAssertion) -> None:
    """As reviewed; examples/test_app.py has the other example's."""
    module = runpy.run_path(str(EXAMPLES / "existing_database.py"))
    app = App(context=CONTEXT)
    data = module["DataStack"](app, "Data")
    stacks = {"Data": data, "PinSafe": module["PinSafeStack"](app, "PinSafe", data=data)}
    assert masked_template(stacks[stack]) == json_snapshot
