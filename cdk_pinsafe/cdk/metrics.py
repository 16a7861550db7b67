"""CloudWatch metrics of a proxy."""

from functools import cache
from typing import Any, Final, TypedDict, Unpack, cast

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import IConstruct

from .. import rds_proxy
from .checks import refuse

PERCENTAGE: Final = "100 * part / whole"
"""Metric math: ``part`` in percent of ``whole``.

A missing ``part`` counts as 0, and there is no value while ``whole`` is missing or 0: in arithmetic "missing values in
a time series are treated as 0", and a data point that would divide by zero "is dropped". There is no FILL, because
RDS's metrics come late: the filler would always be the newest value, and an alarm might never change its state. Source:
"Using metric math", Amazon CloudWatch user guide (documented; not tried on AWS).
"""

_SHORT_PERIODS: Final = (1, 5, 10, 30)
"""Seconds; CloudWatch takes these and whole minutes."""


class MetricOptions(TypedDict, total=False):
    """The keyword arguments of ``metric_…`` methods: those of CDK's ``cloudwatch.MetricOptions``.

    ``dimensions_map`` replaces the metric's own dimensions, as in CDK.
    """

    account: str | None
    color: str | None
    dimensions_map: dict[str, str] | None
    id: str | None
    label: str | None
    period: Duration | None
    region: str | None
    stack_account: str | None
    stack_region: str | None
    statistic: str | None
    unit: cloudwatch.Unit | None
    visible: bool | None


class MathOptions(TypedDict, total=False):
    """The keyword arguments of methods that return metric math: those of CDK's ``cloudwatch.MathExpressionOptions``."""

    color: str | None
    label: str | None
    period: Duration | None
    search_account: str | None
    search_region: str | None


def metric(db_proxy_name: str, metric_name: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
    """A metric of RDS Proxy with the one dimension ``ProxyName``, each minute, with the statistic that AWS advises."""
    known = rds_proxy.METRICS.get(metric_name)
    defaults = MetricOptions(
        dimensions_map={rds_proxy.PROXY_NAME: db_proxy_name},
        statistic=known.statistic if known else "Sum",
        period=period(),
    )
    return cloudwatch.Metric(namespace=rds_proxy.NAMESPACE, metric_name=metric_name, **with_defaults(options, defaults))


def pinned_ratio(db_proxy_name: str, **options: Unpack[MathOptions]) -> cloudwatch.MathExpression:
    """Pinned database connections in percent of all that the proxy holds."""
    return _percentage(db_proxy_name, rds_proxy.PINNED, rds_proxy.CONNECTIONS, "pinned %", options)


def pool_utilization(db_proxy_name: str, **options: Unpack[MathOptions]) -> cloudwatch.MathExpression:
    """Database connections that the proxy holds in percent of those it may open."""
    return _percentage(db_proxy_name, rds_proxy.CONNECTIONS, rds_proxy.MAX_CONNECTIONS, "pool %", options)


def _percentage(
    db_proxy_name: str, part: str, whole: str, label: str, options: MathOptions
) -> cloudwatch.MathExpression:
    """``part`` in percent of ``whole``: 0 while ``part`` is absent, no value while ``whole`` is absent or 0."""
    given = {"label": label, "period": period(), **_given(options)}
    return cloudwatch.MathExpression(
        expression=PERCENTAGE,
        using_metrics={"part": metric(db_proxy_name, part), "whole": metric(db_proxy_name, whole)},
        **cast("MathOptions", given),
    )


def with_defaults(options: MetricOptions, defaults: MetricOptions) -> MetricOptions:
    """The options, with a default for each that is absent or None."""
    return cast("MetricOptions", {**defaults, **_given(options)})


def check_period(construct: IConstruct, options: MetricOptions | MathOptions) -> None:
    """Raise ConfigurationError for a period that CloudWatch does not have."""
    given = options.get("period")
    if given is None:
        return
    if given.is_unresolved():
        refuse(construct, "'period' should be known at synth, got a token")
    seconds = given.to_seconds(integral=False)
    if seconds not in _SHORT_PERIODS and (seconds <= 0 or seconds % 60):
        refuse(construct, f"'period' should be 1, 5, 10 or 30 seconds or whole minutes, got {seconds:g} seconds")


@cache
def period() -> Duration:
    """One minute, created once, since every CDK object takes time at synth."""
    return Duration.seconds(rds_proxy.METRIC_PERIOD)


def _given(options: MetricOptions | MathOptions) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
