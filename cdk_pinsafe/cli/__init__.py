"""The command line ``pinsafe``: each command calls one package, and imports it when it runs.

Exit status: 0 without findings, 1 with findings, 2 on failure: wrong usage, a missing extra, a file or a database that
cannot be read.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import rds_proxy
from ..errors import (
    EmulatorError,
    LintError,
    LogsError,
    MissingExtraError,
    PinSafeError,
    ProbeError,
    SettingError,
    UnknownNameError,
)

try:
    import click
except ModuleNotFoundError:
    sys.stderr.write("pinsafe: click is not installed: pip install 'cdk-pinsafe[tools]'\n")
    raise SystemExit(2) from None


_FORMAT = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
_DSN = click.option(
    "--dsn",
    required=True,
    metavar="DSN",
    help="postgresql://user@host/database, or libpq's key=value pairs. Leave the password to PGPASSWORD or ~/.pgpass.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cdk-pinsafe", prog_name="pinsafe")
def main() -> None:
    """Keep PostgreSQL sessions behind RDS Proxy from being pinned."""


@main.command(short_help="Deploy an app on this machine and run clients.")
@click.option(
    "--app",
    metavar="APP",
    help="A folder with a cdk.json, or a command as for `cdk --app`.  [default: the cdk.json of this folder]",
)
@click.option("--keep", is_flag=True, help="Stop before `cdk destroy`, show how to connect, and wait for Ctrl-C.")
@click.option(
    "--timeline",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw which client had which of the proxy's database connections.",
)
@_FORMAT
def rehearse(app: str | None, keep: bool, timeline: Path | None, output_format: str) -> None:
    """Deploy a CDK app to a local cloud with a real PostgreSQL, and show its settings and its proxy at work.

    Runs the real CDK CLI against a local cloud: bootstrap, deploy, clients of the proxy with and without a SET, a
    changed setting, an invalid one that must fail, destroy. Needs no AWS account, Docker, Node or PostgreSQL, and
    leaves nothing running or on disk. The first run fetches the CDK CLI from npm.

    Exit status: 0 if all steps succeeded, 1 if not, 2 if it could not start, 130 if interrupted.
    """
    with _extra("rehearsal"):
        from ..rehearsal.run import run
    sys.exit(run(app, keep=keep, timeline=timeline, output_format=output_format))


@main.command(short_help="Read the proxy's log: what pins, who sends it, and remedies.")
@click.argument("files", metavar="[FILE...|-]", nargs=-1)
@click.option("--log-group", metavar="NAME", help="Read a log group of CloudWatch Logs, with your AWS credentials.")
@click.option("--since", metavar="TIME", help="For --log-group: 30m, 2h, 7d, or 2026-01-31T12:00 (UTC).  [default: 1h]")
@click.option("--until", metavar="TIME", help="For --log-group, as --since.  [default: now]")
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json", "html"]), default="text", show_default=True
)
@click.option("--output", metavar="FILE", help="Write to a file.  [default: standard output]")
def logs(
    files: tuple[str, ...],
    log_group: str | None,
    since: str | None,
    until: str | None,
    output_format: str,
    output: str | None,
) -> None:
    """Read RDS Proxy's log and report which statements pinned sessions, how often, when, and what to do about each.

    A FILE is a log, or a folder of logs, plain or gzip: an export to S3, output of `aws logs` (text or JSON), or a
    download from the console (CSV); - is standard input.

    Exit status: 0 if no session was pinned, 1 if one was, 2 if an input cannot be read.
    """
    with _extra("tools"):
        from ..logs.run import run
    with _usage():
        sys.exit(run(files, log_group=log_group, since=since, until=until, output_format=output_format, output=output))


@main.command(short_help="What pins a session, and what to write instead.")
@click.argument("id", required=False)
@_FORMAT
def conditions(id: str | None, output_format: str) -> None:
    """Show what pins a session of RDS Proxy for PostgreSQL, or the details of one condition: `pinsafe conditions set`.

    Each has its evidence. This project tried none on a real proxy.
    """
    with _extra("tools"), _usage():
        from .pinning_reference import show_conditions

        show_conditions(id, output_format=output_format)


@main.command(short_help="Which drivers and frameworks pin, and how to stop them.")
@click.argument("name", required=False)
@_FORMAT
def clients(name: str | None, output_format: str) -> None:
    """Show what drivers and frameworks send by default, or the details of one: `pinsafe clients Rails`."""
    with _extra("tools"), _usage():
        from .pinning_reference import show_clients

        show_clients(name, output_format=output_format)


@main.command(short_help="Report which of a database's statements pin.")
@_DSN
@_FORMAT
def audit(dsn: str, output_format: str) -> None:
    """Read a database's pg_stat_statements and settings, and report which statements pin and which settings to move.

    Only reads, in one transaction. Connect directly to the database, as a member of pg_monitor or as the master user.
    The statements are those of all clients, through the proxy or not.

    Exit status: 0 if no statement pins, 1 if one does, 2 if the database cannot be read.
    """
    with _extra("tools"), _failure():
        from ..audit import run

        findings = run(dsn, output_format=output_format)
    sys.exit(1 if findings else 0)


@main.command(short_help="Measure what pins, on your own proxy.")
@_DSN
@click.option("--connections", default=6, show_default=True, help="The most connections at the same time, from 4.")
@click.option("--seconds", default=60.0, show_default=True, help="After which time nothing new begins.")
@click.option("--read-only", is_flag=True, help="Send nothing that creates something, not even what is rolled back.")
@click.option("--burst", is_flag=True, help="At the end send a burst of queries, to see whether results are right.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and connect to nothing.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the measurement as JSON, too.",
)
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True
)
def probe(
    dsn: str,
    connections: int,
    seconds: float,
    read_only: bool,
    burst: bool,
    dry_run: bool,
    output: Path | None,
    output_format: str,
) -> None:
    """Measure which statements pin a session behind DSN, a proxy or a pooler, and compare with the table.

    A session runs a statement; then other clients hold transactions at the same time, in several rounds, and all ask
    which database connection serves them. Creates nothing that outlives it. Run it where the proxy's clients
    run, with a database and a user of theirs.

    Exit status: 0 if all outcomes agree with the table, 1 if one differs, 2 if none could be told, 130 after Ctrl-C.
    """
    with _extra("tools"), _failure():
        from ..probe.command import run
        from ..probe.run import Options

        try:
            options = Options(connections=connections, seconds=seconds, read_only=read_only, burst=burst)
        except ProbeError as error:
            raise click.UsageError(str(error)) from None
        status = run(dsn, options, output_format=output_format, output=output, dry_run=dry_run)
    sys.exit(status)


@main.command(short_help="Find what pins in SQL, programs and configuration.")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--select", metavar="IDS", multiple=True, help="Check these rules only; separate ids by commas.")
@click.option("--ignore", metavar="IDS", multiple=True, help="Do not check these rules.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
)
def lint(paths: tuple[str, ...], select: tuple[str, ...], ignore: tuple[str, ...], output_format: str) -> None:
    """Find what pins a session of RDS Proxy in files and folders, and show what to write instead.

    Reads SQL files (also for psql), SQL in strings of Python, JavaScript, TypeScript, Java, Go and Ruby, and client
    configuration. PATH is a file, a folder or - for SQL from standard input; by default this folder.

    Exit status: 0 without findings, 1 with findings, 2 if a path or an option is invalid.
    """
    with _extra("tools"), _usage():
        from ..lint.run import run

        status = run(
            paths or (".",),
            select=" ".join(select).replace(",", " ").split(),
            ignore=" ".join(ignore).replace(",", " ").split(),
            output_format=output_format,
        )
    sys.exit(status)


@main.command(short_help="Check whether a database still has its settings.")
@_DSN
@_FORMAT
def drift(dsn: str, output_format: str) -> None:
    """Compare a database with the settings that its constructs deployed; change nothing.

    Reads the deployed settings from the ledger in the database, as the ledger's owner or a superuser. Connect directly
    to the database, not to a proxy. Shows each setting that is stored with another value, that a role's value
    overrides, or that a new session does not get.

    Exit status: 0 if there is none, 1 if there is one, 2 if the database cannot be read.
    """
    with _extra("tools"), _failure():
        from ..drift import run

        findings = run(dsn, output_format=output_format)
    sys.exit(1 if findings else 0)


@main.command("settings", short_help="Look up a parameter: its values, and whether a database can set it.")
@click.argument("name", required=False)
@click.option(
    "--engine-version",
    type=click.Choice(["14", "15", "16", "17", "18"]),
    help="PostgreSQL's major version.  [default: all for one parameter, the newest for the list]",
)
@_FORMAT
def settings(name: str | None, engine_version: str | None, output_format: str) -> None:
    """List the parameters that a database can set, or show the parameter NAME.

    They were measured on PostgreSQL 14 to 18 with pgvector, pg_trgm, auto_explain, pg_stat_statements and PL/pgSQL.
    `DatabaseSettings` validates settings with the same data.

    Exit status: 0, or 2 if there is no such parameter.
    """
    with _extra("tools"), _usage():
        from .settings_reference import show

        show(name, int(engine_version) if engine_version else None, output_format)


@main.command(short_help="Run a local RDS Proxy emulator.")
@click.option(
    "--target", required=True, metavar="DSN", help="The PostgreSQL behind it. Set the password in PGPASSWORD."
)
@click.option(
    "--listen", default="127.0.0.1:6432", show_default=True, metavar="HOST:PORT", help="Where clients connect."
)
@click.option("--pool-size", default=30, show_default=True, help="The maximum number of database connections.")
@click.option("--max-idle", type=int, help="How many connections may stay idle.  [default: half of --pool-size]")
@click.option(
    "--authentication",
    type=click.Choice(["scram-sha-256", "md5", "trust", "password"]),
    default="scram-sha-256",
    show_default=True,
    help="How clients authenticate, with the target's password; with `password` the database checks any user's.",
)
@click.option("--tls-certificate", type=click.Path(dir_okay=False), help="Offer clients TLS with this certificate,")
@click.option("--tls-key", type=click.Path(dir_okay=False), help="and this key, both PEM.")
@click.option("--require-tls", is_flag=True, help="Refuse clients without TLS.")
@click.option("--legacy", is_flag=True, help="Pin on every Parse message, as before November 2023.")
@click.option(
    "--borrow-timeout",
    default=float(rds_proxy.DEFAULT_BORROW_TIMEOUT),
    show_default=True,
    help="Seconds that a client waits for a connection.",
)
@click.option(
    "--idle-client-timeout",
    default=float(rds_proxy.DEFAULT_IDLE_CLIENT_TIMEOUT),
    show_default=True,
    help="Seconds that a client may be idle.",
)
@click.option(
    "--client-lifetime",
    default=float(rds_proxy.CLIENT_LIFETIME),
    show_default=True,
    help="Seconds that a client may stay connected.",
)
@click.option("--log", metavar="FILE", help="Append RDS Proxy's log lines to a file; - writes them to standard output.")
@click.option("--metrics-port", type=int, help="Serve metrics on this port of 127.0.0.1; 0 takes a free one.")
@click.option(
    "--timeline", type=click.Path(dir_okay=False), help="At the end, draw which client had which connection (SVG)."
)
@_FORMAT
def emulator(
    target: str, log: str | None, metrics_port: int | None, timeline: str | None, output_format: str, **given: object
) -> None:
    """Run a local RDS Proxy emulator: multiplex transactions, pin sessions, and show why.

    Runs until Ctrl-C. On a terminal it shows its clients, its database connections, and which statement pinned which
    client; elsewhere it prints each pin. Change an application's DSN to the emulator's address, and see what pins.

    Exit status: 0 if nothing pinned, 1 if something did, 2 if it could not start.
    """
    with _extra("tools"), _usage():
        from ..emulator import command

        options = command.options(**given)
        status = command.run(
            target,
            options,
            output_format=output_format,
            log=log,
            timeline=Path(timeline) if timeline is not None else None,
            metrics_port=metrics_port,
        )
    sys.exit(status)


@contextmanager
def _usage() -> Iterator[None]:
    """Turns errors in arguments, such as an unknown name or an unreadable path, into usage errors."""
    try:
        yield
    except (LintError, LogsError, SettingError, EmulatorError, UnknownNameError) as error:
        raise click.UsageError(str(error)) from None


class _FailedError(click.ClickException):
    exit_code = 2


@contextmanager
def _failure() -> Iterator[None]:
    """Turns other errors into one line and exit status 2."""
    try:
        yield
    except PinSafeError as error:
        raise _FailedError(str(error)) from None


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Turns a missing package into an error that names its extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "cdk_pinsafe":
            raise
        missing = MissingExtraError(f"{error.name} is not installed: pip install 'cdk-pinsafe[{name}]'")
        raise click.UsageError(str(missing)) from None
