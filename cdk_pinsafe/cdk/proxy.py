"""An RDS Proxy for PostgreSQL with a known name, a log group and validated props."""

from collections.abc import Sequence

import jsii
from aws_cdk import Duration, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IValidation

from .. import rds_proxy
from . import nag
from .checks import check_proxy_name, check_range, check_seconds, refuse, warn
from .database import Database, PostgresDatabase, without_dependency
from .enhanced_logging import EnhancedLogging, EnhancedLoggingRenewal, warn_of_sql
from .log_group import log_group
from .props import checked
from .proxy_interface import ImportedProxy, IPinSafeProxy
from .proxy_name import default_name


class PinSafeProxy(IPinSafeProxy):
    """An RDS Proxy for an RDS PostgreSQL instance or an Aurora PostgreSQL cluster.

    It adds to CDK's ``rds.DatabaseProxy``: the name is known at synth, so the log group is created before the proxy,
    with an expiry; enhanced logging stays on; numbers and names that RDS refuses are refused at synth; TLS is required.

    Attributes:
        proxy: CDK's own construct.
        log_group: ``/aws/rds/proxy/<name>``, deleted with the stack. RDS may create it again while the proxy is being
            deleted (inferred); then the next deployment under the same name fails until you delete that group.
        target_group: the connection pool. Add a dependency to it if its connections need another resource first.

    Args:
        scope: parent.
        id: construct id.
        target: the instance or cluster, of this stack or another, as a CDK construct or a :class:`PostgresDatabase`; or
            an ``rds.ProxyTarget`` of this stack.
        vpc: the VPC of the proxy's network interfaces.
        secrets: secrets of the database users that clients log in as; up to 200. Default: the target's own.
        vpc_subnets: the proxy's subnets. Default: CDK's, private subnets.
        security_groups: the proxy's security groups. Default: a new one.
        db_proxy_name: 1 to 63 letters, digits and hyphens. CloudFormation has to replace a proxy whose subnets change,
            for example when the VPC gets an availability zone, and refuses to do so under the same name: change your
            name in the same deployment. Default: the construct's path and a digest of what cannot be changed in place
            (subnets, engine family, network types), in lower case, so that a replacement gets a new name.
        iam_auth: whether clients log in with IAM tokens (``REQUIRED``); otherwise with passwords. Default: True.
        enhanced_logging: when the proxy logs which statement pinned. Default: ``EnhancedLogging.ALWAYS``.
        log_retention: how long the proxy's logs are kept. Default: one month.
        encryption_key: KMS key of the log group. CloudWatch Logs gets permission to use it; the policy of an imported
            key must have it already. Default: CloudWatch's own key.
        borrow_timeout: how long a client waits for a database connection, 0 to 300 seconds. Default: RDS's, 120.
        idle_client_timeout: time until an idle client is disconnected, 1 to 28,800 seconds. Default: RDS's, 1,800.
        max_connections_percent: share of the database's ``max_connections`` that the proxy may use, 1 to 100 percent.
            AWS advises to leave 30 percent of headroom. Default: RDS's, 100.
        max_idle_connections_percent: share that it keeps open while idle, 0 to ``max_connections_percent``, which has
            to be given as well. Default: RDS's, half of ``max_connections_percent``.
        init_query: SQL that the proxy runs on each new database connection. Clients still send their own SETs, and
            ``RESET ALL`` undoes it: use :class:`DatabaseSettings` instead. Default: none.
        session_pinning_filters: not for PostgreSQL; anything but an empty list is refused, with what to do instead.

    Raises:
        ConfigurationError: a number is out of range or contradicts another, RDS does not take the name, the target is
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
        db_proxy_name: str | None = None,
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
        if db_proxy_name is not None:
            check_proxy_name(self, "db_proxy_name", db_proxy_name)
        check_seconds(self, "borrow_timeout", borrow_timeout, 0, rds_proxy.MAX_BORROW_TIMEOUT)
        check_seconds(self, "idle_client_timeout", idle_client_timeout, 1, rds_proxy.MAX_IDLE_CLIENT_TIMEOUT)
        self._check_percentages(max_connections_percent, max_idle_connections_percent)
        if session_pinning_filters:
            refuse(
                self,
                "'session_pinning_filters' should be left out for PostgreSQL, got "
                f"{[pinning_filter.filter_name for pinning_filter in session_pinning_filters]}: RDS takes them for "
                "MySQL only; set the parameters in the database with DatabaseSettings, and remove the client's SETs",
            )
        database_groups: Sequence[ec2.ISecurityGroup] = []
        if isinstance(target, rds.ProxyTarget):
            proxy_target = target
        else:
            database = PostgresDatabase.from_database(target)
            database.check(self, "target")
            proxy_target, database_groups = database.proxy_target(self)
            secrets = secrets or ([database.secret] if database.secret else [])
        secrets = [without_dependency(self, f"Secret{index}", secret) for index, secret in enumerate(secrets)]
        self._secrets = secrets
        most = rds_proxy.MAX_SECRETS
        if not 1 <= len(secrets) <= most:
            refuse(self, f"'secrets' should be 1 to {most} secrets of database users, got {len(secrets)}")

        self.proxy = rds.DatabaseProxy(
            self,
            "Proxy",
            proxy_target=proxy_target,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=list(security_groups) if security_groups is not None else None,
            secrets=secrets,
            db_proxy_name=db_proxy_name,
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
        if db_proxy_name is None:
            db_proxy_name = default_name(self, resource)
            check_proxy_name(self, "db_proxy_name", db_proxy_name)
            resource.db_proxy_name = db_proxy_name
        self._name = db_proxy_name
        self._arn = self.proxy.db_proxy_arn
        self._endpoint = self.proxy.endpoint
        self._warn(enhanced_logging, borrow_timeout, init_query)
        self.log_group = log_group(
            self,
            "LogGroup",
            key=encryption_key,
            name=rds_proxy.log_group_name(db_proxy_name),
            retention=log_retention,
        )
        # Otherwise RDS creates the log group, without an expiry.
        resource.node.add_dependency(self.log_group)
        self.target_group: rds.CfnDBProxyTargetGroup = self.proxy.node.find_child("ProxyTargetGroup")  # type: ignore[assignment]
        self._connections = ec2.Connections(
            security_groups=self.proxy.connections.security_groups, default_port=ec2.Port.tcp(rds_proxy.PORT)
        )
        nag.acknowledge(self.proxy.node.find_child("IAMRole"), nag.INLINE_POLICY)
        nag.acknowledge_way_into(database_groups, self.proxy.connections.security_groups)
        self._enhanced_logging = enhanced_logging
        self._alarms: list[cloudwatch.IAlarm] = []
        if enhanced_logging is EnhancedLogging.ALWAYS:
            EnhancedLoggingRenewal(self, "EnhancedLogging", proxy=self)
        elif enhanced_logging is EnhancedLogging.ON_ALARM:
            self.node.add_validation(_HasAlarm(self._alarms))

    @classmethod
    @checked
    def from_database_proxy_attributes(
        cls,
        scope: Construct,
        id: str,
        *,
        db_proxy_name: str,
        db_proxy_arn: str,
        endpoint: str,
        security_groups: Sequence[ec2.ISecurityGroup],
    ) -> IPinSafeProxy:
        """Import a proxy that exists already, with its security groups.

        Args:
            scope: parent.
            id: construct id.
            db_proxy_name: ``DBProxyName``.
            db_proxy_arn: ``arn:aws:rds:<region>:<account>:db-proxy:prx-…``.
            endpoint: DNS name that clients connect to.
            security_groups: the proxy's security groups, to which clients get access.

        Raises:
            ConfigurationError: RDS does not take the name, or there is no security group.
        """
        imported = ImportedProxy(
            scope,
            id,
            db_proxy_name=db_proxy_name,
            db_proxy_arn=db_proxy_arn,
            endpoint=endpoint,
            security_groups=security_groups,
        )
        check_proxy_name(imported, "db_proxy_name", db_proxy_name)
        if not security_groups:
            refuse(imported, "'security_groups' should be the proxy's, got none")
        return imported

    @checked
    def log_on_alarm(self, alarm: cloudwatch.IAlarm) -> None:
        if self._enhanced_logging is not EnhancedLogging.ON_ALARM:
            refuse(
                self,
                "'enhanced_logging' should be EnhancedLogging.ON_ALARM, so that an alarm can switch it on, got "
                f"EnhancedLogging.{self._enhanced_logging.name}",
            )
        self._alarms.append(alarm)
        super().log_on_alarm(alarm)

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
            warn_of_sql(self, self._name)
        if init_query is not None:
            warn(
                self,
                "InitQuery",
                "an initialization query sets its values on each new database connection, loses them at a client's "
                "RESET ALL or DISCARD ALL, and clients still send their own SETs, which pin; use DatabaseSettings "
                "instead",
            )
        if borrow_timeout is not None and not borrow_timeout.is_unresolved() and borrow_timeout.to_seconds() == 0:
            warn(self, "NoBorrowTimeout", "with a borrow timeout of 0 a client fails at once if no connection is free")


@jsii.implements(IValidation)
class _HasAlarm:
    """Fails the synth of a proxy with ``ON_ALARM`` and no alarm."""

    def __init__(self, alarms: Sequence[cloudwatch.IAlarm]) -> None:
        self._alarms = alarms

    def validate(self) -> list[str]:
        if self._alarms:
            return []
        return [
            "'enhanced_logging' ON_ALARM should come with an alarm, got none: call log_on_alarm(alarm) on the proxy, "
            "for example with PinningAlarms(...).pinned"
        ]
