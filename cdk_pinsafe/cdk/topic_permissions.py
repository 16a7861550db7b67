"""Adds CloudWatch's permissions to the policies of topics and keys. Loaded only if an alarm has an action."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Reference, Stack, Token, Tokenization
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import IConstruct

from . import policies
from .checks import warn


def let_publish(alarm: cloudwatch.AlarmBase, action_arn: str) -> None:
    """Allow an alarm to publish to the topic of one of its actions, if it is a topic of this app with a policy."""
    topic = _target(action_arn)
    if not isinstance(topic, sns.CfnTopic):
        return
    account = Stack.of(alarm).account
    known = None if Token.is_unresolved(account) else account
    documents = _policies_of(topic)
    if documents and not any(policies.allows_publish(_resolved(topic, one), known, _text) for one in documents):
        changeable = next((one for one in documents if isinstance(one, iam.PolicyDocument)), None)
        if changeable:
            changeable.add_statements(
                iam.PolicyStatement(
                    actions=[policies.PUBLISH],
                    resources=[topic.ref],
                    principals=[iam.ServicePrincipal(policies.SERVICE)],
                    conditions={"StringEquals": {"aws:SourceAccount": account}},
                )
            )
        else:
            _warn(
                alarm,
                topic,
                f"whose policy does not allow it to publish: allow {policies.PUBLISH} to the service "
                f"{policies.SERVICE} in the policy",
            )
    if (topic.kms_master_key_id or "").endswith(policies.AWS_MANAGED_KEY):
        _warn(
            alarm,
            topic,
            f"which is encrypted with {policies.AWS_MANAGED_KEY}, a key that CloudWatch cannot use: encrypt the topic "
            "with a key of your own, as in sns.Topic(self, 'Topic', master_key=kms.Key(self, 'Key'))",
        )
    key = _key_of(topic)
    if key and not policies.allows_key_use(_resolved(key, key.key_policy), known, _text):
        if isinstance(key.key_policy, iam.PolicyDocument):
            # Without a condition, as AWS documents it; EventBridge, for example, sends no aws:SourceAccount to KMS.
            key.key_policy.add_statements(
                iam.PolicyStatement(
                    actions=list(policies.KEY_ACTIONS),
                    resources=["*"],
                    principals=[iam.ServicePrincipal(policies.SERVICE)],
                )
            )
        else:
            _warn(
                alarm,
                topic,
                f"whose key {key.node.path} CloudWatch may not use: allow {' and '.join(policies.KEY_ACTIONS)} to the "
                f"service {policies.SERVICE} in the key's policy",
            )


def _warn(alarm: cloudwatch.AlarmBase, topic: sns.CfnTopic, message: str) -> None:
    warn(alarm, "SilentAlarm", f"it notifies the topic {topic.node.path}, {message}")


def _key_of(topic: sns.CfnTopic) -> kms.CfnKey | None:
    """The key of this app that encrypts a topic."""
    own = topic.node.scope
    key = own.master_key if isinstance(own, sns.Topic) else None
    if isinstance(key, kms.Alias):
        key = key.alias_target_key
    resource = key.node.default_child if key is not None else _target(topic.kms_master_key_id or "")
    return resource if isinstance(resource, kms.CfnKey) else None


def _policies_of(topic: sns.CfnTopic) -> Sequence[Any]:
    """The policies of a topic: that of CDK's construct, otherwise all in its stack that name the topic."""
    own = topic.node.scope
    child = own.node.try_find_child("Policy") if isinstance(own, sns.Topic) else None
    if isinstance(child, sns.TopicPolicy):
        return [child.document]
    path = topic.node.path
    return [
        policy.policy_document
        for policy in Stack.of(topic).node.find_all()
        if isinstance(policy, sns.CfnTopicPolicy)
        and any((named := _target(arn)) is not None and named.node.path == path for arn in policy.topics)
    ]


def _target(token: str) -> IConstruct | None:
    """The resource of the app that a token refers to, if any."""
    reference = Tokenization.reverse_string(token).first_token if Token.is_unresolved(token) else None
    return reference.target if isinstance(reference, Reference) else None


def _resolved(scope: IConstruct, value: Any) -> Any:
    return Stack.of(scope).resolve(value)


def _text(value: Any) -> str:
    """A resolved value as text, for :data:`policies.Text`."""
    match value:
        case str():
            return value
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(map(_text, parts))
    return f"{policies.UNDECIDED}{value}{policies.UNDECIDED}"
