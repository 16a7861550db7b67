"""Runs the real CDK CLI against the local cloud."""

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import RehearsalError
from ..localcloud import toolchain
from ..localcloud.client import Account
from ..localpg.child_process import die_with_parent

__all__ = ["ALL_STACKS", "App", "CdkCli"]

ALL_STACKS = "**"
"""The pattern of all stacks. `--all` would leave out the stacks of Stages."""


@dataclass(frozen=True)
class App:
    """A CDK app: its folder, and its command if that is not the one in `cdk.json`."""

    folder: Path
    command: str | None

    @classmethod
    def from_option(cls, given: str | None) -> "App":
        """The app of `--app`: a folder with a `cdk.json`, or a command as for `cdk --app`; by default this folder.

        Raises:
            RehearsalError: there is no app.
        """
        folder = Path(given) if given and Path(given).is_dir() else Path()
        if (folder / "manifest.json").is_file() and not (folder / "cdk.json").is_file():
            raise RehearsalError(
                f"{given} is a synthesized assembly, whose applier trusts only RDS's certificate authorities: "
                "give the app itself, a folder with cdk.json or a command"
            )
        if given and not Path(given).is_dir():
            return cls(folder.resolve(), given)
        if not (folder / "cdk.json").is_file():
            raise RehearsalError(
                f"no cdk.json in {folder.resolve()}: run it in a CDK app's folder, or give --app a folder or a command"
            )
        return cls(folder.resolve(), None)


class CdkCli:
    """Runs commands of the CDK CLI. When a call returns, all its processes have ended.

    Attributes:
        output: the last command and its output.
    """

    def __init__(self, directory: Path, ca_bundle: Path) -> None:
        """Prepare the environment of the commands.

        Args:
            directory: an existing folder for the files of the CLI.
            ca_bundle: the certificate authorities for the applier's asset.
        """
        self._directory = directory
        self._environment = {**toolchain.environment(directory), "CDK_PINSAFE_CA_BUNDLE": str(ca_bundle)}
        self._program: Path | None = None
        self.output: list[str] = []

    def install(self) -> None:
        """Find the CLI in npm's cache, or download it: the only step that needs the network, once.

        Raises:
            RehearsalError: npm failed.
        """
        arguments = ["exec", "--yes", "--prefer-offline", f"--package={toolchain.CDK_CLI}", "--call", "command -v cdk"]
        status, output = self._run("npm", [*toolchain.npm(), *arguments], self._directory, self._environment)
        found = [line for line in output.splitlines() if line.endswith("/cdk")]
        if status != 0 or not found:
            raise RehearsalError(f"npm could not get {toolchain.CDK_CLI}: {_cause(output)}")
        self._program = Path(found[-1]).resolve()

    def synth(self, app: App, output: Path, account: Account, endpoint: str) -> None:
        """Synthesize the app into a folder."""
        named = ("--app", app.command) if app.command else ()
        with _unchanged(app.folder / "cdk.context.json"):
            self._cdk(["synth", "--quiet", "--output", str(output), *named], app.folder, account, endpoint)

    def bootstrap(self, account: Account, endpoint: str) -> None:
        """Run `cdk bootstrap` for an account and region."""
        # Not in the app's folder, where the CLI would synthesize the app again.
        self._cdk(["bootstrap", f"aws://{account.number}/{account.region}"], self._directory, account, endpoint)

    def deploy(self, assembly: Path, account: Account, endpoint: str, stacks: str = ALL_STACKS) -> None:
        """Deploy stacks of an assembly, in the order of their dependencies.

        Args:
            assembly: its folder.
            account: the account of the CLI's credentials; a stack may name another account.
            endpoint: the URL of the local cloud.
            stacks: a pattern of hierarchical ids, such as `Prod/**`. Default: all stacks, including those of Stages.

        Raises:
            RehearsalError: the deployment failed; the message is CloudFormation's.
        """
        self._cdk(["deploy", stacks, *_DEPLOY_OPTIONS, "--app", str(assembly)], self._directory, account, endpoint)

    def destroy(self, assembly: Path, account: Account, endpoint: str, stacks: str = ALL_STACKS) -> None:
        """Destroy stacks of an assembly, in the reverse order."""
        self._cdk(["destroy", stacks, "--force", "--app", str(assembly)], self._directory, account, endpoint)

    def _cdk(self, arguments: Sequence[str], folder: Path, account: Account, endpoint: str) -> None:
        if self._program is None:
            self.install()
        command = [str(toolchain.node()), str(self._program), *arguments, *_GLOBAL_OPTIONS]
        environment = {**self._environment, **account.environment(), "AWS_ENDPOINT_URL": endpoint}
        status, output = self._run("cdk", command, folder, environment)
        if status != 0:
            raise RehearsalError(f"cdk {arguments[0]} failed with status {status}: {_cause(output)}")

    def _run(self, name: str, command: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
        # A file, not a pipe: the end of a pipe is seen only when the last process that the app left behind ends.
        with tempfile.TemporaryFile("a+b", dir=self._directory) as written:
            reading_end, writing_end = os.pipe()
            process = subprocess.Popen(
                die_with_parent(list(command), "kill group"),
                cwd=folder,
                env=environment,
                stdin=reading_end,
                stdout=written,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach this process only, which then kills the group: node, the app and their children.
                start_new_session=True,
            )
            try:
                process.wait()
            finally:
                os.close(reading_end)
                os.close(writing_end)
                toolchain.kill_group(process)
            written.seek(0)
            output = written.read().decode(errors="replace")
        self.output = [f"$ {shlex.join([name, *command[2:]])}", *output.splitlines()]
        return process.returncode, output


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """Restore a file: synth writes the results of context lookups to it, which the next real deployment would use."""
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_bytes() != before:
            path.write_bytes(before)


_GLOBAL_OPTIONS = ("--no-color", "--no-notices", "--no-version-reporting", "--ci")
_DEPLOY_OPTIONS = ("--require-approval", "never", "--progress", "events")
# Where the CLI's output has the cause of a failure, the most specific first: CloudFormation's event, the CLI's own
# message, the last exception of the app.
_CAUSES = (
    re.compile(r"(?:CREATE|UPDATE|DELETE)_FAILED\s+\|\s+\S+\s+\|\s+\S+(?:\s+\([^)]*\))?\s+(?P<cause>\S.*)"),
    re.compile(r"❌\s*(?P<cause>.+)"),
    re.compile(r"(?P<cause>\b[\w.]*(?:Error|Exception): .+)"),
)


def _cause(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in _CAUSES:
        found = [match["cause"] for match in map(pattern.search, lines) if match]
        if found:
            return found[0] if pattern is not _CAUSES[-1] else found[-1]
    return lines[-1] if lines else "no output"
