"""PinSafePostgres."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, NestedStack, RemovalPolicy, Stack, Stage, Tags
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match, Template
from constructs import Construct

from cdk_pinsafe import DatabaseSettings, PinSafePostgres
from cdk_pinsafe.errors import ConfigurationError

from .conftest import plain_instance


@pytest.fixture
def isolated_vpc(stack: Stack) -> ec2.Vpc:
    return ec2.Vpc(
        stack,
        "Isolated",
        max_azs=2,
        nat_gateways=0,
        subnet_configuration=[ec2.SubnetConfiguration(name="Db", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)],
    )


def test_instance_has_safe_defaults(stack: Stack, vpc: ec2.Vpc) -> None:
    """Encrypted, redundant, backed up, protected, with TLS required and IAM on."""
    PinSafePostgres(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    template.has_resource(
        "AWS::RDS::DBInstance",
        {
            "DeletionPolicy": "Snapshot",
            "UpdateReplacePolicy": "Snapshot",
            "Properties": {
                "BackupRetentionPeriod": 7,
                "CopyTagsToSnapshot": True,
                "DBName": "app",
                "DeletionProtection": True,
                "EnableCloudwatchLogsExports": ["postgresql", "upgrade"],
                "EnableIAMDatabaseAuthentication": True,
                "Engine": "postgres",
                "MultiAZ": True,
                "PubliclyAccessible": False,
                "StorageEncrypted": True,
                "StorageType": "gp3",
            },
        },
    )
    template.has_resource_properties("AWS::RDS::DBParameterGroup", {"Parameters": {"rds.force_ssl": "1"}})
    template.resource_count_is("AWS::Lambda::Function", 2)


def test_props_of_the_instance(stack: Stack, vpc: ec2.Vpc) -> None:
    """TLS is still required."""
    PinSafePostgres(
        stack,
        "Database",
        vpc=vpc,
        database_name="chat",
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_16),
        instance_type=ec2.InstanceType("r7g.large"),
        parameters={"shared_preload_libraries": "pg_stat_statements", "rds.force_ssl": "0"},
        allocated_storage=100,
        max_allocated_storage=500,
        multi_az=False,
        backup_retention=Duration.days(14),
        deletion_protection=False,
        removal_policy=RemovalPolicy.DESTROY,
        max_connections_percent=70,
        iam_auth=False,
    )
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::RDS::DBInstance",
        {
            "AllocatedStorage": "100",
            "BackupRetentionPeriod": 14,
            "DBInstanceClass": "db.r7g.large",
            "DBName": "chat",
            "DeletionProtection": False,
            "EngineVersion": "16",
            "MaxAllocatedStorage": 500,
            "MultiAZ": False,
        },
    )
    template.has_resource_properties(
        "AWS::RDS::DBParameterGroup",
        {"Parameters": {"rds.force_ssl": "1", "shared_preload_libraries": "pg_stat_statements"}},
    )
    template.has_resource_properties("AWS::RDS::DBProxy", {"Auth": [Match.object_like({"IAMAuth": "DISABLED"})]})


def test_pool_depends_on_the_settings(stack: Stack, vpc: ec2.Vpc) -> None:
    """So that the first database connections have them."""
    PinSafePostgres(stack, "Database", vpc=vpc, settings={"timezone": "UTC"})
    template = Template.from_stack(stack)
    [settings_id] = template.find_resources("Custom::PinSafeDatabaseSettings")
    [group] = template.find_resources("AWS::RDS::DBProxyTargetGroup").values()
    assert settings_id in group["DependsOn"]


def test_alarms_watch_the_proxy(stack: Stack, vpc: ec2.Vpc) -> None:
    database = PinSafePostgres(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    [proxy] = template.find_resources("AWS::RDS::DBProxy").values()
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "DatabaseConnectionsCurrentlySessionPinned",
            "Dimensions": [{"Name": "ProxyName", "Value": proxy["Properties"]["DBProxyName"]}],
        },
    )
    assert database.proxy.db_proxy_name == proxy["Properties"]["DBProxyName"]


def test_isolated_subnets_get_an_endpoint(stack: Stack, isolated_vpc: ec2.Vpc) -> None:
    """Two databases in a VPC share it, and there is no warning."""
    for name in ("First", "Second"):
        PinSafePostgres(stack, name, vpc=isolated_vpc)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::EC2::VPCEndpoint", 1)
    [endpoint_id] = template.find_resources("AWS::EC2::VPCEndpoint")
    settings = template.find_resources("Custom::PinSafeDatabaseSettings").values()
    assert len(settings) == 2
    assert all(endpoint_id in resource["DependsOn"] for resource in settings)
    assert Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("NoWay")) == []


@pytest.mark.parametrize(
    ("addresses", "cidr"),
    [
        (ec2.IpAddresses.cidr("10.1.0.0/16"), "10.1.0.0/16"),
        (
            ec2.IpAddresses.aws_ipam_allocation(
                ipv4_ipam_pool_id="ipam-pool-1", ipv4_netmask_length=18, default_subnet_ipv4_netmask_length=24
            ),
            {"Fn::GetAtt": ["Vpc8378EB38", "CidrBlock"]},
        ),
    ],
    ids=["known range", "IPAM"],
)
def test_endpoint_is_open_to_the_vpc_alone(stack: Stack, addresses: ec2.IIpAddresses, cidr: Any) -> None:
    """To all of it, as private DNS brings every client of Secrets Manager here."""
    isolated = ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    vpc = ec2.Vpc(stack, "Vpc", ip_addresses=addresses, subnet_configuration=[isolated])
    PinSafePostgres(stack, "Database", vpc=vpc)
    template = Template.from_stack(stack)
    [endpoint] = template.find_resources("AWS::EC2::VPCEndpoint").values()
    [group_id] = endpoint["Properties"]["SecurityGroupIds"]
    group = template.find_resources("AWS::EC2::SecurityGroup")[group_id["Fn::GetAtt"][0]]
    [rule] = group["Properties"]["SecurityGroupIngress"]
    assert rule == {
        "CidrIp": cidr,
        "Description": "from the VPC",
        "FromPort": 443,
        "ToPort": 443,
        "IpProtocol": "tcp",
    }


def own_endpoint(scope: Construct, vpc: ec2.IVpc, id: str = "Own", **props: Any) -> ec2.InterfaceVpcEndpoint:
    """An endpoint that the app itself creates."""
    service = ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER
    return ec2.InterfaceVpcEndpoint(scope, id, **{"vpc": vpc, "service": service, **props})


def endpoint_by_its_properties(scope: Construct, vpc: ec2.IVpc) -> None:
    ec2.CfnVPCEndpoint(
        scope,
        "Own",
        vpc_id=vpc.node.default_child.attr_vpc_id,  # type: ignore[union-attr]
        service_name="com.amazonaws.eu-west-1.secretsmanager",
        vpc_endpoint_type="Interface",
        private_dns_enabled=True,
    )


@pytest.mark.parametrize("is_made_first", [True, False])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("make", [own_endpoint, endpoint_by_its_properties])
def test_endpoint_of_the_app_is_used(
    stack: Stack,
    isolated_vpc: ec2.Vpc,
    is_made_first: bool,
    depth: int,
    make: Callable[[Construct, ec2.IVpc], object],
) -> None:
    """Wherever it is and whenever it is created; the settings depend on it."""
    scope: Construct = stack
    for _ in range(depth):
        scope = Construct(scope, "Network")
    if is_made_first:
        make(scope, isolated_vpc)
    PinSafePostgres(stack, "Database", vpc=isolated_vpc)
    if not is_made_first:
        make(scope, isolated_vpc)
    template = Template.from_stack(stack)
    [name] = template.find_resources("AWS::EC2::VPCEndpoint")
    assert "Own" in name
    [settings] = template.find_resources("Custom::PinSafeDatabaseSettings").values()
    assert name in settings["DependsOn"]
    assert "PinSafeSecretsManager" not in json.dumps(template.to_json())
    assert Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("Endpoint|NoWay")) == []


def test_added_endpoint_has_the_tags(app: App, stack: Stack, isolated_vpc: ec2.Vpc) -> None:
    Tags.of(app).add("team", "data")
    PinSafePostgres(stack, "Database", vpc=isolated_vpc)
    Template.from_stack(stack).has_resource_properties(
        "AWS::EC2::VPCEndpoint", {"Tags": Match.array_with([{"Key": "team", "Value": "data"}])}
    )


@pytest.mark.parametrize(
    "props",
    [
        {"private_dns_enabled": False},
        {"service": ec2.InterfaceVpcEndpointService("com.amazonaws.eu-west-1.secretsmanager-fips")},
    ],
)
def test_endpoint_without_private_dns(stack: Stack, isolated_vpc: ec2.Vpc, props: dict[str, Any]) -> None:
    """The applier uses the default host name of Secrets Manager."""
    own_endpoint(stack, isolated_vpc, **props)
    PinSafePostgres(stack, "Database", vpc=isolated_vpc)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPCEndpoint", 2)


def test_two_endpoints_of_a_vpc_are_refused(stack: Stack, isolated_vpc: ec2.Vpc) -> None:
    """Once for a VPC, however many databases it has."""
    own_endpoint(Construct(stack, "Network"), isolated_vpc)
    for name in ("First", "Second"):
        PinSafePostgres(stack, name, vpc=isolated_vpc)
    isolated_vpc.add_interface_endpoint("Other", service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER)
    with pytest.raises(RuntimeError) as caught:
        Template.from_stack(stack)
    message = str(caught.value)
    assert message.count("'vpc' should have one interface endpoint for Secrets Manager") == 1
    assert "got Test/Isolated/Other and Test/Network/Own" in message


@pytest.mark.parametrize("vpc_id", ["vpc-1", "vpc-12345"])
def test_two_endpoints_of_an_imported_vpc(stack: Stack, vpc_id: str) -> None:
    """A VPC that was imported twice is one; VPCs that were not looked up yet have the same id."""
    vpcs = [
        ec2.Vpc.from_vpc_attributes(
            stack,
            name,
            vpc_id=vpc_id,
            availability_zones=["a", "b"],
            isolated_subnet_ids=["subnet-1", "subnet-2"],
            vpc_cidr_block="10.0.0.0/16",
        )
        for name in ("One", "Two")
    ]
    for vpc in vpcs:
        own_endpoint(Construct(stack, f"Endpoint{vpc.node.id}"), vpc)
    PinSafePostgres(stack, "Database", vpc=vpcs[0])
    if vpc_id == "vpc-12345":
        Template.from_stack(stack)
    else:
        with pytest.raises(RuntimeError, match="got Test/EndpointOne/Own and Test/EndpointTwo/Own"):
            Template.from_stack(stack)


def test_endpoint_of_another_stack(app: App, stack: Stack, isolated_vpc: ec2.Vpc) -> None:
    """The stack of the settings depends on that of the endpoint."""
    endpoints = Stack(app, "Endpoints")
    own_endpoint(endpoints, isolated_vpc)
    data = Stack(app, "Data")
    PinSafePostgres(data, "Database", vpc=isolated_vpc)
    Template.from_stack(data).resource_count_is("AWS::EC2::VPCEndpoint", 0)
    assert endpoints in data.dependencies
    assert Annotations.from_stack(data).find_warning("*", Match.string_like_regexp("Endpoint|NoWay")) == []


@pytest.mark.parametrize("is_said", [True, False])
def test_endpoint_of_a_later_stack_gets_a_warning(app: App, is_said: bool) -> None:
    data = Stack(app, "Data")
    network = Stack(app, "Network") if is_said else data
    vpc = ec2.Vpc(
        network,
        "Vpc",
        nat_gateways=0,
        subnet_configuration=[ec2.SubnetConfiguration(name="Db", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)],
    )
    later = Stack(app, "Later")
    own_endpoint(later, vpc)
    if is_said:
        later.add_stack_dependency(data)
    PinSafePostgres(data, "Database", vpc=vpc)
    Annotations.from_stack(data).has_warning(
        "/Data/Database/Settings", Match.string_like_regexp("Later/Own, is not deployed before these settings")
    )


def test_endpoint_in_a_nested_stack(stack: Stack, isolated_vpc: ec2.Vpc) -> None:
    """The settings depend on the nested stack."""
    own_endpoint(NestedStack(stack, "Nested"), isolated_vpc)
    PinSafePostgres(stack, "Database", vpc=isolated_vpc)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::EC2::VPCEndpoint", 0)
    [nested] = template.find_resources("AWS::CloudFormation::Stack")
    [settings] = template.find_resources("Custom::PinSafeDatabaseSettings").values()
    assert nested in settings["DependsOn"]


def test_each_stage_has_its_own_endpoint(app: App) -> None:
    stacks = []
    for name in ("One", "Two"):
        stack = Stack(Stage(app, name), "Data")
        vpc = ec2.Vpc(
            stack,
            "Vpc",
            nat_gateways=0,
            subnet_configuration=[ec2.SubnetConfiguration(name="Db", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)],
        )
        PinSafePostgres(stack, "Database", vpc=vpc)
        stacks.append((stack, vpc))
    own_endpoint(Construct(stacks[1][0], "Network"), stacks[1][1])
    for (stack, _), name in zip(stacks, ("PinSafeSecretsManager", "Own"), strict=True):
        [endpoint] = Template.from_stack(stack).find_resources("AWS::EC2::VPCEndpoint")
        assert name in endpoint


@pytest.mark.parametrize("is_settings_first", [True, False])
@pytest.mark.parametrize(
    "types",
    [
        ["PUBLIC", "PRIVATE_WITH_EGRESS"],
        ["PUBLIC", "PRIVATE_WITH_EGRESS", "PRIVATE_ISOLATED"],
        ["PRIVATE_ISOLATED"],
    ],
)
def test_separate_settings_share_the_functions(stack: Stack, types: list[str], is_settings_first: bool) -> None:
    """With default subnets in one VPC; the functions stay if the VPC gets an availability zone."""
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        max_azs=2,
        nat_gateways=1 if "PUBLIC" in types else 0,
        subnet_configuration=[
            ec2.SubnetConfiguration(name=name, subnet_type=getattr(ec2.SubnetType, name)) for name in types
        ],
    )
    other = plain_instance(stack, vpc, "Other") if "PRIVATE_WITH_EGRESS" in types else None
    if other and is_settings_first:
        DatabaseSettings(stack, "More", database=other, vpc=vpc, database_name="app", settings={"jit": False})
    database = PinSafePostgres(stack, "Database", vpc=vpc)
    if not other or not is_settings_first:
        DatabaseSettings(
            stack,
            "More",
            database=other or database.instance,
            vpc=vpc,
            database_name="more",
            settings={"timezone": "UTC"},
        )
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Lambda::Function", 2)
    resources = template.find_resources("Custom::PinSafeDatabaseSettings").values()
    assert len(resources) == 2
    assert len({json.dumps(resource["Properties"]["ServiceToken"]) for resource in resources}) == 1


def test_other_endpoints_do_not_count(stack: Stack, isolated_vpc: ec2.Vpc, vpc: ec2.Vpc) -> None:
    """Of another VPC or another service."""
    ec2.InterfaceVpcEndpoint(stack, "A", vpc=vpc, service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER)
    ec2.InterfaceVpcEndpoint(stack, "B", vpc=isolated_vpc, service=ec2.InterfaceVpcEndpointAwsService.SQS)
    PinSafePostgres(stack, "Database", vpc=isolated_vpc)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPCEndpoint", 3)


def test_endpoint_can_be_declined(stack: Stack, isolated_vpc: ec2.Vpc) -> None:
    """Then there is a warning."""
    PinSafePostgres(stack, "Database", vpc=isolated_vpc, secrets_manager_endpoint=False)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPCEndpoint", 0)
    Annotations.from_stack(stack).has_warning(
        "/Test/Database/Settings", Match.string_like_regexp("NoWayToSecretsManager")
    )


def test_private_subnets_need_no_endpoint(stack: Stack, vpc: ec2.Vpc) -> None:
    """They have a NAT gateway."""
    PinSafePostgres(stack, "Database", vpc=vpc)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPCEndpoint", 0)


def imported_vpc(stack: Stack) -> ec2.IVpc:
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Imported",
        vpc_id="vpc-1",
        availability_zones=["a", "b"],
        isolated_subnet_ids=["subnet-1", "subnet-2"],
        vpc_cidr_block="10.0.0.0/16",
    )


def test_imported_vpc_needs_secrets_manager_endpoint_prop(stack: Stack) -> None:
    """Synth cannot see whether there is an endpoint, and a wrong guess fails the first deployment."""
    PinSafePostgres(stack, "Database", vpc=imported_vpc(stack))
    with pytest.raises(RuntimeError, match=r"\[Test/Database\] 'secrets_manager_endpoint' should be .*, got None"):
        Template.from_stack(stack)


def test_endpoint_of_the_app_in_an_imported_vpc(stack: Stack) -> None:
    """It may be created after the database."""
    vpc = imported_vpc(stack)
    PinSafePostgres(stack, "Database", vpc=vpc)
    vpc.add_interface_endpoint("Own", service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER)
    Template.from_stack(stack).resource_count_is("AWS::EC2::VPCEndpoint", 1)
    assert Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("NoWay")) == []


@pytest.mark.parametrize("is_added", [True, False])
def test_secrets_manager_endpoint_of_an_imported_vpc(stack: Stack, is_added: bool) -> None:
    """True adds an endpoint, on which the settings depend; False adds none; there is no warning."""
    PinSafePostgres(stack, "Database", vpc=imported_vpc(stack), secrets_manager_endpoint=is_added)
    template = Template.from_stack(stack)
    endpoints = template.find_resources("AWS::EC2::VPCEndpoint")
    assert len(endpoints) == is_added
    [settings] = template.find_resources("Custom::PinSafeDatabaseSettings").values()
    assert set(endpoints) <= set(settings["DependsOn"])
    assert Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("NoWay")) == []


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        (None, "'pg_stat_statements,pg_cron'"),
        ("pgaudit", "'pg_stat_statements,pgaudit,pg_cron'"),
        ("pgaudit, pg_cron", None),
    ],
)
def test_extensions_that_need_a_library(
    stack: Stack, vpc: ec2.Vpc, libraries: str | None, expected: str | None
) -> None:
    """An extension whose library is not preloaded gets a warning with the parameter to pass."""
    parameters = {"shared_preload_libraries": libraries} if libraries else {}
    PinSafePostgres(stack, "Database", vpc=vpc, extensions=["vector", "pg_cron"], parameters=parameters)
    found = Annotations.from_stack(stack).find_warning("/Test/Database", Match.string_like_regexp("pg_cron"))
    assert [expected in str(warning.entry.data) for warning in found if expected] == [True] * bool(expected)
    assert bool(found) == bool(expected)


def test_endpoint_connections_and_grant_of_the_proxy(stack: Stack, vpc: ec2.Vpc) -> None:
    database = PinSafePostgres(stack, "Database", vpc=vpc)
    database.grant_connect(iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal()), "app")
    client = ec2.SecurityGroup(stack, "Client", vpc=vpc)
    client.connections.allow_to_default_port(database)
    assert database.endpoint == database.proxy.endpoint
    assert database.secret is not None
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {"SourceSecurityGroupId": stack.resolve(client.security_group_id), "FromPort": 5432},
    )
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {"PolicyDocument": {"Statement": [Match.object_like({"Action": "rds-db:connect"})]}},
    )


@pytest.mark.parametrize(
    ("props", "message"),
    [
        (
            {"vpc": None},
            r"'vpc' should be an ec2.IVpc, got None; for example ec2.Vpc\(self, 'Vpc'\) or ec2.Vpc.from_lookup\(",
        ),
        ({"allocated_storage": 5}, "'allocated_storage' should be a whole number between 20 and 65536 GiB, got 5"),
        (
            {"allocated_storage": 100, "max_allocated_storage": 50},
            "'max_allocated_storage' should be a whole number between 100 and 65536 GiB, got 50",
        ),
        ({"backup_retention": Duration.days(40)}, "'backup_retention' should be.*between 0 and 35 days, got 40"),
        ({"backup_retention": Duration.hours(36)}, "'backup_retention' should be a whole number.*got 1.5 days"),
        ({"engine": rds.DatabaseInstanceEngine.POSTGRES}, "'engine' should have a version, got none"),
        (
            {"vpc_subnets": ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)},
            "'vpc_subnets' should be private or isolated subnets, got public ones",
        ),
        ({"database_name": "my-chat"}, "'database_name' should be up to 63 letters.*got 'my-chat'"),
        ({"database_name": "1chat"}, "'database_name'.*got '1chat'"),
        (
            {"engine": rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_0)},
            "'engine' should be of family POSTGRESQL, got MYSQL",
        ),
    ],
)
def test_bad_props_are_refused(stack: Stack, vpc: ec2.Vpc, props: dict[str, Any], message: str) -> None:
    """With what to pass instead."""
    with pytest.raises(ConfigurationError, match=f"^Test/Database(/Settings)?: {message}"):
        PinSafePostgres(stack, "Database", **{"vpc": vpc, **props})


def test_other_authorities_reach_the_applier(tmp_path: Path) -> None:
    """In a region that is not in the default bundle, there is no warning if a bundle is passed."""
    bundle = tmp_path / "il-central-1-bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    for ca_bundle, warnings in ((None, 1), (str(bundle), 0)):
        stack = Stack(App(), "Test", env=Environment(account="111122223333", region="il-central-1"))
        PinSafePostgres(stack, "Database", vpc=ec2.Vpc(stack, "Vpc", max_azs=2), ca_bundle=ca_bundle)
        found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("RegionWithoutAuthority"))
        assert len(found) == warnings


def test_vpc_with_public_subnets_only_is_refused(stack: Stack) -> None:
    vpc = ec2.Vpc(
        stack,
        "Public",
        nat_gateways=0,
        subnet_configuration=[ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)],
    )
    with pytest.raises(ConfigurationError, match="'vpc' should have private or isolated subnets"):
        PinSafePostgres(stack, "Database", vpc=vpc)


def test_drift_alarms_have_the_same_actions(stack: Stack, vpc: ec2.Vpc) -> None:
    topic = sns.Topic(stack, "Topic")
    PinSafePostgres(
        stack,
        "Database",
        vpc=vpc,
        settings={"jit": False},
        drift_check=Duration.hours(6),
        alarm_actions=[cloudwatch_actions.SnsAction(topic)],
    )
    alarms = Template.from_stack(stack).find_resources(
        "AWS::CloudWatch::Alarm", {"Properties": {"Namespace": "cdk-pinsafe"}}
    )
    assert len(alarms) == 2
    for alarm in alarms.values():
        assert (
            alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"] == [stack.resolve(topic.topic_arn)]
        )
    [without_data] = [alarm for alarm in alarms.values() if "InsufficientDataActions" in alarm["Properties"]]
    assert without_data["Properties"]["MetricName"] == "Unchecked"
    assert without_data["Properties"]["InsufficientDataActions"] == [stack.resolve(topic.topic_arn)]
