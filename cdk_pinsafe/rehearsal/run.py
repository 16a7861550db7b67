"""Runs a rehearsal and removes everything afterwards, also after errors and signals."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ..errors import RehearsalError
from .cdk_cli import App
from .report import report_for
from .scenario import Scenario

__all__ = ["run"]

OK, FAILED, NOT_STARTED, INTERRUPTED = 0, 1, 2, 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    app: str | None = None, *, keep: bool = False, timeline: Path | None = None, output_format: str = "text"
) -> int:
    """Rehearse an app and return the exit status.

    The status is 0 if the rehearsal succeeded, 1 if it failed, 2 if it could not start because the app or a program is
    missing, 130 if it was interrupted.

    Args:
        app: a folder with a `cdk.json`, or a command as for `cdk --app`; by default the `cdk.json` of this folder.
        keep: do not destroy the app: show how to connect, and wait to be interrupted, which then has status 0.
        timeline: an SVG file for the timeline of the proxy's connections; written at the end.
        output_format: `text`, or `json` for one document on standard output, with progress on standard error.
    """
    report = report_for(output_format)
    start = time.monotonic()
    scenario: Scenario | None = None
    status, error = OK, None
    with _interruptible(), _no_aws_settings():
        try:
            with _temporary_directory() as directory:
                scenario = Scenario(App.from_option(app), directory, report)
                scenario.run(keep=keep, timeline=timeline)
        except RehearsalError as failure:
            status, error = FAILED if scenario is not None and scenario.has_started else NOT_STARTED, str(failure)
        except KeyboardInterrupt:
            waiting = scenario is not None and scenario.is_waiting
            status, error = (OK, None) if waiting else (INTERRUPTED, "interrupted")
        except BaseException:
            report.abandon()
            raise
    failed = status in (FAILED, NOT_STARTED)
    report.finish(time.monotonic() - start, error, scenario.cli_output if failed and scenario is not None else [])
    return status


@contextlib.contextmanager
def _temporary_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pinsafe-rehearsal-", ignore_cleanup_errors=True) as name:
        directory = Path(name).resolve()
        # As root, PostgreSQL runs as the user nobody, who must be able to enter its folder below this one.
        directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield directory


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt and ignore later ones, which would interrupt the cleanup."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    # nohup ignores SIGHUP: keep it so.
    handled = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _no_aws_settings() -> Iterator[None]:
    """Remove all AWS settings from this process, so that no client in it finds a real account."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    try:
        yield
    finally:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"):
            os.environ.pop(name, None)
        os.environ |= before
