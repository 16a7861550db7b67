"""Lets alarms publish to the topics that they notify, at the end of synth.

A topic's own policy replaces the one by which SNS lets the account's alarms publish, and CDK's ``enforce_ssl`` makes
one that allows nothing; a key has to let CloudWatch use it. CDK adds neither to what an alarm notifies. See
:mod:`.policies` for the source.
"""

from collections.abc import Sequence
from typing import Final

import jsii
from aws_cdk import Aspects, IAspect
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import IConstruct

_ACTIONS: Final = ("_alarm_action_arns", "_ok_action_arns", "_insufficient_data_action_arns")


def let_alarms_publish(*alarms: cloudwatch.AlarmBase) -> None:
    """See to it that the topics of this app which these alarms notify let CloudWatch publish.

    It is decided when all constructs are there, whatever was added to an alarm or a topic after this call. If a topic
    has a policy that does not let the alarms publish, the policy gets a statement for the alarms' account; if the
    policy of its key does not let CloudWatch use the key, that gets one as well. A topic without a policy keeps SNS's
    own. Imported topics and keys are left to their owners. Where neither is possible, the alarm gets the warning
    ``cdk-pinsafe:SilentAlarm``.
    """
    # At one leaf, so that CDK asks once.
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
