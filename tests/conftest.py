"""What every test needs before aws_cdk is imported."""

import os
import sys
from pathlib import Path

import pytest

# The node that came with the development tools, whatever else the machine has.
_node = Path(sys.executable).with_name("node")
if _node.exists():
    os.environ.setdefault("JSII_NODE", str(_node))
# CDK's built-in validation costs four seconds a process; the tests that want it switch it on.
os.environ.setdefault("CDK_VALIDATION", "false")


pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run model tests, soaks and matrices at their full length")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long modes were asked for; without, each has a bounded length that suits CI."""
    return bool(request.config.getoption("--long"))
