"""Allows CloudWatch to publish to the topics that alarms notify, at the end of synth.

A topic's own policy replaces SNS's default policy, which allows the account's alarms to publish, and CDK's
``enforce_ssl`` creates one that allows nothing; a key has to allow CloudWatch to use it. CDK adds neither when an alarm
notifies a topic. See :mod:`.policies` for the source.
"""

from collections.abc import Sequence
from typing import Final

import jsii
from aws_cdk import Aspects, IAspect
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import IConstruct

_ACTIONS: Final = ("_alarm_action_arns", "_ok_action_arns", "_insufficient_data_action_arns")


def let_alarms_publish(*alarms: cloudwatch.AlarmBase) -> None:
    """Allow CloudWatch to publish to the topics of this app that these alarms notify.

    It happens when the construct tree is complete, so actions and policies may be added after this call. If a topic has
    a policy that does not allow the alarms to publish, the policy gets a statement for the alarms' account; if its
    key's policy does not allow CloudWatch to use the key, that gets one too. A topic without a policy keeps SNS's
    default. Imported topics and keys are their owners' business. If a policy cannot be changed, the alarm gets the
    warning ``cdk-pinsafe:SilentAlarm``.
    """
    # An aspect of one leaf is called once.
    leaf = alarms[0].node.default_child or alarms[0]
    Aspects.of(leaf).add(_LetPublish(alarms))


@jsii.implements(IAspect)
class _LetPublish:
    def __init__(self, alarms: Sequence[cloudwatch.AlarmBase]) -> None:
        self._alarms = alarms

    def visit(self, node: IConstruct) -> None:
        del node
        each = {arn: alarm for alarm in self._alarms for name in _ACTIONS for arn in getattr(alarm, name) or ()}
        if each:
            from .topic_permissions import let_publish

            for arn, alarm in each.items():
                let_publish(alarm, arn)
