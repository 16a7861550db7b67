"""The real CDK CLI, run against the local cloud.

It knows commands and their output. It must not know what the app is.
"""

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
from ..localpg.child_process import tied

__all__ = ["ALL_STACKS", "App", "CdkCli"]

ALL_STACKS = "**"
"""The pattern of all stacks. `--all` means the stacks of the app itself, without those of its Stages."""


@dataclass(frozen=True)
class App:
    """A CDK app: where it stands, and its command if that is not its `cdk.json`'s."""

    folder: Path
    command: str | None

    @classmethod
    def of(cls, given: str | None) -> "App":
        """The app of `--app`: a folder with a `cdk.json`, or a command as for `cdk --app`; by default, this folder.

        Raises:
            RehearsalError: there is no app there.
        """
        folder = Path(given) if given and Path(given).is_dir() else Path()
        if (folder / "manifest.json").is_file() and not (folder / "cdk.json").is_file():
            raise RehearsalError(
                f"{given} is a synthesised assembly, whose applier trusts RDS's authorities only: "
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
    """Runs commands of the CDK CLI, one at a time; none outlives the call that started it."""

    def __init__(self, directory: Path, ca_bundle: Path) -> None:
        """Prepare it.

        Args:
            directory: for its own files; it must exist.
            ca_bundle: the authorities that the applier's asset shall carry.
        """
        self._directory = directory
        self._environment = {**toolchain.environment(directory), "CDK_PINSAFE_CA_BUNDLE": str(ca_bundle)}
        self._program: Path | None = None
        self.output: list[str] = []

    def install(self) -> None:
        """Find the CLI in npm's cache, or fetch it into there; the one step that needs the network, once.

        Raises:
            RehearsalError: npm could not get it.
        """
        arguments = ["exec", "--yes", "--prefer-offline", f"--package={toolchain.CDK_CLI}", "--call", "command -v cdk"]
        status, output = self._run("npm", [*toolchain.npm(), *arguments], self._directory, self._environment)
        found = [line for line in output.splitlines() if line.endswith("/cdk")]
        if status != 0 or not found:
            raise RehearsalError(f"npm could not get {toolchain.CDK_CLI}: {_cause(output)}")
        self._program = Path(found[-1]).resolve()

    def synth(self, app: App, output: Path, account: Account, endpoint: str) -> None:
        """Synthesise the app into a folder."""
        named = ("--app", app.command) if app.command else ()
        with _unchanged(app.folder / "cdk.context.json"):
            self._cdk(["synth", "--quiet", "--output", str(output), *named], app.folder, account, endpoint)

    def bootstrap(self, account: Account, endpoint: str) -> None:
        """Make the environment ready for assets, as everybody does once an account and region."""
        # Not in the app's folder: there the CLI would synthesise the app again to know its environments.
        self._cdk(["bootstrap", f"aws://{account.number}/{account.region}"], self._directory, account, endpoint)

    def deploy(self, assembly: Path, account: Account, endpoint: str, stacks: str = ALL_STACKS) -> None:
        """Deploy stacks of the assembly, in the order of their dependencies.

        Args:
            assembly: its folder.
            account: whose credentials the CLI has; a stack of another account is deployed there.
            endpoint: the local cloud's.
            stacks: a pattern of hierarchical ids, such as `Prod/**`. Default: all stacks, those of Stages included.

        Raises:
            RehearsalError: it failed; the message is CloudFormation's.
        """
        self._cdk(["deploy", stacks, *_DEPLOY_OPTIONS, "--app", str(assembly)], self._directory, account, endpoint)

    def destroy(self, assembly: Path, account: Account, endpoint: str, stacks: str = ALL_STACKS) -> None:
        """Delete stacks of the assembly, in the reverse order."""
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
        # A file and no pipe, whose end would not come before that of the last process the app left behind.
        with tempfile.TemporaryFile("a+b", dir=self._directory) as written:
            lifeline, writing_end = os.pipe()
            process = subprocess.Popen(
                tied(list(command), "kill group"),
                cwd=folder,
                env=environment,
                stdin=lifeline,
                stdout=written,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for this process, which then ends the group: node, the app, and what they started.
                start_new_session=True,
            )
            try:
                process.wait()
            finally:
                os.close(lifeline)
                os.close(writing_end)
                toolchain.kill_group(process)
            written.seek(0)
            output = written.read().decode(errors="replace")
        self.output = [f"$ {shlex.join([name, *command[2:]])}", *output.splitlines()]
        return process.returncode, output


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    """Put a file back as it was: a synth keeps there what it looked up, and the next real deployment would use it."""
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
# Where the CLI's output says why it failed, the best place first: CloudFormation's event, the CLI's own verdict, the
# last exception of the app.
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
    return lines[-1] if lines else "it said nothing"
