"""RDS Proxy's enhanced logging, which AWS switches off by itself a day after it was switched on."""

import enum
import json
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
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
        scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Keeps enhanced logging of RDS Proxy on ({self.node.path})"[:512],
            schedule_expression=f"rate({_HOURS_BETWEEN_RENEWALS} hours)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{Stack.of(self).partition}:scheduler:::aws-sdk:rds:modifyDBProxy",
                role_arn=role.role_arn,
                # Names as in RDS's API; the service's default of 185 retries over a day would outlive the next turn.
                input=json.dumps({"DbProxyName": proxy.db_proxy_name, "DebugLogging": True}),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=3, maximum_event_age_in_seconds=3600
                ),
            ),
        )
