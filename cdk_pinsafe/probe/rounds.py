"""Rounds: which database connections serve a session, a control session, and other clients. See the package."""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .session import ANSWER_SECONDS, WHICH_CONNECTION, Refusal, Session, SessionError, Step, await_answers, await_any

_BEGIN: Final = Step("BEGIN")
_COMMIT: Final = Step("COMMIT")
_WHICH: Final = Step(WHICH_CONNECTION)
_GRACE_FACTOR: Final = 10
_GRACE: Final = (0.03, 0.5)
_GROW_EVERY: Final = 8
_SWEEPS: Final = 4

Connection = tuple[str | None, ...]
"""A database connection: process id and start."""


class Watched:
    """A session whose database connection is watched from round to round."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.touch = _WHICH
        self.connection: Connection | None = None

    def ask(self) -> bool:
        """Run a statement, note which connection served it, and return whether that is another one than before."""
        before, self.connection = self.connection, self.session.run(self.touch)
        return before is not None and before != self.connection


@dataclass(frozen=True)
class Round:
    """What a round showed.

    Attributes:
        subject: The watched session was handed over.
        control: The control session was.
        trace: Another client saw the state that the trace asks for.
    """

    subject: bool
    control: bool
    trace: bool


class Field:
    """The control session and the other clients. Use as a context manager."""

    def __init__(self, open_session: Callable[[], Session], clients: int) -> None:
        """Open nothing yet.

        Args:
            open_session: Opens one session.
            clients: How many clients hold a transaction each, at most.
        """
        self._connect = open_session
        self._clients = clients
        self._active = self._wanted = clients
        self._alike = 0
        self._random = random.Random()  # noqa: S311 - the order of two statements
        self._others: list[Session] = []
        self._control: Watched | None = None
        self._grace = _GRACE[1]

    def __enter__(self) -> "Field":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """Begin with another subject: only here the number of clients changes, so that a subject's rounds are alike.

        Where the pool is small, fewer clients take less time, as nobody waits in vain.
        """
        self._active = self._wanted

    def close(self) -> None:
        """Disconnect all."""
        if self._control is not None:
            self._control.session.close()
            self._control = None
        self._drop(self._others)

    def round(self, subject: Watched, *, trace: str = "", undo: str = "") -> Round:
        """Run a round.

        Args:
            subject: The session that is watched.
            trace: A query that is true where the state is seen.
            undo: What the client that sees it sends to remove it.

        Raises:
            SessionError: a session was lost or got no answer; all but the subject are opened again by the next round.
            Refusal: the subject's own statement got an error.
        """
        try:
            control = self._open()
            moved = {}
            for one in self._random.sample((subject, control), 2):
                start = time.monotonic()
                moved[one] = self._ask(one, control)
                self._note_latency(time.monotonic() - start)
            served, seen = self._hold(trace, undo)
        except SessionError:
            self.close()
            raise
        return Round(
            subject=moved[subject] or subject.connection in served,
            control=moved[control] or control.connection in served,
            trace=seen,
        )

    def sweep(self, trace: str, undo: str) -> None:
        """Let the other clients look for a state, some rounds, and remove it where they see it.

        Raises:
            SessionError: as `round`.
        """
        try:
            self._open()
            for _ in range(_SWEEPS):
                if self._hold(trace, undo)[1]:
                    return
        except SessionError:
            self.close()
            raise

    def _ask(self, one: Watched, control: Watched) -> bool:
        try:
            return one.ask()
        except Refusal as error:
            if one is control:
                raise SessionError(f"the control session got an error: {error}") from None
            raise

    def _open(self) -> Watched:
        try:
            while len(self._others) < self._clients:
                self._others.append(self._connect())
            if self._control is None:
                self._control = Watched(self._connect())
        except Refusal as error:
            raise SessionError(f"another session could not be opened: {error}") from None
        return self._control

    def _note_latency(self, seconds: float) -> None:
        """Follow the latency, slowly: how long it pays to wait for a client that is not served."""
        wanted = min(max(_GRACE[0], _GRACE_FACTOR * seconds), _GRACE[1])
        self._grace += (wanted - self._grace) / 4

    def _hold(self, trace: str, undo: str) -> tuple[set[Connection], bool]:
        """Let the other clients hold a transaction each, as many at a time as are served; who was served by what."""
        steps = [_BEGIN, _WHICH, *([Step(trace)] if trace else [])]
        waiting = self._random.sample(self._others, self._active)
        position = dict.fromkeys(waiting, 0)
        for client in waiting:
            client.send(_BEGIN)
        served: set[Connection] = set()
        saw: list[Session] = []
        first = 0
        end = time.monotonic() + ANSWER_SECONDS
        while waiting:
            holding: list[Session] = []
            while waiting:
                remaining = end - time.monotonic()
                answered = await_any(waiting, min(self._grace, remaining) if holding else remaining)
                if not answered:
                    break
                for client in answered:
                    answer = self._answer(client)
                    if position[client] == 1:
                        served.add(answer)
                    elif position[client] == 2 and answer == ("t",):
                        saw.append(client)
                    position[client] += 1
                    if position[client] < len(steps):
                        client.send(steps[position[client]])
                    else:
                        waiting.remove(client)
                        holding.append(client)
            if not holding:
                raise SessionError(f"no other client got a database connection within {ANSWER_SECONDS:g} s")
            first = first or len(holding)
            self._end(holding, saw, undo)
        self._adapt(first)
        return served, bool(saw)

    def _end(self, holding: list[Session], saw: list[Session], undo: str) -> None:
        for client in holding:
            if undo and client in saw:
                with contextlib.suppress(Refusal):
                    client.run(Step(undo))
            client.send(_COMMIT)
        await_answers(holding, ANSWER_SECONDS)
        for client in holding:
            self._answer(client)
        # What removes state can pin the client that sends it.
        if undo:
            self._drop([client for client in holding if client in saw])

    def _answer(self, client: Session) -> Connection:
        try:
            return client.answer()
        except Refusal as error:
            raise SessionError(f"another client got an error: {error}") from None

    def _adapt(self, at_once: int) -> None:
        """Note how many clients are served at the same time; now and then try whether more are."""
        if at_once < self._active:
            self._wanted, self._alike = at_once, 0
            return
        self._alike += 1
        if self._wanted < self._clients and self._alike >= _GROW_EVERY:
            self._wanted, self._alike = self._wanted + 1, 0

    def _drop(self, clients: list[Session]) -> None:
        for client in list(clients):
            client.close()
            self._others.remove(client)
