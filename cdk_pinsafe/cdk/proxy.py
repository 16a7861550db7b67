"""The RDS Proxy for PostgreSQL: named, logged, validated."""

import hashlib
from collections.abc import Sequence
from typing import Final, Literal, cast

import jsii
from aws_cdk import ArnFormat, Duration, Stack, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IValidation

from . import metrics, nag
from .checks import check_proxy_name, check_range, check_seconds, refuse, warn
from .database import Database, PostgresDatabase, secret_near
from .enhanced_logging import DebugLoggingRenewal, DebugLoggingSwitch, EnhancedLogging
from .log_group import log_group
from .props import checked
from .proxy_name import default_name

PROXY_PORT: Final = 5432
"""RDS Proxy for PostgreSQL listens on no other port (documented)."""


@jsii.implements(ec2.IConnectable)
class ConnectableProxy(Construct):
    """What can be asked of a proxy, made here or imported.

    Attributes:
        proxy_name: ``DBProxyName``, the dimension of its metrics.
        proxy_arn: its ARN.
        endpoint: DNS name that clients connect to.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
    ) -> None:
        super().__init__(scope, id)
        self.proxy_name: str
        self.proxy_arn: str
        self.endpoint: str
        self._connections: ec2.Connections

    # A plain attribute would not be seen by jsii as the interface's member.
    @property
    def connections(self) -> ec2.Connections:
        """The proxy's security groups, with PostgreSQL's port as the default port."""
        return self._connections

    @checked
    def grant_connect(self, grantee: iam.IGrantable, db_user: str | None = None) -> iam.Grant:
        """Lets ``grantee`` connect to the proxy as ``db_user`` with an IAM token.

        Where the grantee has security groups (a Lambda function in a VPC, a Fargate service, …), they are let into
        the proxy's as well.

        Args:
            grantee: the principal, or a construct that has one.
            db_user: the database user. Default: the user of the proxy's secret, if the proxy was made here with one.
        """
        if db_user is None:
            db_user = self._default_user()
        # The user's ARN holds the proxy's resource id ("prx-…"), the last part of the proxy's own ARN.
        resource_id = Stack.of(self).split_arn(self.proxy_arn, ArnFormat.COLON_RESOURCE_NAME).resource_name
        arn = Stack.of(self).format_arn(
            service="rds-db",
            resource="dbuser",
            resource_name=f"{resource_id}/{db_user}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        try:
            connections = getattr(grantee, "connections", None)
        except RuntimeError:
            refuse(self, "'grantee' should be in a VPC, from which alone a proxy is reached, got a function outside")
        if isinstance(connections, ec2.Connections):
            connections.allow_to(self, ec2.Port.tcp(PROXY_PORT), "to RDS Proxy")
        return iam.Grant.add_to_principal(grantee=grantee, actions=["rds-db:connect"], resource_arns=[arn])

    def _default_user(self) -> str:
        refuse(self, "'db_user' should name the database user to connect as, got nothing")

    @checked
    def log_on_alarm(self, alarm: cloudwatch.IAlarm) -> None:
        """Switches enhanced logging on, for the 24 hours that AWS leaves it on, whenever an alarm goes off.

        What does it is made below the alarm, in its stack: see ``EnhancedLogging.ON_ALARM``, which a
        :class:`PinSafeProxy` has to have been given.

        Args:
            alarm: an alarm of this account and region, such as ``PinningAlarms(...).pinned``.

        Raises:
            ConfigurationError: the proxy was made with another ``enhanced_logging`` than ``ON_ALARM``.
        """
        self._warn_of_sql_in_logs()
        self._switch_on(alarm)

    def _switch_on(self, alarm: cloudwatch.IAlarm) -> None:
        # An alarm may serve several proxies.
        name = f"EnhancedLogging{hashlib.sha256(self.node.addr.encode()).hexdigest()[:8]}"
        DebugLoggingSwitch(
            cast("Construct", alarm), name, alarm=alarm, proxy_name=self.proxy_name, proxy_arn=self.proxy_arn
        )

    def _warn_of_sql_in_logs(self) -> None:
        warn(
            self,
            "SqlInProxyLogs",
            "enhanced logging writes the text of SQL statements, and any literal in them, to "
            f"/aws/rds/proxy/{self.proxy_name}: see who may read it, or choose EnhancedLogging.OFF; "
            "acknowledge 'annotation::cdk-pinsafe:SqlInProxyLogs' once this is settled",
        )

    @checked
    def metric(self, name: str, statistic: Literal["Sum", "Average", "Maximum"] = "Sum") -> cloudwatch.Metric:
        """Any of RDS Proxy's metrics, over 60 seconds."""
        return metrics.metric(self.proxy_name, name, statistic)

    def metric_pinned(self) -> cloudwatch.Metric:
        """Database connections that serve one client only, for the rest of its session."""
        return self.metric(metrics.PINNED)

    def metric_pinned_ratio(self) -> cloudwatch.MathExpression:
        """Pinned database connections in percent of all the proxy holds."""
        return metrics.pinned_ratio(self.proxy_name)

    def metric_borrowed(self) -> cloudwatch.Metric:
        """Database connections in use by a client right now."""
        return self.metric(metrics.BORROWED)

    def metric_database_connections(self) -> cloudwatch.Metric:
        """Database connections that the proxy holds."""
        return self.metric(metrics.CONNECTIONS)

    def metric_max_database_connections(self) -> cloudwatch.Metric:
        """Database connections that the proxy may open."""
        return self.metric(metrics.MAX_CONNECTIONS)

    def metric_pool_utilisation(self) -> cloudwatch.MathExpression:
        """Database connections that the proxy holds in percent of those it may open."""
        return metrics.pool_utilisation(self.proxy_name)

    def metric_client_connections(self) -> cloudwatch.Metric:
        """Clients connected to the proxy."""
        return self.metric(metrics.CLIENT_CONNECTIONS)

    def metric_failed_logins(self) -> cloudwatch.Metric:
        """Client connections that failed to authenticate."""
        return self.metric(metrics.FAILED_LOGINS)

    def metric_borrow_latency(self) -> cloudwatch.Metric:
        """Mean time that a client waits for a database connection, in microseconds."""
        return self.metric(metrics.BORROW_LATENCY, "Average")


class PinSafeProxy(ConnectableProxy):
    """An RDS Proxy for an RDS PostgreSQL instance or an Aurora PostgreSQL cluster.

    Beyond CDK's ``rds.DatabaseProxy``: the name is known at synth, so the log group is made first, with an expiry;
    enhanced logging stays on; numbers and names that RDS refuses are refused at synth; TLS is required.

    Attributes:
        proxy: CDK's own construct.
        proxy_name: ``DBProxyName``, the dimension of its metrics.
        proxy_arn: its ARN.
        endpoint: DNS name that clients connect to.
        log_group: ``/aws/rds/proxy/<name>``, deleted with the stack. RDS may create it again while the proxy is being
            deleted (inferred); a later deployment of the same name fails until that one is deleted.
        target_group: the pool; to make it wait for something, add a dependency to it.

    Args:
        scope: parent.
        id: construct id.
        target: the instance or cluster, made here or in another stack, as CDK has it or as a
            :class:`PostgresDatabase`. An ``rds.ProxyTarget`` serves too, within one stack.
        vpc: the VPC of the proxy's network interfaces.
        secrets: secrets of the database users that clients log in as; up to 200. Default: the target's own.
        vpc_subnets: where to put the proxy. Default: CDK's, private subnets.
        security_groups: of the proxy. Default: a new one.
        proxy_name: 1 to 63 letters, digits and hyphens. CloudFormation has to replace a proxy whose subnets change, as
            they do when the VPC gets an availability zone, and refuses that while the name stays: change a name of your
            own in the same deployment. Default: made of the construct's path and a digest of what a proxy cannot change
            (its subnets, engine family and network types), in lower case, so that a replacement gets a name of its own.
        iam_auth: whether clients must log in with IAM tokens (``REQUIRED``) rather than passwords. Default: True.
        enhanced_logging: whether the proxy logs which statement pinned. Default: ``EnhancedLogging.ALWAYS``.
        log_retention: how long the proxy's logs are kept. Default: one month.
        encryption_key: KMS key of the log group. CloudWatch Logs is allowed to use it; the policy of an imported
            key has to allow that already. Default: CloudWatch's own key.
        borrow_timeout: how long a client waits for a database connection, 0 to 300 seconds. Default: RDS's, 120.
        idle_client_timeout: after how long an idle client is disconnected, 1 to 28,800 seconds. Default: RDS's, 1,800.
        max_connections_percent: how many of the database's ``max_connections`` the proxy may use, 1 to 100 percent.
            AWS advises to leave 30 percent of headroom. Default: RDS's, 100.
        max_idle_connections_percent: how many of them it keeps open while idle, 0 to ``max_connections_percent``,
            which must be given with it. Default: RDS's, half of ``max_connections_percent``.
        init_query: SQL that the proxy runs on each new database connection. It stops no client from sending its own
            SET, and ``RESET ALL`` undoes it: ``DatabaseSettings`` is the better place. Default: none.
        session_pinning_filters: refused: RDS takes them for MySQL only.

    Raises:
        ConfigurationError: a number is out of range or contradicts another, the name cannot be a proxy's, the target is
            not PostgreSQL, or there is no secret.

    The ranges are those of the Amazon RDS API reference, ``ConnectionPoolConfiguration`` and ``CreateDBProxy``
    (documented; not tried on AWS).
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        target: Database | rds.ProxyTarget,
        vpc: ec2.IVpc,
        secrets: Sequence[secretsmanager.ISecret] = (),
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        proxy_name: str | None = None,
        iam_auth: bool = True,
        enhanced_logging: EnhancedLogging = EnhancedLogging.ALWAYS,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
        encryption_key: kms.IKey | None = None,
        borrow_timeout: Duration | None = None,
        idle_client_timeout: Duration | None = None,
        max_connections_percent: int | None = None,
        max_idle_connections_percent: int | None = None,
        init_query: str | None = None,
        session_pinning_filters: Sequence[rds.SessionPinningFilter] = (),
    ) -> None:
        super().__init__(scope, id)
        if proxy_name is not None:
            check_proxy_name(self, "proxy_name", proxy_name)
        check_seconds(self, "borrow_timeout", borrow_timeout, 0, 300)
        check_seconds(self, "idle_client_timeout", idle_client_timeout, 1, 28_800)
        self._check_percentages(max_connections_percent, max_idle_connections_percent)
        if session_pinning_filters:
            refuse(
                self,
                "'session_pinning_filters' should be left out for PostgreSQL, got "
                f"{[pinning_filter.filter_name for pinning_filter in session_pinning_filters]}: RDS takes them for "
                "MySQL only; set the parameters in the database with DatabaseSettings, and stop the client's SETs",
            )
        database_groups: Sequence[ec2.ISecurityGroup] = []
        if isinstance(target, rds.ProxyTarget):
            proxy_target = target
        else:
            database = PostgresDatabase.of(target)
            database.check(self, "target")
            proxy_target, database_groups = database.proxy_target(self)
            secrets = secrets or ([database.secret] if database.secret else [])
        secrets = [secret_near(self, f"Secret{index}", secret) for index, secret in enumerate(secrets)]
        self._secrets = secrets
        if not 1 <= len(secrets) <= 200:
            refuse(self, f"'secrets' should be 1 to 200 secrets of database users, got {len(secrets)}")

        self.proxy = rds.DatabaseProxy(
            self,
            "Proxy",
            proxy_target=proxy_target,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=list(security_groups) if security_groups is not None else None,
            secrets=secrets,
            db_proxy_name=proxy_name,
            iam_auth=iam_auth,
            require_tls=True,
            debug_logging=enhanced_logging in (EnhancedLogging.ALWAYS, EnhancedLogging.ONE_DAY),
            borrow_timeout=borrow_timeout,
            idle_client_timeout=idle_client_timeout,
            max_connections_percent=max_connections_percent,
            max_idle_connections_percent=max_idle_connections_percent,
            init_query=init_query,
        )
        resource: rds.CfnDBProxy = self.proxy.node.default_child  # type: ignore[assignment]
        if resource.engine_family != "POSTGRESQL":
            refuse(self, f"'target' should be a PostgreSQL database, got one of engine family {resource.engine_family}")
        if proxy_name is None:
            proxy_name = default_name(self, resource)
            check_proxy_name(self, "proxy_name", proxy_name)
            resource.db_proxy_name = proxy_name
        self.proxy_name = proxy_name
        self._warn(enhanced_logging, borrow_timeout, init_query)
        self.log_group = log_group(
            self,
            "LogGroup",
            key=encryption_key,
            name=f"/aws/rds/proxy/{self.proxy_name}",
            retention=log_retention,
        )
        # Otherwise RDS makes the log group itself, without an expiry.
        resource.node.add_dependency(self.log_group)
        self.target_group: rds.CfnDBProxyTargetGroup = self.proxy.node.find_child("ProxyTargetGroup")  # type: ignore[assignment]
        self.proxy_arn = self.proxy.db_proxy_arn
        self.endpoint = self.proxy.endpoint
        self._connections = ec2.Connections(
            security_groups=self.proxy.connections.security_groups, default_port=ec2.Port.tcp(PROXY_PORT)
        )
        nag.acknowledge(self.proxy.node.find_child("IAMRole"), nag.INLINE_POLICY)
        nag.acknowledge_way_into(database_groups, self.proxy.connections.security_groups)
        self._enhanced_logging = enhanced_logging
        self._alarms: list[cloudwatch.IAlarm] = []
        if enhanced_logging is EnhancedLogging.ALWAYS:
            DebugLoggingRenewal(self, "EnhancedLogging", proxy=self.proxy)
        elif enhanced_logging is EnhancedLogging.ON_ALARM:
            self.node.add_validation(_HasAlarm(self._alarms))

    @classmethod
    @checked
    def from_proxy_attributes(
        cls,
        scope: Construct,
        id: str,
        *,
        proxy_name: str,
        proxy_arn: str,
        endpoint: str,
        security_groups: Sequence[ec2.ISecurityGroup],
    ) -> ConnectableProxy:
        """A proxy that exists already, with its security groups.

        Args:
            scope: parent.
            id: construct id.
            proxy_name: ``DBProxyName``.
            proxy_arn: ``arn:aws:rds:<region>:<account>:db-proxy:prx-…``.
            endpoint: DNS name that clients connect to.
            security_groups: the proxy's, so that clients can be let in.

        Raises:
            ConfigurationError: the name cannot be a proxy's, or there is no security group.
        """
        imported = ConnectableProxy(scope, id)
        check_proxy_name(imported, "proxy_name", proxy_name)
        if not security_groups:
            refuse(imported, "'security_groups' should be the proxy's, got none")
        imported.proxy_name = proxy_name
        imported.proxy_arn = proxy_arn
        imported.endpoint = endpoint
        imported._connections = ec2.Connections(
            security_groups=list(security_groups), default_port=ec2.Port.tcp(PROXY_PORT)
        )
        return imported

    @checked
    def log_on_alarm(self, alarm: cloudwatch.IAlarm) -> None:
        if self._enhanced_logging is not EnhancedLogging.ON_ALARM:
            refuse(
                self,
                "'enhanced_logging' should be EnhancedLogging.ON_ALARM for an alarm to switch it on, got "
                f"EnhancedLogging.{self._enhanced_logging.name}",
            )
        self._alarms.append(alarm)
        self._switch_on(alarm)

    def _default_user(self) -> str:
        if len(self._secrets) > 1:
            return super()._default_user()
        return self._secrets[0].secret_value_from_json("username").unsafe_unwrap()

    def _check_percentages(self, maximum: int | None, idle: int | None) -> None:
        check_range(self, "max_connections_percent", maximum, 1, 100, unit="percent", whole=True)
        if idle is None:
            return
        if maximum is None:
            refuse(
                self,
                "'max_connections_percent' should be given together with 'max_idle_connections_percent', "
                f"got only the latter, {idle:g}",
            )
        most, unit = (
            (100, "percent") if Token.is_unresolved(maximum) else (maximum, "percent (max_connections_percent)")
        )
        check_range(self, "max_idle_connections_percent", idle, 0, most, unit=unit, whole=True)

    def _warn(self, enhanced_logging: EnhancedLogging, borrow_timeout: Duration | None, init_query: str | None) -> None:
        if enhanced_logging is not EnhancedLogging.OFF:
            self._warn_of_sql_in_logs()
        if init_query is not None:
            warn(
                self,
                "InitQuery",
                "an initialization query sets its values anew on each database connection, loses them at a client's "
                "RESET ALL or DISCARD ALL, and stops no client from sending its own SET, which still pins; "
                "DatabaseSettings has none of these faults",
            )
        if borrow_timeout is not None and not borrow_timeout.is_unresolved() and borrow_timeout.to_seconds() == 0:
            warn(
                self, "NoBorrowTimeout", "with a borrow timeout of 0 a client fails at once while no connection is free"
            )


@jsii.implements(IValidation)
class _HasAlarm:
    """Fails the synth of a proxy that was to log on an alarm and was given none."""

    def __init__(self, alarms: Sequence[cloudwatch.IAlarm]) -> None:
        self._alarms = alarms

    def validate(self) -> list[str]:
        if self._alarms:
            return []
        return [
            "'enhanced_logging' ON_ALARM should be given the alarm, got none: call log_on_alarm(alarm) on the proxy, "
            "with PinningAlarms(...).pinned for example"
        ]
