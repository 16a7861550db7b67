"""An app, a stack and the parts that most tests of the constructs need."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Template

Resources = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def stack(app: App) -> Stack:
    return Stack(app, "Test")


@pytest.fixture
def vpc(stack: Stack) -> ec2.Vpc:
    return ec2.Vpc(stack, "Vpc", max_azs=2)


@pytest.fixture
def instance(stack: Stack, vpc: ec2.Vpc) -> rds.DatabaseInstance:
    return plain_instance(stack, vpc)


def plain_instance(stack: Stack, vpc: ec2.IVpc, id: str = "Instance") -> rds.DatabaseInstance:
    """An RDS PostgreSQL instance as CDK makes it."""
    return rds.DatabaseInstance(
        stack, id, engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9), vpc=vpc
    )


@pytest.fixture
def resources_of() -> Callable[[Stack, str], Resources]:
    """The template's resources of one type, by logical id."""

    def find(stack: Stack, resource_type: str) -> Resources:
        found: Resources = Template.from_stack(stack).find_resources(resource_type)
        return found

    return find
