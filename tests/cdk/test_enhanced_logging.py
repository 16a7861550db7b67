"""EnhancedLogging.ON_ALARM."""

import json
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Annotations, Match, Template

from cdk_pinsafe import EnhancedLogging, PinningAlarms, PinSafePostgres, PinSafeProxy
from cdk_pinsafe.errors import ConfigurationError

from .conftest import plain_instance

ON_ALARM = EnhancedLogging.ON_ALARM


def only(template: Template, resource_type: str) -> dict[str, Any]:
    [(logical_id, resource)] = template.find_resources(resource_type).items()
    return {"LogicalId": logical_id, **resource["Properties"]}


def test_alarm_switches_logging_on(stack: Stack, vpc: ec2.Vpc) -> None:
    """The alarm starts a state machine that calls RDS for this proxy, without a function."""
    database = PinSafePostgres(stack, "Database", vpc=vpc, enhanced_logging=ON_ALARM)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::RDS::DBProxy", {"DebugLogging": False})
    template.resource_count_is("AWS::Scheduler::Schedule", 0)
    template.resource_count_is("AWS::Lambda::Function", 2)
    rule, machine = only(template, "AWS::Events::Rule"), only(template, "AWS::StepFunctions::StateMachine")
    assert rule["EventPattern"] == {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "resources": [stack.resolve(database.alarms.pinned.alarm_arn)],
        "detail": {"state": {"value": ["ALARM"]}},
    }
    assert [target["Arn"] for target in rule["Targets"]] == [{"Ref": machine["LogicalId"]}]
    prefix, partition, suffix = machine["DefinitionString"]["Fn::Join"][1]
    assert partition == {"Ref": "AWS::Partition"}
    definition = json.loads(f"{prefix}aws{suffix}")
    step = definition["States"][definition["StartAt"]]
    assert step["Resource"] == "arn:aws:states:::aws-sdk:rds:modifyDBProxy"
    assert step["Parameters"] == {"DbProxyName": database.proxy.db_proxy_name, "DebugLogging": True}
    assert step["End"] is True
    assert step["Retry"]


def test_permissions_of_the_roles(stack: Stack, vpc: ec2.Vpc) -> None:
    """Step Functions may modify this proxy, EventBridge may start this state machine."""
    database = PinSafePostgres(stack, "Database", vpc=vpc, enhanced_logging=ON_ALARM)
    template = Template.from_stack(stack)
    machine, rule = only(template, "AWS::StepFunctions::StateMachine"), only(template, "AWS::Events::Rule")
    roles = template.find_resources("AWS::IAM::Role")
    for reference, service, action, resource in (
        (machine["RoleArn"], "states", "rds:ModifyDBProxy", stack.resolve(database.proxy.db_proxy_arn)),
        (rule["Targets"][0]["RoleArn"], "events", "states:StartExecution", {"Ref": machine["LogicalId"]}),
    ):
        role = roles[reference["Fn::GetAtt"][0]]["Properties"]
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
        [policy] = role["Policies"]
        [statement] = policy["PolicyDocument"]["Statement"]
        assert (statement["Action"], statement["Resource"]) == (action, resource)
        assert "ManagedPolicyArns" not in role


def test_alarm_of_another_stack(app: App) -> None:
    """The resources are in the alarm's stack, so only that depends on the other."""
    data, monitoring = Stack(app, "Data"), Stack(app, "Monitoring")
    vpc = ec2.Vpc(data, "Vpc", max_azs=2)
    proxy = PinSafeProxy(data, "Proxy", target=plain_instance(data, vpc), vpc=vpc, enhanced_logging=ON_ALARM)
    alarms = PinningAlarms(monitoring, "Alarms", proxy=proxy)
    proxy.log_on_alarm(alarms.pinned)
    proxy.log_on_alarm(alarms.pinned_and_slow)
    Template.from_stack(monitoring).resource_count_is("AWS::Events::Rule", 2)
    Template.from_stack(data).resource_count_is("AWS::Events::Rule", 0)
    assert [stack.stack_name for stack in monitoring.dependencies] == ["Data"]


def test_one_alarm_for_two_proxies(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    proxies = [
        PinSafeProxy(stack, name, target=instance, vpc=vpc, enhanced_logging=ON_ALARM) for name in ("One", "Two")
    ]
    alarm = PinningAlarms(stack, "Alarms", proxy=proxies[0]).pinned
    for proxy in proxies:
        proxy.log_on_alarm(alarm)
    Template.from_stack(stack).resource_count_is("AWS::StepFunctions::StateMachine", 2)


def test_on_alarm_without_an_alarm_fails_synth(
    app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, enhanced_logging=ON_ALARM)
    with pytest.raises(RuntimeError, match=r"\[Test/Proxy\] 'enhanced_logging' ON_ALARM should come with an alarm"):
        app.synth()


def test_alarm_for_another_mode_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, enhanced_logging=EnhancedLogging.OFF)
    alarm = PinningAlarms(stack, "Alarms", proxy=proxy).pinned
    with pytest.raises(
        ConfigurationError,
        match="^Test/Proxy: 'enhanced_logging' should be EnhancedLogging.ON_ALARM.* got EnhancedLogging.OFF",
    ):
        proxy.log_on_alarm(alarm)
    Template.from_stack(stack).resource_count_is("AWS::Events::Rule", 0)


def test_imported_proxy_and_alarm() -> None:
    """They work, and the warning of SQL in the log is given."""
    stack = Stack(App(), "Test", env=Environment(account="111122223333", region="eu-west-1"))
    arn = "arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-0123"
    proxy = PinSafeProxy.from_database_proxy_attributes(
        stack,
        "Proxy",
        db_proxy_name="orders",
        db_proxy_arn=arn,
        endpoint="orders.proxy-x.eu-west-1.rds.amazonaws.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")],
    )
    alarm_arn = "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:orders-pinned"
    proxy.log_on_alarm(cloudwatch.Alarm.from_alarm_arn(stack, "Alarm", alarm_arn))
    template = Template.from_stack(stack)
    assert only(template, "AWS::Events::Rule")["EventPattern"]["resources"] == [alarm_arn]
    template.has_resource_properties(
        "AWS::IAM::Role",
        {"Policies": [{"PolicyDocument": {"Statement": [Match.object_like({"Resource": arn})]}}]},
    )
    Annotations.from_stack(stack).has_warning("/Test/Proxy", Match.string_like_regexp("SqlInProxyLogs"))


def test_sql_in_the_log_gets_a_warning(stack: Stack, vpc: ec2.Vpc) -> None:
    """Also if logging is off for now."""
    PinSafePostgres(stack, "Database", vpc=vpc, enhanced_logging=ON_ALARM)
    Annotations.from_stack(stack).has_warning("/Test/Database/Proxy", Match.string_like_regexp("SqlInProxyLogs"))
