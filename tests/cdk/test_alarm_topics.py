"""What the constructs do for the topics that their alarms notify."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Acknowledgment, App, Duration, Environment, Stack, Validations
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match, Template

from cdk_pinsafe import PinningAlarms
from cdk_pinsafe.cdk import policies

from ..docs.pages import blocks, page
from .test_database_settings import add
from .validation.helpers import rules_of

OWN_ACCOUNT = {"Ref": "AWS::AccountId"}


def alarms(stack: Stack, *topics: sns.ITopic, id: str = "Alarms") -> PinningAlarms:
    return PinningAlarms(stack, id, proxy="orders", actions=[actions.SnsAction(topic) for topic in topics])


def statements(stack: Stack, resource_type: str, document: str) -> list[list[dict[str, Any]]]:
    """The statements for CloudWatch of each resource."""
    found = Template.from_stack(stack).find_resources(resource_type).values()
    service = {"Service": policies.SERVICE}
    return [
        [one for one in resource["Properties"][document]["Statement"] if one.get("Principal") == service]
        for resource in found
    ]


def of_topics(stack: Stack) -> list[list[dict[str, Any]]]:
    return statements(stack, "AWS::SNS::TopicPolicy", "PolicyDocument")


def of_keys(stack: Stack) -> list[list[dict[str, Any]]]:
    return statements(stack, "AWS::KMS::Key", "KeyPolicy")


def warnings(stack: Stack) -> list[str]:
    # What CDK validates fails the synth that is asked for here.
    rules = ("AlarmTopic", "AlarmTopicKey")
    Validations.of(stack).acknowledge(*(Acknowledgment(id=f"PinSafe::{rule}", reason="a test") for rule in rules))
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    return [str(one.entry.data) for one in found if "SilentAlarm" in str(one.entry.data)]


def test_topic_policy_allows_alarms_to_publish(app: App, stack: Stack) -> None:
    """Only for the alarms' account, once for all alarms; no rule is broken."""
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    alarms(stack, topic)
    alarms(stack, topic, id="Others")
    assert rules_of(app) == []
    [[statement]] = of_topics(stack)
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "sns:Publish"
    assert statement["Resource"] == stack.resolve(topic.topic_arn)
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": OWN_ACCOUNT}}
    assert warnings(stack) == []


def test_topic_without_a_policy_keeps_the_default(app: App, stack: Stack) -> None:
    """A policy would replace SNS's default, by which other services of the account may publish."""
    alarms(stack, sns.Topic(stack, "Topic"))
    assert rules_of(app) == []
    assert of_topics(stack) == []
    assert warnings(stack) == []


def test_order_of_calls_does_not_matter(app: App, stack: Stack) -> None:
    """Actions, policies and topics may be added after the alarms."""
    made = PinningAlarms(stack, "Alarms", proxy="orders")
    topic = sns.Topic(stack, "Topic")
    made.pool_utilization.add_ok_action(actions.SnsAction(topic))
    topic.add_to_resource_policy(
        iam.PolicyStatement(actions=["sns:Subscribe"], principals=[iam.AnyPrincipal()], resources=[topic.topic_arn])
    )
    assert rules_of(app) == []
    [[_]] = of_topics(stack)


def allow_events(topic: sns.ITopic) -> iam.PolicyDocument:
    service = iam.ServicePrincipal("events.amazonaws.com")
    return iam.PolicyDocument(
        statements=[iam.PolicyStatement(actions=["sns:Publish"], principals=[service], resources=[topic.topic_arn])]
    )


def test_separate_topic_policy_is_extended(app: App, stack: Stack) -> None:
    topic = sns.Topic(stack, "Topic")
    sns.TopicPolicy(stack, "Policy", topics=[topic], policy_document=allow_events(topic))
    alarms(stack, topic)
    assert rules_of(app) == []
    [[_]] = of_topics(stack)
    assert warnings(stack) == []


def test_policy_that_already_allows_it(stack: Stack) -> None:
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    topic.grant_publish(iam.ServicePrincipal(policies.SERVICE))
    alarms(stack, topic)
    [[statement]] = of_topics(stack)
    assert "Condition" not in statement


def test_policy_as_json_gets_a_warning(app: App, stack: Stack) -> None:
    """It cannot be changed; the rules report it as an error."""
    topic = sns.Topic(stack, "Topic")
    sns.CfnTopicPolicy(stack, "Policy", topics=[topic.topic_arn], policy_document={"Statement": []})
    alarms(stack, topic)
    assert rules_of(app) == ["AlarmTopic"]
    [warning] = warnings(stack)
    assert "it notifies the topic Test/Topic/Resource, whose policy does not allow it to publish" in warning


def test_topic_of_another_stack(app: App) -> None:
    """Its policy gets the statement for the alarms' account."""
    topics = Stack(app, "Topics", env=Environment(account="111122223333", region="eu-west-1"))
    watch = Stack(app, "Watch", env=Environment(account="111122223333", region="eu-west-1"))
    alarms(watch, sns.Topic(topics, "Topic", enforce_ssl=True, master_key=kms.Key(topics, "Key")))
    assert rules_of(app) == []
    [[statement]] = of_topics(topics)
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    [[_]] = of_keys(topics)


def test_imported_topic_is_unchanged(app: App, stack: Stack) -> None:
    alarms(stack, sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:eu-west-1:111122223333:alarms"))
    assert rules_of(app) == []
    assert of_topics(stack) == []
    assert warnings(stack) == []


@pytest.mark.parametrize("key", [lambda key: key, lambda key: key.add_alias("alias/topics")], ids=["key", "alias"])
def test_key_policy_allows_cloudwatch(app: App, stack: Stack, key: Callable[[kms.Key], kms.IKey]) -> None:
    """Both actions, without a condition: it is not documented whether CloudWatch sends the account to KMS."""
    alarms(stack, sns.Topic(stack, "Topic", master_key=key(kms.Key(stack, "Key"))))
    assert rules_of(app) == []
    [[statement]] = of_keys(stack)
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert "Condition" not in statement
    assert warnings(stack) == []


def test_key_of_a_plain_resource(app: App, stack: Stack) -> None:
    """Its policy is changed if it is CDK's object; otherwise there is a warning."""
    topic = sns.CfnTopic(stack, "Topic", kms_master_key_id=kms.CfnKey(stack, "Key", key_policy={"Statement": []}).ref)
    alarms(stack, sns.Topic.from_topic_arn(stack, "Imported", topic.ref))
    assert rules_of(app) == ["AlarmTopicKey"]
    [warning] = warnings(stack)
    assert "whose key Test/Key CloudWatch may not use: allow kms:Decrypt and kms:GenerateDataKey*" in warning


def test_aws_managed_key_gets_a_warning(app: App, stack: Stack) -> None:
    """Nobody can change its policy."""
    alarms(stack, sns.Topic(stack, "Topic", master_key=kms.Alias.from_alias_name(stack, "Alias", "alias/aws/sns")))
    assert rules_of(app) == ["AlarmTopicKey"]
    [warning] = warnings(stack)
    assert "encrypted with alias/aws/sns, a key that CloudWatch cannot use" in warning
    assert "master_key=kms.Key(self, 'Key')" in warning


def test_imported_key_is_unchanged(app: App, stack: Stack) -> None:
    key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:eu-west-1:111122223333:key/1")
    alarms(stack, sns.Topic(stack, "Topic", master_key=key))
    assert rules_of(app) == []
    assert warnings(stack) == []


def test_action_that_is_no_topic(app: App, stack: Stack) -> None:
    function = lambda_.Function(
        stack, "Function", code=lambda_.Code.from_inline("x"), handler="x", runtime=lambda_.Runtime.PYTHON_3_13
    )
    PinningAlarms(stack, "Alarms", proxy="orders").pinned.add_alarm_action(actions.LambdaAction(function))
    assert rules_of(app) == []
    assert warnings(stack) == []


def test_topic_of_drift_alarms(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """By the call in docs/alarms.md."""
    settings = add(stack, vpc, instance, drift_check=Duration.hours(1))
    assert settings.drift_guard is not None
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    [call] = [block.text for block in blocks(page("alarms")) if block.kind == "text"]
    exec(call, {"settings": settings, "actions": actions, "topic": topic})
    [[_]] = of_topics(stack)
    Template.from_stack(stack).resource_properties_count_is(
        "AWS::CloudWatch::Alarm", {"AlarmActions": [stack.resolve(topic.topic_arn)]}, 2
    )
