"""PinningAlarms."""

from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template

from cdk_pinsafe import PinningAlarms
from cdk_pinsafe.errors import ConfigurationError


def test_metric_settings_of_all_alarms(stack: Stack) -> None:
    """Period 60, dimension ProxyName and notBreaching for all; Sum for all except the latency."""
    PinningAlarms(stack, "Alarms", proxy="orders")
    alarms = Template.from_stack(stack).find_resources("AWS::CloudWatch::Alarm")
    assert len(alarms) == 5
    seen = set()
    for alarm in alarms.values():
        properties = alarm["Properties"]
        assert properties["TreatMissingData"] == "notBreaching"
        assert (properties["DatapointsToAlarm"], properties["EvaluationPeriods"]) == (5, 7)
        for metric, period, statistic in _metrics(properties):
            assert period == 60
            assert statistic == ("Average" if metric["MetricName"].endswith("Latency") else "Sum")
            assert metric["Namespace"] == "AWS/RDS"
            assert metric["Dimensions"] == [{"Name": "ProxyName", "Value": "orders"}]
            seen.add(metric["MetricName"])
    assert seen == {
        "ClientConnectionsSetupFailedAuth",
        "DatabaseConnections",
        "DatabaseConnectionsBorrowLatency",
        "DatabaseConnectionsCurrentlySessionPinned",
        "MaxDatabaseConnectionsAllowed",
    }


def _metrics(properties: dict[str, Any]) -> list[tuple[dict[str, Any], int, str]]:
    if "MetricName" in properties:
        return [(properties, properties["Period"], properties["Statistic"])]
    stats = [entry["MetricStat"] for entry in properties["Metrics"] if "MetricStat" in entry]
    return [(stat["Metric"], stat["Period"], stat["Stat"]) for stat in stats]


def test_ratio_does_not_use_fill(stack: Stack) -> None:
    """RDS's metrics come late, so the filler would always be the newest value."""
    PinningAlarms(stack, "Alarms", proxy="orders", pinned_ratio_threshold=12.5)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"Threshold": 12.5, "Metrics": Match.array_with([Match.object_like({"Expression": "100 * part / whole"})])},
    )
    assert "FILL" not in str(template.find_resources("AWS::CloudWatch::Alarm"))


@pytest.mark.parametrize(
    ("props", "datapoints", "periods"),
    [
        ({"evaluation_periods": 3}, 1, 3),
        ({"evaluation_periods": 1440}, 1438, 1440),
        ({"datapoints_to_alarm": 2}, 2, 7),
        ({"evaluation_periods": 15, "datapoints_to_alarm": 10}, 10, 15),
    ],
)
def test_default_data_points(stack: Stack, props: dict[str, int], datapoints: int, periods: int) -> None:
    """Two fewer than the periods."""
    PinningAlarms(stack, "Alarms", proxy="orders", **props)  # type: ignore[arg-type]
    Template.from_stack(stack).resource_properties_count_is(
        "AWS::CloudWatch::Alarm", {"DatapointsToAlarm": datapoints, "EvaluationPeriods": periods}, 5
    )


def test_composite_alarm_rule(stack: Stack) -> None:
    alarms = PinningAlarms(stack, "Alarms", proxy="orders")
    ratio, latency = (stack.resolve(alarm.alarm_arn) for alarm in (alarms.pinned_ratio, alarms.borrow_latency))
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::CompositeAlarm",
        {"AlarmRule": {"Fn::Join": ["", ['(ALARM("', ratio, '") AND ALARM("', latency, '"))']]}},
    )


def test_latency_threshold_is_in_microseconds(stack: Stack) -> None:
    """As the metric is."""
    PinningAlarms(stack, "Alarms", proxy="orders", borrow_latency_threshold=Duration.millis(250))
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": "DatabaseConnectionsBorrowLatency", "Threshold": 250_000}
    )


def test_actions_of_all_alarms(stack: Stack) -> None:
    """When an alarm goes off and when it is over."""
    topic = sns.Topic(stack, "Topic")
    PinningAlarms(stack, "Alarms", proxy="orders", actions=[actions.SnsAction(topic)])
    template = Template.from_stack(stack)
    told = [stack.resolve(topic.topic_arn)]
    for resource_type, count in (("AWS::CloudWatch::Alarm", 5), ("AWS::CloudWatch::CompositeAlarm", 1)):
        template.resource_properties_count_is(resource_type, {"AlarmActions": told, "OKActions": told}, count)


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"proxy": "bad--name"}, "'proxy' should be 1 to 63 letters.*got 'bad--name'"),
        ({"pinned_threshold": -1}, "'pinned_threshold' should be between 0 and 1e.06, got -1"),
        ({"pinned_ratio_threshold": 101}, "'pinned_ratio_threshold' should be between 0 and 100 percent, got 101"),
        ({"pool_utilization_threshold": -0.5}, "'pool_utilization_threshold' should be between 0 and 100.*got -0.5"),
        ({"failed_logins_threshold": -2}, "'failed_logins_threshold'.*got -2"),
        ({"evaluation_periods": 2}, "'evaluation_periods' should be a whole number between 3 and 1440, got 2"),
        ({"evaluation_periods": 3.5}, "'evaluation_periods' should be a whole number, got 3.5"),
        ({"evaluation_periods": 1441}, "'evaluation_periods' should be a whole number between 3 and 1440, got 1441"),
        ({"datapoints_to_alarm": 0}, "'datapoints_to_alarm' should be a whole number between 1 and 5, got 0"),
        ({"datapoints_to_alarm": 6}, "'datapoints_to_alarm' should be a whole number between 1 and 5, got 6"),
        ({"borrow_latency_threshold": Duration.millis(0)}, "'borrow_latency_threshold' should be more than 0"),
    ],
)
def test_bad_number_is_refused(stack: Stack, props: dict[str, Any], message: str) -> None:
    """With the construct's path, the prop, and the allowed range."""
    with pytest.raises(ConfigurationError, match=f"^Test/Alarms: {message}"):
        PinningAlarms(stack, "Alarms", **{"proxy": "orders", **props})


def test_tokens_reach_threshold_and_description(stack: Stack) -> None:
    """A threshold that only the deployment knows is a reference in both."""
    limit = CfnParameter(stack, "Limit", type="Number").value_as_number
    PinningAlarms(stack, "Alarms", proxy="orders", pinned_threshold=limit)  # type: ignore[arg-type]
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "Threshold": {"Ref": "Limit"},
            "AlarmDescription": {"Fn::Join": ["", Match.array_with([{"Ref": "Limit"}])]},
        },
    )


def test_token_of_periods_is_refused(stack: Stack) -> None:
    limit = CfnParameter(stack, "Limit", type="Number").value_as_number
    with pytest.raises(ConfigurationError, match="'evaluation_periods' should be known at synth, got a token"):
        PinningAlarms(stack, "Alarms", proxy="orders", evaluation_periods=limit)  # type: ignore[arg-type]


def test_token_of_latency_is_refused(stack: Stack) -> None:
    """CloudFormation cannot multiply it."""
    limit = CfnParameter(stack, "Limit", type="Number").value_as_number
    with pytest.raises(ConfigurationError, match="'borrow_latency_threshold' should be known at synth, got a token"):
        PinningAlarms(stack, "Alarms", proxy="orders", borrow_latency_threshold=Duration.millis(limit))


def test_alarms_are_attributes(stack: Stack) -> None:
    """So that an app can add an action to one of them."""
    alarms = PinningAlarms(stack, "Alarms", proxy="orders")
    each = [alarms.pinned, alarms.pinned_ratio, alarms.borrow_latency, alarms.pool_utilization, alarms.failed_logins]
    assert len({alarm.node.path for alarm in each}) == 5
    assert isinstance(alarms.pinned_and_slow, cloudwatch.CompositeAlarm)
