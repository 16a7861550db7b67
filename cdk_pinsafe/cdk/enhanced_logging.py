"""RDS Proxy's enhanced logging, which AWS switches off by itself a day after it was switched on."""

import enum
import json
from typing import TYPE_CHECKING, Final

from aws_cdk import CfnResource, Stack
from constructs import Construct

from .service_role import service_role

if TYPE_CHECKING:
    from aws_cdk import aws_cloudwatch as cloudwatch
    from aws_cdk import aws_rds as rds

_HOURS_BETWEEN_RENEWALS: Final = 6


class EnhancedLogging(enum.Enum):
    """Whether the proxy logs in detail (CloudFormation's ``DebugLogging``), naming the statement that pins.

    AWS switches it off 24 hours after activation (documented). It records the text of SQL statements, and with it any
    literal in them: for a database whose SQL may hold secrets, choose ``OFF``.
    """

    ALWAYS = "always"
    """On, and switched on again every six hours by EventBridge Scheduler, without a Lambda function.

    Whether that prolongs a period that is still running is not documented. If it does not, there is a gap of at most
    six hours a day. Not tried on AWS.
    """

    ONE_DAY = "one-day"
    """On at deployment; AWS switches it off 24 hours later."""

    ON_ALARM = "on-alarm"
    """Off, until an alarm goes off that was passed to ``log_on_alarm`` of the proxy; off again 24 hours later, by AWS.

    EventBridge tells Step Functions of the alarm, which calls RDS, without a Lambda function. The pins that set the
    alarm off came before, and are not in the log; an alarm that stays on for longer than a day does not switch logging
    on a second time. CloudFormation knows the proxy as one without enhanced logging: it shows drift for that day, and
    a change of the proxy's own properties switches it off (inferred). Not tried on AWS.
    """

    OFF = "off"


class DebugLoggingRenewal(Construct):
    """A schedule that sets a proxy's ``DebugLogging`` to true, by a direct call of ``rds:ModifyDBProxy``."""

    def __init__(self, scope: Construct, id: str, *, proxy: "rds.DatabaseProxy") -> None:
        super().__init__(scope, id)
        role = service_role(self, "Role", "scheduler.amazonaws.com", "rds:ModifyDBProxy", proxy.db_proxy_arn)
        # By its type: the module of its L1 would be imported by every app for this one resource.
        CfnResource(
            self,
            "Schedule",
            type="AWS::Scheduler::Schedule",
            properties={
                "Description": f"Keeps enhanced logging of RDS Proxy on ({self.node.path})"[:512],
                "ScheduleExpression": f"rate({_HOURS_BETWEEN_RENEWALS} hours)",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": f"arn:{Stack.of(self).partition}:scheduler:::aws-sdk:rds:modifyDBProxy",
                    "RoleArn": role.role_arn,
                    # Named as AWS's SDK for Java does, which Scheduler's universal targets follow (inferred).
                    "Input": json.dumps({"DbProxyName": proxy.db_proxy_name, "DebugLogging": True}),
                    # The service's default of 185 retries in a day would outlive the next turn.
                    "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
                },
            },
        )


class DebugLoggingSwitch(Construct):
    """A rule that sets a proxy's ``DebugLogging`` to true when an alarm goes off.

    A rule cannot call RDS by itself, hence the state machine of one step. Its executions are kept by Step Functions for
    90 days, with their errors, so that it needs no log group.
    """

    def __init__(
        self, scope: Construct, id: str, *, alarm: "cloudwatch.IAlarm", proxy_name: str, proxy_arn: str
    ) -> None:
        super().__init__(scope, id)
        partition = Stack.of(self).partition
        call = {
            "Type": "Task",
            "Resource": f"arn:{partition}:states:::aws-sdk:rds:modifyDBProxy",
            "Parameters": {"DbProxyName": proxy_name, "DebugLogging": True},
            # A proxy that is being modified refuses to be modified again for some minutes.
            "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 30, "MaxAttempts": 5, "BackoffRate": 2}],
            "End": True,
        }
        definition = {
            "Comment": f"Switches enhanced logging of RDS Proxy on ({self.node.path})",
            "StartAt": "SwitchOn",
            "States": {"SwitchOn": call},
            "TimeoutSeconds": 3600,
        }
        # By their types: the modules of their L1s would be imported for these two resources.
        machine = CfnResource(
            self,
            "StateMachine",
            type="AWS::StepFunctions::StateMachine",
            properties={
                "StateMachineType": "STANDARD",
                "RoleArn": service_role(self, "Role", "states.amazonaws.com", "rds:ModifyDBProxy", proxy_arn).role_arn,
                "DefinitionString": Stack.of(self).to_json_string(definition),
            },
        )
        starter = service_role(self, "StartRole", "events.amazonaws.com", "states:StartExecution", machine.ref)
        CfnResource(
            self,
            "Rule",
            type="AWS::Events::Rule",
            properties={
                "Description": f"Switches enhanced logging of RDS Proxy on ({self.node.path})"[:512],
                "EventPattern": {
                    "source": ["aws.cloudwatch"],
                    "detail-type": ["CloudWatch Alarm State Change"],
                    "resources": [alarm.alarm_arn],
                    "detail": {"state": {"value": ["ALARM"]}},
                },
                "Targets": [{"Id": "SwitchOn", "Arn": machine.ref, "RoleArn": starter.role_arn}],
            },
        )
