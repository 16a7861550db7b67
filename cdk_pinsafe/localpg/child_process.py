"""Runs a child that is signalled when this process dies, even by SIGKILL.

A pipe connects the two, so this works on Linux and macOS, needs no cooperation of the child and no thread here. A
caller that stops the child itself writes `STOP` before it closes the pipe; only an end without that removes the child's
files.
"""

from pathlib import Path
from typing import Literal

__all__ = ["STOP", "die_with_parent"]

STOP = b"stop\n"

# The shell becomes the command (exec keeps its process id). Before that it starts a reader of the pipe, which sends the
# signal once the writing end is closed. The inner parentheses detach the reader, so that the command has no child that
# it does not know of.
_SCRIPT = 'exec 3<&0; ( {{ read -r word <&3; kill {signal}$$; {then}; }} >/dev/null 2>&1 & ); exec "$@" 3<&- </dev/null'
# The wait has a limit: a zombie that nobody reaps looks alive forever.
_REMOVE = '[ "$word" ] || { for _ in 1 2 3 4 5 6 7 8 9; do kill -0 $$ || break; sleep 1; done; rm -rf "$0"; }'


def die_with_parent(
    command: list[str], on_end: Literal["interrupt", "kill group"], *, leftovers: Path | None = None
) -> list[str]:
    """Return a command that runs `command` until it ends or the parent dies.

    Start it with the reading end of a pipe as standard input. `command` itself reads from /dev/null.

    Args:
        command: what to run.
        on_end: what to do when the pipe is closed: interrupt the command, or kill the process group that it leads.
        leftovers: a folder to remove when the parent died, after an interrupted command has ended.
    """
    signal = "-INT " if on_end == "interrupt" else "-KILL -"
    script = _SCRIPT.format(signal=signal, then=_REMOVE if leftovers else ":")
    return ["/bin/sh", "-c", script, str(leftovers or "sh"), *command]
