"""A proxy as CDK makes it."""

import pytest
from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds

from .helpers import plain_proxy


@pytest.fixture
def proxy(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> rds.DatabaseProxy:
    """An RDS Proxy as CDK makes it."""
    return plain_proxy(stack, vpc, instance)
