"""How an app that uses the constructs is tested: what matters by name, all the rest by a snapshot."""

from app import ChatStack
from aws_cdk import App
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from cdk_pinsafe.testing import masked_template


def test_pins_raise_an_alarm() -> None:
    """The alarm on pinned connections notifies the team's topic."""
    template = Template.from_stack(ChatStack(App(), "Chat"))
    [topic] = template.find_resources("AWS::SNS::Topic")
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"MetricName": "DatabaseConnectionsCurrentlySessionPinned", "AlarmActions": [{"Ref": topic}]},
    )


def test_alarms_may_publish_to_the_topic() -> None:
    """The topic's policy allows CloudWatch to publish for this account."""
    template = Template.from_stack(ChatStack(App(), "Chat"))
    allowed = {
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    template.has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(allowed)])}},
    )


def test_template_is_the_one_that_was_reviewed(snapshot: SnapshotAssertion) -> None:
    """A change of the template shows up in a review; `pytest --snapshot-update` accepts it."""
    assert masked_template(ChatStack(App(), "Chat")) == snapshot
