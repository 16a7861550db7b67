"""Proxies on the emulator's core that choose connections differently, and clients that keep one busy."""

import contextlib
import random
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

import psycopg
import pytest

from cdk_pinsafe.emulator.connection import DatabaseConnection
from cdk_pinsafe.emulator.pool import ConnectionPool
from cdk_pinsafe.emulator.session import ClientSession

Choice = Callable[[deque[DatabaseConnection], ClientSession], int]
"""Which of the idle connections, the least recently used first, a session gets."""


def at_random(seed: int) -> Choice:
    drawn = random.Random(seed)
    return lambda idle, _: drawn.randrange(len(idle))


def oldest(idle: deque[DatabaseConnection], session: ClientSession) -> int:
    """First in, first out: a wide pool is gone through before anything is used again."""
    return 0


def sticky() -> Choice:
    """Each session gets the connection that it had before, if it is idle."""
    had: dict[int, int] = {}

    def choose(idle: deque[DatabaseConnection], session: ClientSession) -> int:
        number = had.get(session.number)
        found = next((index for index, one in enumerate(idle) if one.number == number), len(idle) - 1)
        had[session.number] = idle[found].number
        return found

    return choose


def choose_by(monkeypatch: pytest.MonkeyPatch, choice: Choice) -> None:
    """Let the emulator's pool choose among idle connections by this."""
    borrow = ConnectionPool.borrow

    def chosen(pool: ConnectionPool, session: ClientSession) -> DatabaseConnection | None:
        idle = pool._idle.get(session.key)
        if idle:
            index = choice(idle, session)
            one = idle[index]
            del idle[index]
            idle.append(one)
        return borrow(pool, session)

    monkeypatch.setattr(ConnectionPool, "borrow", chosen)


@contextlib.contextmanager
def busy(dsn: str, clients: int, *, sql: str = "SELECT pg_sleep(0.002)") -> Iterator[None]:
    """Clients that run a statement after the other."""
    stopped = threading.Event()

    def work() -> None:
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            while not stopped.is_set():
                connection.execute(sql)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def widen(dsn: str, connections: int) -> None:
    """Let the proxy open this many database connections, by as many transactions at the same time."""
    with contextlib.ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(psycopg.connect(dsn)).execute("SELECT 1")


@contextlib.contextmanager
def nodes(ports: list[int], seed: int) -> Iterator[int]:
    """One address of several proxies: each client connection is relayed to one of them, at random. Yields its port."""
    drawn = random.Random(seed)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                node = socket.create_connection(("127.0.0.1", drawn.choice(ports)))
                for source, sink in ((client, node), (node, client)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=_relay, args=(source, sink), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
