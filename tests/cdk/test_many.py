"""Many constructs: two of each in a stack, many stacks in an app, the same stack in several Stages."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from aws_cdk import App, Duration, Environment, Stack, Stage, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from cdk_pinsafe import (
    DatabaseSettings,
    EnhancedLogging,
    PinningAlarms,
    PinningDashboard,
    PinningLogs,
    PinSafePostgres,
    PinSafeProxy,
)

from .conftest import plain_instance

PHYSICAL_NAMES = ("DBProxyName", "LogGroupName", "AlarmName", "DashboardName", "Name", "RoleName", "FunctionName")
"""Properties by which two resources of one account and region would be the same."""


def add_two_of_each(stack: Stack) -> None:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    for number in (1, 2):
        PinSafePostgres(
            stack,
            f"Postgres{number}",
            vpc=vpc,
            settings={"timezone": "UTC"},
            drift_check=Duration.hours(1),
            enhanced_logging=EnhancedLogging.ON_ALARM if number == 1 else EnhancedLogging.ALWAYS,
        )
        instance = plain_instance(stack, vpc, f"Instance{number}")
        for name in ("app", "reports"):
            DatabaseSettings(
                stack,
                f"Settings{number}{name}",
                database=instance,
                vpc=vpc,
                database_name=name,
                settings={"timezone": "UTC"},
                drift_check=Duration.hours(1),
            )
        proxy = PinSafeProxy(stack, f"Proxy{number}", target=instance, vpc=vpc)
        PinningAlarms(stack, f"Alarms{number}", proxy=proxy)
        PinningDashboard(stack, f"Dashboard{number}", proxy=proxy)
        PinningLogs(stack, f"Logs{number}", proxy=proxy)


def resources(stack: Stack) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = Template.from_stack(stack).to_json()["Resources"]
    return found


def physical_names(stack: Stack) -> Iterator[tuple[str, str]]:
    """Type and name of every resource with a fixed name."""
    for resource in resources(stack).values():
        for prop in PHYSICAL_NAMES:
            name = resource.get("Properties", {}).get(prop)
            if isinstance(name, str):
                yield resource["Type"], name


def twice(names: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    return [name for name, count in Counter(names).items() if count > 1]


def test_two_of_each_construct_in_a_stack(stack: Stack) -> None:
    """They share only the applier; no name is used twice."""
    add_two_of_each(stack)
    found = resources(stack)
    types = Counter(resource["Type"] for resource in found.values())
    assert types["AWS::RDS::DBInstance"] == types["AWS::RDS::DBProxy"] == 4
    assert types["Custom::PinSafeDatabaseSettings"] == 6
    assert len([name for kind, name in physical_names(stack) if kind == "AWS::RDS::DBProxy"]) == 4
    assert twice(physical_names(stack)) == []
    addresses = [
        str(resource["Properties"]["Address"])
        for resource in found.values()
        if resource["Type"] == "Custom::PinSafeDatabaseSettings"
    ]
    assert len(set(addresses)) == 6


def test_twenty_stacks_in_an_app(app: App) -> None:
    """In one account, region and VPC no name is used twice, and each stack has its applier."""
    network = Stack(app, "Network")
    vpc = ec2.Vpc(network, "Vpc", max_azs=2)
    stacks = [Stack(app, f"Tenant{number}") for number in range(20)]
    for stack in stacks:
        PinSafePostgres(stack, "Database", vpc=vpc, settings={"timezone": "UTC"}, drift_check=Duration.hours(1))
    Tags.of(app).add("team", "data")
    app.synth()
    assert twice(name for stack in stacks for name in physical_names(stack)) == []
    for stack in stacks:
        settings = [one for one in resources(stack).values() if one["Type"] == "Custom::PinSafeDatabaseSettings"]
        assert [one["Properties"]["Owner"] for one in settings] == [
            f"{stack.node.id}/Database/Settings (stack {stack.stack_name})"
        ]


def test_three_stages_of_one_app(app: App) -> None:
    """No name is used twice in an account; with the same stack names, the templates are the same."""
    default, same = [], []
    for number, name in enumerate(("Dev", "Staging", "Prod"), 1):
        stage = Stage(app, name)
        default.append(Stack(stage, "Chat"))
        env = Environment(account=f"{number}" * 12, region="eu-west-1")
        same.append(Stack(stage, "Fixed", stack_name="Chat", env=env))
    for stack in (*default, *same):
        PinSafePostgres(stack, "Database", vpc=ec2.Vpc(stack, "Vpc", max_azs=2), settings={"timezone": "UTC"})
    app.synth()
    assert twice(name for stack in default for name in physical_names(stack)) == []
    dev, staging, prod = (Counter(one["Type"] for one in resources(stack).values()) for stack in same)
    assert dev == staging == prod
    addresses = {
        str(resource["Properties"]["Address"])
        for stack in (*default, *same)
        for resource in resources(stack).values()
        if resource["Type"] == "Custom::PinSafeDatabaseSettings"
    }
    assert len(addresses) == 6
