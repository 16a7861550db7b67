"""A stand-in that stops leaves nothing behind."""

import asyncio

import pg8000.native

from cdk_pinsafe.emulator import Authentication, StandIn, Target

from .conftest import DATABASE, PASSWORD, USER, backends, eventually
from .wire import start_up


def test_a_connection_that_is_being_opened_is_closed(target: Target, admin: pg8000.native.Connection) -> None:
    """A database connection that is ready only after the stand-in was told to stop is closed, too."""

    async def stop_while_opening() -> None:
        stand_in = StandIn(target, authentication=Authentication.TRUST, users={USER: PASSWORD})
        await stand_in.start()
        _, writer = await asyncio.open_connection("127.0.0.1", stand_in.port)
        writer.write(start_up({"user": USER, "database": DATABASE}))
        while not stand_in._opening:
            await asyncio.sleep(0)
        await stand_in.stop()
        writer.close()
        assert not stand_in.pool.connections

    assert eventually(lambda: backends(admin) == 0)
    asyncio.run(stop_while_opening())
    assert eventually(lambda: backends(admin) == 0)
