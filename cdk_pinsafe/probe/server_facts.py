"""What is measured without rounds: reports at connect, whether a cancel request works, results under a burst."""

import contextlib
import time
from dataclasses import dataclass
from typing import Final

from .session import ANSWER_SECONDS, Refusal, Step, await_answers, connect

# The parameters that PostgreSQL 14 to 18 report: "Asynchronous Operations" in its documentation.
REPORTED: Final = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "default_transaction_read_only",
    "in_hot_standby",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "scram_iterations",
    "search_path",
)
_SLEEP: Final = 1.0
_BURST: Final = 200
_BURST_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Fact:
    """Something measured.

    Attributes:
        id: Stable name.
        title: What was measured.
        result: What was found, in words.
    """

    id: str
    title: str
    result: str


def reports(dsn: str) -> str:
    """Which ParameterStatus messages come at connect."""
    with contextlib.closing(connect(dsn)) as session:
        there = [name for name in REPORTED if session.parameter(name) is not None]
    missing = ", ".join(name for name in REPORTED if name not in there)
    return (", ".join(there) or "none") + (f"; not: {missing}" if missing else "")


def cancel(dsn: str) -> str:
    """Whether a CancelRequest ends a statement of one second, which is sent for the purpose."""
    with contextlib.closing(connect(dsn)) as session:
        session.send(Step(f"SELECT pg_catalog.pg_sleep({_SLEEP})"))
        time.sleep(_SLEEP / 10)
        session.cancel()
        await_answers([session], ANSWER_SECONDS)
        try:
            session.answer()
        except Refusal as error:
            return "ends the statement (57014)" if error.sqlstate == "57014" else f"the statement got {error}"
    return "has no effect: the statement ran to its end"


def burst(dsn: str, clients: int) -> str:
    """Whether concurrent queries with parameters get their own results: up to 200 of each client, for 10 seconds."""
    wrong = total = 0
    end = time.monotonic() + _BURST_SECONDS
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(contextlib.closing(connect(dsn))) for _ in range(clients)]
        for number in range(_BURST):
            for index, session in enumerate(sessions):
                # Each text is one of its own, as in the report of wrong results.
                session.send(Step(f"SELECT $1::text AS r{index}_{number}", "extended", (f"{index}-{number}",)))
            await_answers(sessions, ANSWER_SECONDS)
            wrong += sum(session.answer() != (f"{index}-{number}",) for index, session in enumerate(sessions))
            total += len(sessions)
            if time.monotonic() > end:
                break
    return f"{wrong} of {total:,} were another query's" if wrong else f"all {total:,} right"
