"""Roles for AWS services: one service, one action, one resource."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from . import nag


def service_role(scope: Construct, id: str, service: str, action: str, resource: str) -> iam.Role:
    """A role of one service of this account, for one action on one resource."""
    # AWS documents no such condition for roles of EventBridge rules, which may not fulfill it.
    conditions = {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
    role = iam.Role(
        scope,
        id,
        assumed_by=iam.ServicePrincipal(service, conditions=None if service == "events.amazonaws.com" else conditions),
        inline_policies={
            action.partition(":")[2]: iam.PolicyDocument(
                statements=[iam.PolicyStatement(actions=[action], resources=[resource])]
            )
        },
    )
    nag.acknowledge(role, nag.INLINE_POLICY)
    return role
