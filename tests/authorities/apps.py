"""The apps whose templates the authorities judge: the examples, what the snapshots hold, and every prop in use."""

import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from aws_cdk import App, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns

from cdk_pinsafe import (
    DatabaseSettings,
    EnhancedLogging,
    EnhancedLoggingOnAlarm,
    EnhancedLoggingRenewal,
    OnError,
    OnRoleOverride,
    PinningAlarms,
    PinningDashboard,
    PinningLogs,
    PinSafePostgres,
    PinSafeProxy,
    PostgresDatabase,
    Recycle,
)

from ..cdk.test_snapshots import CONSTRUCTS, stack_and_parts
from ..examples.test_examples import EXAMPLES

ISOLATED = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
PROPS: dict[str, set[str]] = {}
"""Names of the props that the apps below gave to each construct."""


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chat(app: App) -> None:
    example("app").ChatStack(app, "Chat")


def existing_database(app: App) -> None:
    module = example("existing_database")
    module.PinSafeStack(app, "PinSafe", data=module.DataStack(app, "Data"))


def constructs(app: App) -> None:
    """What the snapshot tests hold, each in a stack of its own."""
    for make in CONSTRUCTS:
        make(stack_and_parts(app, make.__name__.replace("_", "-")))


def made(construct: Callable[..., Any], stack: Stack, id: str, **props: Any) -> Any:
    PROPS.setdefault(construct.__name__, set()).update(props)
    return construct(stack, id, **props)


def new_database(app: App) -> None:
    """PinSafePostgres with every prop, in a VPC that isolates it, for a function that logs in by IAM."""
    stack = Stack(app, "NewDatabase")
    vpc = isolated_vpc(stack)
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    database = made(
        PinSafePostgres,
        stack,
        "Database",
        vpc=vpc,
        database_name="orders",
        settings={"timezone": "UTC", "search_path": ["orders", "public"]},
        role_settings={"reporting": {"statement_timeout": "5min"}},
        on_role_override=OnRoleOverride.FAIL,
        recycle=Recycle.TERMINATE_IDLE,
        drift_check=Duration.hours(1),
        drift_repair=True,
        extensions=["vector"],
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_16_13),
        instance_type=ec2.InstanceType("m7g.large"),
        vpc_subnets=ISOLATED,
        parameters={"shared_preload_libraries": "pg_stat_statements"},
        allocated_storage=50,
        max_allocated_storage=200,
        multi_az=True,
        backup_retention=Duration.days(14),
        encryption_key=key,
        deletion_protection=True,
        removal_policy=RemovalPolicy.RETAIN,
        iam_auth=True,
        enhanced_logging=EnhancedLogging.ON_ALARM,
        log_retention=logs.RetentionDays.THREE_MONTHS,
        max_connections_percent=70,
        borrow_timeout=Duration.seconds(10),
        idle_client_timeout=Duration.minutes(10),
        alarm_actions=[actions.SnsAction(sns.Topic(stack, "Topic", enforce_ssl=True))],
        dashboard=True,
        secrets_manager_endpoint=True,
        ca_bundle=None,
    )
    function = lambda_.Function(
        stack,
        "Client",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        vpc=vpc,
        vpc_subnets=ISOLATED,
    )
    database.grant_connect(function)


def many_databases(app: App) -> None:
    """Every prop of the other constructs, on a cluster, with secrets under a customer's key, in two stacks."""
    data = Stack(app, "Cluster")
    vpc = ec2.Vpc(data, "Vpc", max_azs=3, nat_gateways=1)
    key = kms.Key(data, "Key")
    cluster = rds.DatabaseCluster(
        data,
        "Cluster",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9),
        credentials=rds.Credentials.from_generated_secret("owner", encryption_key=key),
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        storage_encryption_key=key,
        vpc=vpc,
    )
    stack = Stack(app, "ManyDatabases")
    assert cluster.secret is not None
    log_key = kms.Key(stack, "LogKey")
    settings = made(
        DatabaseSettings,
        stack,
        "Settings",
        database=cluster,
        vpc=vpc,
        database_name=["tenant1", "tenant2"],
        settings={"timezone": "UTC"},
        role_settings={"reporting": {"statement_timeout": "5min"}},
        on_error=OnError.CONTINUE,
        on_role_override=OnRoleOverride.FAIL,
        recycle=Recycle.TERMINATE_IDLE,
        drift_check=Duration.minutes(5),
        drift_repair=True,
        secret=cluster.secret,
        extensions=["pg_trgm"],
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        removal_policy=RemovalPolicy.RETAIN,
        encryption_key=log_key,
        ca_bundle=None,
    )
    client = secretsmanager.Secret(
        stack,
        "ClientSecret",
        encryption_key=log_key,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            secret_string_template='{"username":"client"}', generate_string_key="password"
        ),
    )
    proxy = made(
        PinSafeProxy,
        stack,
        "Proxy",
        target=cluster,
        vpc=vpc,
        secrets=[cluster.secret, client],
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        security_groups=[ec2.SecurityGroup(stack, "ProxyGroup", vpc=vpc, description="lets clients into the proxy")],
        db_proxy_name="tenants",
        iam_auth=False,
        enhanced_logging=EnhancedLogging.ALWAYS,
        log_retention=logs.RetentionDays.ONE_WEEK,
        encryption_key=log_key,
        borrow_timeout=Duration.seconds(30),
        idle_client_timeout=Duration.minutes(30),
        max_connections_percent=80,
        max_idle_connections_percent=20,
        init_query="SET application_name = 'proxy'",
    )
    proxy.target_group.node.add_dependency(settings)
    alarms = made(
        PinningAlarms,
        stack,
        "Alarms",
        proxy=proxy,
        pinned_threshold=1,
        pinned_ratio_threshold=12.5,
        borrow_latency_threshold=Duration.millis(250),
        pool_utilization_threshold=90,
        failed_logins_threshold=3,
        evaluation_periods=4,
        datapoints_to_alarm=2,
        actions=[actions.SnsAction(sns.Topic(stack, "Topic", enforce_ssl=True, master_key=log_key))],
    )
    made(PinningDashboard, stack, "Dashboard", proxy=proxy)
    pins = made(PinningLogs, stack, "Logs", proxy=proxy)
    pins.metric("cursor").create_alarm(stack, "Cursors", threshold=1, evaluation_periods=1)
    proxy.grant_connect(iam.Role(stack, "App", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")), "app")
    imported = PinSafeProxy.from_database_proxy_attributes(
        stack,
        "Imported",
        db_proxy_name="imported",
        db_proxy_arn="arn:aws:rds:eu-west-1:111122223333:db-proxy:prx-0123456789abcdef0",
        endpoint="imported.proxy-0123456789ab.eu-west-1.rds.amazonaws.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "ImportedGroup", "sg-0123456789abcdef0")],
    )
    imported.log_on_alarm(alarms.pinned)
    made(EnhancedLoggingRenewal, stack, "Renewal", proxy=imported)
    made(EnhancedLoggingOnAlarm, stack, "OnAlarm", proxy=proxy.proxy, alarm=alarms.pinned_and_slow)


def imported_database(app: App) -> None:
    """An instance that no stack has made, with a secret that is known by its name, and a VPC that IPAM numbers."""
    stack = Stack(app, "ImportedDatabase")
    vpc = isolated_vpc(
        stack,
        ip_addresses=ec2.IpAddresses.aws_ipam_allocation(
            ipv4_ipam_pool_id="ipam-pool-0123456789abcdef0",
            ipv4_netmask_length=18,
            default_subnet_ipv4_netmask_length=24,
        ),
    )
    orders = PostgresDatabase.from_instance_attributes(
        stack,
        "Orders",
        instance_identifier="orders",
        endpoint_address="orders.c0123456789a.eu-west-1.rds.amazonaws.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")],
        secret=secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "orders/master"),
        version=rds.PostgresEngineVersion.VER_16,
    )
    PinSafeProxy(stack, "Proxy", target=orders, vpc=vpc, vpc_subnets=ISOLATED, enhanced_logging=EnhancedLogging.ONE_DAY)
    PinSafePostgres(stack, "Second", vpc=vpc, database_name="second", settings={"timezone": "UTC"}, dashboard=False)


def isolated_vpc(stack: Stack, **props: Any) -> ec2.Vpc:
    subnets = ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    return ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0, subnet_configuration=[subnets], **props)


APPS: Mapping[str, Callable[[App], None]] = {
    make.__name__: make
    for make in (chat, existing_database, constructs, new_database, many_databases, imported_database)
}
