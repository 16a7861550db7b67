"""RDS Proxy's enhanced logging, which AWS switches off a day after it was switched on."""

import enum
import json
from typing import Final

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct, IConstruct

from ..rds_proxy import log_group_name
from .any_proxy import Proxy, arn_of, name_of
from .checks import warn
from .props import checked
from .service_role import service_role

_HOURS_BETWEEN_RENEWALS: Final = 6


class EnhancedLogging(enum.Enum):
    """Whether the proxy logs in detail (CloudFormation's ``DebugLogging``), with the statement that pins.

    AWS switches it off 24 hours after activation (documented). It logs the text of SQL statements, literals included:
    if your SQL may contain secrets, choose ``OFF``.
    """

    ALWAYS = "always"
    """On, and kept on by an :class:`EnhancedLoggingRenewal`."""

    ONE_DAY = "one-day"
    """On at deployment; AWS switches it off 24 hours later."""

    ON_ALARM = "on-alarm"
    """Off until an alarm goes off that was passed to the proxy's ``log_on_alarm``; AWS switches it off 24 hours later.

    See :class:`EnhancedLoggingOnAlarm`.
    """

    OFF = "off"
    """Off."""


class EnhancedLoggingRenewal(Construct):
    """Keeps enhanced logging of a proxy on: EventBridge Scheduler calls ``rds:ModifyDBProxy`` every six hours.

    There is no Lambda function. The first call comes at once. Whether a call prolongs a period of 24 hours that has not
    ended is not documented; if it does not, there is a gap of at most six hours a day. CloudFormation shows drift for a
    proxy whose template has enhanced logging off. Not tried on AWS.

    A :class:`PinSafeProxy` has one unless its ``enhanced_logging`` says otherwise.

    The proxy gets the warning ``cdk-pinsafe:SqlInProxyLogs``, which can be acknowledged.

    Args:
        scope: parent.
        id: construct id.
        proxy: the proxy, of this library or of CDK, made here or imported.

    Raises:
        ConfigurationError: a prop is of the wrong kind.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, proxy: Proxy) -> None:
        super().__init__(scope, id)
        name = name_of(self, "proxy", proxy)
        warn_of_sql(proxy, name)
        role = service_role(self, "Role", "scheduler.amazonaws.com", "rds:ModifyDBProxy", arn_of(proxy))
        # A generic resource, since every app would have to import the module of the L1.
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
                    "Input": json.dumps({"DbProxyName": name, "DebugLogging": True}),
                    # By default there are up to 185 retries in 24 hours.
                    "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
                },
            },
        )


class EnhancedLoggingOnAlarm(Construct):
    """Switches enhanced logging of a proxy on when an alarm goes off.

    EventBridge starts a state machine of one step, which calls ``rds:ModifyDBProxy``, since a rule cannot call RDS;
    there is no Lambda function. Step Functions keeps the executions, with their errors, for 90 days, so it needs no log
    group. AWS switches enhanced logging off 24 hours later.

    The pins that set the alarm off are not in the log, because they came before. An alarm that stays on for more than a
    day does not switch logging on again. If the proxy's template has enhanced logging off, as it should, CloudFormation
    shows drift for that day, and a change of the proxy's properties switches it off (inferred). Not tried on AWS.

    The proxy gets the warning ``cdk-pinsafe:SqlInProxyLogs``, which can be acknowledged.

    Args:
        scope: parent.
        id: construct id.
        proxy: the proxy, of this library or of CDK, made here or imported.
        alarm: an alarm of this account and region, such as ``PinningAlarms(...).pinned``.

    Raises:
        ConfigurationError: a prop is of the wrong kind.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, proxy: Proxy, alarm: cloudwatch.IAlarm) -> None:
        super().__init__(scope, id)
        name = name_of(self, "proxy", proxy)
        warn_of_sql(proxy, name)
        partition = Stack.of(self).partition
        call = {
            "Type": "Task",
            "Resource": f"arn:{partition}:states:::aws-sdk:rds:modifyDBProxy",
            "Parameters": {"DbProxyName": name, "DebugLogging": True},
            # RDS refuses to modify a proxy that is being modified, which takes some minutes.
            "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 30, "MaxAttempts": 5, "BackoffRate": 2}],
            "End": True,
        }
        definition = {
            "Comment": f"Switches enhanced logging of RDS Proxy on ({self.node.path})",
            "StartAt": "SwitchOn",
            "States": {"SwitchOn": call},
            "TimeoutSeconds": 3600,
        }
        # Generic resources, since every app would have to import the modules of the L1s.
        machine = CfnResource(
            self,
            "StateMachine",
            type="AWS::StepFunctions::StateMachine",
            properties={
                "StateMachineType": "STANDARD",
                "RoleArn": service_role(
                    self, "Role", "states.amazonaws.com", "rds:ModifyDBProxy", arn_of(proxy)
                ).role_arn,
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


def warn_of_sql(proxy: IConstruct, db_proxy_name: str) -> None:
    """Warn a proxy that its log contains SQL; once, however often it is called."""
    warn(
        proxy,
        "SqlInProxyLogs",
        "enhanced logging writes the text of SQL statements, with their literals, to "
        f"{log_group_name(db_proxy_name)}: check who can read it, or leave enhanced logging off "
        "(EnhancedLogging.OFF); acknowledge 'annotation::cdk-pinsafe:SqlInProxyLogs' when that is settled",
    )
