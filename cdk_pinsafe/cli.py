"""The command line ``pinsafe``: each command is a call into a room, which is imported when the command runs.

Exit status: 0 clean, 1 findings or a failure, 2 usage, which includes a missing extra.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from .errors import MissingExtraError

try:
    import click
except ModuleNotFoundError:
    sys.stderr.write("pinsafe: click is not installed: pip install 'cdk-pinsafe[tools]'\n")
    raise SystemExit(2) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("cdk-pinsafe"), prog_name="pinsafe")
def main() -> None:
    """Keep PostgreSQL sessions behind RDS Proxy from being pinned."""


@main.command(short_help="Deploy an app on this machine, and see it work.")
@click.option(
    "--app",
    metavar="APP",
    help="A folder with a cdk.json, or a command as for `cdk --app`.  [default: the cdk.json of this folder]",
)
@click.option("--keep", is_flag=True, help="Stop before `cdk destroy`, show how to connect, and wait for Ctrl-C.")
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rehearse(app: str | None, keep: bool, output_format: str) -> None:
    """Deploy a CDK app to a local cloud with a real PostgreSQL, and show its settings at work.

    Runs the real CDK CLI against a local cloud: bootstrap, deploy, a changed setting, a bad one that must fail,
    destroy. Needs neither an AWS account nor Docker, Node or PostgreSQL, and leaves nothing running or on disk. The
    first run fetches the CDK CLI from npm.

    Exit status: 0 if everything was as it should be, 1 if not, 130 if interrupted.
    """
    with _extra("rehearsal"):
        from .rehearsal.run import run
    sys.exit(run(app, keep=keep, output_format=output_format))


@main.command(short_help="Tell whether a database still has its settings.")
@click.option(
    "--dsn",
    default="",
    help="Connection string of the instance or cluster, not of a proxy.  [default: libpq's environment variables]",
)
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def drift(dsn: str, output_format: str) -> None:
    """Compare a database with what its constructs asked for, and change nothing.

    What was asked for is read from the ledger in the database; it takes the ledger's owner, or a superuser. Shows each
    setting that is stored otherwise, that a role's own value beats, or that a fresh session does not get.

    Exit status: 0 if there is none, 1 if there is one or the database cannot be read.
    """
    with _extra("tools"):
        from .drift import run
    sys.exit(run(dsn, output_format=output_format))


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Turns a missing package into the word which extra has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __package__:
            raise
        missing = MissingExtraError(f"{error.name} is not installed: pip install 'cdk-pinsafe[{name}]'")
        raise click.UsageError(str(missing)) from None
