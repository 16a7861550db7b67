"""Every prop of every public construct, given values of every kind."""

import enum
import inspect
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, get_args

import jsii
import pytest
from aws_cdk import (
    App,
    Aws,
    CfnParameter,
    Duration,
    Fn,
    IStableNumberProducer,
    IStableStringProducer,
    Lazy,
    RemovalPolicy,
    SecretValue,
    Size,
    Stack,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

import cdk_pinsafe
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
    PinSafeChecks,
    PinSafePostgres,
    PinSafeProxy,
    PostgresDatabase,
    Recycle,
)
from cdk_pinsafe.cdk import props
from cdk_pinsafe.cdk.drift_guard import DriftGuard
from cdk_pinsafe.errors import ConfigurationError, SettingError

from .conftest import plain_instance

PASSWORD = "hunter2"

# What each kind of prop takes, by the names of the values below; whatever is not named is refused. All props of a call
# are given their n-th value together: a name is repeated where two props depend on each other.
WORDS = ("set", "rollback", "fail", "ALWAYS", "string token", "lazy string", "no value")
TEXTS = (*WORDS, "30 seconds", "connection string")
NUMBERS = ("20", "20.0", "number token", "lazy number")
PROXIES = ("proxy", "imported proxy", "CDK's proxy", "CDK's imported proxy", "proxy resource")
KINDS: Mapping[str, Sequence[str]] = {
    "actions": ("empty list", "list of actions", "list of own actions"),
    "alarm": ("alarm", "imported alarm"),
    "bool": ("False", "True"),
    "dimensions": ("dict of str", "empty dict"),
    "cluster version": ("cluster version",),
    "condition": ("set",),
    "construct": (
        *("stack", "vpc", "imported vpc", "subclass of vpc", "cast vpc", "group", "secret", "imported secret"),
        *("instance", "imported instance", "cluster", "log group", "imported log group", "alarm", "imported alarm"),
        *(
            "role",
            "imported role",
            "function",
            "function outside a VPC",
            "own grantee",
            *("proxy", "imported proxy", "CDK's proxy", "CDK's imported proxy", "proxy resource"),
            "topic",
            "key",
            "imported key",
        ),
        "object of a class that CDK does not export",
    ),
    "database": ("instance", "cluster", "PostgresDatabase", "imported instance"),
    "days": ("1 day", "token of days"),
    "drift check": ("None", "5 minutes", "None", "1 day"),
    "engine": ("engine",),
    "enhanced logging": ("EnhancedLogging.OFF",),
    "from 0": (*NUMBERS, "0", "2.5"),
    "from 0, whole": (*NUMBERS, "0"),
    "from 1": (*NUMBERS, "20"),
    "known from 3": ("20", "20.0"),
    "1 to 5": ("number token", "lazy number"),
    "grantee": ("role", "imported role", "function", "own grantee"),
    "groups": ("list of groups", "tuple of groups"),
    "groups or none": ("empty list", "list of groups", "tuple of groups"),
    "instance type": ("instance type",),
    "known duration": ("5 minutes", "1 day"),
    "key": ("key", "imported key"),
    "log group": ("log group", "imported log group"),
    "name": WORDS,
    "names": ("empty list", "list of str", "tuple of str", "list token"),
    # The functions exist already in that stack, and their log groups have none.
    "no key": (),
    "no pinning filters": ("empty list",),
    "on_error": ("OnError.CONTINUE",),
    "on_role_override": ("OnRoleOverride.FAIL",),
    "one name or more": (*TEXTS, "list of str", "tuple of str"),
    # None of the texts is a file: what one may hold is tested with the package that it goes into.
    "path": (),
    "period": ("5 minutes", "1 day"),
    "proxy": PROXIES,
    "proxy or name": (*PROXIES, *WORDS),
    "recycle": ("Recycle.TERMINATE_IDLE",),
    "removal policy": ("RemovalPolicy.RETAIN",),
    "resource": ("instance", "cluster", "imported instance"),
    "retention": ("RetentionDays.ONE_DAY",),
    "role settings": ("empty dict", "dict of dicts"),
    "seconds": ("5 minutes", "token of seconds"),
    "secret": ("secret", "imported secret", "secret"),
    "secrets": ("empty list", "list of secrets", "tuple of secrets", "list of secrets", "list of secrets"),
    "settings": ("empty dict", "dict of str"),
    "subnets": ("subnets",),
    "target": ("instance", "cluster", "PostgresDatabase", "imported instance", "proxy target"),
    "text": TEXTS,
    "unit": ("Unit.COUNT",),
    "version": ("version",),
    "vpc": ("vpc", "imported vpc", "subclass of vpc", "cast vpc"),
}


class Call(NamedTuple):
    """A constructor or method, by its name in ``Fixture.calls``."""

    path: str
    """What its errors begin with."""
    needs: Mapping[str, str]
    """The values of the required props while another is tested."""
    kinds: Mapping[str, str]
    """The kind of each prop; ``?`` where None is taken as well."""


GRANT = {"grantee": "grantee", "db_user": "text?"}
IMPORTED = {"endpoint_address": "set", "security_groups": "list of groups", "secret": "secret", "version": "version"}
IMPORT = {"endpoint_address": "text", "security_groups": "groups or none", "secret": "secret", "port": "from 1"}
METRIC = {
    **dict.fromkeys(("account", "color", "id", "label", "region", "stack_account", "stack_region"), "text?"),
    "dimensions_map": "dimensions?",
    "period": "period?",
    "statistic": "text?",
    "unit": "unit?",
    "visible": "bool?",
}
MATH = {**dict.fromkeys(("color", "label", "search_account", "search_region"), "text?"), "period": "period?"}
PLAIN_METRICS = (
    *("metric_pinned", "metric_borrowed", "metric_database_connections", "metric_max_database_connections"),
    *("metric_client_connections", "metric_failed_logins", "metric_borrow_latency"),
)
RATIOS = ("metric_pinned_ratio", "metric_pool_utilization")
CALLS: Mapping[str, Call] = {
    "PinSafePostgres": Call(
        "Test/{id}",
        {"vpc": "vpc"},
        {
            "vpc": "vpc",
            "database_name": "name",
            "settings": "settings?",
            "role_settings": "role settings?",
            "on_role_override": "on_role_override",
            "recycle": "recycle",
            "drift_check": "drift check",
            "drift_repair": "bool",
            "extensions": "names",
            "engine": "engine?",
            "instance_type": "instance type?",
            "vpc_subnets": "subnets?",
            "parameters": "settings?",
            "allocated_storage": "from 1",
            "max_allocated_storage": "from 1?",
            "multi_az": "bool",
            "backup_retention": "days?",
            "encryption_key": "no key?",
            "deletion_protection": "bool",
            "removal_policy": "removal policy",
            "iam_auth": "bool",
            "enhanced_logging": "enhanced logging",
            "log_retention": "retention",
            "max_connections_percent": "from 1?",
            "borrow_timeout": "seconds?",
            "idle_client_timeout": "seconds?",
            "alarm_actions": "actions",
            "dashboard": "bool",
            "secrets_manager_endpoint": "bool?",
            "ca_bundle": "path?",
        },
    ),
    "PinSafePostgres.grant_connect": Call("Test/Postgres", {"grantee": "role"}, GRANT),
    "PinSafeProxy": Call(
        "Test/{id}",
        {"target": "instance", "vpc": "vpc", "max_connections_percent": "20"},
        {
            "target": "target",
            "vpc": "vpc",
            "secrets": "secrets",
            "vpc_subnets": "subnets?",
            "security_groups": "groups or none?",
            "db_proxy_name": "name?",
            "iam_auth": "bool",
            "enhanced_logging": "enhanced logging",
            "log_retention": "retention",
            "encryption_key": "key?",
            "borrow_timeout": "seconds?",
            "idle_client_timeout": "seconds?",
            "max_connections_percent": "from 1?",
            "max_idle_connections_percent": "from 0, whole?",
            "init_query": "text?",
            "session_pinning_filters": "no pinning filters",
        },
    ),
    "PinSafeProxy.from_database_proxy_attributes": Call(
        "Test/{id}",
        {"db_proxy_name": "set", "db_proxy_arn": "set", "endpoint": "set", "security_groups": "list of groups"},
        {"db_proxy_name": "name", "db_proxy_arn": "text", "endpoint": "text", "security_groups": "groups"},
    ),
    "IPinSafeProxy.grant_connect": Call("Test/Proxy", {"grantee": "role"}, GRANT),
    "PinSafeProxy.log_on_alarm": Call("Test/Proxy", {}, {"alarm": "alarm"}),
    "IPinSafeProxy.log_on_alarm": Call("Test/ImportedProxy", {}, {"alarm": "alarm"}),
    "IPinSafeProxy.metric": Call("Test/Proxy", {"metric_name": "set"}, {"metric_name": "text", **METRIC}),
    **{f"IPinSafeProxy.{name}": Call("Test/Proxy", {}, METRIC) for name in PLAIN_METRICS},
    **{f"IPinSafeProxy.{name}": Call("Test/Proxy", {}, MATH) for name in RATIOS},
    "EnhancedLoggingRenewal": Call("Test/{id}", {"proxy": "proxy"}, {"proxy": "proxy"}),
    "EnhancedLoggingOnAlarm": Call(
        "Test/{id}", {"proxy": "proxy", "alarm": "alarm"}, {"proxy": "proxy", "alarm": "alarm"}
    ),
    "DatabaseSettings": Call(
        "Test/{id}",
        {"database": "instance", "vpc": "vpc", "database_name": "set", "settings": "dict of str"},
        {
            "database": "database",
            "vpc": "vpc",
            "database_name": "one name or more",
            "settings": "settings",
            "role_settings": "role settings?",
            "on_error": "on_error",
            "on_role_override": "on_role_override",
            "recycle": "recycle",
            "drift_check": "drift check",
            "drift_repair": "bool",
            "secret": "secret?",
            "extensions": "names",
            "vpc_subnets": "subnets?",
            "removal_policy": "removal policy",
            "encryption_key": "no key?",
            "ca_bundle": "path?",
        },
    ),
    "DriftGuard.add_alarm_actions": Call("Test/Postgres/Settings/DriftGuard", {}, {"actions": "actions"}),
    "DriftGuard.metric": Call(
        "Test/Postgres/Settings/DriftGuard", {"metric_name": "set"}, {"metric_name": "text", **METRIC}
    ),
    "PinningAlarms": Call(
        "Test/{id}",
        {"proxy": "set"},
        {
            "proxy": "proxy or name",
            "pinned_threshold": "from 0, whole",
            "pinned_ratio_threshold": "from 0",
            "borrow_latency_threshold": "known duration?",
            "pool_utilization_threshold": "from 0",
            "failed_logins_threshold": "from 0, whole",
            "evaluation_periods": "known from 3",
            "datapoints_to_alarm": "1 to 5?",
            "actions": "actions",
        },
    ),
    "PinningDashboard": Call("Test/{id}", {"proxy": "set"}, {"proxy": "proxy or name"}),
    "PinningLogs": Call("Test/{id}", {"proxy": "set"}, {"proxy": "proxy or name", "log_group": "log group?"}),
    "PinningLogs.metric": Call("Test/Logs", {"condition": "set"}, {"condition": "condition", **METRIC}),
    "PinSafeChecks": Call("PinSafeChecks", {}, {"scope": "construct?"}),
    "PostgresDatabase": Call(
        "PostgresDatabase", {"resource": "instance"}, {"resource": "resource", "secret": "secret?"}
    ),
    "PostgresDatabase.from_database": Call(
        "PostgresDatabase.from_database", {"database": "instance"}, {"database": "database", "secret": "secret?"}
    ),
    "PostgresDatabase.from_instance_attributes": Call(
        "Test/{id}",
        {"instance_identifier": "set", **IMPORTED},
        {"instance_identifier": "text", "version": "version", **IMPORT},
    ),
    "PostgresDatabase.from_cluster_attributes": Call(
        "Test/{id}",
        {"cluster_identifier": "set", **IMPORTED, "version": "cluster version"},
        {"cluster_identifier": "text", "version": "cluster version", **IMPORT},
    ),
}
NOT_FOR_USERS = {
    "DriftGuard": "made by DatabaseSettings",
    "PinSafeChecks.validate": "called by CDK",
    "PostgresDatabase.check": "called by the constructs",
}


class OwnVpc(ec2.Vpc):
    """A subclass with a team's own defaults."""


@jsii.implements(iam.IGrantable)
class OwnGrantee(Construct):
    """A team's own construct that can be granted permissions."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self._role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))

    @property
    def grant_principal(self) -> iam.IPrincipal:
        return self._role


@jsii.implements(cloudwatch.IAlarmAction)
class OwnAction:
    """An alarm's action that CDK does not have."""

    def bind(self, scope: Construct, alarm: cloudwatch.IAlarm) -> cloudwatch.AlarmActionConfig:
        return cloudwatch.AlarmActionConfig(alarm_action_arn="arn:aws:sns:eu-west-1:111122223333:topic")


@jsii.implements(IStableStringProducer)
class LazyString:
    def produce(self) -> str:
        return "set"


@jsii.implements(IStableNumberProducer)
class LazyNumber:
    def produce(self) -> float:
        return 20


class OtherInt:
    """An integer type of another library, which CDK's own constructs refuse too."""

    def __index__(self) -> int:
        return 20


class Fixture:
    """A stack with values of every kind, and the calls to test."""

    def __init__(self) -> None:
        self.stack = stack = Stack(App(), "Test")
        self._ids = itertools.count()
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        instance = plain_instance(stack, vpc)
        group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-12345678")
        secret = secretsmanager.Secret(stack, "Secret")
        version = rds.PostgresEngineVersion.VER_17
        cluster_version = rds.AuroraPostgresEngineVersion.VER_16_6
        engine = rds.DatabaseInstanceEngine.postgres(version=version)
        cluster_engine = rds.DatabaseClusterEngine.aurora_postgres(version=cluster_version)
        writer = rds.ClusterInstance.serverless_v2("Writer")
        imported_vpc = ec2.Vpc.from_vpc_attributes(
            stack,
            "ImportedVpc",
            vpc_id="vpc-12345678",
            availability_zones=["eu-west-1a", "eu-west-1b"],
            private_subnet_ids=["subnet-1", "subnet-2"],
        )
        imported_instance = rds.DatabaseInstance.from_database_instance_attributes(
            stack,
            "ImportedInstance",
            instance_identifier="orders",
            instance_endpoint_address="orders.example.com",
            port=5432,
            security_groups=[group],
            engine=engine,
        )
        role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        functions = [
            lambda_.Function(
                stack,
                name,
                runtime=lambda_.Runtime.PYTHON_3_13,
                handler="index.handler",
                code=lambda_.Code.from_inline("handler = print"),
                vpc=where,
            )
            for name, where in (("Function", vpc), ("FunctionOutside", None))
        ]
        log_group = logs.LogGroup(stack, "LogGroup")
        postgres = PinSafePostgres(stack, "Postgres", vpc=vpc, drift_check=Duration.hours(1))
        proxy = PinSafeProxy(
            stack, "Proxy", target=instance, vpc=vpc, enhanced_logging=EnhancedLogging.ON_ALARM, secrets=[secret]
        )
        imported_proxy = PinSafeProxy.from_database_proxy_attributes(
            stack,
            "ImportedProxy",
            db_proxy_name="orders",
            db_proxy_arn="a:b:c:d:e:f:g",
            endpoint="e",
            security_groups=[group],
        )
        guard = postgres.settings.drift_guard
        assert guard is not None
        self.alarms = PinningAlarms(stack, "Alarms", proxy="orders")
        number = CfnParameter(stack, "Number", type="Number")
        topic = sns.Topic(stack, "Topic")
        self.values: Mapping[str, Any] = {
            "None": None,
            "True": True,
            "False": False,
            "0": 0,
            "-1": -1,
            "20": 20,
            "20.0": 20.0,
            "2.5": 2.5,
            "NaN": math.nan,
            "infinity": math.inf,
            "more than a double": 10**400,
            "Decimal": Decimal(20),
            "integer of another library": OtherInt(),
            "number token": number.value_as_number,
            "lazy number": Lazy.number(LazyNumber()),
            "empty str": "",
            "set": "set",
            "rollback": "rollback",
            "fail": "fail",
            "ALWAYS": "ALWAYS",
            "30 seconds": "30 seconds",
            "connection string": f"postgresql://app:{PASSWORD}@example.com/app",
            "string token": CfnParameter(stack, "String").value_as_string,
            "lazy string": Lazy.string(LazyString()),
            "bytes": b"set",
            "empty list": [],
            "list of None": [None],
            "list of numbers": [1, 2],
            "list of str": ["set", "fail"],
            "tuple of str": ("set", "fail"),
            "set of str": {"set"},
            "list of pairs": [("work_mem", "64MB")],
            "list token": Fn.split(",", Fn.ref("String")),
            "list of groups": [group, ec2.SecurityGroup(stack, "Other", vpc=vpc)],
            "tuple of groups": (group,),
            "list of secrets": [secret],
            "tuple of secrets": (secret, secretsmanager.Secret.from_secret_name_v2(stack, "Named", "app")),
            "list of actions": [cloudwatch_actions.SnsAction(topic)],
            "list of own actions": [OwnAction()],
            "list of pinning filters": [rds.SessionPinningFilter.EXCLUDE_VARIABLE_SETS],
            "empty dict": {},
            "dict of str": {"work_mem": "64MB"},
            "dict of numbers": {1: 2},
            "dict of dicts": {"app": {"work_mem": "64MB"}},
            "5 minutes": Duration.minutes(5),
            "1 day": Duration.days(1),
            "token of days": Duration.days(number.value_as_number),
            "token of seconds": Duration.seconds(number.value_as_number),
            "Size": Size.gibibytes(1),
            "SecretValue": SecretValue.unsafe_plain_text(PASSWORD),
            "EnhancedLogging.OFF": EnhancedLogging.OFF,
            "OnError.CONTINUE": OnError.CONTINUE,
            "OnRoleOverride.FAIL": OnRoleOverride.FAIL,
            "Unit.COUNT": cloudwatch.Unit.COUNT,
            "Recycle.TERMINATE_IDLE": Recycle.TERMINATE_IDLE,
            "RemovalPolicy.RETAIN": RemovalPolicy.RETAIN,
            "RetentionDays.ONE_DAY": logs.RetentionDays.ONE_DAY,
            "object": object(),
            "class": ec2.Vpc,
            "method": Duration.minutes,
            "no value": Aws.NO_VALUE,
            "stack": stack,
            "vpc": vpc,
            "imported vpc": imported_vpc,
            "subclass of vpc": OwnVpc(stack, "OwnVpc", max_azs=2),
            "cast vpc": jsii.unsafe_cast(vpc, ec2.IVpc),
            "subnets": ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            "group": group,
            "key": kms.Key(stack, "Key"),
            "imported key": kms.Key.from_key_arn(
                stack, "ImportedKey", "arn:aws:kms:eu-west-1:111122223333:key/0123abcd-0123-0123-0123-0123456789ab"
            ),
            "secret": secret,
            "imported secret": secretsmanager.Secret.from_secret_name_v2(stack, "ImportedSecret", "app"),
            "instance": instance,
            "imported instance": imported_instance,
            "cluster": rds.DatabaseCluster(stack, "Cluster", engine=cluster_engine, vpc=vpc, writer=writer),
            "PostgresDatabase": PostgresDatabase.from_database(instance),
            "proxy target": rds.ProxyTarget.from_instance(instance),
            "engine": engine,
            "cluster engine": cluster_engine,
            "version": version,
            "cluster version": cluster_version,
            "instance type": ec2.InstanceType("m7g.large"),
            "log group": log_group,
            "imported log group": logs.LogGroup.from_log_group_name(stack, "ImportedLogGroup", "/aws/rds/proxy/orders"),
            "alarm": self.alarms.pinned,
            "imported alarm": cloudwatch.Alarm.from_alarm_arn(
                stack, "ImportedAlarm", "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:orders"
            ),
            "role": role,
            "imported role": iam.Role.from_role_arn(stack, "ImportedRole", "arn:aws:iam::111122223333:role/app"),
            "function": functions[0],
            "function outside a VPC": functions[1],
            "own grantee": OwnGrantee(stack, "OwnGrantee"),
            "proxy": proxy,
            "imported proxy": imported_proxy,
            "CDK's proxy": proxy.proxy,
            "CDK's imported proxy": rds.DatabaseProxy.from_database_proxy_attributes(
                stack, "CdkProxy", db_proxy_name="cdk", db_proxy_arn="a:b:c", endpoint="e", security_groups=[group]
            ),
            "proxy resource": proxy.proxy.node.default_child,
            "topic": topic,
            # jsii has no class for it but the one that it extends.
            "object of a class that CDK does not export": imported_vpc.node.find_child("PrivateSubnet1"),
        }
        self.calls: Mapping[str, Callable[..., Any]] = {
            "PinSafePostgres": PinSafePostgres,
            "PinSafePostgres.grant_connect": postgres.grant_connect,
            "PinSafeProxy": PinSafeProxy,
            "PinSafeProxy.from_database_proxy_attributes": PinSafeProxy.from_database_proxy_attributes,
            "IPinSafeProxy.grant_connect": proxy.grant_connect,
            "PinSafeProxy.log_on_alarm": proxy.log_on_alarm,
            "IPinSafeProxy.metric": proxy.metric,
            **{f"IPinSafeProxy.{name}": getattr(proxy, name) for name in (*PLAIN_METRICS, *RATIOS)},
            "EnhancedLoggingRenewal": EnhancedLoggingRenewal,
            "EnhancedLoggingOnAlarm": EnhancedLoggingOnAlarm,
            "IPinSafeProxy.log_on_alarm": imported_proxy.log_on_alarm,
            "DatabaseSettings": DatabaseSettings,
            "DriftGuard.add_alarm_actions": guard.add_alarm_actions,
            "DriftGuard.metric": guard.metric,
            "PinningAlarms": PinningAlarms,
            "PinningDashboard": PinningDashboard,
            "PinningLogs": PinningLogs,
            "PinningLogs.metric": PinningLogs(stack, "Logs", proxy="orders", log_group=log_group).metric,
            "PinSafeChecks": PinSafeChecks,
            "PostgresDatabase": PostgresDatabase,
            "PostgresDatabase.from_database": PostgresDatabase.from_database,
            "PostgresDatabase.from_instance_attributes": PostgresDatabase.from_instance_attributes,
            "PostgresDatabase.from_cluster_attributes": PostgresDatabase.from_cluster_attributes,
        }

    def call(self, name: str, props: Mapping[str, str]) -> str | None:
        """Make one call with values by their names; returns the error without its path, or None."""
        case = f"Case{next(self._ids)}"
        path = CALLS[name].path.format(id=case)
        place = (self.stack, case) if "{id}" in CALLS[name].path else ()
        try:
            self.calls[name](*place, **{prop: self.values[value] for prop, value in props.items()})
        except (ConfigurationError, SettingError) as error:
            # A part of a construct refuses with its own path, below the construct's.
            where, _, message = str(error).partition(": ")
            assert where == path or where.startswith(f"{path}/")
            return message
        return None


@pytest.fixture(scope="module")
def world() -> Fixture:
    return Fixture()


@pytest.mark.parametrize(
    ("name", "prop", "value", "message"),
    [
        (
            "PinSafePostgres",
            "vpc",
            "group",
            "an ec2.IVpc, got an ISecurityGroup; for example ec2.Vpc(self, 'Vpc') or "
            "ec2.Vpc.from_lookup(self, 'Vpc', vpc_id='vpc-...')",
        ),
        (
            "PinSafePostgres",
            "enhanced_logging",
            "ALWAYS",
            "EnhancedLogging.ALWAYS, EnhancedLogging.ONE_DAY, EnhancedLogging.ON_ALARM or EnhancedLogging.OFF, "
            "got 'ALWAYS'",
        ),
        (
            "PinSafePostgres",
            "log_retention",
            "20",
            "a logs.RetentionDays, got 20; for example logs.RetentionDays.ONE_DAY",
        ),
        (
            "PinSafePostgres",
            "borrow_timeout",
            "30 seconds",
            "a Duration or None, got '30 seconds'; for example Duration.minutes(5)",
        ),
        ("PinSafePostgres", "allocated_storage", "string token", "a whole number, got the token '${Token["),
        ("PinSafePostgres", "database_name", "number token", "a str, got a token of a number"),
        ("PinSafePostgres", "multi_az", "None", "True or False, got None"),
        ("PinSafePostgres", "backup_retention", "method", "a Duration or None, got a method; for example Duration."),
        ("PinSafePostgres", "settings", "list of str", "a dict or None, got a list"),
        ("PinSafePostgres", "parameters", "dict of dicts", "a str, got a dict"),
        ("PinSafeProxy", "secrets", "connection string", "a list of secretsmanager.ISecret, got a str; for example "),
        ("IPinSafeProxy.grant_connect", "db_user", "empty str", "a str or None, got an empty str"),
        ("DatabaseSettings", "database", "vpc", "a PostgresDatabase, an rds.IDatabaseInstance or an rds.IDatabaseClus"),
        ("DatabaseSettings", "on_error", "rollback", "OnError.ROLLBACK or OnError.CONTINUE, got 'rollback'"),
        ("PinningAlarms", "proxy", "vpc", "an rds.IDatabaseProxy, an rds.CfnDBProxy or a str, got a Vpc; for example "),
        (
            "IPinSafeProxy.metric_pinned",
            "period",
            "token of seconds",
            "known at synth, got a token",
        ),
        (
            "PinningLogs",
            "log_group",
            "object of a class that CDK does not export",
            "a logs.ILogGroup or None, got a Resource; an object whose class CDK does not export is passed by "
            "jsii.unsafe_cast(object, interface)",
        ),
        (
            "PinningAlarms",
            "actions",
            "list of groups",
            "a cloudwatch.IAlarmAction, got an ISecurityGroup; for example ",
        ),
    ],
)
def test_message(world: Fixture, name: str, prop: str, value: str, message: str) -> None:
    """What the prop may be, what it got, and an example."""
    received = world.call(name, {**CALLS[name].needs, prop: value})
    assert f" should be {message}" in str(received)


@pytest.mark.parametrize("name", sorted(set(props.EXAMPLES) - {"iam.IGrantable", "rds.IDatabaseProxy"}))
def test_example_is_of_its_kind(world: Fixture, name: str) -> None:
    known = {
        **globals(),
        "PinningAlarms": lambda _: world.alarms,
        "self": Stack(App(), "Examples"),
        "topic": world.values["topic"],
    }
    kind = eval(name, known)
    for example in props.EXAMPLES[name].split(" or "):
        # A look-up of the context needs a stack with an account.
        value = world.values["imported vpc"] if "from_lookup" in example else eval(example, known)
        assert props.is_a(kind, value), example


def test_scope_and_id_are_checked(stack: Stack) -> None:
    """Without a scope, the message has the class's name instead of a path."""
    wrong: Any = None
    with pytest.raises(ConfigurationError, match="^PinningAlarms: 'scope' should be a Construct, got None"):
        PinningAlarms(wrong, "Alarms", proxy="orders")
    with pytest.raises(ConfigurationError, match="^Test: 'id' should be a str, got an empty str"):
        PinningAlarms(stack, "", proxy="orders")


def test_refused_construct_is_not_in_the_tree(stack: Stack) -> None:
    """A program can catch the error and try again with the same id."""
    with pytest.raises(ConfigurationError, match="^Test/Alarms: 'pinned_threshold' should be a whole number, got True"):
        PinningAlarms(stack, "Alarms", proxy="orders", pinned_threshold=True)
    PinningAlarms(stack, "Alarms", proxy="orders", pinned_threshold=1)


def test_unknown_jsii_objects_pass(stack: Stack) -> None:
    """jsii does not document where it keeps an object's interfaces; if that changes, imports must still pass."""
    imported: Any = type("InterfaceDynamicProxy", (), {"db_proxy_name": "orders"})()
    PinningDashboard(stack, "Dashboard", proxy=imported)


def taken(kind: str) -> Sequence[str]:
    return (*(("None",) if kind.endswith("?") else ()), *KINDS[kind.removesuffix("?")])


def arguments_of(function: Callable[..., Any]) -> set[str]:
    names: set[str] = set()
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            [options] = get_args(parameter.annotation)
            names |= set(options.__annotations__)
        elif name not in ("self", "id"):
            names.add(name)
    return names


def test_every_prop_is_in_the_table() -> None:
    """Of every public construct and method."""
    public = [getattr(cdk_pinsafe, name) for name in cdk_pinsafe.__all__]
    classes = [one for one in (*public, DriftGuard) if not issubclass(one, enum.Enum)]
    found = {
        function.__qualname__.removesuffix(".__init__"): arguments_of(function)
        for one in classes
        for name, function in inspect.getmembers(one, lambda one: inspect.isfunction(one) or inspect.ismethod(one))
        if (name == "__init__" or not name.startswith("_"))
        and function.__qualname__.partition(".")[0] in {known.__name__ for known in classes}
    }
    for name, call in CALLS.items():
        assert found.pop(name) - ({"scope"} if "{id}" in call.path else set()) == set(call.kinds)
    assert {name for name, names in found.items() if names - {"scope"}} == set(NOT_FOR_USERS)


def test_every_value_is_in_the_table(world: Fixture) -> None:
    assert {value for kind in KINDS for value in taken(kind)} <= set(world.values)


@pytest.mark.parametrize(("name", "prop"), [(name, prop) for name, call in CALLS.items() for prop in call.kinds])
def test_wrong_value_is_refused(world: Fixture, name: str, prop: str) -> None:
    """With path, prop, what it should be and what it got; without strings that may be secrets."""
    call = CALLS[name]
    for value in world.values:
        if value in taken(call.kinds[prop]):
            continue
        message = world.call(name, {**call.needs, prop: value})
        assert message is not None, value
        # A setting's own check names the setting.
        names_it = re.match(rf"'{prop}(\[.+\]|\.keys\(\))?' should |setting '", message)
        assert names_it, (value, message)
        assert " got " in message
        if (
            call.kinds[prop].rstrip("?") in ("secret", "secrets", "database", "target", "resource")
            or value == "SecretValue"
        ):
            assert PASSWORD not in message


@pytest.mark.parametrize("name", CALLS)
def test_right_values_pass(world: Fixture, name: str) -> None:
    """CDK's own, imported and subclassed objects, objects of users' classes, tokens, None for a default."""
    call = CALLS[name]
    values = {prop: taken(kind) for prop, kind in call.kinds.items()}
    for turn in range(max(len(one) for one in values.values())):
        props = {prop: one[turn % len(one)] for prop, one in values.items() if one}
        assert world.call(name, props) is None, props
