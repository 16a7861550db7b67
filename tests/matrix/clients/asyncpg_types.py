"""asyncpg meets types that it does not know: an enum, and an array of it."""

import asyncio

import asyncpg
import pytest

from . import RECOMMENDED, report


async def main() -> None:
    connection = await asyncpg.connect()
    if RECOMMENDED:
        connection._server_caps = connection._server_caps._replace(jit=False)
    async with connection.transaction():
        await connection.execute("INSERT INTO basket (item) VALUES ($1)", "committed")
    for _ in range(3):
        assert await connection.fetchval("SELECT $1::colour[]", ["red", "green"]) == ["red", "green"]
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        async with connection.transaction():
            await connection.execute("INSERT INTO basket (item) VALUES ($1)", "failed")
            await connection.fetchval("SELECT $1::colour[]", ["mauve"])
    assert await connection.fetchval("SELECT count(*) FROM basket") == 1
    await connection.close()


asyncio.run(main())
report(asyncpg.__version__)
