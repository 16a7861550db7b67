"""What the local cloud says was made: proxies, and alarms with what they watch and their states."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..localcloud.alarms import is_on_proxy
from ..localcloud.client import Account, LocalCloud
from .assembly import Assembly
from .report_items import Deployed

__all__ = ["Alarm", "alarms", "deployed"]

_UNHANDLED: Final = ("AWS::CDK::Metadata", "AWS::CloudFormation::", "Custom::")
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
        watches: what it watches, for people; of a composite one in terms of the others.
        state: `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        definition: as CloudWatch describes it; None of a composite one.
    """

    name: str
    watches: str
    state: str
    definition: Mapping[str, Any] | None


def deployed(cloud: LocalCloud, accounts: Sequence[Account], stacks: Sequence[str], assembly: Assembly) -> Deployed:
    """What was made of an app.

    Args:
        cloud: the local cloud.
        accounts: the accounts and regions that it was deployed to.
        stacks: the stacks that were deployed.
        assembly: the app.
    """
    proxies = [
        proxy for account in accounts for proxy in cloud.client("rds", account).describe_db_proxies()["DBProxies"]
    ]
    recorded = {kind for kind in assembly.resource_types() if not kind.startswith(_UNHANDLED)} - cloud.types
    return Deployed(
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
    """All alarms, or the plain ones on one proxy and the composite ones that name these; the plain ones first."""
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
    """The name of an alarm's metric, or the label of the expression that it watches."""
    if name := alarm.get("MetricName"):
        return str(name)
    shown = [entry for entry in alarm.get("Metrics", ()) if entry.get("ReturnData", True)]
    return str(shown[0].get("Label") or shown[0].get("Expression")) if shown else "metric math"
