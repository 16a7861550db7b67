"""Checks alarms on RDS's metrics, and on RDS Proxy's metric of pinned connections."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ... import rds_proxy
from .templates import Resource, as_number, dig, is_known


@dataclass(frozen=True)
class PinnedMetric:
    """How an alarm reads the pinned metric.

    Attributes:
        properties: the properties that name the metric: the alarm's own, or those of an element of ``Metrics``.
        location: path of these properties.
        stat: ``Statistic`` or ``Stat``, as written.
        period: the period, as written.
        id: the metric's id in metric math; None for an alarm on the metric itself.
    """

    properties: Mapping[str, Any]
    location: str
    stat: Any
    period: Any
    id: str | None


def pinned_metrics(alarm: Resource) -> Iterator[PinnedMetric]:
    """The pinned metrics that an alarm reads, directly or in its metric math."""
    if alarm.get("MetricName") == rds_proxy.PINNED:
        statistic = alarm.get("Statistic") or alarm.get("ExtendedStatistic")
        yield PinnedMetric(alarm.properties, "Properties", statistic, alarm.get("Period"), None)
    for index, query in enumerate(_queries(alarm)):
        stat = dig(query, "MetricStat")
        if dig(stat, "Metric", "MetricName") == rds_proxy.PINNED:
            location = f"Properties/Metrics/{index}/MetricStat"
            yield PinnedMetric(stat["Metric"], location, stat.get("Stat"), stat.get("Period"), dig(query, "Id"))


def watches_all(alarm: Resource) -> bool:
    """Whether an alarm reads the pinned metric of every proxy, by a Metrics Insights query."""
    return any(rds_proxy.PINNED in text for text in _expressions(alarm))


def proxy_name(alarm: Resource, metric: PinnedMetric) -> str | None:
    """The name of the watched proxy, as text; None if the dimension is missing."""
    dimensions = metric.properties.get("Dimensions")
    for dimension in dimensions if isinstance(dimensions, list) else []:
        if dig(dimension, "Name") == rds_proxy.PROXY_NAME:
            return alarm.template.text(dig(dimension, "Value"))
    return None


def faults(alarm: Resource, metric: PinnedMetric) -> Iterator[tuple[str, str]]:
    """The faults of an alarm: location, and a description that continues a sentence."""
    namespace = metric.properties.get("Namespace")
    if isinstance(namespace, str) and namespace != rds_proxy.NAMESPACE:
        yield f"{metric.location}/Namespace", f"its namespace is {namespace!r} and should be {rds_proxy.NAMESPACE!r}"
    yield from _dimension_faults(alarm, metric)
    period = as_number(metric.period)
    if period is not None and period != rds_proxy.METRIC_PERIOD and not _is_part_of_a_ratio(alarm, metric):
        yield (
            f"{metric.location}/Period",
            f"its period is {period:g} seconds and should be {rds_proxy.METRIC_PERIOD}: every node of a proxy "
            "publishes once a minute, and the sum of a longer period counts a connection several times",
        )
    if isinstance(metric.stat, str) and metric.stat != "Sum":
        yield (
            f"{metric.location}/{'Statistic' if metric.id is None else 'Stat'}",
            f"its statistic is {metric.stat} and should be Sum: every node of a proxy publishes its own part",
        )
    missing = alarm.get("TreatMissingData") or "missing"
    if isinstance(missing, str) and missing != "notBreaching" and not _is_filled(alarm, metric):
        yield (
            "Properties/TreatMissingData",
            f"it takes missing data as {missing!r} and should take it as 'notBreaching': the metric is absent while "
            "nothing is pinned",
        )


def _dimension_faults(alarm: Resource, metric: PinnedMetric) -> Iterator[tuple[str, str]]:
    dimensions = metric.properties.get("Dimensions") or []
    if not isinstance(dimensions, list):
        return
    location = f"{metric.location}/Dimensions"
    given = [dig(dimension, "Name") for dimension in dimensions]
    names = {name if isinstance(name, str) else "one with an unknown name" for name in given}
    if names not in rds_proxy.METRICS[rds_proxy.PINNED].dimension_sets:
        listed = ", ".join(sorted(names)) or "none"
        yield location, f"its dimensions are {listed} and should be ProxyName: RDS publishes nothing under others"
    value = proxy_name(alarm, metric)
    # A proxy's endpoint or ARN instead of its name.
    if value and (re.search(r"\.(Endpoint|DBProxyArn)\0$", value) or (is_known(value) and re.search(r"[.:]", value))):
        yield location, "its dimension ProxyName is an endpoint or ARN and should be the proxy's name (DBProxyName)"


def _is_part_of_a_ratio(alarm: Resource, metric: PinnedMetric) -> bool:
    """Whether all metrics of the metric math have the same period and statistic, so that a ratio is right."""
    stats = [stat for query in _queries(alarm) if (stat := dig(query, "MetricStat"))]
    text = alarm.template.text
    period, statistic = text(metric.period), text(metric.stat)
    same = all(text(dig(stat, "Period")) == period and text(dig(stat, "Stat")) == statistic for stat in stats)
    return metric.id is not None and len(stats) > 1 and same


def _is_filled(alarm: Resource, metric: PinnedMetric) -> bool:
    """Whether the metric math has a value while the pinned metric is missing: by FILL, or as 0.

    A missing value counts as 0 if another metric has a value, and a point that would be divided by 0 is dropped.
    Source: "Using metric math", Amazon CloudWatch user guide (documented).
    """
    if not isinstance(metric.id, str):
        return False
    own = re.escape(metric.id)
    others = [
        name for query in _queries(alarm) if dig(query, "MetricStat") and isinstance(name := dig(query, "Id"), str)
    ]
    beside = [re.compile(rf"\b{re.escape(other)}\b") for other in others if other != metric.id]
    return any(
        re.search(rf"FILL\(\s*{own}\s*,", text)
        or (
            re.search(rf"\b{own}\b", text)
            and not re.search(rf"/\s*{own}\b", text)
            and any(other.search(text) for other in beside)
        )
        for text in _expressions(alarm)
    )


_FILL_WITH_VALUE: Final = re.compile(r"\bFILL\s*\([^,]*,\s*+(?!REPEAT\b|LINEAR\b)", re.IGNORECASE)


def fill_fault(alarm: Resource) -> str | None:
    """The fault of an alarm that fills missing values of RDS's metrics, which come late; None if there is none.

    The filler is the newest value until the true one arrives. Source: "Using metric math", row of FILL,
    Amazon CloudWatch user guide (documented).
    """
    stats = [stat for query in _queries(alarm) if (stat := dig(query, "MetricStat"))]
    if not any(dig(stat, "Metric", "Namespace") == rds_proxy.NAMESPACE for stat in stats):
        return None
    if not any(map(_FILL_WITH_VALUE.search, _expressions(alarm))):
        return None
    periods = as_number(alarm.get("EvaluationPeriods"))
    needed = periods if alarm.get("DatapointsToAlarm") is None else as_number(alarm.get("DatapointsToAlarm"))
    seconds = as_number(dig(stats[0], "Period")) or rds_proxy.METRIC_PERIOD
    if periods is None or needed is None or (periods - needed) * seconds >= rds_proxy.METRIC_DELAY:
        return None
    return f"it fills missing values and needs {needed:g} of {periods:g} data points, of which the newest are filled"


def _expressions(alarm: Resource) -> Iterator[str]:
    """The texts of an alarm's metric math and queries."""
    for query in _queries(alarm):
        expression = dig(query, "Expression")
        if expression is not None:
            yield alarm.template.text(expression)


def _queries(alarm: Resource) -> list[Any]:
    queries = alarm.get("Metrics")
    return queries if isinstance(queries, list) else []
