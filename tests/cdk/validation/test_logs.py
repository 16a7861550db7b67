"""What the rules say of logs, enhanced logging and initialization queries."""

import json
import re
from collections.abc import Callable

import pytest
from aws_cdk import (
    App,
    CfnResource,
    Duration,
    Stack,
)
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds

from cdk_pinsafe import EnhancedLoggingRenewal, PinningLogs

from .helpers import check, good_alarm, plain_proxy, rules_of


def _without_expiry(stack: Stack, proxy: rds.DatabaseProxy) -> None:
    group = logs.LogGroup(
        stack, "LogGroup", log_group_name="/aws/rds/proxy/Proxy", retention=logs.RetentionDays.INFINITE
    )
    proxy.node.add_dependency(group)


def _made_after(stack: Stack, proxy: rds.DatabaseProxy) -> None:
    del proxy
    logs.LogGroup(stack, "LogGroup", log_group_name="/aws/rds/proxy/Proxy")


def _named_by_reference(stack: Stack, proxy: rds.DatabaseProxy) -> None:
    logs.LogGroup(stack, "LogGroup", log_group_name=f"/aws/rds/proxy/{proxy.db_proxy_name}")


def _named_otherwise(stack: Stack, proxy: rds.DatabaseProxy) -> None:
    proxy.node.add_dependency(logs.LogGroup(stack, "LogGroup", log_group_name="/aws/rds/proxy/other"))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (_without_expiry, "the proxy's log group never expires"),
        (_made_after, "it does not depend on its log group"),
        (_named_by_reference, "its log group has a name that refers to the proxy"),
        (_named_otherwise, "the app has no log group /aws/rds/proxy/Proxy"),
    ],
)
def test_fault_of_a_log_group(
    app: App,
    stack: Stack,
    vpc: ec2.Vpc,
    instance: rds.DatabaseInstance,
    make: Callable[[Stack, rds.DatabaseProxy], None],
    fault: str,
) -> None:
    """It does not expire, is created too late, or has another name."""
    proxy = plain_proxy(stack, vpc, instance, db_proxy_name="Proxy")
    good_alarm(stack, "Proxy")
    make(stack, proxy)
    [found] = check(app)
    assert found.rule == "LogGroup"
    assert fault in found.description


def test_log_retention_counts(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    """CDK's LogRetention gives a group an expiry that RDS created."""
    logs.LogRetention(
        stack,
        "Retention",
        log_group_name=f"/aws/rds/proxy/{proxy.db_proxy_name}",
        retention=logs.RetentionDays.ONE_WEEK,
    )
    good_alarm(stack, proxy.db_proxy_name)
    assert check(app) == []


def _schedule(stack: Stack, input: str, target: str = "modifyDBProxy") -> None:
    CfnResource(
        stack,
        "Schedule",
        type="AWS::Scheduler::Schedule",
        properties={
            "ScheduleExpression": "rate(6 hours)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": f"arn:{stack.partition}:scheduler:::aws-sdk:rds:{target}",
                "RoleArn": "arn:aws:iam::111122223333:role/scheduler",
                "Input": input,
            },
        },
    )


def test_renewal_of_this_library_counts(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The remedy that the rule names works for CDK's own proxy."""
    proxy = plain_proxy(stack, vpc, instance, debug_logging=True)
    EnhancedLoggingRenewal(stack, "Logging", proxy=proxy)
    assert "DebugLogging" not in rules_of(app)


def test_log_group_that_pinning_logs_make_counts(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    PinningLogs(stack, "Logs", proxy=proxy)
    good_alarm(stack, proxy.db_proxy_name)
    assert check(app) == []


@pytest.mark.parametrize(
    ("target", "other", "renewed"),
    [("modifyDBProxy", False, True), ("modifyDBProxy", True, False), ("rebootDBInstance", False, False)],
)
def test_schedule_that_renews_logging(
    app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, target: str, other: bool, renewed: bool
) -> None:
    """It must name this proxy and call ModifyDBProxy."""
    proxy = plain_proxy(stack, vpc, instance, debug_logging=True)
    name = "Proxy-2" if other else proxy.db_proxy_name
    _schedule(stack, json.dumps({"DbProxyName": name, "DebugLogging": True}), target)
    assert ("DebugLogging" not in rules_of(app)) is renewed


def test_event_rule_that_renews_logging(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """By CDK's target for AWS calls."""
    proxy = plain_proxy(stack, vpc, instance, debug_logging=True)
    call = {"DBProxyName": proxy.db_proxy_name, "DebugLogging": True}
    target = targets.AwsApi(service="rds", action="modifyDBProxy", parameters=call)
    events.Rule(stack, "Rule", schedule=events.Schedule.rate(Duration.hours(12)), targets=[target])
    assert "DebugLogging" not in rules_of(app)


def add_initialization_query(stack: Stack, query: str) -> None:
    proxy = rds.CfnDBProxy(
        stack,
        "Proxy",
        auth=[],
        db_proxy_name="orders",
        engine_family="POSTGRESQL",
        role_arn="arn:aws:iam::111122223333:role/proxy",
        vpc_subnet_ids=["subnet-1", "subnet-2"],
    )
    rds.CfnDBProxyTargetGroup(
        stack,
        "Group",
        db_proxy_name=proxy.ref,
        target_group_name="default",
        connection_pool_configuration_info=rds.CfnDBProxyTargetGroup.ConnectionPoolConfigurationInfoFormatProperty(
            init_query=query
        ),
    )


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SET timezone = 'UTC'", "timezone"),
        ("set session  Search_Path to app; SET TIME ZONE 'UTC'", "Search_Path, timezone"),
        ('SET "app.user" = 1', None),
        ("SET row_security = on; SET statement_timeout = '9s'", "statement_timeout"),
        ("-- ours\n/* and */ SET jit = off", "jit"),
        ("SET NAMES 'utf8'", "client_encoding"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", "default_transaction_isolation"),
        ("SET ROLE reader", None),
        ("SET role = 'reader'", None),
        ("SELECT 1", None),
        ("CREATE TEMP TABLE t (x int)", None),
    ],
)
def test_initialization_query(app: App, stack: Stack, query: str, names: str | None) -> None:
    """Only settings that a database can have are reported."""
    add_initialization_query(stack, query)
    found = [found.description for found in check(app) if found.rule == "InitQuery"]
    found = [text for text in found if "harms other sessions" not in text]
    assert [text.rpartition(": it sets ")[2] for text in found] == ([names] if names else [])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SET session_replication_role TO replica", "session_replication_role, which harms .* foreign keys"),
        ("SET row_security = 'off'", "row_security, which harms .* queries"),
        ("SET statement_timeout = 0", "statement_timeout, which harms .* limit"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "default_transaction_read_only, which harms"),
    ],
)
def test_harmful_initialization_query(app: App, stack: Stack, query: str, reason: str) -> None:
    """Not proposed as a database's default, and reported."""
    add_initialization_query(stack, query)
    [found] = [found.description for found in check(app) if found.rule == "InitQuery"]
    assert re.search(f": it sets {reason}", found)
