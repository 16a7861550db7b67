"""PinSafeProxy."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, Fn, NestedStack, Stack, Stage
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match, Template
from constructs import Construct

from cdk_pinsafe import (
    EnhancedLogging,
    EnhancedLoggingOnAlarm,
    PinningLogs,
    PinSafePostgres,
    PinSafeProxy,
    PostgresDatabase,
)
from cdk_pinsafe.errors import ConfigurationError

from .conftest import plain_instance


def test_log_group_of_the_proxy(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It has an expiry, and the proxy depends on it."""
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, log_retention=logs.RetentionDays.ONE_WEEK)
    template = Template.from_stack(stack)
    [(group_id, group)] = template.find_resources("AWS::Logs::LogGroup").items()
    [resource] = template.find_resources("AWS::RDS::DBProxy").values()
    name = resource["Properties"]["DBProxyName"]
    assert name == proxy.db_proxy_name == name.lower()
    assert group["Properties"] == {"LogGroupName": f"/aws/rds/proxy/{name}", "RetentionInDays": 7}
    assert group_id in resource["DependsOn"]


@pytest.mark.parametrize(
    ("mode", "debug", "schedules"),
    [(EnhancedLogging.ALWAYS, True, 1), (EnhancedLogging.ONE_DAY, True, 0), (EnhancedLogging.OFF, False, 0)],
)
def test_enhanced_logging_modes(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, mode: EnhancedLogging, debug: bool, schedules: int
) -> None:
    """ALWAYS has a schedule; ONE_DAY and OFF have none."""
    PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, enhanced_logging=mode)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::RDS::DBProxy", {"DebugLogging": debug})
    template.resource_count_is("AWS::Scheduler::Schedule", schedules)
    template.resource_count_is("AWS::Lambda::Function", 0)


def test_renewal_of_enhanced_logging(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The scheduler's role may modify only this proxy."""
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc)
    template = Template.from_stack(stack)
    [schedule] = template.find_resources("AWS::Scheduler::Schedule").values()
    role_id = schedule["Properties"]["Target"]["RoleArn"]["Fn::GetAtt"][0]
    role = template.find_resources("AWS::IAM::Role")[role_id]["Properties"]
    [statement] = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("rds:ModifyDBProxy", stack.resolve(proxy.db_proxy_arn))
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    target = schedule["Properties"]["Target"]
    assert target["Arn"]["Fn::Join"][1][-1] == ":scheduler:::aws-sdk:rds:modifyDBProxy"
    assert json.loads(target["Input"]) == {"DbProxyName": proxy.db_proxy_name, "DebugLogging": True}
    assert schedule["Properties"]["ScheduleExpression"] == "rate(6 hours)"


def test_tls_and_iam_authentication(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """TLS is always required; IAM can be switched off."""
    PinSafeProxy(stack, "Iam", target=instance, vpc=vpc)
    PinSafeProxy(stack, "Passwords", target=instance, vpc=vpc, iam_auth=False)
    proxies = Template.from_stack(stack).find_resources("AWS::RDS::DBProxy").values()
    assert all(proxy["Properties"]["RequireTLS"] is True for proxy in proxies)
    assert sorted(proxy["Properties"]["Auth"][0]["IAMAuth"] for proxy in proxies) == ["DISABLED", "REQUIRED"]


def test_props_of_the_pool(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    PinSafeProxy(
        stack,
        "Proxy",
        target=instance,
        vpc=vpc,
        borrow_timeout=Duration.seconds(300),
        idle_client_timeout=Duration.hours(8),
        max_connections_percent=70,
        max_idle_connections_percent=70,
    )
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::RDS::DBProxy", {"IdleClientTimeout": 28_800})
    template.has_resource_properties(
        "AWS::RDS::DBProxyTargetGroup",
        {
            "ConnectionPoolConfigurationInfo": {
                "ConnectionBorrowTimeout": 300,
                "MaxConnectionsPercent": 70,
                "MaxIdleConnectionsPercent": 70,
            }
        },
    )


@pytest.mark.parametrize(
    ("props", "message"),
    [
        (
            {"borrow_timeout": Duration.seconds(301)},
            "'borrow_timeout' should be a whole number between 0 and 300 seconds, got 301",
        ),
        (
            {"borrow_timeout": Duration.millis(1500)},
            "'borrow_timeout' should be a whole number between 0 and 300 seconds, got 1.5",
        ),
        (
            {"idle_client_timeout": Duration.days(30)},
            "'idle_client_timeout' should be a whole number between 1 and 28800 seconds",
        ),
        (
            {"idle_client_timeout": Duration.seconds(0)},
            "'idle_client_timeout' should be a whole number between 1 and 28800 seconds",
        ),
        (
            {"max_connections_percent": 0},
            "'max_connections_percent' should be a whole number between 1 and 100 percent, got 0",
        ),
        (
            {"max_connections_percent": 101},
            "'max_connections_percent' should be a whole number between 1 and 100 percent, got 101",
        ),
        (
            {"max_connections_percent": 10, "max_idle_connections_percent": 90},
            r"'max_idle_connections_percent' should be a whole number between 0 and 10 percent "
            r"\(max_connections_percent\), got 90",
        ),
        ({"max_connections_percent": 70.5}, "'max_connections_percent' should be a whole number or None, got 70.5"),
        (
            {"max_idle_connections_percent": 20},
            "'max_connections_percent' should be given together with 'max_idle_connections_percent'",
        ),
        ({"db_proxy_name": "bad--name-"}, "'db_proxy_name' should be 1 to 63 letters.*got 'bad--name-'"),
        ({"db_proxy_name": "1st"}, "'db_proxy_name'.*got '1st'"),
        ({"db_proxy_name": "x" * 64}, "'db_proxy_name'"),
        (
            {"session_pinning_filters": [rds.SessionPinningFilter.EXCLUDE_VARIABLE_SETS]},
            r"'session_pinning_filters' should be left out for PostgreSQL, got \['EXCLUDE_VARIABLE_SETS'\]",
        ),
    ],
)
def test_values_that_rds_refuses(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, props: dict[str, Any], message: str
) -> None:
    """They are refused at synth, with what is allowed."""
    with pytest.raises(ConfigurationError, match=f"^Test/Proxy: {message}"):
        PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, **props)


@pytest.mark.parametrize("as_target", [False, True])
def test_mysql_is_refused(stack: Stack, vpc: ec2.Vpc, as_target: bool) -> None:
    mysql = rds.DatabaseInstance(
        stack, "Mysql", engine=rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_0), vpc=vpc
    )
    secret = secretsmanager.Secret(stack, "Secret")
    target = rds.ProxyTarget.from_instance(mysql) if as_target else mysql
    with pytest.raises(ConfigurationError, match=r"^Test/Proxy: 'target' should be.*MYSQL"):
        PinSafeProxy(stack, "Proxy", target=target, vpc=vpc, secrets=[secret])


def test_proxy_without_a_secret_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    instance = rds.DatabaseInstance.from_database_instance_attributes(
        stack,
        "Imported",
        instance_identifier="orders",
        instance_endpoint_address="orders.example.com",
        port=5432,
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-1")],
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_16),
    )
    with pytest.raises(ConfigurationError, match="'secrets' should be 1 to 200 secrets of database users, got 0"):
        PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc)


def test_cluster_without_endpoint_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    """It was imported by its name only."""
    cluster = rds.DatabaseCluster.from_database_cluster_attributes(
        stack,
        "Imported",
        cluster_identifier="orders",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_4),
    )
    with pytest.raises(ConfigurationError, match="'target' should have an endpoint, got none"):
        PinSafeProxy(stack, "Proxy", target=cluster, vpc=vpc)


def test_import_without_engine_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    """It may not be PostgreSQL."""
    cluster = rds.DatabaseCluster.from_database_cluster_attributes(stack, "Imported", cluster_identifier="orders")
    with pytest.raises(ConfigurationError, match="family unknown: pass its engine when you import it"):
        PinSafeProxy(stack, "Proxy", target=cluster, vpc=vpc)


@pytest.mark.parametrize(
    ("props", "warning"),
    [
        ({}, "SqlInProxyLogs"),
        ({"init_query": "SET timezone = 'UTC'"}, "InitQuery"),
        ({"borrow_timeout": Duration.seconds(0)}, "NoBorrowTimeout"),
    ],
)
def test_warnings(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, props: dict[str, Any], warning: str
) -> None:
    PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, **props)
    Annotations.from_stack(stack).has_warning("/Test/Proxy", Match.string_like_regexp(f"cdk-pinsafe:{warning}"))


def test_no_warning_without_enhanced_logging(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, enhanced_logging=EnhancedLogging.OFF)
    assert Annotations.from_stack(stack).find_warning("*", Match.any_value()) == []


def test_grant_connect(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The grantee gets the IAM permission for one user, and access by security group."""
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc)
    function = lambda_.Function(
        stack,
        "Client",
        vpc=vpc,
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    proxy.grant_connect(function, "app")
    template = Template.from_stack(stack)
    [policy] = [
        policy
        for name, policy in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("ClientServiceRole")
    ]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "rds-db:connect"
    assert statement["Resource"]["Fn::Join"][1][-1] == "/app"
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {
            "GroupId": stack.resolve(proxy.connections.security_groups[0].security_group_id),
            "SourceSecurityGroupId": stack.resolve(function.connections.security_groups[0].security_group_id),
            "FromPort": 5432,
            "ToPort": 5432,
        },
    )


def test_grant_connect_defaults_to_the_secrets_user(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """If there is one secret; with two, the user has to be given."""
    role = iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal())
    PinSafeProxy(stack, "One", target=instance, vpc=vpc).grant_connect(role)
    assert instance.secret is not None
    other = secretsmanager.Secret(stack, "Other")
    two = PinSafeProxy(stack, "Two", target=instance, vpc=vpc, secrets=[instance.secret, other])
    with pytest.raises(ConfigurationError, match="'db_user' should name the database user"):
        two.grant_connect(role)
    [policy] = [
        policy["Properties"]["PolicyDocument"]["Statement"][0]
        for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
        if policy["Properties"]["Roles"] == [{"Ref": stack.get_logical_id(role.node.default_child)}]  # type: ignore[arg-type]
    ]
    assert ":SecretString:username::}}" in json.dumps(policy["Resource"])


def test_token_of_a_percentage_passes(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It cannot be compared at synth."""
    most: Any = CfnParameter(stack, "Most", type="Number").value_as_number
    PinSafeProxy(
        stack, "Proxy", target=instance, vpc=vpc, max_connections_percent=most, max_idle_connections_percent=30
    )
    Template.from_stack(stack).has_resource_properties(
        "AWS::RDS::DBProxyTargetGroup",
        {
            "ConnectionPoolConfigurationInfo": {
                "MaxConnectionsPercent": {"Ref": "Most"},
                "MaxIdleConnectionsPercent": 30,
            }
        },
    )


def test_grant_connect_outside_a_vpc_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """A proxy can be reached only from its VPC."""
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc)
    function = lambda_.Function(
        stack,
        "Client",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    with pytest.raises(ConfigurationError, match="^Test/Proxy: 'grantee' should be in a VPC"):
        proxy.grant_connect(function, "app")


def test_secret_under_a_key_of_another_stack(app: App) -> None:
    """The key's policy must not name the proxy's role, or the stacks would depend on each other."""
    data = Stack(app, "Data")
    vpc = ec2.Vpc(data, "Vpc", max_azs=2)
    secret = secretsmanager.Secret(data, "Secret", encryption_key=kms.Key(data, "Key"))
    instance = plain_instance(data, vpc)
    other = Stack(app, "Other")
    PinSafeProxy(other, "Proxy", target=instance, vpc=vpc, secrets=[secret])
    [policy] = Template.from_stack(other).find_resources("AWS::IAM::Policy").values()
    actions = [statement["Action"] for statement in policy["Properties"]["PolicyDocument"]["Statement"]]
    assert "kms:Decrypt" in actions


def test_proxy_in_a_nested_stack(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The rule for the parent's database is in the nested stack."""
    nested = NestedStack(stack, "Nested")
    PinSafeProxy(nested, "Proxy", target=instance, vpc=vpc)
    Template.from_stack(nested).resource_count_is("AWS::EC2::SecurityGroupIngress", 1)
    Template.from_stack(stack).resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


def test_instance_of_another_stack(app: App) -> None:
    """The rule is in the proxy's stack, so the stacks do not depend on each other."""
    data = Stack(app, "Data")
    vpc = ec2.Vpc(data, "Vpc", max_azs=2)
    instance = plain_instance(data, vpc)
    other = Stack(app, "Other")
    proxy = PinSafeProxy(other, "Proxy", target=instance, vpc=vpc)
    template = Template.from_stack(other)
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {"SourceSecurityGroupId": other.resolve(proxy.connections.security_groups[0].security_group_id)},
    )
    Template.from_stack(data).resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


def test_pool_depends_on_the_cluster_instances(stack: Stack, vpc: ec2.Vpc) -> None:
    """The target is the cluster."""
    cluster = rds.DatabaseCluster(
        stack,
        "Cluster",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_4),
        vpc=vpc,
        writer=rds.ClusterInstance.serverless_v2("Writer"),
    )
    PinSafeProxy(stack, "Proxy", target=cluster, vpc=vpc)
    template = Template.from_stack(stack)
    [group] = template.find_resources("AWS::RDS::DBProxyTargetGroup").values()
    assert group["Properties"]["DBClusterIdentifiers"] == [stack.resolve(cluster.cluster_identifier)]
    assert set(template.find_resources("AWS::RDS::DBInstance")) <= set(group["DependsOn"])


@pytest.mark.parametrize("kind", ["instance", "cluster"])
def test_imported_database_keeps_its_groups_and_secret(stack: Stack, vpc: ec2.Vpc, kind: str) -> None:
    secret = secretsmanager.Secret.from_secret_complete_arn(
        stack, "Secret", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders-AbCdEf"
    )
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")
    if kind == "instance":
        database = PostgresDatabase.from_instance_attributes(
            stack,
            "Database",
            instance_identifier="orders",
            endpoint_address="orders.example.com",
            security_groups=[group],
            secret=secret,
            version=rds.PostgresEngineVersion.VER_16,
        )
    else:
        database = PostgresDatabase.from_cluster_attributes(
            stack,
            "Database",
            cluster_identifier="orders",
            endpoint_address="orders.cluster.example.com",
            security_groups=[group],
            secret=secret,
            version=rds.AuroraPostgresEngineVersion.VER_16_4,
        )
    PinSafeProxy(stack, "Proxy", target=database, vpc=vpc)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress", {"GroupId": "sg-12345678", "FromPort": 5432, "ToPort": 5432}
    )
    template.has_resource_properties(
        "AWS::RDS::DBProxy", {"Auth": [Match.object_like({"SecretArn": secret.secret_arn})]}
    )


def test_imported_proxy() -> None:
    """It has connections, grants and metrics."""
    stack = Stack(App(), "Test", env=Environment(account="111122223333", region="eu-west-1"))
    proxy = PinSafeProxy.from_database_proxy_attributes(
        stack,
        "Proxy",
        db_proxy_name="orders",
        db_proxy_arn="arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-0123",
        endpoint="orders.proxy-x.eu-west-1.rds.amazonaws.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")],
    )
    role = iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal())
    proxy.grant_connect(role, "app")
    with pytest.raises(ConfigurationError, match="'db_user' should name"):
        proxy.grant_connect(role)
    client = ec2.SecurityGroup(stack, "Client", vpc=ec2.Vpc(stack, "Vpc"))
    client.connections.allow_to_default_port(proxy)
    metric = proxy.metric_pinned()
    assert (metric.metric_name, metric.statistic) == ("DatabaseConnectionsCurrentlySessionPinned", "Sum")
    assert metric.period.to_seconds() == 60
    assert metric.dimensions == {"ProxyName": "orders"}
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::EC2::SecurityGroupIngress", {"GroupId": "sg-12345678", "FromPort": 5432})
    [policy] = template.find_resources("AWS::IAM::Policy").values()
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    resource = statement["Resource"]
    assert "".join(part for part in resource["Fn::Join"][1] if isinstance(part, str)) == (
        "arn::rds-db:eu-west-1:111122223333:dbuser:prx-0123/app"
    )


def test_defaults_of_metrics(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The proxy's name as dimension, over one minute."""
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, db_proxy_name="orders")
    plain = [
        proxy.metric_pinned(),
        proxy.metric_borrowed(),
        proxy.metric_database_connections(),
        proxy.metric_max_database_connections(),
        proxy.metric_client_connections(),
        proxy.metric_failed_logins(),
        proxy.metric_borrow_latency(),
        proxy.metric("QueryRequests"),
    ]
    assert len({metric.metric_name for metric in plain}) == len(plain)
    assert {metric.period.to_seconds() for metric in plain} == {60}
    assert all(metric.dimensions == {"ProxyName": "orders"} for metric in plain)
    for ratio in (proxy.metric_pinned_ratio(), proxy.metric_pool_utilization()):
        assert ratio.period.to_seconds() == 60
        assert set(ratio.using_metrics) == {"part", "whole"}


def test_metrics_take_cdks_options() -> None:
    """Instead of the defaults; None is the default."""
    stack = Stack(App(), "Test", env=Environment(account="111122223333", region="eu-west-1"))
    proxy = PinSafeProxy.from_database_proxy_attributes(
        stack,
        "Proxy",
        db_proxy_name="orders",
        db_proxy_arn="arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-0123",
        endpoint="orders.proxy-x.eu-west-1.rds.amazonaws.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")],
    )
    role = {"ProxyName": "orders", "TargetGroup": "default", "TargetRole": "READ_WRITE"}
    metric = proxy.metric_pinned(
        period=Duration.minutes(5), statistic="Maximum", label="pins", dimensions_map=role, region=None
    )
    assert (metric.period.to_seconds(), metric.statistic, metric.label) == (300, "Maximum", "pins")
    assert metric.dimensions == role
    assert proxy.metric("QueryResponseLatency").statistic == "Average"
    assert proxy.metric("NewMetric", period=None, statistic=None).statistic == "Sum"
    ratio = proxy.metric_pinned_ratio(period=Duration.hours(1), label="share")
    assert (ratio.period.to_seconds(), ratio.label) == (3600, "share")
    # As for CDK's own constructs: an alarm in another region reads the metric from the proxy's.
    other = Stack(stack.node.scope, "Other", env=Environment(account="444455556666", region="eu-west-1"))  # type: ignore[arg-type]
    proxy.metric_pinned().create_alarm(other, "Alarm", threshold=5, evaluation_periods=5)
    Template.from_stack(other).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"Metrics": [Match.object_like({"AccountId": "111122223333"})]}
    )


def test_period_that_cloudwatch_lacks_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc)
    with pytest.raises(ConfigurationError, match="^Test/Proxy: 'period' should be 1, 5, .* got 90 seconds"):
        proxy.metric_pinned_ratio(period=Duration.seconds(90))
    assert proxy.metric_pinned(period=Duration.seconds(30)).period.to_seconds() == 30


PRIVATE = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)


def imported_vpc(stack: Stack, *subnets: str, id: str = "Vpc") -> ec2.IVpc:
    zones = [f"eu-west-1{letter}" for letter in "abcd"[: len(subnets)]]
    return ec2.Vpc.from_vpc_attributes(
        stack, id, vpc_id="vpc-1", availability_zones=zones, private_subnet_ids=list(subnets)
    )


def name_of(
    make_vpc: Callable[[Stack], ec2.IVpc], scope: Callable[[App], Stack] = lambda app: Stack(app, "Test"), **props: Any
) -> str:
    """The default name of a proxy in a VPC."""
    stack = scope(App())
    vpc = make_vpc(stack)
    return PinSafeProxy(stack, "Proxy", target=plain_instance(stack, vpc), vpc=vpc, **props).db_proxy_name


def test_default_name_follows_create_only_properties() -> None:
    """Other subnets give another name; other changes of the VPC do not."""
    names = [
        name_of(lambda stack: ec2.Vpc(stack, "Vpc", max_azs=2)),
        name_of(lambda stack: ec2.Vpc(stack, "Vpc", availability_zones=["eu-west-1a", "eu-west-1b"])),
        name_of(lambda stack: ec2.Vpc(stack, "Vpc", availability_zones=["eu-west-1a", "eu-west-1b", "eu-west-1c"])),
        name_of(lambda stack: ec2.Vpc(stack, "Vpc", ip_addresses=ec2.IpAddresses.cidr("10.7.0.0/16"), max_azs=2)),
        name_of(lambda stack: ec2.Vpc(stack, "Other", max_azs=2)),
        name_of(lambda stack: ec2.Vpc(Stack(stack, "Network"), "Vpc", max_azs=2)),
        name_of(lambda stack: ec2.Vpc(Stack(stack, "OtherNetwork"), "Vpc", max_azs=2)),
        name_of(lambda stack: imported_vpc(stack, "subnet-1", "subnet-2")),
        name_of(lambda stack: imported_vpc(stack, "subnet-1", "subnet-2", "subnet-3")),
        name_of(lambda stack: imported_vpc(stack, "subnet-1", "subnet-3")),
    ]
    assert len(set(names)) == len(names)
    same = [
        name_of(
            lambda stack: ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=1, flow_logs={"Log": ec2.FlowLogOptions()})
        ),
        name_of(lambda stack: ec2.Vpc(stack, "Vpc", max_azs=2), vpc_subnets=PRIVATE),
        name_of(lambda stack: ec2.Vpc(stack, "Vpc", max_azs=2), iam_auth=False, borrow_timeout=Duration.seconds(9)),
        name_of(
            lambda stack: ec2.Vpc(stack, "Vpc", max_azs=2),
            lambda app: Stack(Stage(app, "Prod"), "Test", stack_name="Test"),
        ),
    ]
    assert set(same) == {names[0]}
    assert name_of(lambda stack: imported_vpc(stack, "subnet-2", "subnet-1")) == names[7]
    assert len({re.sub("-[0-9a-f]{8}$", "", name) for name in names}) == 1


def test_default_name_of_imported_subnets() -> None:
    """The export and the number of zones identify the list."""

    def imported(stack: Stack, export: str, zones: int) -> ec2.IVpc:
        ids = [Fn.select(number, Fn.split(",", Fn.import_value(export))) for number in range(zones)]
        names = [f"eu-west-1{letter}" for letter in "abc"[:zones]]
        return ec2.Vpc.from_vpc_attributes(
            stack, "Vpc", vpc_id="vpc-1", availability_zones=names, private_subnet_ids=ids
        )

    two, three, other = (
        name_of(lambda stack, export=export, zones=zones: imported(stack, export, zones))  # type: ignore[misc]
        for export, zones in (("subnets", 2), ("subnets", 3), ("others", 2))
    )
    assert len({two, three, other}) == 3
    assert name_of(lambda stack: imported(stack, "subnets", 2)) == two


def test_default_name_of_a_subnet_list_token() -> None:
    """CDK takes such a list, with a warning."""

    def imported(stack: Stack, export: str) -> ec2.IVpc:
        ids = Fn.split(",", Fn.import_value(export))
        return ec2.Vpc.from_vpc_attributes(
            stack, "Vpc", vpc_id="vpc-1", availability_zones=Fn.get_azs(), private_subnet_ids=ids
        )

    names = [name_of(lambda stack, export=export: imported(stack, export)) for export in "aab"]  # type: ignore[misc]
    assert names[0] == names[1] != names[2]


def test_default_name_of_a_vpc_in_a_nested_stack() -> None:
    """Two nested stacks have two VPCs with the same logical ids."""
    names = [
        name_of(lambda stack, nested=nested: ec2.Vpc(NestedStack(stack, nested), "Vpc", max_azs=2))  # type: ignore[misc]
        for nested in ("One", "One", "Two")
    ]
    assert names[0] == names[1] != names[2]


def test_default_name_before_the_vpc_lookup() -> None:
    """CDK's first run has dummy subnets, and must not fail."""

    def scope(app: App) -> Stack:
        return Stack(app, "Test", env=Environment(account="111122223333", region="eu-west-1"))

    dummy = name_of(lambda stack: ec2.Vpc.from_lookup(stack, "Vpc", vpc_id="vpc-1"), scope)
    assert dummy != name_of(lambda stack: imported_vpc(stack, "subnet-1", "subnet-2"), scope)


@pytest.mark.parametrize("depth", [1, 6])
def test_default_name_is_valid(depth: int) -> None:
    """However deep the construct is."""
    stack = Stack(App(), "A-Stack-With-A-Long-Name")
    scope: Construct = stack
    for _ in range(depth):
        scope = Construct(scope, "AConstructWithALongName")
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    instance = plain_instance(stack, vpc)
    names = [PinSafeProxy(scope, name, target=instance, vpc=vpc).db_proxy_name for name in ("One", "Two")]
    assert len(set(names)) == 2
    assert all(re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name) and len(name) <= 63 for name in names)


def test_all_uses_of_the_name_follow_it() -> None:
    """An old name would watch, log or renew a proxy that is gone."""
    templates = []
    for zones in (2, 3):
        stack = Stack(App(), "Test")
        vpc = ec2.Vpc(stack, "Vpc", availability_zones=[f"eu-west-1{zone}" for zone in "abc"[:zones]])
        database = PinSafePostgres(stack, "Database", vpc=vpc)
        PinningLogs(stack, "Logs", proxy=database.proxy)
        EnhancedLoggingOnAlarm(stack, "OnAlarm", proxy=database.proxy, alarm=database.alarms.pinned)
        templates.append((database.proxy.db_proxy_name, json.dumps(Template.from_stack(stack).to_json())))
    (name, template), (new_name, new_template) = templates
    assert name != new_name
    assert template.count(name) == new_template.count(new_name) > 10
    assert name not in new_template


def test_given_name_is_unchanged() -> None:
    """It may have upper-case letters."""
    names = {
        name_of(lambda stack, zones=zones: ec2.Vpc(stack, "Vpc", max_azs=zones), db_proxy_name="Orders")  # type: ignore[misc]
        for zones in (1, 2)
    }
    assert names == {"Orders"}


@pytest.mark.parametrize("given", [None, "orders"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("endpoint_network_type", "DUAL"),
        ("target_connection_network_type", "IPV6"),
        ("vpc_subnet_ids", ["subnet-1", "subnet-2"]),
    ],
)
def test_later_create_only_change_needs_a_name(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, name: str, value: Any, given: str | None
) -> None:
    """The default name was computed before the change."""
    proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, db_proxy_name=given)
    setattr(proxy.proxy.node.default_child, name, value)
    if given:
        Template.from_stack(stack)
        return
    with pytest.raises(RuntimeError, match=r"\[Test/Proxy\] 'db_proxy_name' should be given if \w+ is changed"):
        Template.from_stack(stack)
