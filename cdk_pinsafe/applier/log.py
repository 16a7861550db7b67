"""Structured log lines: one JSON object a line on standard output, from where Lambda takes them.

Callers pass names, counts, durations and SQLSTATEs; never a secret or the value of a setting.
"""

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

_BOUND: Final[ContextVar[dict[str, object] | None]] = ContextVar("bound", default=None)


@contextlib.contextmanager
def bound_fields(**fields: object) -> Iterator[None]:
    """Add these fields to every line that this thread logs in the block."""
    token = _BOUND.set(fields)
    try:
        yield
    finally:
        _BOUND.reset(token)


def info(event: str, **fields: object) -> None:
    """Log a normal event."""
    _write("INFO", event, fields)


def warning(event: str, **fields: object) -> None:
    """Log an event that a person may want to look at."""
    _write("WARNING", event, fields)


def error(event: str, **fields: object) -> None:
    """Log the cause of a failed deployment."""
    _write("ERROR", event, fields)


def metrics(namespace: str, dimensions: dict[str, str], values: dict[str, int]) -> None:
    """Publish metrics in CloudWatch's embedded metric format, which needs no network route and no permission."""
    described = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in values],
    }
    milliseconds = int(time.time() * 1000)
    info("metrics", _aws={"Timestamp": milliseconds, "CloudWatchMetrics": [described]}, **dimensions, **values)


def exception(raised: Exception, **fields: object) -> None:
    """Log an internal error: its class and stack frames. Its message could hold a value or a secret."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(raised.__traceback__)]
    error("internal_error", kind=type(raised).__name__, frames=frames, **fields)


def _write(level: str, event: str, fields: dict[str, object]) -> None:
    # ASCII: no name can break the line or the encoding of the stream.
    sys.stdout.write(json.dumps({"level": level, "event": event, **fields, **(_BOUND.get() or {})}, default=str) + "\n")
    sys.stdout.flush()
