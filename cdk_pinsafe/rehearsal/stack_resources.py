"""The proxies and alarms of deployed stacks, as the local cloud describes them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..localcloud.alarms import is_on_proxy
from ..localcloud.client import Account, LocalCloud
from .assembly import Assembly
from .report_items import DeployedResources

__all__ = ["Alarm", "alarms", "deployed_resources"]

_NOT_RECORDED: Final = ("AWS::CDK::Metadata", "AWS::CloudFormation::", "Custom::")
_SIGN: Final = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}
_ALARM_IN_RULE: Final = re.compile(r'ALARM\("?(?:arn:[^"]*:alarm:)?([^")]*)"?\)')


@dataclass(frozen=True)
class Alarm:
    """An alarm.

    Attributes:
        name: its name.
        watches: the metric and the threshold; the rule of a composite alarm, in terms of the others.
        state: `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        definition: as DescribeAlarms returns it; None for a composite alarm.
    """

    name: str
    watches: str
    state: str
    definition: Mapping[str, Any] | None


def deployed_resources(
    cloud: LocalCloud, accounts: Sequence[Account], stacks: Sequence[str], assembly: Assembly
) -> DeployedResources:
    """The deployed resources of an app.

    Args:
        cloud: the local cloud.
        accounts: the accounts and regions of the app.
        stacks: the names of the deployed stacks.
        assembly: the app.
    """
    proxies = [
        proxy for account in accounts for proxy in cloud.client("rds", account).describe_db_proxies()["DBProxies"]
    ]
    recorded = {kind for kind in assembly.resource_types() if not kind.startswith(_NOT_RECORDED)} - cloud.types
    return DeployedResources(
        stacks=tuple(stacks),
        proxies=tuple(
            {
                "name": proxy["DBProxyName"],
                "endpoint": proxy["Endpoint"],
                "engine_family": proxy["EngineFamily"],
                "enhanced_logging": proxy["DebugLogging"],
                "require_tls": proxy["RequireTLS"],
            }
            for proxy in proxies
        ),
        alarms=tuple(
            {"name": alarm.name, "watches": alarm.watches} for account in accounts for alarm in alarms(cloud, account)
        ),
        recorded_only=tuple(sorted(recorded)),
    )


def alarms(cloud: LocalCloud, account: Account, *, proxy: str | None = None) -> list[Alarm]:
    """All alarms, or those on one proxy and the composite alarms that name them. Composite alarms come last."""
    found = cloud.client("cloudwatch", account).describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    plain = {
        one["AlarmName"]: Alarm(
            one["AlarmName"],
            f"{_metric(one)} {_SIGN.get(one['ComparisonOperator'], '?')} {one['Threshold']:g}",
            one["StateValue"],
            one,
        )
        for one in found["MetricAlarms"]
        if proxy is None or is_on_proxy(one, proxy)
    }
    composite = []
    for one in found["CompositeAlarms"]:
        named = _ALARM_IN_RULE.findall(one["AlarmRule"])
        if proxy is None or any(name in plain for name in named):
            watches = _ALARM_IN_RULE.sub(
                lambda name: plain[name[1]].watches if name[1] in plain else name[1], one["AlarmRule"]
            )
            composite.append(Alarm(one["AlarmName"], watches, one["StateValue"], None))
    return [*plain.values(), *composite]


def _metric(alarm: Mapping[str, Any]) -> str:
    """The name of an alarm's metric, or the label of its expression."""
    if name := alarm.get("MetricName"):
        return str(name)
    shown = [entry for entry in alarm.get("Metrics", ()) if entry.get("ReturnData", True)]
    return str(shown[0].get("Label") or shown[0].get("Expression")) if shown else "metric math"
