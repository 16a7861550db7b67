"""What is measured without rounds: reports at connect, whether a cancel request works, results under a burst."""

import time
from dataclasses import dataclass
from typing import Final

from .session import ANSWER_SECONDS, Refusal, SessionError, Step, await_answers, connect

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


def reports(dsn: str) -> Fact:
    """Which ParameterStatus messages come at connect."""
    session = connect(dsn)
    try:
        there = [name for name in REPORTED if session.parameter(name) is not None]
    finally:
        session.close()
    missing = [name for name in REPORTED if name not in there]
    text = ", ".join(there) or "none"
    return Fact(
        "parameter-reports",
        "parameters reported at connect",
        text + (f"; not: {', '.join(missing)}" if missing else ""),
    )


def cancel(dsn: str) -> Fact:
    """Whether a CancelRequest ends a statement of one second, which is sent for the purpose."""
    session = connect(dsn)
    try:
        session.send(Step(f"SELECT pg_catalog.pg_sleep({_SLEEP})"))
        time.sleep(0.1)
        session.cancel()
        await_answers([session], ANSWER_SECONDS)
        session.answer()
        result = "has no effect: the statement ran to its end"
    except Refusal as error:
        result = "ends the statement (57014)" if error.sqlstate == "57014" else f"the statement got {error}"
    except SessionError as error:
        result = f"cannot tell: {error}"
    finally:
        session.close()
    return Fact("cancel", "CancelRequest", result)


def burst(dsn: str, clients: int) -> Fact:
    """Whether concurrent queries with parameters get their own results: 200 of each client, one after the other."""
    sessions = [connect(dsn) for _ in range(clients)]
    wrong = 0
    try:
        for number in range(_BURST):
            for index, session in enumerate(sessions):
                # Each text is one of its own, as in the report of wrong results.
                session.send(Step(f"SELECT $1::text AS r{index}_{number}", "extended", (f"{index}-{number}",)))
            await_answers(sessions, ANSWER_SECONDS)
            wrong += sum(session.answer() != (f"{index}-{number}",) for index, session in enumerate(sessions))
    finally:
        for session in sessions:
            session.close()
    total = _BURST * clients
    return Fact(
        "burst",
        "results under a burst",
        f"{wrong} of {total:,} were another query's" if wrong else f"all {total:,} right",
    )
