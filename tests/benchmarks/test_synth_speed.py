"""What the constructs cost at synth, against the same parts as plain L2 constructs, in one run."""

import os
import statistics
import subprocess
import sys
import time

import pytest

ROUNDS = 7

PLAIN = """
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2, aws_rds as rds
stack = Stack(App(), "Plain")
vpc = ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0, subnet_configuration=[
    ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)])
subnets = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
database = rds.DatabaseInstance(stack, "Database", engine=engine, vpc=vpc, vpc_subnets=subnets)
rds.DatabaseProxy(stack, "Proxy", proxy_target=rds.ProxyTarget.from_instance(database), vpc=vpc,
    vpc_subnets=subnets, secrets=[database.secret])
stack.node.root.synth()
"""


def seconds(*arguments: str) -> float:
    environment = {**os.environ, "CDK_VALIDATION": "false"}
    # Bytecode is kept, as it is where nobody forbids it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


@pytest.mark.benchmark
def test_example_costs_little_more_than_plain_constructs() -> None:
    """Synthesising examples/app.py takes at most 0.3 s more than VPC, instance and proxy as plain L2s."""
    seconds("-c", PLAIN), seconds("examples/app.py")
    pairs = [(seconds("-c", PLAIN), seconds("examples/app.py")) for _ in range(ROUNDS)]
    plain, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    extra = statistics.median(b - a for a, b in pairs)
    print(f"\nplain {plain:.2f} s, example {ours:.2f} s, median difference {extra:.2f} s")
    assert extra <= 0.3


@pytest.mark.benchmark
def test_handler_is_imported_quickly() -> None:
    """The applier's handler is imported in at most 0.5 s, a cold start's share that is ours."""
    code = (
        "import time; start = time.perf_counter(); import cdk_pinsafe.applier.handler; "
        "print(time.perf_counter() - start)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(ROUNDS)
    ]
    print(f"\nhandler imported in {statistics.median(taken):.2f} s")
    assert statistics.median(taken) <= 0.5
