"""The synth of an app with cdk-nag's four packs, and what it leaves for the authorities to read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cdk_nag
from aws_cdk import App, Validations

from ..examples.test_examples import CONTEXT
from .apps import APPS
from .templates import Cloud

PACKS = (
    cdk_nag.AwsSolutionsChecks,
    cdk_nag.NIST80053R5Checks,
    cdk_nag.HIPAASecurityChecks,
    cdk_nag.PCIDSS321Checks,
)


@dataclass(frozen=True)
class Finding:
    """A rule of cdk-nag that a resource breaks.

    Attributes:
        pack: such as ``NIST.800.53.R5``.
        rule: without the pack, such as ``LambdaDLQ``.
        path: the construct's.
        threw: whether the rule could not judge the resource.
        reason: of the acknowledgment; None where there is none.
    """

    pack: str
    rule: str
    path: str
    threw: bool
    reason: str | None


@dataclass(frozen=True)
class Synthesized:
    """What the synth of an app left.

    Attributes:
        name: of the app.
        directory: the cloud assembly.
        own_paths: of the library's constructs.
        findings: cdk-nag's.
        cloud: the templates.
    """

    name: str
    directory: Path
    own_paths: Sequence[str]
    findings: Sequence[Finding]
    cloud: Cloud

    def is_of_library(self, path: str) -> bool:
        """Whether a construct is the library's, or below one that is."""
        return any(path == own or path.startswith(f"{own}/") for own in self.own_paths)


def synthesize(name: str, directory: Path) -> Synthesized:
    app = App(outdir=str(directory), context=CONTEXT)
    APPS[name](app)
    Validations.of(app).add_plugins(*(pack(app) for pack in PACKS))
    own = [one.node.path for one in app.node.find_all() if type(one).__module__.startswith("cdk_pinsafe.")]
    report = directory / "validation-report.json"
    try:
        app.synth()
    except RuntimeError as error:
        # CDK ends so where a plugin has found something.
        if "ValidationFailed" not in str(error):
            raise
    templates = [json.loads(path.read_text()) for path in sorted(directory.glob("*.template.json"))]
    assert templates
    return Synthesized(name, directory, own, findings(json.loads(report.read_text())), Cloud(templates))


def findings(report: Mapping[str, Any]) -> Sequence[Finding]:
    assert len(report["pluginReports"]) == len(PACKS)
    return [
        Finding(
            pack := plugin["pluginName"],
            violation["ruleName"].removeprefix(f"{pack}-"),
            construct["constructPath"],
            "threw an error" in violation["description"],
            violation.get("reason"),
        )
        for plugin in report["pluginReports"]
        for violation in (*plugin["violations"], *plugin.get("suppressedViolations", ()))
        for construct in violation["violatingConstructs"]
    ]
