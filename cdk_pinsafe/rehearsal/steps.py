"""Runs a step of the scenario: reports its begin, duration and end, or fails with its name and the cause."""

import contextlib
import time
from collections.abc import Iterator

import pg8000.native
from botocore.exceptions import BotoCoreError, ClientError

from ..errors import RehearsalError
from ..terminal import one_line
from .report_items import Reporter

__all__ = ["step"]


@contextlib.contextmanager
def step(reporter: Reporter, name: str) -> Iterator[None]:
    """Report a step.

    Raises:
        RehearsalError: an error of PostgreSQL, the local cloud or the operating system in the step.
    """
    reporter.begin(name)
    start = time.monotonic()
    try:
        yield
    except (pg8000.native.Error, BotoCoreError, ClientError, OSError) as error:
        raise RehearsalError(f"{name}: {_message(error)}") from error
    reporter.end(name, time.monotonic() - start)


def _message(error: Exception) -> str:
    """An error's message; pg8000's errors have a dictionary of fields."""
    fields = error.args[0] if error.args else None
    return one_line(str(fields.get("M", fields)) if isinstance(fields, dict) else str(error))
