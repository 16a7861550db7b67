"""What every test needs before aws_cdk is imported."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The node that came with the development tools, whatever else the machine has.
_node = Path(sys.executable).with_name("node")
if _node.exists():
    os.environ.setdefault("JSII_NODE", str(_node))
# CDK's built-in validation costs four seconds a process; the tests that want it switch it on.
os.environ.setdefault("CDK_VALIDATION", "false")

# Property tests run with the same examples every time, so that a change is judged by what it changed; `--long` draws
# new ones. A failing example that it finds is kept at its test with @example.
settings.register_profile("same-examples", derandomize=True, deadline=None)
settings.register_profile("new-examples", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("same-examples")

pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="run model tests, soaks and matrices at their full length, and property tests with new examples",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        settings.load_profile("new-examples")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long modes were asked for; without, each has a bounded length that suits CI."""
    return bool(request.config.getoption("--long"))
