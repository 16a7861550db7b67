"""DatabaseSettings and its applier."""

import json
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, Fn, NestedStack, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match, Template

from cdk_pinsafe import DatabaseSettings, OnError, OnRoleOverride, PostgresDatabase, Recycle
from cdk_pinsafe.contract import RECYCLE
from cdk_pinsafe.errors import ConfigurationError, SettingError

from . import conftest
from .conftest import plain_instance

RESOURCE = "Custom::PinSafeDatabaseSettings"


def add(stack: Stack, vpc: ec2.IVpc, database: Any, id: str = "Settings", **props: Any) -> DatabaseSettings:
    # Each has a database of its own: two may not set the same in one.
    name = "app" if id == "Settings" else f"app_{id}"
    return DatabaseSettings(
        stack, id, database=database, vpc=vpc, **{"database_name": name, "settings": {"work_mem": "64MB"}, **props}
    )


def settings_of(stack: Stack) -> Any:
    [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
    return resource["Properties"]["Settings"]


def test_properties_of_the_resource(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Host, port and secret of the instance; settings as text, sorted by name."""
    settings = add(
        stack,
        vpc,
        instance,
        settings={
            "work_mem": Size.mebibytes(64),
            "search_path": ["chat", "public"],
            "statement_timeout": Duration.seconds(30),
            "jit": False,
        },
        extensions=["vector"],
    )
    assert instance.secret is not None
    [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
    properties = resource["Properties"]
    text = properties.pop("Settings")
    assert list(json.loads(text).items()) == [
        ("jit", "off"),
        ("search_path", ["chat", "public"]),
        ("statement_timeout", "30s"),
        ("work_mem", "64MB"),
    ]
    token = properties.pop("ServiceToken")
    assert token["Fn::GetAtt"][1] == "Arn"
    assert properties == {
        "ServiceTimeout": "660",
        "Host": stack.resolve(instance.instance_endpoint.hostname),
        "Port": stack.resolve(instance.instance_endpoint.port),
        "Database": "app",
        "SecretArn": stack.resolve(instance.secret.secret_arn),
        "Extensions": ["vector"],
        "Owner": "Test/Settings (stack Test)",
        "Address": f"Test.{settings.node.addr}",
    }
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete")


@pytest.mark.parametrize("count", [1, 10])
def test_settings_share_one_pair_of_functions(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, count: int
) -> None:
    """Ten DatabaseSettings with the same stack and subnets; they share the security group rules too."""
    for index in range(count):
        add(stack, vpc, instance, f"Settings{index}", database_name=f"app{index}")
    template = Template.from_stack(stack)
    template.resource_count_is(RESOURCE, count)
    template.resource_count_is("AWS::Lambda::Function", 2)
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 1)
    template.resource_count_is("AWS::EC2::SecurityGroupEgress", 1)


def test_other_subnets_have_other_functions(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The first functions keep their logical ids."""
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Again", vpc_subnets=ec2.SubnetSelection(subnets=[vpc.private_subnets[0]]))
    Template.from_stack(stack).resource_count_is("AWS::Lambda::Function", 4)


def test_permissions_of_the_applier(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """No policy names all resources; the applier's own names one secret."""
    add(stack, vpc, instance)
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    statements = [
        statement for policy in policies.values() for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    template = Template.from_stack(stack)
    for role in template.find_resources("AWS::IAM::Role").values():
        for policy in role["Properties"].get("Policies", []):
            statements += policy["PolicyDocument"]["Statement"]
    assert "*" not in json.dumps([statement["Action"] for statement in statements])
    # The one wildcard: the provider framework calls any version of the applier, and of nothing else.
    wild = [statement for statement in statements if "*" in json.dumps(statement["Resource"])]
    [function_id] = template.find_resources("AWS::Lambda::Function", {"Properties": {"Runtime": "python3.13"}})
    arn = {"Fn::GetAtt": [function_id, "Arn"]}
    assert [statement["Resource"] for statement in wild] == [[arn, {"Fn::Join": ["", [arn, ":*"]]}]]
    managed = [
        arn
        for role in template.find_resources("AWS::IAM::Role").values()
        for arn in role["Properties"].get("ManagedPolicyArns", [])
    ]
    assert "AWSLambdaENIManagementAccess" in json.dumps(managed)
    assert len(managed) == 1
    assert instance.secret is not None
    [reading] = [statement for statement in statements if "secretsmanager:GetSecretValue" in statement["Action"]]
    assert reading["Resource"] == stack.resolve(instance.secret.secret_arn)


def test_security_group_of_the_applier(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It may connect to HTTPS and the database, whose group gets one rule."""
    add(stack, vpc, instance)
    template = Template.from_stack(stack)
    [group_id] = [
        group_id
        for group_id, group in template.find_resources("AWS::EC2::SecurityGroup").items()
        if group["Properties"]["GroupDescription"].startswith("cdk-pinsafe")
    ]
    template.has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {
            "GroupDescription": "cdk-pinsafe: applies settings to databases",
            "SecurityGroupEgress": [
                {
                    "CidrIp": "0.0.0.0/0",
                    "Description": "to Secrets Manager",
                    "FromPort": 443,
                    "IpProtocol": "tcp",
                    "ToPort": 443,
                }
            ],
        },
    )
    database_group = stack.resolve(instance.connections.security_groups[0].security_group_id)
    port = stack.resolve(instance.instance_endpoint.port)
    own = {"Fn::GetAtt": [group_id, "GroupId"]}
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupEgress",
        {"GroupId": own, "DestinationSecurityGroupId": database_group, "FromPort": port, "ToPort": port},
    )
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {"GroupId": database_group, "SourceSecurityGroupId": own, "FromPort": port, "ToPort": port},
    )


def test_settings_depend_on_rules_and_permission(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    add(stack, vpc, instance)
    template = Template.from_stack(stack)
    [resource] = template.find_resources(RESOURCE).values()
    rules = [
        *template.find_resources("AWS::EC2::SecurityGroupIngress"),
        *template.find_resources("AWS::EC2::SecurityGroupEgress"),
    ]
    [policy] = [name for name in template.find_resources("AWS::IAM::Policy") if "ReadSecret" in name]
    assert len(rules) == 2
    assert {*rules, policy} <= set(resource["DependsOn"])


def test_instance_of_another_stack(app: App) -> None:
    """Its stack is unchanged, except for exports."""
    data = Stack(app, "Data")
    vpc = ec2.Vpc(data, "Vpc", max_azs=2)
    instance = plain_instance(data, vpc)
    other = Stack(app, "Other")
    add(other, vpc, instance)
    template = Template.from_stack(other)
    template.resource_count_is("AWS::Lambda::Function", 2)
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 1)
    Template.from_stack(data).resource_count_is("AWS::EC2::SecurityGroupIngress", 0)
    assert [dependency.stack_name for dependency in other.dependencies] == ["Data"]


def test_settings_in_a_nested_stack(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It has its own functions."""
    nested = NestedStack(stack, "Nested")
    add(nested, vpc, instance)
    Template.from_stack(nested).resource_count_is("AWS::Lambda::Function", 2)


def test_settings_depend_on_the_cluster_writer(stack: Stack, vpc: ec2.Vpc) -> None:
    """A cluster's endpoint works when it has an instance."""
    cluster = rds.DatabaseCluster(
        stack,
        "Cluster",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_4),
        vpc=vpc,
        writer=rds.ClusterInstance.serverless_v2("Writer"),
    )
    add(stack, vpc, cluster)
    template = Template.from_stack(stack)
    [resource] = template.find_resources(RESOURCE).values()
    assert resource["Properties"]["Host"] == stack.resolve(cluster.cluster_endpoint.hostname)
    assert set(template.find_resources("AWS::RDS::DBInstance")) <= set(resource["DependsOn"])


def test_imported_instance_with_managed_secret(stack: Stack, vpc: ec2.Vpc) -> None:
    """Its group, secret and port are used."""
    database = PostgresDatabase.from_instance_attributes(
        stack,
        "Database",
        instance_identifier="orders",
        endpoint_address="orders.example.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")],
        secret=secretsmanager.Secret.from_secret_complete_arn(
            stack, "Secret", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!db-1-AbCdEf"
        ),
        version=rds.PostgresEngineVersion.VER_16,
        port=5433,
    )
    add(stack, vpc, database)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        RESOURCE,
        {
            "Host": "orders.example.com",
            "Port": "5433",
            "SecretArn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!db-1-AbCdEf",
        },
    )
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress", {"GroupId": "sg-12345678", "FromPort": 5433, "ToPort": 5433}
    )


def test_secret_under_a_customer_key(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The applier may decrypt with the key."""
    secret = secretsmanager.Secret(stack, "Secret", encryption_key=kms.Key(stack, "Key"))
    add(stack, vpc, instance, secret=secret)
    assert secret.encryption_key is not None
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        {
                            "Action": "kms:Decrypt",
                            "Effect": "Allow",
                            "Resource": stack.resolve(secret.encryption_key.key_arn),
                        }
                    ]
                )
            }
        },
    )


def test_secret_imported_by_name(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Its ARN lacks the last six characters, which the permission has as wildcards."""
    add(stack, vpc, instance, secret=secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "orders/master"))
    template = Template.from_stack(stack)
    [policy] = [policy for name, policy in template.find_resources("AWS::IAM::Policy").items() if "ReadSecret" in name]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"]["Fn::Join"][1][-1] == ":secret:orders/master-??????"


def test_secret_under_a_key_of_another_stack(app: App) -> None:
    """The key's policy must not name the applier, or the stacks would depend on each other."""
    data = Stack(app, "Data")
    vpc = ec2.Vpc(data, "Vpc", max_azs=2)
    secret = secretsmanager.Secret(data, "Secret", encryption_key=kms.Key(data, "Key"))
    instance = plain_instance(data, vpc)
    other = Stack(app, "Other")
    add(other, vpc, instance, secret=secret)
    Template.from_stack(other).has_resource_properties(
        "AWS::IAM::Policy",
        {"PolicyDocument": {"Statement": Match.array_with([Match.object_like({"Action": "kms:Decrypt"})])}},
    )


def test_each_construct_has_its_own_permission(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """So that its permission is deleted after its settings."""
    other = secretsmanager.Secret(stack, "Other")
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Second", database_name="second", secret=other)
    template = Template.from_stack(stack)
    policies = {
        name: policy["Properties"]["PolicyDocument"]["Statement"][0]["Resource"]
        for name, policy in template.find_resources("AWS::IAM::Policy").items()
        if "ReadSecret" in name
    }
    for resource in template.find_resources(RESOURCE).values():
        [own] = set(policies) & set(resource["DependsOn"])
        assert policies[own] == resource["Properties"]["SecretArn"]


@pytest.mark.parametrize("selected", [False, True])
def test_new_availability_zone_keeps_the_functions(selected: bool) -> None:
    """CloudFormation refuses to move a custom resource to another function."""
    tokens = []
    for zones in (2, 3):
        stack = Stack(App(), "Test", env=Environment(account="111122223333", region="eu-west-1"))
        vpc = ec2.Vpc(stack, "Vpc", availability_zones=[f"eu-west-1{letter}" for letter in "abc"[:zones]])
        subnets = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS) if selected else None
        add(stack, vpc, plain_instance(stack, vpc), vpc_subnets=subnets)
        [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
        tokens.append(resource["Properties"]["ServiceToken"])
    assert tokens[0] == tokens[1]


def test_stack_name_is_part_of_the_owner() -> None:
    """Two stacks of the same code may share a database."""
    seen = []
    for name in ("blue", "green"):
        stack = Stack(App(), "Test", stack_name=name)
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        add(stack, vpc, plain_instance(stack, vpc))
        [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
        seen.append((resource["Properties"]["Owner"], resource["Properties"]["Address"]))
    assert len({owner for owner, _ in seen}) == len({address for _, address in seen}) == 2
    assert seen[0][0] == "Test/Settings (stack blue)"


def test_owner_in_a_nested_stack(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The outermost stack's name, since the nested one's is not known at synth."""
    nested = NestedStack(stack, "Nested")
    add(nested, vpc, instance)
    [resource] = Template.from_stack(nested).find_resources(RESOURCE).values()
    assert resource["Properties"]["Owner"] == "Test/Nested/Settings (stack Test)"


@pytest.mark.parametrize("kind", [Duration, Size])
def test_amount_of_a_token_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, kind: Any) -> None:
    """CDK cannot convert it."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    amount = Duration.millis(number) if kind is Duration else Size.bytes(number)
    with pytest.raises(ConfigurationError, match="^Test/Settings: 'settings' should give 'work_mem' an amount that is"):
        add(stack, vpc, instance, settings={"work_mem": amount})


def test_public_subnets_are_refused(stack: Stack) -> None:
    """A function in a public subnet has no route to the internet."""
    vpc = ec2.Vpc(
        stack,
        "Public",
        nat_gateways=0,
        subnet_configuration=[ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)],
    )
    instance = plain_instance(stack, ec2.Vpc(stack, "Vpc", max_azs=2))
    with pytest.raises(ConfigurationError, match="^Test/Settings: 'vpc' should be private or isolated subnets"):
        add(stack, vpc, instance)
    selection = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)
    with pytest.raises(ConfigurationError, match="^Test/Other: 'vpc_subnets' should be private or isolated subnets"):
        add(stack, vpc, instance, "Other", vpc_subnets=selection)


def test_tokens_become_references(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Strings, numbers and list elements."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    text = CfnParameter(stack, "Text").value_as_string
    add(
        stack,
        vpc,
        instance,
        database_name=text,
        settings={"max_parallel_workers": number, "timezone": text, "search_path": [text, "public"], "jit": True},
    )
    assert settings_of(stack)["Fn::Join"][1] == [
        '{"jit":"on","max_parallel_workers":"',
        {"Ref": "Number"},
        '","search_path":["',
        {"Ref": "Text"},
        '","public"],"timezone":"',
        {"Ref": "Text"},
        '"}',
    ]


def test_list_token_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Its elements cannot be quoted at synth."""
    names = Fn.split(",", Fn.import_value("Schemas"))
    with pytest.raises(ConfigurationError, match=r"got a list token; pass a list of tokens, as in \[Fn.select"):
        add(stack, vpc, instance, settings={"search_path": names})


def test_order_of_settings_does_not_matter(app: App) -> None:
    templates = []
    for settings in ({"jit": False, "work_mem": "1MB"}, {"work_mem": "1MB", "jit": False}):
        stack = Stack(App(), "Test")
        vpc = ec2.Vpc(stack, "Vpc")
        add(stack, vpc, plain_instance(stack, vpc), settings=settings)
        templates.append(Template.from_stack(stack).to_json())
    assert templates[0] == templates[1]


@pytest.mark.parametrize(
    ("props", "error", "message"),
    [
        ({"settings": {"search_path": "a, b"}}, SettingError, "the one string 'a, b'"),
        ({"settings": {"shared_buffers": "1GB"}}, SettingError, "put it in a parameter group"),
        ({"settings": {"transaction_read_only": True}}, SettingError, "is refused"),
        ({"settings": {"jit": None}}, SettingError, "type NoneType"),
        ({"settings": {"TimeZone": "UTC", "timezone": "UTC"}}, ConfigurationError, "got 'TimeZone' and 'timezone'"),
        ({"extensions": "vector"}, ConfigurationError, "'extensions' should be a list of str, got 'vector'"),
        ({"extensions": [""]}, ConfigurationError, "'extensions' should be names such as 'vector', got ''"),
        ({"database_name": [""]}, ConfigurationError, "'database_name' should be 1 to 63 bytes long, got ''"),
        ({"database_name": "ü" * 32}, ConfigurationError, "'database_name' should be 1 to 63 bytes"),
        ({"removal_policy": RemovalPolicy.SNAPSHOT}, ConfigurationError, "'removal_policy' should be.*got SNAPSHOT"),
        ({"ca_bundle": "/nowhere.pem"}, ConfigurationError, "'ca_bundle' should be the path of a PEM file"),
        ({"ca_bundle": conftest.__file__}, ConfigurationError, "which has none"),
    ],
)
def test_bad_props_are_refused(
    stack: Stack,
    vpc: ec2.Vpc,
    instance: rds.DatabaseInstance,
    props: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    """With the construct's path."""
    with pytest.raises(error, match=f"^Test/Settings: .*{message}"):
        add(stack, vpc, instance, **props)


def test_mysql_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    mysql = rds.DatabaseInstance(
        stack, "Mysql", engine=rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_0), vpc=vpc
    )
    with pytest.raises(ConfigurationError, match=r"'database' should be an RDS PostgreSQL instance.*family MYSQL"):
        add(stack, vpc, mysql)


def test_database_without_secret_or_group_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_16)
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-1")

    def imported(id: str, groups: list[ec2.ISecurityGroup]) -> rds.IDatabaseInstance:
        return rds.DatabaseInstance.from_database_instance_attributes(
            stack,
            id,
            instance_identifier="orders",
            instance_endpoint_address="orders.example.com",
            port=5432,
            security_groups=groups,
            engine=engine,
        )

    with pytest.raises(ConfigurationError, match="'secret' should be the secret of the database's owner"):
        add(stack, vpc, imported("A", [group]))
    with pytest.raises(ConfigurationError, match="'database' should have a security group, got none"):
        add(stack, vpc, imported("B", []), "Other")


def test_retain_keeps_the_settings(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    add(stack, vpc, instance, removal_policy=RemovalPolicy.RETAIN)
    [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert resource["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize("with_endpoint", [False, True])
def test_isolated_subnets_without_endpoint_get_a_warning(stack: Stack, with_endpoint: bool) -> None:
    """The applier needs an interface endpoint for Secrets Manager."""
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        nat_gateways=0,
        subnet_configuration=[ec2.SubnetConfiguration(name="Db", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)],
    )
    if with_endpoint:
        vpc.add_interface_endpoint("Anything", service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER)
    isolated = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    instance = rds.DatabaseInstance(
        stack,
        "Instance",
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17),
        vpc=vpc,
        vpc_subnets=isolated,
    )
    add(stack, vpc, instance, vpc_subnets=isolated)
    warnings = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("NoWayToSecretsManager"))
    assert len(warnings) == (0 if with_endpoint else 1)


@pytest.mark.parametrize(("region", "warnings"), [("eu-west-1", 0), ("us-east-1", 0), ("il-central-1", 1)])
def test_region_without_authority_gets_a_warning(app: App, region: str, warnings: int) -> None:
    """RDS's certificates there need another bundle."""
    stack = Stack(app, "Test", env=Environment(account="111122223333", region=region))
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    add(stack, vpc, plain_instance(stack, vpc))
    found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("RegionWithoutAuthority"))
    assert len(found) == warnings


def test_one_stack_trusts_one_set_of_authorities(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, tmp_path: Any
) -> None:
    """DatabaseSettings that share a function must have the same bundle."""
    bundle = tmp_path / "own.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    add(stack, vpc, instance)
    with pytest.raises(ConfigurationError, match="'ca_bundle' should be the same for all DatabaseSettings of a stack"):
        add(stack, vpc, instance, "Other", database_name="other", ca_bundle=str(bundle))


def test_overridden_names_are_an_attribute(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The names of overridden settings can be an output."""
    settings = add(stack, vpc, instance)
    resource_id = stack.get_logical_id(settings.resource.node.default_child)  # type: ignore[arg-type]
    assert stack.resolve(settings.overridden_by_role) == {"Fn::GetAtt": [resource_id, "OverriddenByRole"]}


def test_role_settings_property(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """By role, sorted by name; absent without role settings."""
    reports = {"work_mem": Size.mebibytes(64), "jit": False, "search_path": ["a", "b"]}
    add(stack, vpc, instance, role_settings={"reports": reports, "App": {"jit": True}})
    add(stack, vpc, instance, "Without", role_settings={})
    first, second = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert first["Properties"]["RoleSettings"] == (
        '{"App":{"jit":"on"},"reports":{"jit":"off","search_path":["a","b"],"work_mem":"64MB"}}'
    )
    assert "RoleSettings" not in second["Properties"]


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"": {"jit": True}}, "'role_settings' should name roles of 1 to 63 bytes, got ''"),
        ({"n" * 64: {}}, "'role_settings' should name roles of 1 to 63 bytes"),
        ({"🐘" * 16: {}}, "'role_settings' should name roles of 1 to 63 bytes"),
        ({"a\0b": {}}, "'role_settings' should name roles of 1 to 63 bytes"),
        ({"app": {"jit": True, "JIT": False}}, "'role_settings[app]' should name a parameter once"),
        ({"app": {"shared_buffers": "1GB"}}, "cannot be set in a database"),
        ({"app": {"search_path": "a, b"}}, "expects a list"),
    ],
)
def test_bad_role_settings_are_refused(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, roles: Any, expected: str
) -> None:
    with pytest.raises((ConfigurationError, SettingError)) as caught:
        add(stack, vpc, instance, role_settings=roles)
    assert str(caught.value).startswith("Test/Settings: ")
    assert expected in str(caught.value)


def test_token_of_a_role_name_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It is a key in JSON text."""
    with pytest.raises(ConfigurationError, match="known at synth"):
        add(stack, vpc, instance, role_settings={CfnParameter(stack, "Role").value_as_string: {"jit": True}})


def test_on_role_override_property(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Absent by default, so that deployed resources do not change."""
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Strict", on_role_override=OnRoleOverride.FAIL)
    first, second = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert "OnRoleOverride" not in first["Properties"]
    assert second["Properties"]["OnRoleOverride"] == "fail"
    with pytest.raises(
        ConfigurationError, match="'on_role_override' should be OnRoleOverride.WARN or OnRoleOverride.F.*got 'fail'"
    ):
        add(stack, vpc, instance, "Bad", on_role_override="fail")


def test_recycle_property(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Absent by default, so that deployed resources do not change."""
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Recycling", recycle=Recycle.TERMINATE_IDLE)
    first, second = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert "Recycle" not in first["Properties"]
    assert second["Properties"]["Recycle"] == "idle"


def test_databases_property(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """In the given order, also for a list of one; failed databases are an attribute."""
    parameter = CfnParameter(stack, "Name").value_as_string
    settings = add(stack, vpc, instance, database_name=["b", "a", parameter], on_error=OnError.CONTINUE)
    add(stack, vpc, instance, "One", database_name=("app",))
    first, second = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert first["Properties"]["Databases"] == ["b", "a", {"Ref": "Name"}]
    assert first["Properties"]["OnError"] == "continue"
    assert second["Properties"]["Databases"] == ["app"]
    assert "OnError" not in second["Properties"]
    assert all("Database" not in one["Properties"] for one in (first, second))
    assert stack.resolve(settings.failed)["Fn::GetAtt"][1] == "Failed"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "got an empty list"),
        (["app", ""], "1 to 63 bytes long, got ''"),
        (["app", "n" * 64], "1 to 63 bytes long"),
        (["app", "other", "app"], "got 'app' more than once"),
        (Fn.split(",", Fn.ref("Names")), "got a list token"),
    ],
)
def test_bad_lists_of_databases_are_refused(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, names: Any, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        add(stack, vpc, instance, database_name=names)
    assert str(caught.value).startswith("Test/Settings: 'database_name' should")
    assert expected in str(caught.value)


def test_schedule_of_drift_checks(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The event has the database and the settings' names, but no values; it is created after the settings."""
    add(
        stack,
        vpc,
        instance,
        settings={"work_mem": CfnParameter(stack, "Value").value_as_string, "Jit": False},
        role_settings={'a"b': {"jit": True}},
        drift_check=Duration.hours(1),
    )
    template = Template.from_stack(stack)
    [schedule] = template.find_resources("AWS::Scheduler::Schedule").values()
    assert schedule["Properties"]["ScheduleExpression"] == "rate(60 minutes)"
    [resource] = template.find_resources(RESOURCE)
    assert resource in schedule["DependsOn"]
    target = schedule["Properties"]["Target"]
    [function] = [
        name
        for name, one in template.find_resources("AWS::Lambda::Function").items()
        if one["Properties"]["Handler"].startswith("cdk_pinsafe.")
    ]
    assert target["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
    role = template.find_resources("AWS::IAM::Role")[target["RoleArn"]["Fn::GetAtt"][0]]["Properties"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    [policy] = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": target["Arn"]}
    ]
    parts = target["Input"]["Fn::Join"][1]
    event = json.loads("".join(part if isinstance(part, str) else "TOKEN" for part in parts))
    properties = event.pop("ResourceProperties")
    assert event == {
        "RequestType": "DriftCheck",
        "Name": "Test/Settings (stack Test)",
        "Repair": False,
        "Settings": [
            {"name": "jit", "role": ""},
            {"name": "work_mem", "role": ""},
            {"name": "jit", "role": 'a"b'},
        ],
    }
    given = template.find_resources(RESOURCE)[resource]["Properties"]
    assert set(properties) == {"Host", "Port", "Database", "SecretArn", "Owner", "Address"}
    assert {key: properties[key] for key in ("Database", "Owner", "Address")} == {
        key: given[key] for key in ("Database", "Owner", "Address")
    }


def test_alarms_of_drift_checks(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """On drift, and on checks that fail or stop; the metrics are the applier's."""
    settings = add(stack, vpc, instance, drift_check=Duration.minutes(10), drift_repair=True)
    template = Template.from_stack(stack)
    assert settings.drift_guard is not None
    for name, periods, missing in (("Drifted", 1, "ignore"), ("Unchecked", 3, "missing")):
        template.has_resource_properties(
            "AWS::CloudWatch::Alarm",
            {
                "Namespace": "cdk-pinsafe",
                "MetricName": name,
                "Dimensions": [{"Name": "DatabaseSettings", "Value": "Test/Settings (stack Test)"}],
                "Statistic": "Maximum",
                "Period": 600,
                "EvaluationPeriods": periods,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": missing,
            },
        )
    [schedule] = template.find_resources("AWS::Scheduler::Schedule").values()
    [resource] = template.find_resources(RESOURCE).values()
    assert resource["Properties"]["DriftCheck"] == "Test/Settings (stack Test)"
    assert '"Repair":true' in json.dumps(schedule["Properties"]["Target"]["Input"]).replace("\\", "")


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ({"drift_check": Duration.seconds(60)}, "'drift_check' should be a whole number between 300 and 86400 seconds"),
        ({"drift_check": Duration.seconds(330)}, "'drift_check' should be whole minutes, got 330 seconds"),
        ({"drift_check": Duration.days(2)}, "'drift_check' should be"),
        ({"drift_repair": True}, "'drift_repair' should come with 'drift_check'"),
    ],
)
def test_bad_drift_checks_are_refused(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, props: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        add(stack, vpc, instance, **props)
    assert expected in str(caught.value)


def test_new_interval_creates_a_new_alarm(app: App, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The old alarm would expect checks at the new interval in the past."""
    ids = []
    for minutes in (60, 5):
        stack = Stack(app, f"Other{minutes}")
        settings = add(stack, vpc, instance, drift_check=Duration.minutes(minutes))
        assert settings.drift_guard is not None
        guard_alarms = (settings.drift_guard.drifted, settings.drift_guard.check_failed)
        ids.append([alarm.node.id for alarm in guard_alarms])
    assert ids == [["Drifted", "CheckFailed60"], ["Drifted", "CheckFailed5"]]


def test_no_drift_check_by_default(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """A custom metric costs money."""
    add(stack, vpc, instance)
    [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert "DriftCheck" not in resource["Properties"]


def test_recycle_has_the_values_of_the_contract() -> None:
    assert [one.value for one in Recycle] == [RECYCLE.default, RECYCLE.other]
