"""What each construct adds to a stack, as it was when it was last looked at."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
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

Parts = tuple[Stack, ec2.Vpc, rds.DatabaseInstance]


def alarms(parts: Parts) -> None:
    PinningAlarms(parts[0], "Alarms", proxy_name="orders")


def dashboard(parts: Parts) -> None:
    PinningDashboard(parts[0], "Dashboard", proxy_name="orders", log_group=orders_log(parts[0]))


def pinning_logs(parts: Parts) -> None:
    PinningLogs(parts[0], "Logs", proxy_name="orders", log_group=orders_log(parts[0]))


def orders_log(stack: Stack) -> logs.ILogGroup:
    return logs.LogGroup.from_log_group_name(stack, "LogGroup", "/aws/rds/proxy/orders")


def log_on_alarm(parts: Parts) -> None:
    proxy = PinSafeProxy(parts[0], "Proxy", target=parts[2], vpc=parts[1], enhanced_logging=EnhancedLogging.ON_ALARM)
    proxy.log_on_alarm(proxy.metric_pinned().create_alarm(parts[0], "Alarm", threshold=5, evaluation_periods=5))


def proxy(parts: Parts) -> None:
    PinSafeProxy(parts[0], "Proxy", target=parts[2], vpc=parts[1])


def plain_proxy(parts: Parts) -> None:
    PinSafeProxy(
        parts[0],
        "Proxy",
        target=parts[2],
        vpc=parts[1],
        proxy_name="orders",
        iam_auth=False,
        enhanced_logging=EnhancedLogging.OFF,
        borrow_timeout=Duration.seconds(10),
        max_connections_percent=70,
        max_idle_connections_percent=30,
    )


def settings(parts: Parts) -> None:
    DatabaseSettings(
        parts[0], "Settings", database=parts[2], vpc=parts[1], database_name="app", settings={"timezone": "UTC"}
    )


def postgres(parts: Parts) -> None:
    PinSafePostgres(parts[0], "Database", vpc=parts[1], settings={"timezone": "UTC"})


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
    return stack, vpc, plain_instance(stack, vpc)


@pytest.mark.parametrize("make", CONSTRUCTS)
def test_construct(make: Callable[[Parts], None], snapshot: SnapshotAssertion) -> None:
    """The resources that a construct adds, and how it changes those that were there."""
    before = masked_template(stack_and_parts()[0])["Resources"]
    parts = stack_and_parts()
    make(parts)
    after: dict[str, Any] = masked_template(parts[0])["Resources"]
    added = {name: resource for name, resource in after.items() if before.get(name) != resource}
    assert before.keys() <= after.keys()
    assert added == snapshot.use_extension(JSONSnapshotExtension)
