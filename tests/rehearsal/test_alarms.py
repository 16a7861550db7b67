"""The evaluator of alarms, on definitions as CloudWatch describes them and on histories."""

from typing import Any

import pytest

from cdk_pinsafe.rehearsal.alarms import is_on_proxy, state

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


def math(expression: str, **changes: Any) -> dict[str, Any]:
    def metric(id: str, name: str) -> dict[str, Any]:
        stat = {
            "Metric": {"Namespace": "AWS/RDS", "MetricName": name, "Dimensions": PROXY},
            "Period": 60,
            "Stat": "Sum",
        }
        return {"Id": id, "MetricStat": stat, "ReturnData": False}

    shown = {"Id": "shown", "Expression": expression}
    definition = plain(Metrics=[shown, metric("part", PINNED), metric("whole", "DatabaseConnections")], **changes)
    for name in ("MetricName", "Namespace", "Dimensions", "Statistic", "Period"):
        definition.pop(name)
    return definition


@pytest.mark.parametrize(
    ("changes", "values", "wanted"),
    [
        ({}, [0, 6, 6, 6], "ALARM"),
        ({}, [6, 6, 5], "OK"),
        ({}, [6, 6, 6, None], "OK"),
        ({}, [], "OK"),
        ({}, [6, 6], "OK"),
        ({"DatapointsToAlarm": 2}, [6, 0, 6], "ALARM"),
        ({"DatapointsToAlarm": 2}, [6, 0, 0], "OK"),
        ({"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, [5, 5, 5], "ALARM"),
        ({"ComparisonOperator": "LessThanThreshold"}, [4, 4, 4], "ALARM"),
        ({"ComparisonOperator": "LessThanOrEqualToThreshold"}, [5, 5, 6], "OK"),
        ({"TreatMissingData": "breaching"}, [None, None, None], "ALARM"),
        ({"TreatMissingData": "breaching"}, [6, None, 0], "OK"),
        ({"TreatMissingData": "missing"}, [9, None, None, None], "INSUFFICIENT_DATA"),
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
def test_a_plain_alarm(changes: dict[str, Any], values: list[float | None], wanted: str | None) -> None:
    """Periods, statistic, comparison, datapoints, missing data count as AWS documents; the rest is not judged."""
    judged = state(plain(**changes), {PINNED: values})
    assert (judged and judged[0]) == wanted


RATIO = "IF(FILL(whole, 0) > 0, 100 * FILL(part, 0) / FILL(whole, 1), 0)"


@pytest.mark.parametrize(
    ("expression", "part", "whole", "wanted"),
    [
        (RATIO, [6, 6, 6], [10, 10, 10], "ALARM"),
        (RATIO, [5, 6, 6], [10, 10, 10], "OK"),
        (RATIO, [None, None, None], [10, 10, 10], "OK"),
        (RATIO, [6, 6, 6], [None, None, None], "OK"),
        ("part - whole * 2 + 80", [6, 6, 6], [10, 10, 10], "ALARM"),
        ("part / whole", [6, 6, 6], [0, 0, 0], "OK"),
        ("ANOMALY_DETECTION_BAND(part)", [6, 6, 6], [1, 1, 1], None),
        ("part AND whole", [6, 6, 6], [1, 1, 1], None),
        ("__import__('os')", [6, 6, 6], [1, 1, 1], None),
        ("SEARCH(' {AWS/RDS} ', 'Sum', 60)", [6, 6, 6], [1, 1, 1], None),
    ],
)
def test_metric_math(expression: str, part: list[float | None], whole: list[float | None], wanted: str | None) -> None:
    """The expressions of this package's alarms are calculated period by period; one that is not understood is left."""
    judged = state(math(expression, Threshold=50.0), {PINNED: part, "DatabaseConnections": whole})
    assert (judged and judged[0]) == wanted


def test_expressions_name_expressions() -> None:
    """An expression may use another's result."""
    alarm = math("half * 2")
    alarm["Metrics"].append({"Id": "half", "Expression": "part / 2", "ReturnData": False})
    assert state(alarm, {PINNED: [6, 6, 6]}) == (
        "ALARM",
        "Threshold Crossed: 3 of the last 3 periods were GreaterThanThreshold 5, 3 are needed for ALARM",
    )


def test_whose_alarm_it_is() -> None:
    """Only an alarm all of whose metrics are of the one proxy as a whole is judged by its minutes."""
    assert is_on_proxy(plain(), "chat")
    assert is_on_proxy(math(RATIO), "chat")
    assert not is_on_proxy(plain(), "other")
    assert not is_on_proxy(plain(Namespace="AWS/Lambda"), "chat")
    assert not is_on_proxy(plain(Dimensions=[*PROXY, {"Name": "TargetGroup", "Value": "default"}]), "chat")
    assert not is_on_proxy(math("1")["Metrics"][0], "chat")
