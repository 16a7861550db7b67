"""The constructs that take any proxy: of this library or of CDK, made here or imported."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Annotations, Match, Template

from cdk_pinsafe import (
    EnhancedLoggingOnAlarm,
    EnhancedLoggingRenewal,
    PinningAlarms,
    PinningDashboard,
    PinningLogs,
    PinSafeProxy,
)
from cdk_pinsafe.errors import ConfigurationError

from .conftest import plain_instance

ARN = "arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-0123"
Proxy = PinSafeProxy | rds.IDatabaseProxy | rds.CfnDBProxy


def ours(stack: Stack) -> Proxy:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    return PinSafeProxy(stack, "Proxy", target=plain_instance(stack, vpc), vpc=vpc, db_proxy_name="orders")


def ours_imported(stack: Stack) -> Proxy:
    return PinSafeProxy.from_database_proxy_attributes(
        stack,
        "Proxy",
        db_proxy_name="orders",
        db_proxy_arn=ARN,
        endpoint="orders.proxy.example.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")],
    )


def cdks(stack: Stack, **props: Any) -> rds.DatabaseProxy:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    instance = plain_instance(stack, vpc)
    assert instance.secret is not None
    target = rds.ProxyTarget.from_instance(instance)
    return rds.DatabaseProxy(
        stack, "Proxy", proxy_target=target, vpc=vpc, secrets=[instance.secret], db_proxy_name="orders", **props
    )


def cdks_imported(stack: Stack) -> Proxy:
    return rds.DatabaseProxy.from_database_proxy_attributes(
        stack, "Proxy", db_proxy_name="orders", db_proxy_arn=ARN, endpoint="e", security_groups=[]
    )


def resource(stack: Stack) -> rds.CfnDBProxy:
    return rds.CfnDBProxy(
        stack,
        "Proxy",
        auth=[],
        db_proxy_name="orders",
        engine_family="POSTGRESQL",
        role_arn="arn:aws:iam::111122223333:role/proxy",
        vpc_subnet_ids=["subnet-1", "subnet-2"],
    )


MADE_BY_CDK: list[Callable[[Stack], Any]] = [cdks, resource]
IMPORTED: list[Callable[[Stack], Any]] = [ours_imported, cdks_imported]
ANY: list[Callable[[Stack], Any]] = [ours, *MADE_BY_CDK, *IMPORTED]


def name_proxy(template: Template, resource_type: str) -> bool:
    """Whether each resource of a type has the proxy's name, as a literal or by a reference."""
    proxies = template.find_resources("AWS::RDS::DBProxy")
    names = ['"orders"', *(json.dumps({"Ref": logical_id}) for logical_id in proxies)]
    found = [json.dumps(one["Properties"]) for one in template.find_resources(resource_type).values()]
    return found != [] and all(any(name in text for name in names) for text in found)


@pytest.mark.parametrize("make", ANY)
def test_alarms_watch_the_proxy(stack: Stack, make: Callable[[Stack], Any]) -> None:
    PinningAlarms(stack, "Alarms", proxy=make(stack))
    assert name_proxy(Template.from_stack(stack), "AWS::CloudWatch::Alarm")


@pytest.mark.parametrize("make", ANY)
def test_dashboard_reads_the_proxys_log_group(stack: Stack, make: Callable[[Stack], Any]) -> None:
    proxy = make(stack)
    PinningDashboard(stack, "Dashboard", proxy=proxy)
    template = Template.from_stack(stack)
    [dashboard] = template.find_resources("AWS::CloudWatch::Dashboard").values()
    parts = dashboard["Properties"]["DashboardBody"]["Fn::Join"][1]
    reference = {"Ref": next(iter(template.find_resources("AWS::RDS::DBProxy")), None)}
    body = "".join("orders" if part == reference else str(part) for part in parts)
    assert body.count("SOURCE '/aws/rds/proxy/orders'") == 2


@pytest.mark.parametrize("make", ANY)
def test_renewal_modifies_the_proxy(stack: Stack, make: Callable[[Stack], Any]) -> None:
    """Without a function; the role is for this proxy only, and the proxy has the warning of SQL in its log."""
    proxy = make(stack)
    EnhancedLoggingRenewal(stack, "Logging", proxy=proxy)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::Scheduler::Schedule", {"ScheduleExpression": "rate(6 hours)", "State": Match.absent()}
    )
    arn = stack.resolve(proxy.attr_db_proxy_arn if isinstance(proxy, rds.CfnDBProxy) else proxy.db_proxy_arn)
    statement = Match.object_like({"Action": "rds:ModifyDBProxy", "Resource": arn})
    template.has_resource_properties(
        "AWS::IAM::Role", {"Policies": [Match.object_like({"PolicyDocument": {"Statement": [statement]}})]}
    )
    Annotations.from_stack(stack).has_warning("/Test/Proxy", Match.string_like_regexp("SqlInProxyLogs"))


@pytest.mark.parametrize("make", ANY)
def test_alarm_switches_logging_of_the_proxy_on(stack: Stack, make: Callable[[Stack], Any]) -> None:
    proxy = make(stack)
    alarm = PinningAlarms(stack, "Alarms", proxy=proxy).pinned
    EnhancedLoggingOnAlarm(stack, "OnAlarm", proxy=proxy, alarm=alarm)
    template = Template.from_stack(stack)
    [machine] = template.find_resources("AWS::StepFunctions::StateMachine").values()
    assert "modifyDBProxy" in json.dumps(machine)
    template.has_resource_properties(
        "AWS::Events::Rule",
        {"EventPattern": Match.object_like({"resources": [stack.resolve(alarm.alarm_arn)]})},
    )
    Annotations.from_stack(stack).has_warning("/Test/Proxy", Match.string_like_regexp("SqlInProxyLogs"))


def test_warning_of_sql_is_given_once(stack: Stack) -> None:
    proxy = cdks(stack)
    EnhancedLoggingRenewal(stack, "One", proxy=proxy)
    EnhancedLoggingRenewal(stack, "Two", proxy=proxy)
    assert len(Annotations.from_stack(stack).find_warning("/Test/Proxy", Match.any_value())) == 1


def test_logs_of_our_proxy_read_its_log_group(stack: Stack) -> None:
    proxy = ours(stack)
    found = PinningLogs(stack, "Logs", proxy=proxy)
    assert isinstance(proxy, PinSafeProxy)
    assert found.log_group is proxy.log_group
    Template.from_stack(stack).resource_count_is("AWS::Logs::LogGroup", 1)


def literal(stack: Stack, proxy: Any) -> logs.LogGroup:
    group = logs.LogGroup(stack, "Group", log_group_name="/aws/rds/proxy/orders")
    proxy.node.add_dependency(group)
    return group


def by_reference(stack: Stack, proxy: Any) -> logs.LogGroup:
    name = proxy.ref if isinstance(proxy, rds.CfnDBProxy) else proxy.db_proxy_name
    return logs.LogGroup(stack, "Group", log_group_name=f"/aws/rds/proxy/{name}")


@pytest.mark.parametrize("make", MADE_BY_CDK)
@pytest.mark.parametrize("make_group", [literal, by_reference])
def test_log_group_of_the_stack_is_found(
    stack: Stack, make: Callable[[Stack], Any], make_group: Callable[[Stack, Any], logs.LogGroup]
) -> None:
    proxy = make(stack)
    group = make_group(stack, proxy)
    assert stack.resolve(PinningLogs(stack, "Logs", proxy=proxy).log_group.log_group_name) == stack.resolve(
        group.log_group_name
    )
    Template.from_stack(stack).resource_count_is("Custom::LogRetention", 0)


def test_plain_log_group_is_found(stack: Stack) -> None:
    proxy = resource(stack)
    group = logs.CfnLogGroup(stack, "Group", log_group_name="/aws/rds/proxy/orders")
    assert stack.resolve(PinningLogs(stack, "Logs", proxy=proxy).log_group.log_group_name) == stack.resolve(group.ref)


@pytest.mark.parametrize("make", MADE_BY_CDK)
def test_log_group_is_made_where_there_is_none(stack: Stack, make: Callable[[Stack], Any]) -> None:
    """Once for each proxy, with an expiry, before the filters that need it; also if RDS has created it already."""
    proxy = make(stack)
    logs.LogGroup(stack, "Other", log_group_name="/aws/rds/proxy/other")
    for name in ("One", "Two"):
        PinningLogs(stack, name, proxy=proxy)
    template = Template.from_stack(stack)
    [(retention_id, retention)] = template.find_resources("Custom::LogRetention").items()
    assert retention["Properties"]["RetentionInDays"] == 30
    assert name_proxy(template, "Custom::LogRetention")
    assert all(retention_id in one["DependsOn"] for one in template.find_resources("AWS::Logs::MetricFilter").values())


@pytest.mark.parametrize("make", [*IMPORTED, lambda _: "orders"])
def test_log_group_of_an_import_exists_already(stack: Stack, make: Callable[[Stack], Any]) -> None:
    found = PinningLogs(stack, "Logs", proxy=make(stack))
    assert found.log_group.log_group_name == "/aws/rds/proxy/orders"
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Logs::LogGroup", 0)
    template.resource_count_is("Custom::LogRetention", 0)


def test_given_log_group_wins(stack: Stack) -> None:
    group = logs.LogGroup.from_log_group_name(stack, "Group", "/aws/rds/proxy/orders")
    assert PinningLogs(stack, "Logs", proxy=cdks(stack), log_group=group).log_group is group
    Template.from_stack(stack).resource_count_is("Custom::LogRetention", 0)


def test_proxy_of_another_stack(app: App) -> None:
    data, monitoring = Stack(app, "Data"), Stack(app, "Monitoring")
    proxy = cdks(data)
    PinningLogs(monitoring, "Logs", proxy=proxy)
    PinningAlarms(monitoring, "Alarms", proxy=proxy)
    Template.from_stack(data).resource_count_is("Custom::LogRetention", 1)
    assert [stack.stack_name for stack in monitoring.dependencies] == ["Data"]


def test_name_is_not_enough_for_enhanced_logging(stack: Stack) -> None:
    """The permission needs the ARN, which has an id that AWS chooses."""
    name: Any = "orders"
    with pytest.raises(ConfigurationError, match="^Test/Logging: 'proxy' should be an rds.IDatabaseProxy or an "):
        EnhancedLoggingRenewal(stack, "Logging", proxy=name)


@pytest.mark.parametrize("make", [ours, ours_imported])
def test_cdk_takes_our_proxy(stack: Stack, make: Callable[[Stack], Any]) -> None:
    """As an rds.IDatabaseProxy and as a resource."""
    proxy = make(stack)
    reference = proxy.db_proxy_ref
    assert (reference.db_proxy_name, stack.resolve(reference.db_proxy_arn)) == (
        "orders",
        stack.resolve(proxy.db_proxy_arn),
    )
    assert proxy.stack is stack
    assert proxy.env.region == stack.region
