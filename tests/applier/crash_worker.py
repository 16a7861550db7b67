"""A program that handles events in processes that a test kills: it forks one for each event, which is fast.

It reads a line of JSON for each event, and writes the process id, and then its exit status: 0 for a response, 1 for an
error of this library, and minus the signal that ended it.
"""

import json
import os
import sys
from typing import Any

from cdk_pinsafe.applier import secret
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.applier.secret import Credentials
from cdk_pinsafe.errors import PinSafeError


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def _answer(event: dict[str, Any]) -> int:
    try:
        on_event(event, _Context())
    except PinSafeError:
        return 1
    return 0


def main() -> None:
    first = json.loads(sys.stdin.readline())
    secret.read = lambda arn: Credentials(first["user"], first["password"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the applier's log must not go to the reader of the exit status
    pid = 0
    for line in sys.stdin:
        event = json.loads(line)
        if pid:
            os.waitpid(pid, 0)
        pid = os.fork()
        if not pid:
            os._exit(_answer(event))
        print(pid, file=answers, flush=True)
        # WNOWAIT keeps the process id until the next event: a kill may come too late.
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert end
        print(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status, file=answers, flush=True)


if __name__ == "__main__":
    main()
