"""The fixtures of the local cloud, and processes by their environment."""

from pathlib import Path

import pytest

from ..localcloud.conftest import authority, cloud

__all__ = ["authority", "cloud", "needs_proc", "processes_with"]


def processes_with(variable: str) -> list[str]:
    """The commands of running processes that have `NAME=value` in their environment; Linux only."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are found in /proc")
