"""An application as the proxy sees one: clients with a connection each, short transactions, longer pauses.

Real clients (psycopg, which is libpq), each in a thread. It must not know what is behind the address.
"""

import random
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import psycopg

from ..errors import RehearsalError
from .database_client import Login

__all__ = ["Traffic"]

_TRANSACTION: Final = 0.04
_PAUSE: Final = 0.8
_APART: Final = 0.08
_PATIENCE: Final = 30.0


@dataclass
class Traffic:
    """Clients at work until the `with` block ends. All have done a transaction when it begins.

    Attributes:
        login: where they connect, and as whom.
        clients: how many.
        setting: the parameter whose value each looks at in every transaction.
        statement: what each sends first, a SET say; None for nothing.
        values: the values that they saw.
        transactions: how many they did.
    """

    login: Login
    clients: int
    setting: str
    statement: str | None
    values: set[str] = field(default_factory=set)
    transactions: int = 0

    def __post_init__(self) -> None:
        """Prepare the clients; nothing is connected yet."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._at_work = threading.Semaphore(0)
        self._error: Exception | None = None
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"worker-{number}", daemon=True)
            for number in range(1, self.clients + 1)
        ]

    def __enter__(self) -> Self:
        try:
            for thread in self._threads:
                thread.start()
                # One after the other, as clients are that know nothing of each other.
                self._stop.wait(_APART)
            for _ in self._threads:
                if not self._at_work.acquire(timeout=_PATIENCE):
                    self.check()
                    raise RehearsalError(f"clients of the proxy got no answer in {_PATIENCE:.0f} s")
            self.check()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def check(self) -> None:
        """Raise RehearsalError if a client failed."""
        if self._error is not None:
            raise RehearsalError(f"a client of the proxy failed: {' '.join(str(self._error).split())}")

    def _leave(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_PATIENCE)

    def _work(self, number: int) -> None:
        try:
            self._connect_and_work(number)
        except (psycopg.Error, OSError) as error:
            self._error = error
            self._at_work.release()

    def _connect_and_work(self, number: int) -> None:
        pauses = random.Random(number)  # noqa: S311 - any would do
        # `options` of the environment (PGOPTIONS) would be refused by RDS Proxy, and by an emulator.
        with psycopg.connect(
            self.login.dsn, application_name=f"worker {number}", options="", connect_timeout=15, autocommit=True
        ) as connection:
            if self.statement is not None:
                connection.execute(self.statement.encode())
            begun = False
            while not self._stop.is_set():
                with connection.transaction():
                    row = connection.execute("SELECT pg_catalog.current_setting(%s, true)", [self.setting]).fetchone()
                    self._stop.wait(_TRANSACTION)
                with self._lock:
                    self.values.add(str(row and row[0]))
                    self.transactions += 1
                if not begun:
                    begun = True
                    self._at_work.release()
                self._stop.wait(_PAUSE * pauses.uniform(0.6, 1.4))
