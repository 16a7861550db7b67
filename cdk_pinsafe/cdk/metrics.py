"""RDS Proxy's CloudWatch metrics, by proxy name.

Source: Amazon RDS user guide, "Monitoring RDS Proxy metrics with Amazon CloudWatch" (documented). Every node of a
proxy publishes once a minute, so the Sum of a gauge over more than 60 seconds counts it several times: the period
here is 60 seconds throughout (inferred; not tried on AWS).
"""

from functools import cache
from typing import Final, Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

NAMESPACE: Final = "AWS/RDS"
DIMENSION: Final = "ProxyName"
PERIOD_SECONDS: Final = 60

PINNED: Final = "DatabaseConnectionsCurrentlySessionPinned"
BORROWED: Final = "DatabaseConnectionsCurrentlyBorrowed"
CONNECTIONS: Final = "DatabaseConnections"
MAX_CONNECTIONS: Final = "MaxDatabaseConnectionsAllowed"
CLIENT_CONNECTIONS: Final = "ClientConnections"
FAILED_LOGINS: Final = "ClientConnectionsSetupFailedAuth"
BORROW_LATENCY: Final = "DatabaseConnectionsBorrowLatency"

PERCENTAGE: Final = "100 * part / whole"
"""Metric math: ``part`` in percent of ``whole``.

A missing ``part`` counts as 0, and there is no value while ``whole`` is missing or 0: in arithmetic "missing values in
a time series are treated as 0", and a data point that would divide by zero "is dropped". Without FILL, whose filler
would be the newest value as long as RDS's metrics come late, which keeps an alarm from ever changing its state. Source:
"Using metric math", Amazon CloudWatch user guide (documented; not tried on AWS).
"""


def metric(proxy_name: str, name: str, statistic: Literal["Sum", "Average", "Maximum"] = "Sum") -> cloudwatch.Metric:
    """A metric of namespace ``AWS/RDS`` with the one dimension ``ProxyName``."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={DIMENSION: proxy_name},
        statistic=statistic,
        period=period(),
    )


def percentage(proxy_name: str, part: str, whole: str, label: str) -> cloudwatch.MathExpression:
    """``part`` in percent of ``whole``: 0 while ``part`` is absent, no value while ``whole`` is absent or 0."""
    return cloudwatch.MathExpression(
        expression=PERCENTAGE,
        using_metrics={"part": metric(proxy_name, part), "whole": metric(proxy_name, whole)},
        label=label,
        period=period(),
    )


def pinned_ratio(proxy_name: str) -> cloudwatch.MathExpression:
    """Pinned database connections in percent of all the proxy holds."""
    return percentage(proxy_name, PINNED, CONNECTIONS, "pinned %")


def pool_utilisation(proxy_name: str) -> cloudwatch.MathExpression:
    """Database connections that the proxy holds in percent of those it may open."""
    return percentage(proxy_name, CONNECTIONS, MAX_CONNECTIONS, "pool %")


@cache
def period() -> Duration:
    """One minute, made once, since every object of CDK's costs time at synth."""
    return Duration.seconds(PERIOD_SECONDS)
