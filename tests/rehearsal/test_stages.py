"""`pinsafe rehearse` of apps with Stages."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .test_rehearsal import command, environment, items, rows

STACKS = """
from aws_cdk import App, Environment, NestedStack, Stack, Stage, aws_ec2 as ec2, aws_rds as rds
from cdk_pinsafe import DatabaseSettings, PinSafeProxy


def data(scope, id, **props):
    stack = Stack(scope, id, **props)
    vpc = ec2.Vpc(stack, "Vpc")
    stack.database = rds.DatabaseInstance(
        stack,
        "Instance",
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18_1),
        vpc=vpc,
        database_name="app",
        deletion_protection=True,
    )
    return stack


def settings(scope, data, value):
    DatabaseSettings(
        scope,
        "Settings",
        database=data.database,
        vpc=data.node.find_child("Vpc"),
        database_name="app",
        settings={"lock_timeout": f"{value}s"},
    )


app = App()
"""
STAGE_ONLY = """
prod = Stage(app, "Prod")
database = data(prod, "Data")
settings(Stack(prod, "Settings"), database, 7)
app.synth()
"""
MIXED = """
settings(plain := data(app, "Plain"), plain, 1)
stage = Stage(app, "Prod", env=Environment(account="123456789012", region="eu-west-1"))
Stack(stage, "Empty")
outer = data(stage, "Data")
settings(NestedStack(outer, "Nested"), outer, 2)
inner = Stage(stage, "Inner")
settings(deep := data(inner, "Deep"), deep, 3)
app.synth()
"""
THREE = """
for number, name in enumerate(("dev", "staging", "prod"), 1):
    env = Environment(account=str(number) * 12, region=f"eu-west-{number}") if EXPLICIT else None
    stage = Stage(app, name, env=env)
    settings(chat := data(stage, "Chat", stack_name="Chat"), chat, number)
    if EXPLICIT:
        PinSafeProxy(chat, "Proxy", target=chat.database, vpc=chat.node.find_child("Vpc"), db_proxy_name="chat")
app.synth()
"""


def rehearse(tmp_path: Path, program: str) -> dict[str, Any]:
    (tmp_path / "app.py").write_text(program)
    (tmp_path / "cdk.json").write_text('{"app": "python3 app.py"}')
    run = subprocess.run(
        command("--app", str(tmp_path), "--format", "json"),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    document: dict[str, Any] = json.loads(run.stdout)
    assert run.returncode == 0, (document["error"], document["cli_output"])
    return document


def values_at(document: dict[str, Any], moment: str) -> dict[str, tuple[str, str]]:
    """The lock_timeout before and after a step, by owner."""
    return {
        item["owner"]: rows(item)["lock_timeout"]
        for item in items(document, "settings")
        if moment in item["moment"] and "lock_timeout" in rows(item)
    }


def stacks(document: dict[str, Any]) -> list[str]:
    (resources,) = items(document, "deployed")
    names: list[str] = resources["stacks"]
    return names


def notes(document: dict[str, Any]) -> list[str]:
    return [item["text"] for item in items(document, "note")]


def test_app_with_one_stage(tmp_path: Path) -> None:
    """Its stacks are deployed in the order of their dependencies."""
    document = rehearse(tmp_path, STACKS + STAGE_ONLY)
    assert stacks(document) == ["Prod/Data (Prod-Data)", "Prod/Settings (Prod-Settings)"]
    owner = "Prod/Settings/Settings (stack Prod-Settings)"
    assert values_at(document, "after cdk deploy") == {owner: ("0", "7s")}
    assert values_at(document, "after cdk destroy") == {owner: ("7s", "0")}
    assert [item["status"] for item in items(document, "refusal")] == ["UPDATE_ROLLBACK_COMPLETE"]


def test_stages_nested_and_empty_stacks(tmp_path: Path) -> None:
    """A stack without resources, which the CLI skips, is reported as not deployed."""
    document = rehearse(tmp_path, STACKS + MIXED)
    assert stacks(document) == [
        "Plain in 000000000000/us-east-1",
        "Prod/Data (Prod-Data) in 123456789012/eu-west-1",
        "Prod/Inner/Deep (Prod-Inner-Deep) in 123456789012/eu-west-1",
    ]
    assert "not deployed: stack Prod/Empty (Prod-Empty) has no resources" in notes(document)
    deployed = values_at(document, "after cdk deploy")
    assert set(deployed.values()) == {("0", "1s"), ("0", "2s"), ("0", "3s")}
    assert values_at(document, "after cdk destroy") == {owner: (after, "0") for owner, (_, after) in deployed.items()}


@pytest.mark.parametrize("explicit", [True, False], ids=["explicit environments", "no environments"])
def test_three_stages_with_the_same_stack_name(tmp_path: Path, explicit: bool) -> None:
    """Each has its own database, proxy and settings."""
    document = rehearse(tmp_path, STACKS + f"EXPLICIT = {explicit}\n" + THREE)
    places = ["111111111111/eu-west-1", "222222222222/eu-west-2", "333333333333/eu-west-3"]
    if not explicit:
        places = [f"00000000000{number}/us-east-1" for number in (1, 2, 3)]
        assert "stacks of several Stages have the same names: each Stage is deployed to its own account" in notes(
            document
        )
    names = ("dev", "staging", "prod")
    assert stacks(document) == [f"{name}/Chat (Chat) in {place}" for name, place in zip(names, places, strict=True)]
    deployed = {f"{name}/Chat/Settings (stack Chat)": ("0", f"{number}s") for number, name in enumerate(names, 1)}
    assert values_at(document, "after cdk deploy") == deployed
    assert values_at(document, "after cdk destroy") == {owner: (after, "0") for owner, (_, after) in deployed.items()}
    (resources,) = items(document, "deployed")
    assert [proxy["name"] for proxy in resources["proxies"]] == ["chat"] * 3 * explicit
    assert len({proxy["endpoint"] for proxy in resources["proxies"]}) == 3 * explicit
