"""Saved queries and metrics of what a proxy logs about pins."""

import hashlib
from typing import Final

from aws_cdk import CfnResource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from . import log_text, metrics
from .checks import check_proxy_name, refuse
from .props import checked

_QUERIES: Final = {
    "PinsByReason": ("pins by reason", log_text.BY_REASON),
    "PinsByDigest": ("pins by SQL digest", log_text.BY_DIGEST),
    "PinsByClientConnection": ("pins by client connection", log_text.BY_CLIENT_CONNECTION),
}


class PinningLogs(Construct):
    """What can be made of a proxy's log: saved Logs Insights queries, and a metric for each condition that pins.

    The queries (pins by reason, by SQL digest, by client connection) stand in CloudWatch under
    ``pinsafe/<proxy name>/``. They cost nothing until somebody runs one.

    The metrics count the log lines that name a condition: a metric filter for each phrase, with the metric's name being
    the condition's id (``pinsafe conditions`` lists them) in the namespace ``cdk-pinsafe/<proxy name>``, without
    dimensions, which CloudWatch does not let a filter on plain text have. They have no value while nothing is logged,
    so that CloudWatch charges for an hour of a metric only where there was a pin. The SQL's digest, by which most
    conditions are known, is logged while enhanced logging is on. AWS may change the log's form: let alarms watch the
    proxy's own metrics (:class:`PinningAlarms`). None of it was tried on AWS.

    Args:
        scope: parent.
        id: construct id.
        proxy_name: the proxy's name (``DBProxyName``).
        log_group: the proxy's log group, ``/aws/rds/proxy/<name>``, made here or imported; it has to exist.

    Raises:
        ConfigurationError: the name cannot be a proxy's.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, proxy_name: str, log_group: logs.ILogGroup) -> None:
        super().__init__(scope, id)
        check_proxy_name(self, "proxy_name", proxy_name)
        self._namespace = f"cdk-pinsafe/{proxy_name}"
        name = log_group.log_group_name
        # By their types: one question to CDK for each.
        for child, (title, query) in _QUERIES.items():
            properties = {"Name": f"pinsafe/{proxy_name}/{title}", "LogGroupNames": [name], "QueryString": query}
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
                # By what it looks for, so that a new phrase leaves the other filters alone.
                f"{sign.condition}-{hashlib.sha256(sign.phrase.encode()).hexdigest()[:8]}",
                type="AWS::Logs::MetricFilter",
                properties={
                    "LogGroupName": name,
                    "FilterPattern": sign.pattern,
                    "MetricTransformations": [transformation],
                },
            )

    @checked
    def metric(self, condition: str) -> cloudwatch.Metric:
        """The log lines of a minute that name a condition; there is no value for a minute without any.

        Args:
            condition: a condition's id, such as ``set`` or ``cursor``.

        Raises:
            ConfigurationError: the log does not tell of a condition by this id.
        """
        known = sorted({sign.condition for sign in log_text.SIGNS})
        if condition not in known:
            refuse(self, f"'condition' should be one of {', '.join(known)}, got {condition!r}")
        return cloudwatch.Metric(
            namespace=self._namespace, metric_name=condition, statistic="Sum", period=metrics.period()
        )
