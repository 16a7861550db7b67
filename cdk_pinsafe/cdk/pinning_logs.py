"""Saved queries of a proxy's log, and metrics of the conditions that it logs."""

import hashlib
from typing import Final, Unpack

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from . import log_text, metrics
from .any_proxy import Proxy, log_group_of, name_of
from .checks import refuse
from .metrics import MetricOptions
from .props import checked

_QUERIES: Final = {
    "PinsByReason": ("pins by reason", log_text.BY_REASON),
    "PinsByDigest": ("pins by SQL digest", log_text.BY_DIGEST),
    "PinsByClientConnection": ("pins by client connection", log_text.BY_CLIENT_CONNECTION),
}


class PinningLogs(Construct):
    """Saved Logs Insights queries of a proxy's log, and a metric for each condition that pins.

    CloudWatch lists the queries (pins by reason, by SQL digest, by client connection) under ``pinsafe/<proxy name>/``.
    Only running one costs money.

    The metrics count the log lines that name a condition: a metric filter for each phrase. A metric's name is the
    condition's id (``pinsafe conditions`` lists them), its namespace ``cdk-pinsafe/<proxy name>``; it has no
    dimensions, which CloudWatch does not offer for filters on plain text. It has no value while nothing is logged, so
    CloudWatch charges only for the hours in which something pinned. Most conditions are recognized by the SQL's digest,
    which is logged while enhanced logging is on. AWS may change the log's form: for alarms, use the proxy's own metrics
    (:class:`PinningAlarms`). None of it was tried on AWS.

    Attributes:
        log_group: the proxy's log group.

    Args:
        scope: parent.
        id: construct id.
        proxy: the proxy, of this library or of CDK, made here or imported; or its name (``DBProxyName``).
        log_group: the proxy's log group, ``/aws/rds/proxy/<name>``, which has to exist. Default: the group of a
            :class:`PinSafeProxy`. For a CDK proxy of this app, a group of its stack with that name, if it was defined
            before; otherwise CDK's ``logs.LogRetention`` below the proxy, which gives the group an expiry of one month
            and creates it if RDS has not done so. For an imported proxy or a name, the existing group.

    Raises:
        ConfigurationError: RDS does not take the name.
    """

    @checked
    def __init__(
        self, scope: Construct, id: str, *, proxy: Proxy | str, log_group: logs.ILogGroup | None = None
    ) -> None:
        super().__init__(scope, id)
        db_proxy_name = name_of(self, "proxy", proxy)
        self.log_group = log_group or log_group_of(self, db_proxy_name, proxy)
        self._namespace = f"cdk-pinsafe/{db_proxy_name}"
        name = self.log_group.log_group_name
        # Generic resources: one call to CDK for each.
        for child, (title, query) in _QUERIES.items():
            properties = {"Name": f"pinsafe/{db_proxy_name}/{title}", "LogGroupNames": [name], "QueryString": query}
            CfnResource(self, child, type="AWS::Logs::QueryDefinition", properties=properties)
        for sign in log_text.SIGNS:
            transformation = {
                "MetricNamespace": self._namespace,
                "MetricName": sign.condition,
                "MetricValue": "1",
                "Unit": "Count",
            }
            CfnResource(
                self,
                # The phrase's digest, so that a new phrase does not change the other filters.
                f"{sign.condition}-{hashlib.sha256(sign.phrase.encode()).hexdigest()[:8]}",
                type="AWS::Logs::MetricFilter",
                properties={
                    "LogGroupName": name,
                    "FilterPattern": sign.pattern,
                    "MetricTransformations": [transformation],
                },
            )

    @checked
    def metric(self, condition: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """The log lines that name a condition. Default: Sum over one minute; no value for a minute without any.

        Args:
            condition: a condition's id, such as ``set`` or ``cursor``.
            options: CDK's ``cloudwatch.MetricOptions``.

        Raises:
            ConfigurationError: the log names no condition with this id.
        """
        known = sorted({sign.condition for sign in log_text.SIGNS})
        if condition not in known:
            refuse(self, f"'condition' should be one of {', '.join(known)}, got {condition!r}")
        metrics.check_period(self, options)
        defaults = MetricOptions(statistic="Sum", period=metrics.period())
        return cloudwatch.Metric(
            namespace=self._namespace, metric_name=condition, **metrics.with_defaults(options, defaults)
        ).attach_to(self)
