"""Runs a rehearsal from beginning to end, and leaves nothing behind whatever happens in between."""

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
from .scenario import Story

__all__ = ["run"]

OK, FAILED, NOT_BEGUN, INTERRUPTED = 0, 1, 2, 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    app: str | None = None, *, keep: bool = False, timeline: Path | None = None, output_format: str = "text"
) -> int:
    """Rehearse an app and return the exit status.

    That is 0 if all went as it should, 1 if not, 2 if it could not begin, for want of the app or of what it runs on,
    130 if interrupted.

    Args:
        app: a folder with a `cdk.json`, or a command as for `cdk --app`; by default the `cdk.json` of this folder.
        keep: stop before the end, show how to connect, and wait to be interrupted; that ends with 0.
        timeline: an SVG file to draw the proxy's traffic into, once all is over.
        output_format: `text`, or `json` for one document on standard output, with progress on standard error.
    """
    report = report_for(output_format)
    start = time.monotonic()
    story: Story | None = None
    status, error = OK, None
    with _interruptible(), _no_aws_settings():
        try:
            with _temporary_directory() as directory:
                story = Story(App.of(app), directory, report)
                story.tell(keep=keep, timeline=timeline)
        except RehearsalError as failure:
            status, error = FAILED if story is not None and story.has_begun else NOT_BEGUN, str(failure)
        except KeyboardInterrupt:
            kept = story is not None and story.is_waiting
            status, error = (OK, None) if kept else (INTERRUPTED, "interrupted")
        except BaseException:
            report.abandon()
            raise
    failed = status in (FAILED, NOT_BEGUN)
    report.finish(time.monotonic() - start, error, story.cli_output if failed and story is not None else [])
    return status


@contextlib.contextmanager
def _temporary_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pinsafe-rehearsal-", ignore_cleanup_errors=True) as name:
        directory = Path(name).resolve()
        # Root's PostgreSQL runs as `nobody`, who must pass through; what is inside is closed to others by itself.
        directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield directory


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let the first signal interrupt, and none after it, so that cleaning up is not interrupted itself."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    # A terminal that was left with nohup stays left.
    heeded = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _no_aws_settings() -> Iterator[None]:
    """Take every AWS setting out of this process, so that no client in it can find a real account."""
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
