"""The evaluation of alarms, on definitions as DescribeAlarms returns them."""

from typing import Any

import pytest

from cdk_pinsafe.localcloud.alarms import Evaluation, evaluate, is_on_proxy

PINNED = "DatabaseConnectionsCurrentlySessionPinned"
PROXY = [{"Name": "ProxyName", "Value": "chat"}]


def plain(**changes: Any) -> dict[str, Any]:
    return {
        "MetricName": PINNED,
        "Namespace": "AWS/RDS",
        "Dimensions": PROXY,
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        **changes,
    }


def state(alarm: dict[str, Any], history: dict[str, Any]) -> str | None:
    result = evaluate(alarm, history)
    return result.state if result else None


def math(expression: str, **changes: Any) -> dict[str, Any]:
    def metric(id: str, name: str) -> dict[str, Any]:
        stat = {
            "Metric": {"Namespace": "AWS/RDS", "MetricName": name, "Dimensions": PROXY},
            "Period": 60,
            "Stat": "Sum",
        }
        return {"Id": id, "MetricStat": stat, "ReturnData": False}

    result = {"Id": "result", "Expression": expression}
    definition = plain(Metrics=[result, metric("part", PINNED), metric("whole", "DatabaseConnections")], **changes)
    for name in ("MetricName", "Namespace", "Dimensions", "Statistic", "Period"):
        definition.pop(name)
    return definition


@pytest.mark.parametrize(
    ("changes", "values", "wanted"),
    [
        ({}, [0, 6, 6, 6], "ALARM"),
        ({}, [6, 6, 5], "OK"),
        ({}, [6, 6, 6, None], "ALARM"),
        ({}, [6, 6, 6, None, None, None], "OK"),
        ({}, [], "OK"),
        ({}, [6, 6], "OK"),
        ({"DatapointsToAlarm": 2}, [6, 0, 6], "ALARM"),
        ({"DatapointsToAlarm": 2}, [6, 0, 0], "OK"),
        ({"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, [5, 5, 5], "ALARM"),
        ({"ComparisonOperator": "LessThanThreshold"}, [4, 4, 4], "ALARM"),
        ({"ComparisonOperator": "LessThanOrEqualToThreshold"}, [5, 5, 6], "OK"),
        ({"TreatMissingData": "breaching"}, [None, None, None], "ALARM"),
        ({"TreatMissingData": "breaching"}, [6, None, 0], "OK"),
        ({"TreatMissingData": "missing"}, [9, None, None, None, None, None], "INSUFFICIENT_DATA"),
        ({"TreatMissingData": "missing"}, [None, None, 1], "OK"),
        ({"TreatMissingData": "ignore"}, [None, None, None], None),
        ({"Period": 120, "EvaluationPeriods": 1}, [9, 3, 3], "ALARM"),
        ({"Period": 120, "EvaluationPeriods": 1, "Statistic": "Average"}, [9, 3, 3], "OK"),
        ({"Period": 120, "EvaluationPeriods": 1, "Statistic": "Maximum"}, [9, 3, 6], "ALARM"),
        ({"Period": 120, "EvaluationPeriods": 1, "Statistic": "Minimum"}, [9, 3, 6], "OK"),
        ({"Period": 120, "EvaluationPeriods": 1, "Statistic": "SampleCount", "Threshold": 1}, [9, 3, 6], "ALARM"),
        ({"Period": 10}, [9, 9, 9], None),
        ({"ExtendedStatistic": "p99", "Statistic": None}, [9, 9, 9], None),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, [9, 9, 9], None),
    ],
)
def test_metric_alarm(changes: dict[str, Any], values: list[float | None], wanted: str | None) -> None:
    """None: the state is retained, or the feature is not supported."""
    assert state(plain(**changes), {PINNED: values}) == wanted


POINTS = {"0": 0, "X": 9, "-": None}


@pytest.mark.parametrize(
    ("needed", "points", "missing", "ignore", "breaching", "not_breaching"),
    [
        (3, "0 - X - X", "OK", "OK", "OK", "OK"),
        (3, "- - - - 0", "OK", "OK", "OK", "OK"),
        (3, "- - - - -", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
        (3, "0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        (3, "- - X - -", "ALARM", None, "ALARM", "OK"),
        (2, "0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        (2, "0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
        (2, "0 - X - -", "OK", "OK", "ALARM", "OK"),
        (2, "- - - - 0", "OK", "OK", "ALARM", "OK"),
        (2, "- - - X -", "ALARM", None, "ALARM", "OK"),
        # In the text below the tables.
        (3, "- - - - X", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
        (3, "- - - X -", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
    ],
)
def test_missing_data_as_documented(
    needed: int, points: str, missing: str, ignore: str | None, breaching: str, not_breaching: str
) -> None:
    """The tables of "Configuring how CloudWatch alarms treat missing data"; None: the state is retained."""
    history = {PINNED: [POINTS[point] for point in points.split()]}
    wanted = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    alarms = {treatment: plain(DatapointsToAlarm=needed, TreatMissingData=treatment) for treatment in wanted}
    assert {treatment: state(alarm, history) for treatment, alarm in alarms.items()} == wanted


@pytest.mark.parametrize(
    ("expression", "part", "whole", "wanted"),
    [
        ("100 * part / whole", [6, 6, 6], [10, 10, 10], "ALARM"),
        ("100 * part / whole", [5, 6, 6], [10, 10, 10], "OK"),
        ("100 * part / whole", [None, None, None], [10, 10, 10], "OK"),
        ("100 * part / whole", [6, 6, 6], [None, None, None], "OK"),
        ("part - whole * 2 + 80", [6, 6, 6], [10, 10, 10], "ALARM"),
        ("part + 80", [6, 6, 6], [None, None, None], "ALARM"),
        ("part + 80", [None, None, None], [1, 1, 1], "OK"),
        ("part + whole + 40", [None, None, None], [11, 11, 11], "ALARM"),
        ("part / whole + 80", [6, 6, 6], [0, 0, 0], "OK"),
        ("IF(whole > 5, 90)", [6, 6, 6], [10, 10, 10], None),
        ("FILL(part, 90)", [None, None, None], [10, 10, 10], "ALARM"),
        ("FILL(part, REPEAT)", [90, None, None], [10, 10, 10], None),
        ("ANOMALY_DETECTION_BAND(part)", [6, 6, 6], [1, 1, 1], None),
        ("part AND whole", [6, 6, 6], [1, 1, 1], None),
        ("__import__('os')", [6, 6, 6], [1, 1, 1], None),
        ("SEARCH(' {AWS/RDS} ', 'Sum', 60)", [6, 6, 6], [1, 1, 1], None),
    ],
)
def test_metric_math(expression: str, part: list[float | None], whole: list[float | None], wanted: str | None) -> None:
    """None: the expression is not supported."""
    assert state(math(expression, Threshold=50.0), {PINNED: part, "DatabaseConnections": whole}) == wanted


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("part < whole", [0, 0, 1, 0]),
        ("part >= 30", [1, 0, 0, 0]),
        ("IF(part, whole, 7)", [20, 0, 7, 7]),
        ("IF(whole, part, 7)", [30, None, 0, None]),
        ("part / whole", [1.5, None, 0, None]),
        ("part + whole", [50, 20, 20, 0]),
        ("2 * whole", [40, None, 40, None]),
    ],
)
def test_missing_values_in_metric_math(expression: str, wanted: list[float | None]) -> None:
    """The examples of "Using metric math": an alarm with one period shows whether the value is as documented."""
    part: list[float | None] = [30, 20, 0, 0]
    whole: list[float | None] = [20, None, 20, None]
    for number, value in enumerate(wanted):
        history = {PINNED: [part[number]], "DatabaseConnections": [whole[number]]}
        one = {"EvaluationPeriods": 1, "TreatMissingData": "missing"}
        above = state(math(expression, Threshold=(value or 0) - 0.5, **one), history)
        below = state(math(expression, Threshold=(value or 0) + 0.5, **one), history)
        missing = "INSUFFICIENT_DATA"
        assert (above, below) == ((missing, missing) if value is None else ("ALARM", "OK"))


def test_expression_uses_expression() -> None:
    alarm = math("half * 2")
    alarm["Metrics"].append({"Id": "half", "Expression": "part / 2", "ReturnData": False})
    assert evaluate(alarm, {PINNED: [6, 6, 6]}) == Evaluation(
        "ALARM",
        "Threshold Crossed: 3 of the newest 3 data points were GreaterThanThreshold 5, 3 of 3 are needed for ALARM",
    )


def test_is_on_proxy() -> None:
    """True if all metrics are of that proxy as a whole."""
    assert is_on_proxy(plain(), "chat")
    assert is_on_proxy(math("100 * part / whole"), "chat")
    assert not is_on_proxy(plain(), "other")
    assert not is_on_proxy(plain(Namespace="AWS/Lambda"), "chat")
    assert not is_on_proxy(plain(Dimensions=[*PROXY, {"Name": "TargetGroup", "Value": "default"}]), "chat")
    assert not is_on_proxy(math("1")["Metrics"][0], "chat")
