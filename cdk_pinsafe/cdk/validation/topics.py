"""Finds the SNS topics that an app's alarms notify, and checks whether CloudWatch may publish to them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .. import policies
from .templates import Resource, Templates, as_bool, is_known, together

ALARMS: Final = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_ACTIONS: Final = ("AlarmActions", "OKActions", "InsufficientDataActions")
_POLICIES: Final = {"AWS::SNS::TopicPolicy": "Topics", "AWS::SNS::TopicInlinePolicy": "TopicArn"}
"""The property that names the topics, by resource type."""
_SEGMENT: Final = r"((?:\0[^\0]*\0|[^:\0])*)"
_ARN: Final = re.compile(rf"arn:{_SEGMENT}:sns:{_SEGMENT}:{_SEGMENT}:{_SEGMENT}", re.DOTALL)


class Topics:
    """The topics of an app, found by references and ARNs."""

    def __init__(self, app: Templates) -> None:
        self._app = app
        self._by_reference: dict[str, Resource] = {}
        self._topics = list(app.resources("AWS::SNS::Topic"))
        for topic in self._topics:
            for form in ({"Ref": topic.logical_id}, {"Fn::GetAtt": [topic.logical_id, "TopicArn"]}):
                self._by_reference[topic.template.text(form)] = topic

    def notified(self) -> Iterator[tuple[Resource, Sequence[Resource]]]:
        """The topics that alarms notify, with these alarms."""
        found: dict[int, tuple[Resource, list[Resource]]] = {}
        for alarm in self._app.resources(*ALARMS):
            if as_bool(alarm.get("ActionsEnabled")) is not False:
                texts = [text for name in _ACTIONS for text in _texts(alarm, name)]
                for topic in {id(topic): topic for text in texts if (topic := self.named(text))}.values():
                    found.setdefault(id(topic), (topic, []))[1].append(alarm)
        yield from found.values()

    def named(self, text: str) -> Resource | None:
        """The topic of a reference or an ARN."""
        if topic := self._by_reference.get(text):
            return topic
        if arn := _ARN.fullmatch(text):
            _, region, account, name = arn.groups()
            for topic in self._topics:
                of_template = topic.template.text
                place = (of_template({"Ref": "AWS::Region"}), of_template({"Ref": "AWS::AccountId"}))
                if name == topic.text("TopicName") and place == (region, account):
                    return topic
        return None

    def refusing(self, topic: Resource, alarm: Resource) -> Resource | None:
        """A policy of the topic, if none of its policies allows the alarm to publish. Without any, SNS's default
        does.
        """
        own, others = [], []
        for policy in self._app.resources(*_POLICIES):
            texts = _texts(policy, _POLICIES[policy.type])
            if any(self.named(text) is topic for text in texts):
                own.append(policy)
            elif any(not is_known(text) and self.named(text) is None for text in texts):
                # For a topic that only the deployment knows, which may be this one.
                others.append(policy)
        account = alarm.template.account
        lets = (
            policies.allows_publish(policy.get("PolicyDocument"), account, policy.template.text)
            for policy in (*own, *others)
        )
        return own[0] if own and not any(lets) else None

    def unusable_key(self, topic: Resource, alarm: Resource) -> str | None:
        """Why the alarm cannot use the topic's key; None if it can, or if the key is not in the app."""
        name = topic.text("KmsMasterKeyId")
        if name is None:
            return None
        if re.fullmatch(rf"(.*:)?{policies.AWS_MANAGED_KEY}", name, re.DOTALL):
            return f"{policies.AWS_MANAGED_KEY} is for SNS only"
        key = self._key(name, topic)
        if key is None:
            return None
        # The default policy of a key allows only the account to use it.
        policy = key.get("KeyPolicy") or {"Statement": []}
        lets = policies.allows_key_use(policy, alarm.template.account, key.template.text)
        return None if lets else f"the policy of {key.logical_id} does not allow {policies.SERVICE} to use it"

    def _key(self, name: str, topic: Resource) -> Resource | None:
        for alias in self._app.resources("AWS::KMS::Alias"):
            target, text = alias.text("TargetKeyId"), alias.text("AliasName")
            names = [text, alias.template.text({"Ref": alias.logical_id})]
            is_named = any(one and (name == one or name.endswith(f":{one}")) for one in names)
            if target and is_named and together(alias, topic):
                name = target
                break
        for key in self._app.resources("AWS::KMS::Key"):
            attributes = [{"Fn::GetAtt": [key.logical_id, attribute]} for attribute in ("Arn", "KeyId")]
            if name in [key.template.text(form) for form in ({"Ref": key.logical_id}, *attributes)]:
                return key
        return None


def _texts(resource: Resource, name: str) -> Sequence[str]:
    value: Any = resource.get(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [resource.template.text(one) for one in values]
