"""Acknowledgments of cdk-nag's findings on this library's own resources, which an app cannot influence."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_ec2 as ec2
from constructs import IConstruct

_COMPLIANCE_PACKS: Final = ("NIST.800.53.R5", "HIPAA.Security", "PCI.DSS.321")
"""Packs that use the same names of rules, unlike AwsSolutions."""
_SOURCE_IS_A_GROUP: Final = "the source is one security group, and the port is the one that the database listens on"

INLINE_POLICY: Final = {
    "IAMNoInlinePolicy": (
        "the policy has one role and one purpose: inline, it is deployed and deleted with the role and can be attached "
        "to no other"
    )
}
DATABASE_PORT: Final = {"EC2RestrictedCommonPorts": _SOURCE_IS_A_GROUP, "EC2RestrictedSSH": _SOURCE_IS_A_GROUP}
"""For a rule into a database's security group. cdk-nag cannot read a port that only the deployment knows."""


def acknowledge(
    construct: IConstruct, reasons: Mapping[str, str], *, solutions: Mapping[str, str] | None = None
) -> None:
    """Acknowledge rules for a construct and its children.

    Args:
        construct: the construct.
        reasons: rules of NIST 800-53 R5, HIPAA Security and PCI DSS 3.2.1, without the pack's name, and why each does
            not apply. A pack that lacks a rule ignores its acknowledgment.
        solutions: rules of AwsSolutions, without the pack's name. Default: none.
    """
    ids = {f"AwsSolutions::AwsSolutions-{rule}": reason for rule, reason in (solutions or {}).items()}
    for pack in _COMPLIANCE_PACKS:
        ids |= {f"{pack}::{pack}-{rule}": reason for rule, reason in reasons.items()}
    Validations.of(construct).acknowledge(*(Acknowledgment(id=rule, reason=reason) for rule, reason in ids.items()))


def acknowledge_way_into(
    database_groups: Sequence[ec2.ISecurityGroup], client_groups: Sequence[ec2.ISecurityGroup]
) -> None:
    """Acknowledge the security group rules by which CDK gives a client access to a database whose port is a token."""
    for database_group in database_groups:
        for client_group in client_groups:
            rule = database_group.node.try_find_child(f"from {client_group.unique_id}:{{IndirectPort}}")
            if rule is not None:
                acknowledge(rule, DATABASE_PORT)
