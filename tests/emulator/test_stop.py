"""Stopping the emulator leaves nothing behind."""

import asyncio

import pg8000.native

from cdk_pinsafe.emulator import Authentication, ProxyEmulator, ProxyTarget

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .wire import start_up


def test_stop_closes_connection_being_opened(target: ProxyTarget, admin: pg8000.native.Connection) -> None:
    """A database connection that becomes ready during the stop is closed, too."""

    async def stop_while_opening() -> None:
        emulator = ProxyEmulator(target, authentication=Authentication.TRUST, users={USER: PASSWORD})
        await emulator.start()
        _, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        writer.write(start_up({"user": USER, "database": DATABASE}))
        while not emulator._opening:
            await asyncio.sleep(0)
        await emulator.stop()
        writer.close()
        assert not emulator.pool.connections

    assert eventually(lambda: backends(admin) == 0)
    asyncio.run(stop_while_opening())
    assert eventually(lambda: backends(admin) == 0)
