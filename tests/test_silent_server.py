"""`pinsafe audit` and `pinsafe drift` end in time if the server accepts the connection and stays silent."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from cdk_pinsafe import audit, drift, dsn
from cdk_pinsafe.errors import AuditError, PinSafeError, UnreachableError

LOGGED_IN = b"R" + struct.pack(">II", 8, 0) + b"K" + struct.pack(">III", 12, 1, 1) + b"Z" + struct.pack(">I", 5) + b"I"


@contextmanager
def silent_server(answer: bytes) -> Iterator[str]:
    """A server that answers the first message with these bytes, and nothing after that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = []

        def serve() -> None:
            client, _ = listener.accept()
            accepted.append(client)
            client.recv(10_000)
            client.sendall(answer)

        Thread(target=serve, daemon=True).start()
        yield f"postgresql://app:hidden@127.0.0.1:{listener.getsockname()[1]}/shop?sslmode=disable"
        for client in accepted:
            client.close()


@pytest.mark.parametrize(("command", "error"), [(audit.audit, AuditError), (drift.check, UnreachableError)])
def test_silence_at_login_ends(
    command: Callable[[str], object], error: type[PinSafeError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dsn, "CONNECT_SECONDS", 2)
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    with silent_server(b"") as address, pytest.raises(error, match="timeout expired") as raised:
        command(address)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("command", [audit.audit, drift.check])
def test_silence_after_login_ends(command: Callable[[str], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsn, "READ_SECONDS", 1)
    with silent_server(LOGGED_IN) as address, pytest.raises(PinSafeError, match="did not answer within 1 s"):
        command(address)
