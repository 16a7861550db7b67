"""One connection to what is probed, by libpq and non-blocking, so that several can hold transactions at the same time.

Nothing is sent that the probe does not name: no driver's own SET, BEGIN or DEALLOCATE.
"""

import contextlib
import os
import select
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from ..terminal import one_line

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 5.0
"""How long a statement may take, the wait for a database connection included."""
_MOST_RESULTS: Final = 1000
WHICH_CONNECTION: Final = (
    "SELECT pg_catalog.pg_backend_pid(), (SELECT a.backend_start "
    "FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a)"
)
"""Which database connection serves the client; the time tells connections of several servers apart."""


class SessionError(Exception):
    """A session could not be opened, was lost, or did not get an answer in time."""


class Refusal(Exception):  # noqa: N818 - an answer of the server, which may be what is measured
    """The server's or the proxy's error. `sqlstate` is empty where libpq does not tell it: for a refused connection."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{sqlstate}: {message}" if sqlstate else message)
        self.sqlstate = sqlstate


@dataclass(frozen=True)
class Step:
    """Something that a client sends, and whose answer it awaits.

    Attributes:
        text: SQL, or for `execute` the name of a prepared statement.
        how: `simple` query; `extended`: Parse, Bind and Execute of the unnamed statement; `prepare`: Parse of the
            statement `name`; `execute`: Bind and Execute of a named statement; `pipeline`: several extended queries,
            one a line, in one batch; `copy in`: a simple query, with `1` as the data that it reads.
        parameters: Values for `extended` and `execute`, as text.
        name: The prepared statement's name for `prepare`.
    """

    text: str
    how: str = "simple"
    parameters: tuple[str, ...] = ()
    name: str = ""


Value = str | None


class Session:
    """A connection. Not thread-safe."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._results: list[pq.abc.PGresult] = []
        self._done = True
        self._syncs = 0

    def parameter(self, name: str) -> str | None:
        """The ParameterStatus of this name; None if none was received."""
        value = self._connection.parameter_status(name.encode())
        return None if value is None else value.decode(errors="replace")

    def close(self) -> None:
        """Disconnect, with Terminate."""
        self._connection.finish()

    def ask(self, sql: str, seconds: float = ANSWER_SECONDS) -> tuple[Value, ...]:
        """The first row of a simple query.

        Raises:
            Refusal: the server answered with an error.
            SessionError: it did not answer.
        """
        return self.run(Step(sql), seconds)

    def run(self, step: Step, seconds: float = ANSWER_SECONDS) -> tuple[Value, ...]:
        """Do a step and return the first row of its last result; raises as `ask`."""
        self.send(step)
        await_answers([self], seconds)
        return self.answer()

    def send(self, step: Step) -> None:
        """Send a step without awaiting the answer."""
        self._results = []
        self._done = False
        self._syncs = 0
        values: Sequence[bytes] = [value.encode() for value in step.parameters]
        text = step.text.encode()
        try:
            if step.how in ("simple", "copy in"):
                self._connection.send_query(text)
            elif step.how == "prepare":
                self._connection.send_prepare(step.name.encode(), text)
            elif step.how == "execute":
                self._connection.send_query_prepared(text, values)
            elif step.how == "pipeline":
                self._connection.enter_pipeline_mode()
                for line in text.split(b"\n"):
                    self._connection.send_query_params(line, [])
                self._connection.pipeline_sync()
                self._syncs = 1
            else:
                self._connection.send_query_params(text, values)
        except psycopg.Error as error:
            raise SessionError(f"the connection was lost: {one_line(str(error))}") from None

    @property
    def socket(self) -> int:
        """The file descriptor."""
        try:
            return self._connection.socket
        except psycopg.Error:
            raise SessionError("the connection was lost") from None

    def poll(self) -> bool:
        """Take what has arrived; whether the answer is complete."""
        if self._done:
            return True
        try:
            self._connection.consume_input()
            while not self._connection.is_busy():
                result = self._connection.get_result()
                if result is None:
                    if self._syncs == 0:
                        self._done = True
                        return True
                    continue
                self._take(result)
                if self._done:
                    return True
        except psycopg.Error as error:
            raise SessionError(f"the connection was lost: {one_line(str(error))}") from None
        return False

    def answer(self) -> tuple[Value, ...]:
        """The first row of the last result, once `poll` said that the answer is complete.

        Raises:
            Refusal: the server answered with an error.
            SessionError: the connection was lost.
        """
        for result in self._results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode(errors="replace")
                message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
                raise Refusal(sqlstate, one_line(message.decode(errors="replace"))[:200])
        if self._connection.status != pq.ConnStatus.OK:
            raise SessionError("the connection was lost")
        rows = [result for result in self._results if result.ntuples]
        if not rows:
            return ()
        return tuple(
            None if (value := rows[-1].get_value(0, column)) is None else value.decode(errors="replace")
            for column in range(rows[-1].nfields)
        )

    def cancel(self) -> None:
        """Send a CancelRequest, and wait until the server has taken it.

        Raises:
            SessionError: it was not taken in time, or this libpq cannot do it without blocking.
        """
        try:
            request = self._connection.cancel_conn()
            request.start()
            end = time.monotonic() + ANSWER_SECONDS
            while (state := pq.PollingStatus(request.poll())) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
                _wait_for(request.socket, state, end)
            if state == pq.PollingStatus.FAILED:
                raise SessionError(one_line(request.get_error_message()))
        except (psycopg.Error, TimeoutError) as error:
            raise SessionError(one_line(str(error))) from None

    def _take(self, result: pq.abc.PGresult) -> None:
        status = result.status
        if status == pq.ExecStatus.COPY_IN:
            self._connection.put_copy_data(b"1\n")
            self._connection.put_copy_end()
        elif status == pq.ExecStatus.COPY_OUT:
            while (self._connection.get_copy_data(0))[0] > 0:
                pass
        elif status == pq.ExecStatus.PIPELINE_SYNC:
            self._syncs -= 1
            self._connection.exit_pipeline_mode()
            self._done = True
        elif len(self._results) < _MOST_RESULTS:
            self._results.append(result)


def connect(dsn: str, *, environment: dict[str, str] | None = None, **parameters: str) -> Session:
    """Open a session, as libpq does, with its environment variables and files.

    Args:
        dsn: As libpq has it.
        environment: Environment variables for this connection, as `PGTZ`.
        parameters: More of libpq's parameters, as `options`.

    Raises:
        Refusal: the server or the proxy refused it; the message holds no password.
        SessionError: it could not be opened in time.
    """
    with _environment(environment or {}):
        connection = pq.PGconn.connect_start(make_conninfo(dsn, **parameters).encode())
        end = time.monotonic() + CONNECT_SECONDS
        state = pq.PollingStatus.WRITING
        while connection.status != pq.ConnStatus.BAD and state not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            try:
                _wait_for(connection.socket, state, end)
            except TimeoutError:
                connection.finish()
                raise SessionError(f"no connection within {CONNECT_SECONDS:g} s") from None
            state = pq.PollingStatus(connection.connect_poll())
    if state != pq.PollingStatus.OK:
        message = one_line(connection.error_message.decode(errors="replace"))
        connection.finish()
        raise Refusal("", message)
    return Session(connection)


def await_answers(sessions: Iterable[Session], seconds: float) -> None:
    """Wait until all sessions that were sent something have their answer.

    Raises:
        SessionError: a connection was lost, or one has no answer in time.
    """
    waiting = list(sessions)
    end = time.monotonic() + seconds
    while waiting:
        answered = await_any(waiting, end - time.monotonic())
        if not answered:
            raise SessionError(f"no answer within {seconds:g} s")
        waiting = [session for session in waiting if session not in answered]


def await_any(sessions: Sequence[Session], seconds: float) -> list[Session]:
    """Wait until at least one session has its answer, and return those that do; none if time runs out.

    Raises:
        SessionError: a connection was lost.
    """
    end = time.monotonic() + seconds
    while not (answered := [session for session in sessions if session.poll()]):
        if not _readable([session.socket for session in sessions], max(0.0, end - time.monotonic())):
            break
    return answered


def _readable(sockets: list[int], seconds: float) -> bool:
    poller = select.poll()
    for socket in sockets:
        poller.register(socket, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def _wait_for(socket: int, state: pq.PollingStatus, end: float) -> None:
    poller = select.poll()
    poller.register(socket, select.POLLOUT if state == pq.PollingStatus.WRITING else select.POLLIN)
    if not poller.poll(max(0.0, end - time.monotonic()) * 1000):
        raise TimeoutError("no answer in time")


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Set variables for a while: libpq reads some start-up parameters from the environment only."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
