"""What each construct adds to a stack, as it was when it was last looked at."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from cdk_pinsafe import (
    DatabaseSettings,
    EnhancedLogging,
    PinningAlarms,
    PinningDashboard,
    PinningLogs,
    PinSafePostgres,
    PinSafeProxy,
)
from cdk_pinsafe.testing import masked_template

from .conftest import plain_instance


class Parts(NamedTuple):
    """What a construct is added to."""

    stack: Stack
    vpc: ec2.Vpc
    instance: rds.DatabaseInstance


def alarms(parts: Parts) -> None:
    PinningAlarms(parts.stack, "Alarms", proxy="orders")


def dashboard(parts: Parts) -> None:
    PinningDashboard(parts.stack, "Dashboard", proxy="orders")


def pinning_logs(parts: Parts) -> None:
    PinningLogs(parts.stack, "Logs", proxy="orders")


def log_on_alarm(parts: Parts) -> None:
    proxy = PinSafeProxy(
        parts.stack, "Proxy", target=parts.instance, vpc=parts.vpc, enhanced_logging=EnhancedLogging.ON_ALARM
    )
    proxy.log_on_alarm(proxy.metric_pinned().create_alarm(parts.stack, "Alarm", threshold=5, evaluation_periods=5))


def proxy(parts: Parts) -> None:
    PinSafeProxy(parts.stack, "Proxy", target=parts.instance, vpc=parts.vpc)


def plain_proxy(parts: Parts) -> None:
    PinSafeProxy(
        parts.stack,
        "Proxy",
        target=parts.instance,
        vpc=parts.vpc,
        db_proxy_name="orders",
        iam_auth=False,
        enhanced_logging=EnhancedLogging.OFF,
        borrow_timeout=Duration.seconds(10),
        max_connections_percent=70,
        max_idle_connections_percent=30,
    )


def settings(parts: Parts) -> None:
    DatabaseSettings(
        parts.stack,
        "Settings",
        database=parts.instance,
        vpc=parts.vpc,
        database_name="app",
        settings={"timezone": "UTC"},
    )


def postgres(parts: Parts) -> None:
    PinSafePostgres(parts.stack, "Database", vpc=parts.vpc, settings={"timezone": "UTC"})


CONSTRUCTS: Sequence[Callable[[Parts], None]] = [
    alarms,
    dashboard,
    pinning_logs,
    log_on_alarm,
    proxy,
    plain_proxy,
    settings,
    postgres,
]


def stack_and_parts(app: App | None = None, id: str = "Test") -> Parts:
    stack = Stack(app or App(), id)
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    return Parts(stack, vpc, plain_instance(stack, vpc))


@pytest.mark.parametrize("make", CONSTRUCTS)
def test_construct(make: Callable[[Parts], None], snapshot: SnapshotAssertion) -> None:
    """The resources that a construct adds or changes."""
    before = masked_template(stack_and_parts().stack)["Resources"]
    parts = stack_and_parts()
    make(parts)
    after: dict[str, Any] = masked_template(parts.stack)["Resources"]
    added = {name: resource for name, resource in after.items() if before.get(name) != resource}
    assert before.keys() <= after.keys()
    assert added == snapshot.use_extension(JSONSnapshotExtension)
