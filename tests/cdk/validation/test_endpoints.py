"""What the rules say of interface endpoints."""

from typing import Any

import pytest
from aws_cdk import App, CfnCondition, CfnParameter, Environment, Fn, NestedStack, Stack
from aws_cdk import aws_ec2 as ec2

from .helpers import check

SERVICE = "com.amazonaws.eu-west-1.sqs"


def endpoint(scope: Stack, name: str, vpc_id: str, **props: Any) -> ec2.CfnVPCEndpoint:
    return ec2.CfnVPCEndpoint(
        scope,
        name,
        **{
            "vpc_id": vpc_id,
            "service_name": SERVICE,
            "vpc_endpoint_type": "Interface",
            "private_dns_enabled": True,
            **props,
        },
    )


@pytest.mark.parametrize("place", ["one stack", "nested stack", "another stack"])
def test_second_endpoint_is_found(app: App, stack: Stack, vpc: ec2.Vpc, place: str) -> None:
    """If it names the VPC by reference, attribute, parameter or export."""
    other = {
        "one stack": stack,
        "nested stack": NestedStack(stack, "Nested"),
        "another stack": Stack(app, "Zother"),
    }[place]
    endpoint(stack, "One", vpc.vpc_id)
    resource: ec2.CfnVPC = vpc.node.default_child  # type: ignore[assignment]
    endpoint(other, "Two", resource.attr_vpc_id)
    [found] = check(app)
    assert (found.rule, found.severity, found.property) == ("PrivateDnsConflict", "error", "PrivateDnsEnabled")
    assert found.path.endswith("/Two")
    assert "its VPC already has One for sqs" in found.description


@pytest.mark.parametrize(
    "props",
    [
        {"private_dns_enabled": False},
        {"private_dns_enabled": None},
        {"service_name": "com.amazonaws.eu-west-1.sns"},
        {"vpc_id": "vpc-2"},
    ],
)
def test_endpoints_without_conflict(app: App, stack: Stack, props: dict[str, Any]) -> None:
    """Another VPC, another service, or no private DNS."""
    endpoint(stack, "One", "vpc-1")
    endpoint(stack, "Two", **{"vpc_id": "vpc-1", **props})
    assert check(app) == []


def test_vpcs_that_were_not_looked_up(app: App, stack: Stack) -> None:
    """In CDK's first run they all have one id."""
    for name in ("One", "Two"):
        endpoint(stack, name, "vpc-12345")
    assert check(app) == []


def test_another_region_is_another_vpc(app: App) -> None:
    """Even with the same id."""
    for region in ("eu-west-1", "us-east-1"):
        stack = Stack(app, region, env=Environment(account="111122223333", region=region))
        endpoint(stack, "Endpoint", "vpc-1")
    assert check(app) == []


@pytest.mark.parametrize(("conditions", "count"), [(["A", "B"], 0), (["A", "A"], 1), (["A", None], 1)])
def test_conditions(app: App, stack: Stack, conditions: list[str | None], count: int) -> None:
    """With different conditions, perhaps only one endpoint is created."""
    given = CfnParameter(stack, "Given").value_as_string
    made = {name: CfnCondition(stack, name, expression=Fn.condition_equals(given, name)) for name in ("A", "B")}
    for number, name in enumerate(conditions):
        resource = endpoint(stack, f"Endpoint{number}", "vpc-1")
        if name:
            resource.cfn_options.condition = made[name]
    assert len(check(app)) == count
