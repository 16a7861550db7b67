"""Ties a child process to this one by a pipe: whatever ends this process, a kill as well, the child gets a signal.

Works on Linux and macOS, needs no cooperation of the child and no thread here.
"""

from typing import Literal

__all__ = ["tied"]

# The shell becomes the command (exec keeps its process id), and leaves behind a reader of the pipe that signals once
# the writing end is closed. The two closing parentheses make the reader nobody's child that the command would notice.
_SCRIPT = 'exec 3<&0; ( {{ read -r _ <&3; kill {signal}$$; }} >/dev/null 2>&1 & ); exec "$@" 3<&- </dev/null'


def tied(command: list[str], on_end: Literal["interrupt", "kill group"]) -> list[str]:
    """The command, tied to the pipe that it must be given as its standard input; itself it reads from /dev/null.

    Args:
        command: what to run.
        on_end: what to do when the pipe closes: interrupt the command, or kill the group that it leads.
    """
    signal = "-INT " if on_end == "interrupt" else "-KILL -"
    return ["/bin/sh", "-c", _SCRIPT.format(signal=signal), "sh", *command]
