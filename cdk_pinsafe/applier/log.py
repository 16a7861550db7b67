"""Structured log lines: one JSON object a line on standard output, where Lambda picks them up.

Callers pass names, counts, durations and SQLSTATEs; never a secret, nor a setting's value.
"""

import json
import sys


def info(event: str, **fields: object) -> None:
    """Log something that went as it should."""
    _write("INFO", event, fields)


def warning(event: str, **fields: object) -> None:
    """Log something that somebody may want to look at."""
    _write("WARNING", event, fields)


def error(event: str, **fields: object) -> None:
    """Log what made a deployment fail."""
    _write("ERROR", event, fields)


def _write(level: str, event: str, fields: dict[str, object]) -> None:
    # ASCII, so that no name can break the line apart or the stream's encoding.
    sys.stdout.write(json.dumps({"level": level, "event": event, **fields}, default=str) + "\n")
    sys.stdout.flush()
