"""Which names the rules take for the same."""

from pathlib import Path

import pytest
from aws_cdk import (
    App,
    CfnOutput,
    CfnParameter,
    Environment,
    Fn,
    NestedStack,
    Stack,
    Stage,
)
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import cloudformation_include as include

from ..conftest import plain_instance
from .helpers import check, good_alarm, plain_proxy, rules_of, unwatched


@pytest.fixture
def other(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> str:
    """The path of a second proxy, which no alarm watches."""
    plain_proxy(stack, vpc, instance, id="Other")
    return "Test/Other/Resource"


@pytest.mark.parametrize("way", ["Ref", "Join", "Sub", "SubWithNames", "Text"])
def test_ways_to_write_a_name(app: App, stack: Stack, proxy: rds.DatabaseProxy, other: str, way: str) -> None:
    resource: rds.CfnDBProxy = proxy.node.default_child  # type: ignore[assignment]
    resource.db_proxy_name = f"orders-{stack.region}" if way in ("Join", "SubWithNames") else "orders"
    value = {
        "Ref": proxy.db_proxy_name,
        "Join": Fn.join("-", ["orders", stack.region]),
        "Sub": Fn.sub(f"${{{stack.get_logical_id(resource)}}}"),
        "SubWithNames": Fn.sub("${Name}-${AWS::Region}", {"Name": "orders"}),
        "Text": "orders",
    }[way]
    good_alarm(stack, value)
    assert unwatched(app) == [other]


def test_alarm_of_another_proxy_does_not_count(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    good_alarm(stack, "another")
    assert "NoPinningAlarm" in rules_of(app)


def test_unknown_name_counts(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    """An alarm on a parameter's value may be this proxy's."""
    good_alarm(stack, CfnParameter(stack, "Name").value_as_string)
    assert "NoPinningAlarm" not in rules_of(app)


def test_proxy_named_by_a_parameter(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    """The same parameter is the same name."""
    name = CfnParameter(stack, "Name").value_as_string
    resource: rds.CfnDBProxy = proxy.node.default_child  # type: ignore[assignment]
    resource.db_proxy_name = name
    group = logs.LogGroup(stack, "LogGroup", log_group_name=f"/aws/rds/proxy/{name}")
    resource.node.add_dependency(group)
    good_alarm(stack, name)
    assert check(app) == []


def test_alarm_in_another_stack(app: App, stack: Stack, proxy: rds.DatabaseProxy, other: str) -> None:
    """It imports the proxy's name."""
    good_alarm(Stack(app, "Monitoring"), proxy.db_proxy_name)
    assert unwatched(app) == [other]


def test_manual_export(app: App, stack: Stack, proxy: rds.DatabaseProxy, other: str) -> None:
    CfnOutput(stack, "Name", value=proxy.db_proxy_name, export_name="proxy-name")
    good_alarm(Stack(app, "Monitoring"), Fn.import_value("proxy-name"))
    assert unwatched(app) == [other]


def test_alarm_in_a_nested_stack(app: App, stack: Stack, proxy: rds.DatabaseProxy, other: str) -> None:
    """Its parameter is the parent's value, also two levels down."""
    nested = NestedStack(NestedStack(stack, "Outer"), "Inner")
    good_alarm(nested, proxy.db_proxy_name)
    assert unwatched(app) == [other]


def test_proxy_in_a_nested_stack(
    app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, other: str
) -> None:
    nested = NestedStack(stack, "Nested")
    proxy = plain_proxy(nested, vpc, instance, require_tls=False)
    good_alarm(stack, proxy.db_proxy_name)
    assert {(found.rule, found.path) for found in check(app)} == {
        ("LogGroup", "Test/Nested/Proxy/Resource"),
        ("RequireTls", "Test/Nested/Proxy/Resource"),
        ("LogGroup", other),
        ("NoPinningAlarm", other),
    }


def test_stages_are_checked_separately(app: App) -> None:
    """The same name in another account or region is another proxy."""
    for region in ("eu-west-1", "us-east-1"):
        stack = Stack(Stage(app, f"Stage-{region}"), "Data", env=Environment(account="111122223333", region=region))
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        plain_proxy(stack, vpc, plain_instance(stack, vpc), db_proxy_name="orders")
        if region == "eu-west-1":
            good_alarm(stack, "orders")
    found = [found for found in check(app) if found.rule == "NoPinningAlarm"]
    assert [one.path for one in found] == ["Stage-us-east-1/Data/Proxy/Resource"]


def test_included_template(app: App, stack: Stack, tmp_path: Path) -> None:
    """Also with YAML's short forms."""
    template = tmp_path / "template.yaml"
    template.write_text(
        """
Parameters:
  Stage: {Type: String}
Resources:
  Proxy:
    Type: AWS::RDS::DBProxy
    DependsOn: LogGroup
    Properties:
      DBProxyName: !Sub "orders-${Stage}"
      EngineFamily: POSTGRESQL
      RequireTLS: "true"
      RoleArn: arn:aws:iam::111122223333:role/proxy
      VpcSubnetIds: [subnet-1, subnet-2]
      Auth: [{SecretArn: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders"}]
  LogGroup:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Join ["", ["/aws/rds/proxy/orders-", !Ref Stage]]
      RetentionInDays: 7
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/RDS
      MetricName: DatabaseConnectionsCurrentlySessionPinned
      Dimensions: [{Name: ProxyName, Value: !Ref Proxy}]
      Statistic: Sum
      Period: "60"
      EvaluationPeriods: 5
      Threshold: 5
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: !If [Quiet, notBreaching, breaching]
Conditions:
  Quiet: !Equals [!Ref Stage, dev]
"""
    )
    include.CfnInclude(stack, "Included", template_file=str(template))
    assert check(app) == []
