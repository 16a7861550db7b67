"""The whole measurement: what is sent in which order, what is left out and why, and what each row's rounds prove."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from ..dsn import parse_dsn
from ..errors import DsnError, ProbeError
from ..pinning.conditions import Evidence
from .rounds import Field, Round, Watched
from .rows import CANARY, KEY, NAME, USER, WORK_MEM, Row, rows
from .server_facts import Fact, burst, cancel, reports
from .session import Refusal, Session, SessionError, Step, connect
from .verdict import ALPHA, BEFORE, LOOKS, Outcome, chance, is_pinned

_TRACE_ROUNDS: Final = 8
FEWEST_CONNECTIONS: Final = 4
MOST_CONNECTIONS: Final = 50
MOST_SECONDS: Final = 3600.0

NO_HANDOVER: Final = (
    "no session's database connection was seen to serve another client: nothing is multiplexed here (a direct "
    "connection, or a pooler in session mode), or the pool is much larger than the probe's clients, or they are on "
    "different nodes of the proxy"
)


class Comparison(StrEnum):
    """An outcome, compared with the table of what pins."""

    AGREES = "agrees"
    DIFFERS = "differs"
    SETTLES = "settles"
    """The table's evidence is conflicting, inferred or unverified: the outcome settles it for what was probed."""
    NONE = ""
    """There is no outcome to compare."""


@dataclass(frozen=True)
class Result:
    """What was found for a row.

    Attributes:
        row: The row.
        outcome: What was found.
        reason: Why it cannot be told, or the error; empty otherwise.
        rounds: Rounds after the statement.
        control: Rounds of these in which the control session was handed over.
        before: Rounds before the statement in which the session itself was handed over, of 10.
        seen_in: The round after the statement that proved the outcome, from 1 on; 0 if none did by itself.
    """

    row: Row
    outcome: Outcome
    reason: str = ""
    rounds: int = 0
    control: int = 0
    before: int = 0
    seen_in: int = 0

    @property
    def comparison(self) -> Comparison:
        """The outcome, compared with the table."""
        if self.outcome == Outcome.CANNOT_TELL or (
            self.outcome == Outcome.REFUSED and self.row.expected != Outcome.REFUSED
        ):
            return Comparison.NONE
        if self.row.evidence and self.row.evidence[0] in (Evidence.CONFLICTING, Evidence.INFERRED, Evidence.UNVERIFIED):
            return Comparison.SETTLES
        return Comparison.AGREES if self.outcome == self.row.expected else Comparison.DIFFERS


@dataclass(frozen=True)
class Options:
    """How to probe.

    Attributes:
        connections: The most sessions that are open at the same time.
        seconds: After which time no further round begins.
        read_only: Send nothing that creates something, even if it is rolled back or temporary.
        burst: Send a burst of concurrent queries, too.
    """

    connections: int = 6
    seconds: float = 60.0
    read_only: bool = False
    burst: bool = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not FEWEST_CONNECTIONS <= self.connections <= MOST_CONNECTIONS:
            raise ProbeError(
                f"--connections should be from {FEWEST_CONNECTIONS} to {MOST_CONNECTIONS}, got {self.connections}"
            )
        if not 0 < self.seconds <= MOST_SECONDS:
            raise ProbeError(f"--seconds should be more than 0 and at most {MOST_SECONDS:g}, got {self.seconds:g}")


@dataclass(frozen=True)
class Report:
    """A measurement.

    Attributes:
        when: When it began.
        seconds: How long it took.
        server_version: What the server or the proxy reports.
        results: A result for each row.
        facts: What was measured without rounds.
    """

    when: datetime
    seconds: float
    server_version: str
    results: tuple[Result, ...]
    facts: tuple[Fact, ...]

    def count(self, comparison: Comparison) -> int:
        """How many rows compare so."""
        return sum(result.comparison == comparison for result in self.results)

    @property
    def status(self) -> int:
        """The exit status: 1 if a row differs, 2 if none could be compared, otherwise 0."""
        if self.count(Comparison.DIFFERS):
            return 1
        return 0 if any(result.rounds and result.comparison for result in self.results) else 2


def probe(
    dsn: str,
    options: Options | None = None,
    *,
    chosen: Sequence[Row] | None = None,
    progress: Callable[[Result], object] = lambda _: None,
) -> Report:
    """Measure what a proxy pins.

    Args:
        dsn: As libpq has it; an empty one leaves all to the environment (``PGHOST`` and so on).
        options: How.
        chosen: The rows; all of them by default. Those that others depend on come first.
        progress: Called with each result.

    Raises:
        ProbeError: no connection could be opened, or the DSN is malformed; the message holds no password.
    """
    options = options or Options()
    try:
        parse_dsn(dsn)
    except DsnError as error:
        raise ProbeError(str(error)) from None
    measurement = _Measurement(dsn, options)
    results = []
    with contextlib.closing(measurement):
        for row in rows() if chosen is None else chosen:
            result = measurement.result(row)
            results.append(result)
            progress(result)
    return Report(
        when=measurement.when,
        seconds=time.monotonic() - measurement.started,
        server_version=measurement.server_version,
        results=tuple(results),
        facts=measurement.facts(),
    )


@dataclass
class _Rounds:
    """The rounds of one row so far."""

    before: list[bool] = field(default_factory=list)
    control: list[bool] = field(default_factory=list)


class _Measurement:
    def __init__(self, dsn: str, options: Options) -> None:
        self.when = datetime.now(UTC)
        self.started = time.monotonic()
        self._dsn = dsn
        self._options = options
        self._token = secrets.token_hex(4)
        self._rows = 0
        self._outcomes: dict[str, Outcome] = {}
        self._no_control = ""  # why nothing can be measured by rounds
        self._careful = True
        with self._session(()) as session:
            self.server_version = (session.parameter("server_version") or "").split(" ")[0]
            try:
                self._user = session.ask("SELECT pg_catalog.quote_ident(current_user)")[0] or ""
                self._work_mem = session.ask("SELECT pg_catalog.current_setting('work_mem')")[0] or ""
            except (Refusal, SessionError) as error:
                raise ProbeError(f"the database could not be probed: {error}") from None
        # The subject, the control session, and the others.
        self._clients = options.connections - 2
        self._field = Field(lambda: connect(dsn), self._clients)

    def close(self) -> None:
        self._field.close()

    def facts(self) -> tuple[Fact, ...]:
        """What is measured without rounds."""
        self._field.close()
        clients = self._options.connections
        wanted: list[tuple[str, str, Callable[[], str]]] = [
            ("parameter-reports", "parameters reported at connect", lambda: reports(self._dsn)),
            ("cancel", "CancelRequest", lambda: cancel(self._dsn)),
            *([("burst", "results under a burst", lambda: burst(self._dsn, clients))] if self._options.burst else []),
        ]
        return tuple(Fact(name, title, _told(measure)) for name, title, measure in wanted)

    def result(self, row: Row) -> Result:
        """Measure a row, unless it must not be sent."""
        reason = self._not_sent(row)
        if reason:
            result = Result(row, Outcome.CANNOT_TELL, f"not sent: {reason}")
        else:
            result = self._measured(row)
            pinning = [one for one in row.prerequisites if self._outcomes.get(one) == Outcome.PINNED]
            if result.outcome == Outcome.PINNED and pinning:
                reason = f"what it needs first pins by itself ({', '.join(pinning)})"
                result = replace(result, outcome=Outcome.CANNOT_TELL, reason=reason)
        self._outcomes[row.id] = result.outcome
        if row.id == CANARY.id:
            self._careful = result.outcome != Outcome.PINNED
            self._no_control = "" if result.control or result.before else result.reason
        return result

    def _not_sent(self, row: Row) -> str:
        if self._is_late():
            return self._late
        if row.is_startup or row.id == CANARY.id:
            return ""
        if self._no_control:
            return self._no_control
        if row.writes and self._options.read_only:
            return "it creates something (--read-only)"
        if row.harms_others and self._careful:
            return "session state is not known to end with the session here, so that this could change other clients'"
        refused = [one for one in row.prerequisites if self._outcomes.get(one) == Outcome.REFUSED]
        return f"what it needs first is refused ({', '.join(refused)})" if refused else ""

    def _is_late(self) -> bool:
        return time.monotonic() - self.started > self._options.seconds

    @property
    def _late(self) -> str:
        return f"time is up (--seconds {self._options.seconds:g})"

    def _round(self, others: Field, subject: Watched, rounds: _Rounds, trace: str = "", undo: str = "") -> Round:
        if self._is_late():
            raise SessionError(self._late)
        seen = others.round(subject, trace=trace, undo=undo)
        rounds.control.append(seen.control)
        return seen

    def _measured(self, row: Row) -> Result:
        self._rows += 1
        own = self._own(row)
        rounds = _Rounds()
        try:
            result = self._with_sessions(own, rounds)
        except Refusal as error:
            result = replace(self._found(row, Outcome.REFUSED, rounds), reason=_without_address(error))
        except (SessionError, ProbeError) as error:
            result = replace(self._found(row, Outcome.CANNOT_TELL, rounds), reason=_without_address(error))
        # Where state ends with its session, what the protocol prepared is the proxy's own to remove.
        if own.undo and (own.is_leak or self._careful) and result.outcome not in (Outcome.PINNED, Outcome.LEAKED):
            # Whatever it was, the state may have stayed behind in a connection that others use.
            with contextlib.suppress(SessionError):
                self._field.sweep(own.trace, own.undo)
        return replace(result, row=row)

    def _with_sessions(self, row: Row, rounds: _Rounds) -> Result:
        with self._session(row.parameters, dict(row.environment)) as session:
            if not row.is_startup:
                return self._rounds(row, Watched(session), rounds, self._field)
            # A proxy can keep a pool of its own for sessions with such a parameter.
            self._field.close()
            with Field(lambda: self._alike(row), self._clients) as others:
                return self._rounds(row, Watched(session), rounds, others)

    def _alike(self, row: Row) -> Session:
        return connect(self._dsn, environment=dict(row.environment), **dict(row.parameters))

    def _rounds(self, row: Row, subject: Watched, rounds: _Rounds, others: Field) -> Result:
        others.begin()
        if not row.is_startup:
            while len(rounds.before) < BEFORE:
                rounds.before.append(self._round(others, subject, rounds).subject)
        rounds.control.clear()
        for step in row.steps:
            subject.session.run(step)
        subject.touch = row.touch or subject.touch
        subject.connection = None  # the statement itself may have got another connection
        seen_in = 0
        for number in range(1, LOOKS[-1] + 1):
            if self._round(others, subject, rounds).subject:
                seen_in = number
                break
            if number in LOOKS and is_pinned(rounds.before, rounds.control):
                return self._found(row, Outcome.PINNED, rounds)
            if number == LOOKS[0] and chance(sum(rounds.before), len(rounds.before), LOOKS[-1]) > ALPHA:
                break
        if not seen_in:
            return replace(self._found(row, Outcome.CANNOT_TELL, rounds), reason=_why(row, rounds))
        for _ in range(_TRACE_ROUNDS if row.is_leak else 0):
            if self._round(others, subject, rounds, row.trace, row.undo).trace:
                return self._found(row, Outcome.LEAKED, rounds, len(rounds.control))
        return self._found(row, Outcome.SHARED, rounds, seen_in)

    def _found(self, row: Row, outcome: Outcome, rounds: _Rounds, seen_in: int = 0) -> Result:
        before, control = sum(rounds.before), sum(rounds.control)
        return Result(row, outcome, "", len(rounds.control), control, before, seen_in)

    def _own(self, row: Row) -> Row:
        """The row with names that no other row and no other run has."""
        name = f"{NAME}_{self._token}_{self._rows}"
        key = str(secrets.randbelow(2**31 - 2**30) + 2**30)

        def own(text: str) -> str:
            text = text.replace(WORK_MEM, self._work_mem).replace(USER, self._user)
            return text.replace(NAME, name).replace(KEY, key)

        def step(one: Step) -> Step:
            return replace(one, text=own(one.text), name=own(one.name))

        return replace(
            row,
            steps=tuple(map(step, row.steps)),
            trace=own(row.trace),
            undo=own(row.undo),
            touch=step(row.touch) if row.touch else None,
        )

    @contextlib.contextmanager
    def _session(
        self, parameters: Sequence[tuple[str, str]], environment: dict[str, str] | None = None
    ) -> Iterator[Session]:
        try:
            session = connect(self._dsn, environment=environment, **dict(parameters))
        except (Refusal, SessionError) as error:
            if isinstance(error, Refusal) and (parameters or environment):
                raise
            raise ProbeError(f"the database could not be probed: {error}") from None
        try:
            yield session
        finally:
            session.close()


def _told(measure: Callable[[], str]) -> str:
    try:
        return measure()
    except (Refusal, SessionError) as error:
        return f"cannot tell: {_without_address(error)}"


def _without_address(error: Exception) -> str:
    """The message without the host that libpq puts before it, as measurements are given to others."""
    return str(error).rpartition(" failed: ")[2]


def _why(row: Row, rounds: _Rounds) -> str:
    if not any(rounds.control) and not any(rounds.before):
        return NO_HANDOVER
    if row.is_startup:
        return "its connection was never handed over, and there is no time before the statement to compare this with"
    if not any(rounds.before):
        return "its connection was not handed over before the statement either, though the control session's was"
    return (
        f"handovers are too rare: {sum(rounds.before)} in {len(rounds.before)} rounds before the statement, "
        f"{sum(rounds.control)} of the control session in {len(rounds.control)} rounds after it"
    )
