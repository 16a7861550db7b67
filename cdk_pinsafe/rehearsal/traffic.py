"""Clients of a proxy, like those of an application: a connection each, short transactions, longer pauses.

They are real clients (psycopg, which uses libpq), each in a thread.
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
_START_INTERVAL: Final = 0.08
_TIMEOUT: Final = 30.0


@dataclass
class Traffic:
    """Clients that run until the `with` block ends. When it begins, each has completed a transaction.

    Attributes:
        login: the database, through the proxy.
        clients: the number of clients.
        setting: the parameter that they read in every transaction.
        statement: the first statement of each, a SET; None for none.
        values: the values that they got.
        transactions: the number of transactions.
    """

    login: Login
    clients: int
    setting: str
    statement: str | None
    values: set[str] = field(default_factory=set)
    transactions: int = 0

    def __post_init__(self) -> None:
        """Create the threads without starting them."""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._working = threading.Semaphore(0)
        self._error: Exception | None = None
        self._threads = [
            threading.Thread(target=self._run_client, args=(number,), name=f"worker-{number}", daemon=True)
            for number in range(1, self.clients + 1)
        ]

    def __enter__(self) -> Self:
        try:
            for thread in self._threads:
                thread.start()
                # One after the other, like independent clients.
                self._stop.wait(_START_INTERVAL)
            for _ in self._threads:
                if not self._working.acquire(timeout=_TIMEOUT):
                    self.check()
                    raise RehearsalError(f"clients of the proxy got no response in {_TIMEOUT:.0f} s")
            self.check()
        except BaseException:
            self._stop_clients()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_clients()

    def check(self) -> None:
        """Raise RehearsalError if a client failed."""
        if self._error is not None:
            raise RehearsalError(f"a client of the proxy failed: {' '.join(str(self._error).split())}")

    def _stop_clients(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_TIMEOUT)

    def _run_client(self, number: int) -> None:
        try:
            self._connect_and_query(number)
        except (psycopg.Error, OSError) as error:
            self._error = error
            self._working.release()

    def _connect_and_query(self, number: int) -> None:
        pauses = random.Random(number)  # noqa: S311 - not for security
        # Both RDS Proxy and the emulator reject `options`, which would come from PGOPTIONS.
        with psycopg.connect(
            self.login.dsn, application_name=f"worker {number}", options="", connect_timeout=15, autocommit=True
        ) as connection:
            if self.statement is not None:
                connection.execute(self.statement.encode())
            started = False
            while not self._stop.is_set():
                with connection.transaction():
                    row = connection.execute("SELECT pg_catalog.current_setting(%s, true)", [self.setting]).fetchone()
                    self._stop.wait(_TRANSACTION)
                with self._lock:
                    self.values.add(str(row and row[0]))
                    self.transactions += 1
                if not started:
                    started = True
                    self._working.release()
                self._stop.wait(_PAUSE * pauses.uniform(0.6, 1.4))
