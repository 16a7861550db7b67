"""DatabaseSettings and the applier that stands behind it."""

import json
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, Fn, NestedStack, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match, Template

from cdk_pinsafe import DatabaseSettings, OnError, PostgresDatabase, Recycle
from cdk_pinsafe.applier import guard
from cdk_pinsafe.cdk import drift_guard
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


def test_resource_has_the_properties_that_the_applier_reads(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """Host and port are the instance's, the secret its own, the settings text in the order of their names."""
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
def test_one_pair_of_functions_serves_all(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, count: int
) -> None:
    """Ten DatabaseSettings of a stack and network placement share two Lambda functions and one pair of rules."""
    for index in range(count):
        add(stack, vpc, instance, f"Settings{index}", database_name=f"app{index}")
    template = Template.from_stack(stack)
    template.resource_count_is(RESOURCE, count)
    template.resource_count_is("AWS::Lambda::Function", 2)
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 1)
    template.resource_count_is("AWS::EC2::SecurityGroupEgress", 1)


def test_another_placement_has_its_own_functions(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """What runs in other subnets is another function, and the first keeps its logical ids."""
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Again", vpc_subnets=ec2.SubnetSelection(subnets=[vpc.private_subnets[0]]))
    Template.from_stack(stack).resource_count_is("AWS::Lambda::Function", 4)


def test_applier_may_read_the_secret_and_nothing_else(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """No statement of any policy names all resources, and the applier's own names one secret."""
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


def test_applier_reaches_the_database_and_https_only(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """The applier's security group has two ways out and the database's one way in."""
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


def test_settings_wait_for_the_way_to_the_database(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The rules and the permission are there before the settings are applied, and still there when they go."""
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


def test_settings_of_another_stacks_instance(app: App) -> None:
    """Settings in their own stack leave the database's stack as it was, but for what it exports."""
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
    """A nested stack has its own pair of functions."""
    nested = NestedStack(stack, "Nested")
    add(nested, vpc, instance)
    Template.from_stack(nested).resource_count_is("AWS::Lambda::Function", 2)


def test_settings_of_an_aurora_cluster_wait_for_its_writer(stack: Stack, vpc: ec2.Vpc) -> None:
    """A cluster's endpoint answers once it has an instance."""
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


def test_settings_of_an_imported_instance_with_a_managed_secret(stack: Stack, vpc: ec2.Vpc) -> None:
    """An imported instance brings its group, secret and port."""
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


def test_a_secret_with_its_own_key_can_be_decrypted(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """A secret under a customer's key needs the key, too."""
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


def test_a_secret_that_is_imported_by_name_can_be_read(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """The ARN of such a secret lacks its last six characters, which the permission has to allow for."""
    add(stack, vpc, instance, secret=secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "orders/master"))
    template = Template.from_stack(stack)
    [policy] = [policy for name, policy in template.find_resources("AWS::IAM::Policy").items() if "ReadSecret" in name]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"]["Fn::Join"][1][-1] == ":secret:orders/master-??????"


def test_a_secret_with_its_own_key_in_another_stack(app: App) -> None:
    """The key's policy is of its own stack and must not name the applier, or the two stacks would be a circle."""
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


def test_each_settings_permission_is_its_own(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """When one of two is removed, its permission is deleted after it, not taken out of a policy that stays."""
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
def test_another_availability_zone_is_the_same_placement(selected: bool) -> None:
    """CloudFormation refuses to hand a custom resource over to another function, so the function must not change."""
    tokens = []
    for zones in (2, 3):
        stack = Stack(App(), "Test", env=Environment(account="111122223333", region="eu-west-1"))
        vpc = ec2.Vpc(stack, "Vpc", availability_zones=[f"eu-west-1{letter}" for letter in "abc"[:zones]])
        subnets = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS) if selected else None
        add(stack, vpc, plain_instance(stack, vpc), vpc_subnets=subnets)
        [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
        tokens.append(resource["Properties"]["ServiceToken"])
    assert tokens[0] == tokens[1]


def test_two_deployments_of_one_app_are_two_owners() -> None:
    """The same code as two stacks must not pass for one in a database that they share."""
    seen = []
    for name in ("blue", "green"):
        stack = Stack(App(), "Test", stack_name=name)
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        add(stack, vpc, plain_instance(stack, vpc))
        [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
        seen.append((resource["Properties"]["Owner"], resource["Properties"]["Address"]))
    assert len({owner for owner, _ in seen}) == len({address for _, address in seen}) == 2
    assert seen[0][0] == "Test/Settings (stack blue)"


def test_a_nested_stacks_owner_is_known_at_synth(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """A nested stack gets its name at deployment; the outermost one's stands in the owner's."""
    nested = NestedStack(stack, "Nested")
    add(nested, vpc, instance)
    [resource] = Template.from_stack(nested).find_resources(RESOURCE).values()
    assert resource["Properties"]["Owner"] == "Test/Nested/Settings (stack Test)"


@pytest.mark.parametrize("kind", [Duration, Size])
def test_an_amount_of_a_token_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, kind: Any) -> None:
    """CDK cannot convert it, and its encoded form would be taken for a number."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    amount = Duration.millis(number) if kind is Duration else Size.bytes(number)
    with pytest.raises(ConfigurationError, match="^Test/Settings: 'settings' should give 'work_mem' an amount that is"):
        add(stack, vpc, instance, settings={"work_mem": amount})


def test_public_subnets_are_refused(stack: Stack) -> None:
    """A function in a public subnet has no way out, whatever the route table says."""
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


def test_tokens_pass_through(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Strings, numbers and list elements that are known at deployment only reach the template as references."""
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


def test_a_list_token_is_refused(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """A list of unknown length cannot be quoted one by one at synth."""
    names = Fn.split(",", Fn.import_value("Schemas"))
    with pytest.raises(ConfigurationError, match=r"got a list token; pass a list of tokens, as in \[Fn.select"):
        add(stack, vpc, instance, settings={"search_path": names})


def test_the_order_of_settings_does_not_matter(app: App) -> None:
    """Two programs that name the same settings in another order have the same template."""
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
def test_bad_props_are_refused_with_the_constructs_path(
    stack: Stack,
    vpc: ec2.Vpc,
    instance: rds.DatabaseInstance,
    props: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    """What cannot work is refused before anything is deployed."""
    with pytest.raises(error, match=f"^Test/Settings: .*{message}"):
        add(stack, vpc, instance, **props)


def test_mysql_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    """ALTER DATABASE … SET is PostgreSQL's."""
    mysql = rds.DatabaseInstance(
        stack, "Mysql", engine=rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_0), vpc=vpc
    )
    with pytest.raises(ConfigurationError, match=r"'database' should be an RDS PostgreSQL instance.*family MYSQL"):
        add(stack, vpc, mysql)


def test_a_database_without_secret_or_group_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    """Without a secret the applier has no password, without a group it cannot be let in."""
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


def test_retain_leaves_the_settings_in_place(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """With RETAIN CloudFormation never asks the applier to take them away."""
    add(stack, vpc, instance, removal_policy=RemovalPolicy.RETAIN)
    [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert resource["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize("with_endpoint", [False, True])
def test_isolated_subnets_without_an_endpoint_are_warned_of(stack: Stack, with_endpoint: bool) -> None:
    """In isolated subnets the applier needs an interface endpoint, which it cannot make in somebody's VPC."""
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
def test_a_region_without_known_authorities_is_warned_of(app: App, region: str, warnings: int) -> None:
    """Where RDS's certificates come from an authority that does not travel along, another bundle is asked for."""
    stack = Stack(app, "Test", env=Environment(account="111122223333", region=region))
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    add(stack, vpc, plain_instance(stack, vpc))
    found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("RegionWithoutAuthority"))
    assert len(found) == warnings


def test_one_stack_trusts_one_set_of_authorities(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, tmp_path: Any
) -> None:
    """Two DatabaseSettings that share a function cannot trust different authorities."""
    bundle = tmp_path / "own.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    add(stack, vpc, instance)
    with pytest.raises(ConfigurationError, match="'ca_bundle' should be the same for all DatabaseSettings of a stack"):
        add(stack, vpc, instance, "Other", database_name="other", ca_bundle=str(bundle))


def test_shadowed_names_are_an_attribute(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """What the applier reports as shadowed can go into an output."""
    settings = add(stack, vpc, instance)
    resource_id = stack.get_logical_id(settings.resource.node.default_child)  # type: ignore[arg-type]
    assert stack.resolve(settings.shadowed) == {"Fn::GetAtt": [resource_id, "Shadowed"]}


def test_role_settings_are_a_property_of_their_own(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """By role, in the order of names, with the same values as the database's; without them there is no property."""
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
def test_role_settings_that_cannot_work_are_refused(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, roles: Any, expected: str
) -> None:
    """What is refused for a database is refused for a role, and what cannot be a role's name."""
    with pytest.raises((ConfigurationError, SettingError)) as caught:
        add(stack, vpc, instance, role_settings=roles)
    assert str(caught.value).startswith("Test/Settings: ")
    assert expected in str(caught.value)


def test_a_role_name_may_not_be_a_token(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It is a key of the property's JSON text."""
    with pytest.raises(ConfigurationError, match="known at synth"):
        add(stack, vpc, instance, role_settings={CfnParameter(stack, "Role").value_as_string: {"jit": True}})


def test_on_shadow_is_a_property_only_where_it_fails(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """What is deployed already does not change by an option that is not used; another word is refused."""
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Strict", on_shadow="fail")
    first, second = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert "OnShadow" not in first["Properties"]
    assert second["Properties"]["OnShadow"] == "fail"
    with pytest.raises(ConfigurationError, match="'on_shadow' should be 'warn' or 'fail', got 'error'"):
        add(stack, vpc, instance, "Bad", on_shadow="error")


def test_recycle_is_a_property_only_where_it_is_asked_for(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """What is deployed already does not change by an option that is not used."""
    add(stack, vpc, instance)
    add(stack, vpc, instance, "Recycling", recycle=Recycle.TERMINATE_IDLE)
    first, second = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert "Recycle" not in first["Properties"]
    assert second["Properties"]["Recycle"] == "idle"


def test_a_list_of_databases_is_a_property_of_its_own(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """In the order given; a list of one is a list; what fails is an attribute."""
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
def test_lists_of_databases_that_cannot_work_are_refused(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, names: Any, expected: str
) -> None:
    """What cannot be told apart at deployment is refused at synth."""
    with pytest.raises(ConfigurationError) as caught:
        add(stack, vpc, instance, database_name=names)
    assert str(caught.value).startswith("Test/Settings: 'database_name' should")
    assert expected in str(caught.value)


def test_a_drift_check_runs_the_applier_on_a_schedule(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance
) -> None:
    """It is told where to look and which settings to find, but no value; it comes after them, and goes before."""
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


def test_a_drift_check_has_two_alarms(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """One on drift, one on checks that fail or do not come; both of the metrics that the applier publishes."""
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
def test_drift_checks_that_cannot_work_are_refused(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, props: dict[str, Any], expected: str
) -> None:
    """Each with the prop and what was received."""
    with pytest.raises(ConfigurationError) as caught:
        add(stack, vpc, instance, **props)
    assert expected in str(caught.value)


def test_new_interval_makes_a_new_alarm(app: App, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The old one would look for checks where the slower schedule had none."""
    ids = []
    for minutes in (60, 5):
        stack = Stack(app, f"Other{minutes}")
        settings = add(stack, vpc, instance, drift_check=Duration.minutes(minutes))
        assert settings.drift_guard is not None
        guard_alarms = (settings.drift_guard.drifted, settings.drift_guard.check_failed)
        ids.append([alarm.node.id for alarm in guard_alarms])
    assert ids == [["Drifted", "CheckFailed60"], ["Drifted", "CheckFailed5"]]


def test_without_a_drift_check_nothing_is_published(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """A custom metric costs money."""
    add(stack, vpc, instance)
    [resource] = Template.from_stack(stack).find_resources(RESOURCE).values()
    assert "DriftCheck" not in resource["Properties"]


def test_the_applier_and_the_guard_agree_on_names(stack: Stack) -> None:
    """The namespace and the dimension are written in two rooms that do not import each other."""
    assert (drift_guard.NAMESPACE, drift_guard.DIMENSION) == (guard.NAMESPACE, guard.DIMENSION)
