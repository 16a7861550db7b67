"""RDS Proxy's enhanced logging, which AWS switches off by itself a day after it was switched on."""

import enum
import json
from typing import TYPE_CHECKING, Final

from aws_cdk import CfnResource, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

if TYPE_CHECKING:
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

    OFF = "off"


class DebugLoggingRenewal(Construct):
    """A schedule that sets a proxy's ``DebugLogging`` to true, by a direct call of ``rds:ModifyDBProxy``."""

    def __init__(self, scope: Construct, id: str, *, proxy: "rds.DatabaseProxy") -> None:
        super().__init__(scope, id)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
            ),
            inline_policies={
                "ModifyProxy": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(actions=["rds:ModifyDBProxy"], resources=[proxy.db_proxy_arn]),
                    ]
                )
            },
        )
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
