"""What the tests of the rules have in common: running the plugin as CDK does, and plain parts."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aws_cdk import App, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds

from cdk_pinsafe import PinSafeChecks
from cdk_pinsafe.cdk import metrics
from cdk_pinsafe.rds_proxy import PINNED


class Found(NamedTuple):
    rule: str
    path: str
    description: str
    severity: str
    property: str


def check(app: App) -> list[Found]:
    """The plugin's findings, from the report that CDK writes."""
    Validations.of(app).add_plugins(PinSafeChecks(app))
    with contextlib.suppress(RuntimeError):
        app.synth()
    path = Path(app.outdir, "validation-report.json")
    report = json.loads(path.read_text()) if path.exists() else {"pluginReports": []}
    return list(violations(report))


def violations(report: dict[str, Any]) -> Iterator[Found]:
    for plugin in report["pluginReports"]:
        if plugin["pluginName"] == "PinSafe":
            assert "error" not in (plugin.get("metadata") or {}), plugin["metadata"]
            for violation in plugin["violations"]:
                for place in violation["violatingConstructs"]:
                    [location] = place["cloudFormationResource"]["propertyPaths"]
                    yield Found(
                        violation["ruleName"],
                        place["constructPath"],
                        violation["description"],
                        violation["severity"],
                        location.rpartition("/")[2],
                    )


def unwatched(app: App) -> list[str]:
    """Paths of the proxies without an alarm."""
    return [found.path for found in check(app) if found.rule == "NoPinningAlarm"]


def rules_of(app: App) -> list[str]:
    return sorted({found.rule for found in check(app)})


def plain_proxy(
    stack: Stack, vpc: ec2.IVpc, instance: rds.DatabaseInstance, id: str = "Proxy", **props: Any
) -> rds.DatabaseProxy:
    assert instance.secret is not None
    return rds.DatabaseProxy(
        stack,
        id,
        proxy_target=rds.ProxyTarget.from_instance(instance),
        vpc=vpc,
        secrets=[instance.secret],
        **props,
    )


def good_alarm(scope: Stack, proxy_name: str, id: str = "Alarm", **props: Any) -> cloudwatch.Alarm:
    return cloudwatch.Alarm(
        scope,
        id,
        **{
            "metric": metrics.metric(proxy_name, PINNED),
            "threshold": 5,
            "evaluation_periods": 5,
            "treat_missing_data": cloudwatch.TreatMissingData.NOT_BREACHING,
            **props,
        },
    )
