"""The rules on topics that alarms notify: the many ways in which a template names a topic, a policy and a key."""

from collections.abc import Mapping
from typing import Any

import pytest

from cdk_pinsafe.cdk.validation.rules import RULES
from cdk_pinsafe.cdk.validation.templates import Templates

ACCOUNT, REGION = "111122223333", "eu-west-1"
ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
SILENT = {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Condition": {"Bool": {}}}]}
LOUD = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish"}]
}


def alarm(*names: Any, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": {"AlarmActions": list(names), **more}}


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "alarms", **properties}}


def policy(document: Any, *topics: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::TopicPolicy", "Properties": {"PolicyDocument": document, "Topics": list(topics)}}


REF = {"Ref": "Topic"}


def found(resources: Mapping[str, Any], *others: Mapping[str, Any], known: bool = True) -> list[tuple[str, str]]:
    """The broken rules on topics, with the resource."""
    app = Templates()
    for number, template in enumerate(({"Resources": resources}, *others)):
        app.add(f"{number}.json", template, ACCOUNT if known else None, REGION if known else None)
    return [
        (rule.id, finding.resource.logical_id)
        for rule in RULES
        if rule.id.startswith("AlarmTopic")
        for finding in rule.find(app)
    ]


BROKEN = [("AlarmTopic", "Policy")]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        REF,
        {"Fn::GetAtt": ["Topic", "TopicArn"]},
        {"Fn::GetAtt": "Topic.TopicArn"},
        {"Fn::Sub": "${Topic}"},
        {"Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:alarms"},
        {
            "Fn::Join": [
                ":",
                ["arn", {"Ref": "AWS::Partition"}, "sns", {"Ref": "AWS::Region"}, {"Ref": "AWS::AccountId"}, "alarms"],
            ]
        },
    ],
    ids=str,
)
def test_names_of_a_topic(name: Any, known: bool) -> None:
    """In the alarm and in the policy."""
    for action, policed in ((name, REF), (REF, name)):
        resources = {"Alarm": alarm(action), "Topic": topic(), "Policy": policy(SILENT, policed)}
        assert found(resources, known=known) == BROKEN


def test_arn_as_text() -> None:
    """It is the topic's if account and region are known."""
    resources = {"Topic": topic(), "Policy": policy(SILENT, ARN), "Alarm": alarm(ARN)}
    assert found(resources) == BROKEN
    assert found(resources, known=False) == []
    assert found({**resources, "Alarm": alarm(f"{ARN}-of-others")}) == []


@pytest.mark.parametrize(
    "resource_type", ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"], ids=["plain", "composite"]
)
@pytest.mark.parametrize("name", ["AlarmActions", "OKActions", "InsufficientDataActions"])
def test_every_kind_of_alarm_and_action(resource_type: str, name: str) -> None:
    one = {"Type": resource_type, "Properties": {name: [REF]}}
    assert found({"Alarm": one, "Topic": topic(), "Policy": policy(SILENT, REF)}) == BROKEN


@pytest.mark.parametrize(
    "resources",
    [
        {"Alarm": alarm(REF)},
        {"Alarm": alarm(REF), "Policy": policy(LOUD, REF)},
        {"Alarm": alarm(REF), "Policy": policy(SILENT, REF), "Other": policy(LOUD, REF)},
        {"Alarm": alarm(REF), "Policy": policy(SILENT, REF), "Other": policy(LOUD, {"Ref": "Parameter"})},
        {"Alarm": alarm(REF), "Policy": policy(SILENT, {"Ref": "Parameter"})},
        {"Alarm": alarm(REF), "Policy": policy({"Ref": "Document"}, REF)},
        {"Alarm": alarm(REF, ActionsEnabled=False), "Policy": policy(SILENT, REF)},
        {"Alarm": alarm({"Fn::If": ["Yes", REF, REF]}), "Policy": policy(SILENT, REF)},
        {"Alarm": alarm({"Ref": "Parameter"}), "Policy": policy(SILENT, REF)},
        {"Alarm": alarm("arn:aws:lambda:eu-west-1:111122223333:function:x"), "Policy": policy(SILENT, REF)},
        {"Policy": policy(SILENT, REF)},
    ],
    ids=str,
)
def test_topics_without_a_finding(resources: dict[str, Any]) -> None:
    """SNS's default policy, one policy of several, a policy of an unknown topic, disabled actions."""
    assert found({"Topic": topic(), **resources}) == []


def test_topic_is_reported_once() -> None:
    """However many alarms and actions there are."""
    one = alarm(REF, OKActions=[REF])
    resources = {"Alarm": one, "Second": one, "Third": one, "Topic": topic(), "Policy": policy(SILENT, REF)}
    app = Templates()
    app.add("0.json", {"Resources": resources}, None, None)
    [rule] = [rule for rule in RULES if rule.id == "AlarmTopic"]
    assert [finding.detail for finding in rule.find(app)] == ["Alarm and 2 others may not publish to Topic"]


def test_inline_policy() -> None:
    inline = {"Type": "AWS::SNS::TopicInlinePolicy", "Properties": {"PolicyDocument": SILENT, "TopicArn": REF}}
    assert found({"Topic": topic(), "Alarm": alarm(REF), "Policy": inline}) == BROKEN


def test_topic_of_another_stack() -> None:
    """The alarm imports the topic."""
    other = {
        "Resources": {"Topic": topic(), "Policy": policy(SILENT, REF)},
        "Outputs": {"Arn": {"Value": REF, "Export": {"Name": "topic"}}},
    }
    assert found({"Alarm": alarm({"Fn::ImportValue": "topic"})}, other) == BROKEN


def key(*statements: Any) -> dict[str, Any]:
    return {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": list(statements)}}}


ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*"}
FOR_CLOUDWATCH = {**ROOT, "Principal": {"Service": "cloudwatch.amazonaws.com"}}
ALIAS = {"Type": "AWS::KMS::Alias", "Properties": {"AliasName": "alias/x", "TargetKeyId": {"Ref": "Key"}}}
KEY_NAMES = [
    {"Ref": "Key"},
    {"Fn::GetAtt": ["Key", "Arn"]},
    {"Fn::GetAtt": ["Key", "KeyId"]},
    {"Ref": "Alias"},
    "alias/x",
    {"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:alias/x"},
]


@pytest.mark.parametrize("name", KEY_NAMES, ids=str)
def test_names_of_a_key(name: Any) -> None:
    """Directly or by an alias."""
    resources = {"Alarm": alarm(REF), "Topic": topic(KmsMasterKeyId=name), "Alias": ALIAS}
    assert found({**resources, "Key": key(ROOT)}) == [("AlarmTopicKey", "Topic")]
    assert found({**resources, "Key": {"Type": "AWS::KMS::Key"}}) == [("AlarmTopicKey", "Topic")]
    assert found({**resources, "Key": key(ROOT, FOR_CLOUDWATCH)}) == []


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("alias/aws/sns", True),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/sns", True),
        ({"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:alias/aws/sns"}, True),
        ("alias/of-others", False),
        ({"Ref": "Parameter"}, False),
        ("11111111-2222-3333-4444-555555555555", False),
    ],
    ids=str,
)
def test_keys_of_others(name: Any, broken: bool) -> None:
    """AWS's key does not work; others are not known."""
    resources = {"Alarm": alarm(REF), "Topic": topic(KmsMasterKeyId=name)}
    assert found(resources) == ([("AlarmTopicKey", "Topic")] if broken else [])
