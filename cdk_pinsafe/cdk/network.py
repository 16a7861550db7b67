"""Subnets: which ones a selection means, and whether they have a way to Secrets Manager."""

import json
from collections.abc import Sequence
from typing import Final

from aws_cdk import Stack
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


def select(vpc: ec2.IVpc, selection: ec2.SubnetSelection | None) -> Sequence[ec2.ISubnet]:
    """The subnets that a selection means in a VPC; None means CDK's default, its private subnets."""
    if selection and selection.subnets:
        return selection.subnets
    options = {name: getattr(selection, name) for name in _SELECTION} if selection else {}
    return vpc.select_subnets(**options).subnets


def database_subnets(construct: IConstruct, vpc: ec2.IVpc) -> ec2.SubnetSelection:
    """Where a database belongs: isolated subnets, else private ones with a way out."""
    if subnets := vpc.isolated_subnets or vpc.private_subnets:
        return ec2.SubnetSelection(subnets=subnets)
    refuse(construct, "'vpc' should have private or isolated subnets, got one with public subnets only")


def is_isolated(vpc: ec2.IVpc, subnets: Sequence[ec2.ISubnet]) -> bool:
    """Whether any of the subnets has no route out of the VPC."""
    isolated = {subnet.subnet_id for subnet in vpc.isolated_subnets}
    return any(subnet.subnet_id in isolated for subnet in subnets)


def has_secrets_manager_endpoint(vpc: ec2.IVpc) -> bool:
    """Whether an interface endpoint for Secrets Manager was added to this VPC in this app."""
    return any(
        isinstance(child, ec2.InterfaceVpcEndpoint) and "secretsmanager" in _service_name(child)
        for child in vpc.node.children
    )


def _service_name(endpoint: ec2.InterfaceVpcEndpoint) -> str:
    resource: ec2.CfnVPCEndpoint = endpoint.node.default_child  # type: ignore[assignment]
    return json.dumps(Stack.of(endpoint).resolve(resource.service_name))
