"""What CloudWatch would make of an alarm on a proxy's metrics: the definition as it was deployed, applied to a history.

Periods, evaluation periods, DatapointsToAlarm, statistic, comparison and TreatMissingData count as AWS documents them
("Configuring how CloudWatch alarms treat missing data"): where data is missing, older points take its place. Metric
math is understood as far as numbers, the four operations, comparisons, IF and FILL with a number go, with missing
values as AWS documents them ("Using metric math"): 0 in arithmetic and comparisons with a series that has a value.

Knows nothing of the local cloud, which asks it (see `publication`).
"""

import ast
import operator
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..rds_proxy import METRIC_PERIOD, NAMESPACE, PROXY_NAME

__all__ = ["is_on_proxy", "metrics_of", "state"]

History = Mapping[str, Sequence[float | None]]
"""By a metric's name, a value for each minute (``METRIC_PERIOD``), the newest last; None where there was none."""

_STATISTICS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "Sum": sum,
    "Average": statistics.fmean,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
}
_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def metrics_of(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics that an alarm looks at: each with its `MetricName`, `Namespace` and `Dimensions`."""
    if alarm.get("MetricName"):
        return [alarm]
    return [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics") or () if entry.get("MetricStat")]


def is_on_proxy(alarm: Mapping[str, Any], proxy: str) -> bool:
    """Whether all that an alarm looks at are metrics of that proxy as a whole."""
    dimensions = [{"Name": PROXY_NAME, "Value": proxy}]
    metrics = metrics_of(alarm)
    return bool(metrics) and all(
        metric.get("Namespace") == NAMESPACE
        and [{key: one[key] for key in ("Name", "Value")} for one in metric.get("Dimensions") or ()] == dimensions
        for metric in metrics
    )


_EXTRA_PERIODS: Final = 2
"""CloudWatch retrieves more data points than the evaluation periods. AWS says of how many only that it depends on the
period, and has five for three in its examples."""


def state(alarm: Mapping[str, Any], history: History) -> tuple[str, str] | None:
    """The state, and the reason for it; None if it stays as it is, or if the alarm is none that can be judged here."""
    compare = _COMPARISONS.get(alarm["ComparisonOperator"])
    periods = int(alarm.get("EvaluationPeriods") or 1)
    try:
        values = list(_values(alarm, history, periods + _EXTRA_PERIODS))
    except _NotUnderstoodError:
        return None
    if compare is None:
        return None
    threshold, needed = float(alarm["Threshold"]), int(alarm.get("DatapointsToAlarm") or periods)
    points = [None if value is None else compare(value, threshold) for value in values]
    judged = _judged(points, periods, needed, alarm.get("TreatMissingData") or "missing")
    there = [point for point in points if point is not None][-periods:]
    if judged is None:
        return None
    if judged == "INSUFFICIENT_DATA":
        return judged, f"no data in {periods} periods"
    return judged, (
        f"Threshold Crossed: {sum(there)} of the newest {len(there)} data points were {alarm['ComparisonOperator']} "
        f"{threshold:g}, {needed} of {periods} are needed for ALARM"
    )


def _judged(points: Sequence[bool | None], periods: int, needed: int, missing: str) -> str | None:
    """The state by data points, the oldest first: whether each breaches; None where it is missing."""
    there = [point for point in points if point is not None][-periods:]
    bad = sum(there)
    if missing == "breaching":
        bad += periods - len(there)
    if bad >= needed:
        return "ALARM"
    if len(there) == periods or missing in ("breaching", "notBreaching") or not all(there):
        return "OK"
    if missing == "ignore":
        return None
    # A breaching point that nothing followed counts once it is as old as the points that are needed.
    is_old = any(points[: len(points) - needed + 1])
    return "ALARM" if is_old else "INSUFFICIENT_DATA"


class _NotUnderstoodError(Exception):
    """The alarm uses what this evaluator lacks."""


def _values(alarm: Mapping[str, Any], history: History, periods: int) -> Iterator[float | None]:
    """What the alarm compares with its threshold, for each of its last periods, the oldest first."""
    if alarm.get("MetricName"):
        statistic = str(alarm.get("ExtendedStatistic") or alarm.get("Statistic"))
        yield from _series(history, alarm["MetricName"], statistic, int(alarm["Period"]), periods)
        return
    named: dict[str, list[float | None]] = {}
    expressions: dict[str, ast.expr] = {}
    shown = [entry["Id"] for entry in alarm["Metrics"] if str(entry.get("ReturnData", True)).lower() == "true"]
    for entry in alarm["Metrics"]:
        if stat := entry.get("MetricStat"):
            metric = stat["Metric"]["MetricName"]
            named[entry["Id"]] = list(_series(history, metric, stat["Stat"], int(stat["Period"]), periods))
        else:
            expressions[entry["Id"]] = _parsed(entry["Expression"])
    if len(shown) != 1:
        raise _NotUnderstoodError
    for number in range(periods):
        # An expression may name another; as CloudWatch refuses circles, so need not this.
        known: dict[str, float | None] = {name: values[number] for name, values in named.items()}
        yield known[shown[0]] if shown[0] in known else _evaluated(expressions[shown[0]], known, expressions)


def _series(history: History, metric: str, statistic: str, period: int, periods: int) -> Iterator[float | None]:
    """A metric's statistic in each of the last periods."""
    calculate = _STATISTICS.get(statistic)
    if calculate is None or period < METRIC_PERIOD or period % METRIC_PERIOD:
        raise _NotUnderstoodError
    minutes = period // METRIC_PERIOD
    values = [None] * (minutes * periods) + list(history.get(metric, ()))
    values = values[-minutes * periods :]
    for start in range(0, len(values), minutes):
        there = [value for value in values[start : start + minutes] if value is not None]
        yield float(calculate(there)) if there else None


_OPERATORS: Final[dict[type[ast.AST], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _parsed(expression: str) -> ast.expr:
    """An expression of metric math, the part of which that is understood is written as Python writes it."""
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise _NotUnderstoodError from None


def _evaluated(node: ast.expr, known: Mapping[str, float | None], more: Mapping[str, ast.expr]) -> float | None:
    """An expression's value in one period; None where there is none: nothing it reads has one, or it divides by 0."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.Name(id=name) if name in more:
            return _evaluated(more[name], known, more)
        case ast.Call(func=ast.Name(id="FILL"), args=[metric, filling], keywords=[]):
            value = _evaluated(metric, known, more)
            return _evaluated(filling, known, more) if value is None else value
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise], keywords=[]):
            holds = _evaluated(condition, known, more)
            if holds:
                return _evaluated(then, known, more) or 0.0
            return None if holds is None else _evaluated(otherwise, known, more)
        case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
            calculate = _OPERATORS.get(type(sign))
            if calculate is None:
                raise _NotUnderstoodError
            one, other = _evaluated(left, known, more), _evaluated(right, known, more)
            series = [value for side, value in ((left, one), (right, other)) if not _is_number(side)]
            if series and all(value is None for value in series):
                return None
            if calculate is operator.truediv and not other:
                return None
            return float(calculate(one or 0.0, other or 0.0))
        case _:
            raise _NotUnderstoodError


def _is_number(node: ast.expr) -> bool:
    """Whether an expression reads no metric."""
    return not any(isinstance(part, ast.Name) for part in ast.walk(node))
