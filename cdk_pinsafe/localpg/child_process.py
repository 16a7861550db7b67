"""Ties a child process to this one by a pipe: whatever ends this process, a kill as well, the child gets a signal.

Works on Linux and macOS, needs no cooperation of the child and no thread here. A child that is ended on purpose gets
`ON_PURPOSE` before the pipe is closed; what an end without it leaves behind can be removed too.
"""

from pathlib import Path
from typing import Literal

__all__ = ["ON_PURPOSE", "tied"]

ON_PURPOSE = b"stop\n"

# The shell becomes the command (exec keeps its process id), and leaves behind a reader of the pipe that signals once
# the writing end is closed. The two closing parentheses make the reader nobody's child that the command would notice.
_SCRIPT = 'exec 3<&0; ( {{ read -r word <&3; kill {signal}$$; {then}; }} >/dev/null 2>&1 & ); exec "$@" 3<&- </dev/null'
# With a limit, as a process that nobody waits for may look alive for ever.
_REMOVE = '[ "$word" ] || { for _ in 1 2 3 4 5 6 7 8 9; do kill -0 $$ || break; sleep 1; done; rm -rf "$0"; }'


def tied(command: list[str], on_end: Literal["interrupt", "kill group"], *, leftovers: Path | None = None) -> list[str]:
    """The command, tied to the pipe that it must be given as its standard input; itself it reads from /dev/null.

    Args:
        command: what to run.
        on_end: what to do when the pipe closes: interrupt the command, or kill the group that it leads.
        leftovers: a folder to remove once an interrupted command has ended, unless it was ended on purpose.
    """
    signal = "-INT " if on_end == "interrupt" else "-KILL -"
    script = _SCRIPT.format(signal=signal, then=_REMOVE if leftovers else ":")
    return ["/bin/sh", "-c", script, str(leftovers or "sh"), *command]
