"""What the rules say of alarms."""

from typing import Any

import pytest
from aws_cdk import (
    App,
    CfnParameter,
    Duration,
    Stack,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_rds as rds

from cdk_pinsafe.cdk import metrics
from cdk_pinsafe.rds_proxy import PINNED

from .helpers import check, good_alarm, rules_of


@pytest.mark.parametrize(
    ("metric", "props", "fault"),
    [
        ({"period": Duration.minutes(5)}, {}, "its period is 300 seconds and should be 60"),
        ({"statistic": "Average"}, {}, "its statistic is Average and should be Sum"),
        ({"statistic": "p99"}, {}, "its statistic is p99 and should be Sum"),
        ({"dimensions_map": {}}, {}, "its dimensions are none and should be ProxyName"),
        (
            {"dimensions_map": {"DBProxyName": "orders"}},
            {},
            "its dimensions are DBProxyName and should be ProxyName",
        ),
        (
            {"dimensions_map": {"ProxyName": "orders", "EndpointName": "default"}},
            {},
            "its dimensions are EndpointName, ProxyName and should be ProxyName",
        ),
        (
            {"dimensions_map": {"ProxyName": "orders.proxy-x.eu-west-1.rds.amazonaws.com"}},
            {},
            "its dimension ProxyName is an endpoint or ARN",
        ),
        ({"namespace": "RDS"}, {}, "its namespace is 'RDS' and should be 'AWS/RDS'"),
        ({}, {"treat_missing_data": None}, "it takes missing data as 'missing'"),
        ({}, {"treat_missing_data": cloudwatch.TreatMissingData.BREACHING}, "it takes missing data as 'breaching'"),
        ({}, {"treat_missing_data": cloudwatch.TreatMissingData.IGNORE}, "it takes missing data as 'ignore'"),
    ],
)
def test_fault_of_an_alarm(app: App, stack: Stack, metric: dict[str, Any], props: dict[str, Any], fault: str) -> None:
    """Each by itself, whether or not the proxy is in the app."""
    good_alarm(stack, "orders", **{"metric": _metric(**metric), **props})
    [found] = check(app)
    assert (found.rule, found.path) == ("PinningAlarm", "Test/Alarm/Resource")
    assert fault in found.description


def _metric(**changed: Any) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        **{
            "namespace": "AWS/RDS",
            "metric_name": PINNED,
            "dimensions_map": {"ProxyName": "orders"},
            "statistic": "Sum",
            "period": Duration.minutes(1),
            **changed,
        }
    )


@pytest.mark.parametrize(
    "dimensions",
    [
        {"ProxyName": "orders", "TargetGroup": "default", "Target": "db:orders"},
        {"ProxyName": "orders", "TargetGroup": "default", "TargetRole": "READ_WRITE"},
    ],
)
def test_other_published_dimension_sets(app: App, stack: Stack, dimensions: dict[str, str]) -> None:
    """By target and by role."""
    good_alarm(stack, "orders", metric=_metric(dimensions_map=dimensions))
    assert check(app) == []


def test_endpoint_instead_of_the_name(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    good_alarm(stack, proxy.endpoint)
    assert "PinningAlarm" in rules_of(app)


@pytest.mark.parametrize(
    ("expression", "changed", "properties"),
    [
        ("100 * a / b", {"period": Duration.minutes(5)}, []),
        ("100 * FILL(a, 0) / b", {"period": Duration.minutes(5)}, []),
        ("100 * FILL( a , 0) / b", {}, []),
        ("a * 2", {}, ["TreatMissingData"]),
        ("FILL(a, 0) * 2", {"period": Duration.minutes(5)}, ["Period"]),
        ("100 * FILL(a, 0) / b", {"statistic": "Average"}, ["Stat"]),
        ("100 * FILL(b, 0) / a", {}, ["TreatMissingData"]),
    ],
)
def test_metric_math(app: App, stack: Stack, expression: str, changed: dict[str, Any], properties: list[str]) -> None:
    """A ratio may have a longer period; FILL, or another metric beside it, settles missing data."""
    good_alarm(
        stack,
        "orders",
        metric=_math(expression, **changed),
        evaluation_periods=7,
        datapoints_to_alarm=5,
        treat_missing_data=None,
    )
    assert [found.property for found in check(app)] == properties


def _math(expression: str, **changed: Any) -> cloudwatch.MathExpression:
    using = {"a": _metric(**changed), "b": _metric(**{"metric_name": "DatabaseConnections", **changed})}
    return cloudwatch.MathExpression(
        expression=expression,
        using_metrics={name: metric for name, metric in using.items() if name in expression},
        period=changed.get("period", Duration.minutes(1)),
    )


@pytest.mark.parametrize(
    ("expression", "changed", "periods", "datapoints", "found"),
    [
        ("100 * FILL(a, 0) / b", {}, 5, None, True),
        ("IF(FILL(b, 0) > 0, 100 * FILL(a, 0) / FILL(b, 1), 0)", {}, 5, None, True),
        ("FILL(a, 9)", {}, 1, None, True),
        ("FILL(a + b, 0)", {}, 5, 5, True),
        ("100 * FILL(a, 0) / b", {}, 7, 6, True),
        ("100 * FILL(a, 0) / b", {"metric_name": "CPUUtilization"}, 5, None, True),
        ("100 * FILL(a, 0) / b", {}, 7, 5, False),
        ("100 * FILL(a, 0) / b", {"period": Duration.minutes(5)}, 3, 2, False),
        ("100 * FILL(a, 0) / b", {"period": Duration.minutes(5)}, 3, 3, True),
        ("FILL(a, REPEAT)", {}, 5, None, False),
        ("FILL(a, LINEAR)", {}, 5, None, False),
        ("100 * a / b", {}, 5, None, False),
        ("100 * FILL(a, 0) / b", {"namespace": "AWS/Lambda"}, 5, None, False),
    ],
)
def test_filled_alarm(
    app: App,
    stack: Stack,
    expression: str,
    changed: dict[str, Any],
    periods: int,
    datapoints: int | None,
    found: bool,
) -> None:
    """Of any metric of RDS, unless two minutes of data points may be missing."""
    metric = _math(expression, **changed)
    good_alarm(stack, "orders", metric=metric, evaluation_periods=periods, datapoints_to_alarm=datapoints)
    assert ("FilledAlarm" in rules_of(app)) is found


def test_filled_alarm_of_unknown_periods(app: App, stack: Stack) -> None:
    """Not reported if only the deployment knows them."""
    limit = CfnParameter(stack, "Limit", type="Number").value_as_number
    good_alarm(stack, "orders", metric=_math("FILL(a, 0)"), evaluation_periods=limit)
    assert rules_of(app) == []


def test_metric_math_counts_as_an_alarm(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    metrics.pinned_ratio(proxy.db_proxy_name).create_alarm(
        stack,
        "Alarm",
        threshold=50,
        evaluation_periods=5,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    assert rules_of(app) == ["LogGroup"]


def test_query_over_all_proxies_counts_as_an_alarm(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    """A Metrics Insights query watches all proxies of the account and region."""
    expression = f'SELECT SUM({PINNED}) FROM SCHEMA("AWS/RDS", ProxyName) GROUP BY ProxyName'
    cloudwatch.CfnAlarm(
        stack,
        "Alarm",
        comparison_operator="GreaterThanThreshold",
        evaluation_periods=5,
        threshold=5,
        metrics=[
            cloudwatch.CfnAlarm.MetricDataQueryProperty(id="q", expression=expression, period=60, return_data=True)
        ],
    )
    assert rules_of(app) == ["LogGroup"]
