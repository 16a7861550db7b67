"""Two DatabaseSettings of one app that set the same parameter of the same database."""

from typing import Any

import pytest
from aws_cdk import App, Environment, Fn, NestedStack, Stack, Stage
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_pinsafe import DatabaseSettings, PostgresDatabase

from .conftest import plain_instance

HOST = "orders.c0123456789a.eu-west-1.rds.amazonaws.com"


def add(scope: Construct, id: str, database: Any, vpc: ec2.IVpc, **props: Any) -> DatabaseSettings:
    given = {"database_name": "app", "settings": {"work_mem": "64MB"}, **props}
    return DatabaseSettings(scope, id, database=database, vpc=vpc, **given)


def imported(stack: Stack, host: str, id: str = "Orders") -> PostgresDatabase:
    """A database that is in no stack of the app."""
    return PostgresDatabase.from_instance_attributes(
        stack,
        id,
        instance_identifier="orders",
        endpoint_address=host,
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, f"{id}Group", "sg-0123456789abcdef0")],
        secret=secretsmanager.Secret.from_secret_name_v2(stack, f"{id}Secret", "orders/master"),
        version=rds.PostgresEngineVersion.VER_16,
    )


def errors(app: App) -> str:
    """The errors of synth as one text."""
    with pytest.raises(RuntimeError, match="Validation failed") as caught:
        app.synth()
    return str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            {},
            {},
            "'settings' should not set what another DatabaseSettings sets, got 'work_mem' in database 'app', which",
        ),
        ({}, {"settings": {"WORK_MEM": "1GB", "jit": False}}, "got 'work_mem' in database 'app', which"),
        ({"database_name": ["a", "b"]}, {"database_name": "b"}, "got 'work_mem' in database 'b', which"),
        (
            {"database_name": ["a", "b"]},
            {"database_name": ["b", "a", "c"]},
            "got 'work_mem' in database 'b' (and 1 more), which",
        ),
        (
            {"settings": {"jit": False}, "role_settings": {"reports": {"work_mem": "1GB"}}},
            {"role_settings": {"reports": {"work_mem": "2GB"}}},
            "'role_settings[reports]' should not set what another DatabaseSettings sets, got 'work_mem' of role "
            "'reports' in database 'app', which",
        ),
    ],
    ids=["same", "case", "one of several", "several", "role"],
)
def test_same_parameter_of_the_same_database(
    app: App,
    stack: Stack,
    vpc: ec2.Vpc,
    instance: rds.DatabaseInstance,
    first: dict[str, Any],
    second: dict[str, Any],
    said: str,
) -> None:
    """The later construct has the error, which names the earlier one, the parameter and the database."""
    add(stack, "First", instance, vpc, **first)
    add(stack, "Second", instance, vpc, **second)
    text = errors(app)
    assert "[Test/Second] '" in text
    assert f"{said} Test/First sets as well: keep it in one of them" in text
    assert "[Test/First]" not in text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"settings": {"jit": False}}),
        ({}, {"database_name": "other"}),
        ({}, {"database_name": "APP"}),
        ({}, {"settings": {"jit": False}, "role_settings": {"reports": {"work_mem": "1GB"}}}),
        (
            {"role_settings": {"reports": {"jit": False}}},
            {"settings": {"jit": True}, "role_settings": {"Reports": {"jit": False}}},
        ),
    ],
    ids=["parameter", "database", "case of the database", "role and database", "case of the role"],
)
def test_different_targets_are_no_conflict(
    app: App,
    stack: Stack,
    vpc: ec2.Vpc,
    instance: rds.DatabaseInstance,
    first: dict[str, Any],
    second: dict[str, Any],
) -> None:
    add(stack, "First", instance, vpc, **first)
    add(stack, "Second", instance, vpc, **second)
    app.synth()


def test_two_instances_are_two_databases(app: App, stack: Stack, vpc: ec2.Vpc) -> None:
    add(stack, "First", plain_instance(stack, vpc, "One"), vpc)
    add(stack, "Second", plain_instance(stack, vpc, "Two"), vpc)
    app.synth()


def test_across_stacks(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """The instance's endpoint is the same token in every stack."""
    add(stack, "First", instance, vpc)
    add(Stack(app, "Other"), "Second", instance, vpc)
    assert "[Other/Second] 'settings' should not" in errors(app)


def test_in_a_nested_stack(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    add(stack, "First", instance, vpc)
    add(NestedStack(stack, "Nested"), "Second", instance, vpc)
    assert "[Test/Nested/Second] 'settings' should not" in errors(app)


def test_imported_twice(app: App) -> None:
    """A literal host is the same server, in whatever stack it is imported."""
    environment = Environment(account="111122223333", region="eu-west-1")
    for name in ("One", "Two"):
        stack = Stack(app, name, env=environment)
        add(stack, "Settings", imported(stack, HOST), ec2.Vpc(stack, "Vpc"))
    assert "[Two/Settings] 'settings' should not" in errors(app)


def test_imported_by_another_token(app: App, stack: Stack, vpc: ec2.Vpc) -> None:
    """Two tokens of a stack that resolve to the same value are one server."""
    add(stack, "First", imported(stack, Fn.import_value("Host"), "One"), vpc)
    add(stack, "Second", imported(stack, Fn.import_value("Host"), "Two"), vpc)
    add(stack, "Third", imported(stack, Fn.import_value("AnotherHost"), "Three"), vpc)
    text = errors(app)
    assert "[Test/Second] 'settings' should not" in text
    assert "[Test/Third]" not in text


def test_in_nested_stages(app: App) -> None:
    """A server in two stages is a conflict; a server for each stage is none."""
    for name in ("Beta", "Prod"):
        stage = Stage(Stage(app, name), "Region")
        stack = Stack(stage, "Chat")
        vpc = ec2.Vpc(stack, "Vpc")
        add(stack, "Own", plain_instance(stack, vpc), vpc)
    app.synth()
    stage = Stage(app, "Gamma")
    for name in ("One", "Two"):
        stack = Stack(stage, name)
        add(stack, "Shared", imported(stack, HOST), ec2.Vpc(stack, "Vpc"))
    with pytest.raises(RuntimeError, match="Gamma/Two/Shared"):
        app.synth(force=True)


def test_removed_construct_is_ignored(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Removed by itself, or with its scope."""
    add(stack, "First", instance, vpc)
    scope = Construct(stack, "Scope")
    add(scope, "Second", instance, vpc, settings={"jit": False})
    assert stack.node.try_remove_child("First")
    assert stack.node.try_remove_child("Scope")
    add(stack, "Third", instance, vpc, settings={"work_mem": "1MB", "jit": True})
    app.synth()


def test_many_settings_of_many_databases(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """One line for two constructs, however many parameters and databases they share."""
    names = [f"tenant_{number}" for number in range(200)]
    settings = {"work_mem": "64MB", "jit": False, "timezone": "UTC"}
    for name in ("First", "Second", "Third"):
        add(stack, name, instance, vpc, database_name=names, settings=settings)
    lines = [line for line in errors(app).splitlines() if "should not set what another" in line]
    assert [line.strip().split("]")[0] for line in lines] == ["[Test/Second", "[Test/Third"]
    assert all("(and 599 more), which Test/First sets as well" in line for line in lines)
