"""Subnets of a selection, and whether they have a route out of the VPC."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_ec2 as ec2
from constructs import IConstruct

from .checks import refuse

_SELECTION: Final = (
    "availability_zones",
    "one_per_az",
    "subnet_filters",
    "subnet_group_name",
    "subnets",
    "subnet_type",
)


def _select(construct: IConstruct, vpc: ec2.IVpc, selection: ec2.SubnetSelection | None) -> Sequence[ec2.ISubnet]:
    """The subnets of a selection; None is CDK's default, the private subnets.

    Public ones are refused: a Lambda function in them has no route out, and a database should not be public.
    """
    options = {name: getattr(selection, name) for name in _SELECTION} if selection else {}
    chosen = vpc.select_subnets(**options)
    if chosen.has_public:
        prop = "vpc_subnets" if selection else "vpc"
        refuse(construct, f"'{prop}' should be private or isolated subnets, got public ones")
    return chosen.subnets


def placement(vpc: ec2.IVpc, selection: ec2.SubnetSelection | None) -> Sequence[str]:
    """Stable key of a subnet selection: the selection as it is written, not its current subnets.

    A VPC that gets another availability zone must keep its key: CloudFormation refuses to move a custom resource to
    another function.
    """
    if selection is None:
        return [vpc.node.addr]
    written = [getattr(selection, name) for name in _SELECTION if name not in ("subnets", "subnet_filters")]
    listed = [subnet.node.addr for subnet in selection.subnets or ()]
    return [vpc.node.addr, *(str(value) for value in written), *listed, str(len(selection.subnet_filters or ()))]


def database_subnets(construct: IConstruct, vpc: ec2.IVpc) -> ec2.SubnetSelection:
    """Subnets for a database: isolated ones, otherwise private ones."""
    if vpc.isolated_subnets:
        return ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    if vpc.private_subnets:
        return ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
    refuse(construct, "'vpc' should have private or isolated subnets, got one with public subnets only")


def is_isolated(construct: IConstruct, vpc: ec2.IVpc, selection: ec2.SubnetSelection | None) -> bool:
    """Whether any of the subnets has no route out of the VPC; refuses public ones."""
    # Known without a call to CDK for each subnet, which takes time at synth.
    if selection and selection.subnet_type is ec2.SubnetType.PRIVATE_ISOLATED:
        return True
    isolated = {subnet.subnet_id for subnet in vpc.isolated_subnets}
    return any(subnet.subnet_id in isolated for subnet in _select(construct, vpc, selection))
