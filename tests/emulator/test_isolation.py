"""Sessions never see each other's state, never hang, and leak no connection."""

import asyncio

import pg8000.native
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, run_in_thread, threaded
from cdk_pinsafe.emulator.threaded import event_loop

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .isolation import TABLES, run_sessions

SESSIONS = 12
LOOPS = {"uvloop": event_loop, "asyncio": asyncio.new_event_loop}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("loop", LOOPS)
def test_random_sessions_are_isolated(
    target: ProxyTarget, admin: pg8000.native.Connection, long: bool, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, temporary tables, prepared statements, cursors, notifications, locks, COPY, open transactions and
    broken
    sockets: each concurrent session finds its own state and no other's.
    """
    monkeypatch.setattr(threaded, "event_loop", LOOPS[loop])
    statements = 500_000 if long else 6_000
    admin.run(TABLES)
    admin.run(f"GRANT ALL ON committed, holders TO {USER}")
    with run_in_thread(target, pool_size=8, authentication=Authentication.TRUST, users={USER: PASSWORD}) as proxy:
        totals = asyncio.run(
            run_sessions(proxy.port, USER, DATABASE, statements=statements, sessions=SESSIONS, seed=statements)
        )
        assert totals.statements >= statements
        assert eventually(lambda: proxy.metrics()["DatabaseConnectionsCurrentlyBorrowed"] == 0)
        assert eventually(lambda: backends(admin) <= 8)
        assert proxy.metrics()["ClientConnections"] == 0
        assert 0 < len(proxy.pins) < totals.sessions
        found = admin.run("SELECT who FROM committed WHERE who NOT IN ('c')")
        assert found is not None
        there = sorted(row[0] for row in found)
        assert there == sorted(totals.committed)
        assert not set(there) & set(totals.rolled_back)
    assert eventually(lambda: backends(admin) == 0)
