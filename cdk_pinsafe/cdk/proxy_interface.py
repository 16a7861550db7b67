"""What can be done with a proxy, whether this app makes it or imports it."""

import hashlib
from collections.abc import Sequence
from typing import Unpack, cast

import jsii
from aws_cdk import ArnFormat, Resource, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk.interfaces import aws_rds as rds_interfaces
from constructs import Construct

from .. import rds_proxy
from . import metrics
from .checks import refuse
from .enhanced_logging import EnhancedLoggingOnAlarm
from .metrics import MathOptions, MetricOptions
from .props import checked


@jsii.implements(rds.IDatabaseProxy, ec2.IConnectable)
class IPinSafeProxy(Resource):
    """A proxy: a :class:`PinSafeProxy`, or what :meth:`PinSafeProxy.from_database_proxy_attributes` returns.

    CDK takes it wherever it takes an ``rds.IDatabaseProxy``.

    The ``metric_…`` methods take CDK's ``cloudwatch.MetricOptions`` as keyword arguments, and those that return metric
    math take ``cloudwatch.MathExpressionOptions``. The default period is one minute: each node of a proxy publishes
    every minute, so the Sum of a gauge over a longer period counts it several times (inferred; not tried on AWS).
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self._name: str
        self._arn: str
        self._endpoint: str
        self._connections: ec2.Connections

    # Properties, since jsii does not see plain attributes as an interface's members.
    @property
    def db_proxy_name(self) -> str:
        """``DBProxyName``, the dimension ``ProxyName`` of the proxy's metrics."""
        return self._name

    @property
    def db_proxy_arn(self) -> str:
        """The proxy's ARN."""
        return self._arn

    @property
    def endpoint(self) -> str:
        """DNS name that clients connect to."""
        return self._endpoint

    @property
    def db_proxy_ref(self) -> rds_interfaces.DBProxyReference:
        """Name and ARN, as CDK's L1 constructs refer to a proxy."""
        return rds_interfaces.DBProxyReference(db_proxy_name=self._name, db_proxy_arn=self._arn)

    @property
    def connections(self) -> ec2.Connections:
        """The proxy's security groups, with PostgreSQL's port as the default port."""
        return self._connections

    @checked
    def grant_connect(self, grantee: iam.IGrantable, db_user: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to connect to the proxy as ``db_user`` with an IAM token.

        If the grantee has security groups (a Lambda function in a VPC, a Fargate service, …), they get access to the
        proxy's as well.

        Args:
            grantee: the principal, or a construct that has one.
            db_user: the database user. Default: the user of the proxy's secret, if the proxy was made here with one.
        """
        if db_user is None:
            db_user = self._default_user()
        # The user's ARN has the proxy's resource id ("prx-…"), the last part of the proxy's own ARN.
        resource_id = Stack.of(self).split_arn(self._arn, ArnFormat.COLON_RESOURCE_NAME).resource_name
        arn = Stack.of(self).format_arn(
            service="rds-db",
            resource="dbuser",
            resource_name=f"{resource_id}/{db_user}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        try:
            connections = getattr(grantee, "connections", None)
        except RuntimeError:
            refuse(self, "'grantee' should be in a VPC, since a proxy has no public address, got a function outside")
        if isinstance(connections, ec2.Connections):
            connections.allow_to(self, ec2.Port.tcp(rds_proxy.PORT), "to RDS Proxy")
        return iam.Grant.add_to_principal(grantee=grantee, actions=["rds-db:connect"], resource_arns=[arn])

    def _default_user(self) -> str:
        refuse(self, "'db_user' should name the database user to connect as, got nothing")

    @checked
    def log_on_alarm(self, alarm: cloudwatch.IAlarm) -> None:
        """Switch enhanced logging on when an alarm goes off; see :class:`EnhancedLoggingOnAlarm`.

        The resources are created below the alarm, in its stack.

        Args:
            alarm: an alarm of this account and region, such as ``PinningAlarms(...).pinned``.

        Raises:
            ConfigurationError: the proxy is a :class:`PinSafeProxy` with another ``enhanced_logging`` than
                ``ON_ALARM``.
        """
        # Several proxies can share an alarm.
        name = f"EnhancedLogging{hashlib.sha256(self.node.addr.encode()).hexdigest()[:8]}"
        EnhancedLoggingOnAlarm(cast("Construct", alarm), name, proxy=self, alarm=alarm)

    @checked
    def metric(self, metric_name: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Any metric of RDS Proxy. Default: the statistic that AWS advises for it, or Sum, over one minute.

        Args:
            metric_name: such as ``QueryRequests``.
            options: CDK's ``cloudwatch.MetricOptions``.
        """
        metrics.check_period(self, options)
        return metrics.metric(self._name, metric_name, **options).attach_to(self)

    @checked
    def metric_pinned(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Database connections that are pinned to one client each. Default: Sum over one minute."""
        return self.metric(rds_proxy.PINNED, **options)

    @checked
    def metric_pinned_ratio(self, **options: Unpack[MathOptions]) -> cloudwatch.MathExpression:
        """Pinned database connections in percent of all that the proxy holds."""
        metrics.check_period(self, options)
        return metrics.pinned_ratio(self._name, **options)

    @checked
    def metric_borrowed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Database connections that a client is using. Default: Sum over one minute."""
        return self.metric(rds_proxy.BORROWED, **options)

    @checked
    def metric_database_connections(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Database connections that the proxy holds. Default: Sum over one minute."""
        return self.metric(rds_proxy.CONNECTIONS, **options)

    @checked
    def metric_max_database_connections(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Database connections that the proxy may open. Default: Sum over one minute."""
        return self.metric(rds_proxy.MAX_CONNECTIONS, **options)

    @checked
    def metric_pool_utilization(self, **options: Unpack[MathOptions]) -> cloudwatch.MathExpression:
        """Database connections that the proxy holds in percent of those it may open."""
        metrics.check_period(self, options)
        return metrics.pool_utilization(self._name, **options)

    @checked
    def metric_client_connections(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Clients connected to the proxy. Default: Sum over one minute."""
        return self.metric(rds_proxy.CLIENT_CONNECTIONS, **options)

    @checked
    def metric_failed_logins(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Client connections that failed to authenticate. Default: Sum over one minute."""
        return self.metric(rds_proxy.FAILED_LOGINS, **options)

    @checked
    def metric_borrow_latency(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Microseconds that a client waits for a database connection. Default: Average over one minute."""
        return self.metric(rds_proxy.BORROW_LATENCY, **options)


class ImportedProxy(IPinSafeProxy):
    """A proxy that exists already."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        db_proxy_name: str,
        db_proxy_arn: str,
        endpoint: str,
        security_groups: Sequence[ec2.ISecurityGroup],
    ) -> None:
        super().__init__(scope, id)
        self._name = db_proxy_name
        self._arn = db_proxy_arn
        self._endpoint = endpoint
        self._connections = ec2.Connections(
            security_groups=list(security_groups), default_port=ec2.Port.tcp(rds_proxy.PORT)
        )
