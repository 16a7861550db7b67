"""asyncpg with its pool."""

import asyncio

import asyncpg
import pytest

from . import RECOMMENDED, report


async def leave_as_it_is(connection: object) -> None:
    """In place of the pool's own reset."""


async def main() -> None:
    options = {"reset": leave_as_it_is} if RECOMMENDED else {}
    async with asyncpg.create_pool(min_size=2, max_size=2, **options) as pool:
        assert await asyncio.gather(*(pool.fetchval("SELECT $1::int + 1", number) for number in range(7))) == [
            *range(1, 8)
        ]
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO basket (item) VALUES ($1)", "committed")
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO basket (item) VALUES ($1)", "rolled back")
            await transaction.rollback()
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO basket (item) VALUES ($1)", "failed")
                    await connection.execute("SELECT 1 / $1::int", 0)
            prepared = await connection.prepare("SELECT count(*) FROM basket WHERE item = $1")
            assert [await prepared.fetchval("committed") for _ in range(3)] == [1, 1, 1]
            async with connection.transaction():
                assert [row[0] async for row in connection.cursor("SELECT generate_series(1, 200)")] == [*range(1, 201)]


asyncio.run(main())
report(asyncpg.__version__)
