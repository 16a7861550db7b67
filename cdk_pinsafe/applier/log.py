"""Structured log lines: one JSON object a line on standard output, where Lambda picks them up.

Callers pass names, counts, durations and SQLSTATEs; never a secret, nor a setting's value.
"""

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

_ABOUT: Final[ContextVar[dict[str, object] | None]] = ContextVar("about", default=None)


@contextlib.contextmanager
def about(**fields: object) -> Iterator[None]:
    """Every line from within, on the same thread, has these fields."""
    token = _ABOUT.set(fields)
    try:
        yield
    finally:
        _ABOUT.reset(token)


def info(event: str, **fields: object) -> None:
    """Log something that went as it should."""
    _write("INFO", event, fields)


def warning(event: str, **fields: object) -> None:
    """Log something that somebody may want to look at."""
    _write("WARNING", event, fields)


def error(event: str, **fields: object) -> None:
    """Log what made a deployment fail."""
    _write("ERROR", event, fields)


def metrics(namespace: str, dimensions: dict[str, str], values: dict[str, int]) -> None:
    """Publish metrics by the log, in CloudWatch's embedded metric format, which takes no route and no permission."""
    described = {
        "Namespace": namespace,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in values],
    }
    milliseconds = int(time.time() * 1000)
    info("metrics", _aws={"Timestamp": milliseconds, "CloudWatchMetrics": [described]}, **dimensions, **values)


def fault(exception: Exception, **fields: object) -> None:
    """Log a fault of ours. Where it happened helps; what was being handled stays out of the log."""
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exception.__traceback__)
    ]
    error("fault", kind=type(exception).__name__, frames=frames, **fields)


def _write(level: str, event: str, fields: dict[str, object]) -> None:
    # ASCII, so that no name can break the line apart or the stream's encoding.
    sys.stdout.write(json.dumps({"level": level, "event": event, **fields, **(_ABOUT.get() or {})}, default=str) + "\n")
    sys.stdout.flush()
