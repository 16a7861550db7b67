"""Evaluates CloudWatch alarms on a proxy's metrics: a deployed definition, applied to a history.

Periods, evaluation periods, DatapointsToAlarm, statistics, comparisons and TreatMissingData follow AWS's documentation
("Configuring how CloudWatch alarms treat missing data"): older data points replace missing ones. Of metric math,
numbers, the four operations, comparisons, IF and FILL with a number are supported. Missing values follow "Using metric
math": they are 0 in arithmetic and comparisons with a series that has a value.

This module does not depend on the local cloud.
"""

import ast
import operator
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..rds_proxy import METRIC_PERIOD, NAMESPACE, PROXY_NAME

__all__ = ["Evaluation", "evaluate", "is_on_proxy"]

History = Mapping[str, Sequence[float | None]]
"""Metric name -> one value per minute (`METRIC_PERIOD`), the newest last; None where data is missing."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation: `ALARM`, `OK` or `INSUFFICIENT_DATA`, and why."""

    state: str
    reason: str


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


def _metrics(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics of an alarm: each with its `MetricName`, `Namespace` and `Dimensions`."""
    if alarm.get("MetricName"):
        return [alarm]
    return [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics") or () if entry.get("MetricStat")]


def is_on_proxy(alarm: Mapping[str, Any], proxy: str) -> bool:
    """Whether all metrics of an alarm are of that proxy as a whole."""
    dimensions = [{"Name": PROXY_NAME, "Value": proxy}]
    metrics = _metrics(alarm)
    return bool(metrics) and all(
        metric.get("Namespace") == NAMESPACE
        and [{key: one[key] for key in ("Name", "Value")} for one in metric.get("Dimensions") or ()] == dimensions
        for metric in metrics
    )


_EXTRA_PERIODS: Final = 2
"""CloudWatch retrieves more data points than the evaluation periods. AWS documents only that the number depends on the
period; its examples have five for three."""


def evaluate(alarm: Mapping[str, Any], history: History) -> Evaluation | None:
    """Evaluate an alarm; None if its state does not change, or if it uses an unsupported feature."""
    compare = _COMPARISONS.get(alarm["ComparisonOperator"])
    periods = int(alarm.get("EvaluationPeriods") or 1)
    if compare is None:
        return None
    try:
        values = list(_values(alarm, history, periods + _EXTRA_PERIODS))
    except _UnsupportedError:
        return None
    threshold, needed = float(alarm["Threshold"]), int(alarm.get("DatapointsToAlarm") or periods)
    points = [None if value is None else compare(value, threshold) for value in values]
    state = _state(points, periods, needed, alarm.get("TreatMissingData") or "missing")
    present = [point for point in points if point is not None][-periods:]
    if state is None:
        return None
    if state == "INSUFFICIENT_DATA":
        return Evaluation(state, f"no data in {periods} periods")
    return Evaluation(
        state,
        f"Threshold Crossed: {sum(present)} of the newest {len(present)} data points were "
        f"{alarm['ComparisonOperator']} {threshold:g}, {needed} of {periods} are needed for ALARM",
    )


def _state(points: Sequence[bool | None], periods: int, needed: int, missing: str) -> str | None:
    """The state for data points, the oldest first: whether each is breaching; None where it is missing."""
    present = [point for point in points if point is not None][-periods:]
    breaching = sum(present)
    if missing == "breaching":
        breaching += periods - len(present)
    if breaching >= needed:
        return "ALARM"
    if len(present) == periods or missing in ("breaching", "notBreaching") or not all(present):
        return "OK"
    if missing == "ignore":
        return None
    # A breaching data point without later ones counts once it is as old as the number of needed data points.
    is_old = any(points[: len(points) - needed + 1])
    return "ALARM" if is_old else "INSUFFICIENT_DATA"


class _UnsupportedError(Exception):
    """The alarm uses a feature that this module does not support."""


def _values(alarm: Mapping[str, Any], history: History, periods: int) -> Iterator[float | None]:
    """The values that the alarm compares with its threshold, in its last periods, the oldest first."""
    if alarm.get("MetricName"):
        statistic = str(alarm.get("ExtendedStatistic") or alarm.get("Statistic"))
        yield from _series(history, alarm["MetricName"], statistic, int(alarm["Period"]), periods)
        return
    named: dict[str, list[float | None]] = {}
    expressions: dict[str, ast.expr] = {}
    returned = [entry["Id"] for entry in alarm["Metrics"] if str(entry.get("ReturnData", True)).lower() == "true"]
    for entry in alarm["Metrics"]:
        if stat := entry.get("MetricStat"):
            metric = stat["Metric"]["MetricName"]
            named[entry["Id"]] = list(_series(history, metric, stat["Stat"], int(stat["Period"]), periods))
        else:
            expressions[entry["Id"]] = _parsed(entry["Expression"])
    if len(returned) != 1:
        raise _UnsupportedError
    for number in range(periods):
        # Expressions may refer to each other. CloudWatch rejects cycles, so they are not checked here.
        known: dict[str, float | None] = {name: values[number] for name, values in named.items()}
        yield known[returned[0]] if returned[0] in known else _value(expressions[returned[0]], known, expressions)


def _series(history: History, metric: str, statistic: str, period: int, periods: int) -> Iterator[float | None]:
    """A metric's statistic in each of the last periods."""
    calculate = _STATISTICS.get(statistic)
    if calculate is None or period < METRIC_PERIOD or period % METRIC_PERIOD:
        raise _UnsupportedError
    minutes = period // METRIC_PERIOD
    values = [None] * (minutes * periods) + list(history.get(metric, ()))
    values = values[-minutes * periods :]
    for start in range(0, len(values), minutes):
        present = [value for value in values[start : start + minutes] if value is not None]
        yield float(calculate(present)) if present else None


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
    """Parse metric math; the supported part has Python's syntax."""
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise _UnsupportedError from None


def _value(node: ast.expr, known: Mapping[str, float | None], expressions: Mapping[str, ast.expr]) -> float | None:
    """An expression's value in one period; None if all its inputs are missing or it divides by 0."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.Name(id=name) if name in expressions:
            return _value(expressions[name], known, expressions)
        case ast.Call(func=ast.Name(id="FILL"), args=[metric, filler], keywords=[]):
            value = _value(metric, known, expressions)
            return _value(filler, known, expressions) if value is None else value
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise], keywords=[]):
            is_true = _value(condition, known, expressions)
            if is_true:
                return _value(then, known, expressions) or 0.0
            return None if is_true is None else _value(otherwise, known, expressions)
        case ast.BinOp(left=left, op=sign, right=right) | ast.Compare(left=left, ops=[sign], comparators=[right]):
            calculate = _OPERATORS.get(type(sign))
            if calculate is None:
                raise _UnsupportedError
            one, other = _value(left, known, expressions), _value(right, known, expressions)
            series = [value for side, value in ((left, one), (right, other)) if not _is_number(side)]
            if series and all(value is None for value in series):
                return None
            if calculate is operator.truediv and not other:
                return None
            return float(calculate(one or 0.0, other or 0.0))
        case _:
            raise _UnsupportedError


def _is_number(node: ast.expr) -> bool:
    """Whether an expression contains no metric."""
    return not any(isinstance(part, ast.Name) for part in ast.walk(node))
