"""SQLAlchemy's asynchronous engine with asyncpg, its default."""

import asyncio

import pytest
import sqlalchemy
from sqlalchemy import Enum, bindparam, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from . import RECOMMENDED, report


def leave_jit(connection, _record) -> None:  # type: ignore[no-untyped-def]
    driver = connection.driver_connection
    driver._server_caps = driver._server_caps._replace(jit=False)


async def main() -> None:
    engine = create_async_engine("postgresql+asyncpg://", pool_size=2)
    for number in range(7):
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT CAST(:n AS int) + 1"), {"n": number}) == number + 1
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO basket (item) VALUES (:item)"), {"item": "committed"})
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO basket (item) VALUES (:item)"), {"item": "rolled back"})
        await connection.rollback()
    with pytest.raises(DBAPIError, match="division by zero"):
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO basket (item) VALUES (:item)"), {"item": "failed"})
            await connection.execute(text("SELECT 1 / CAST(:n AS int)"), {"n": 0})
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM basket")) == 1
    await engine.dispose()

    # Up to here, without a type that asyncpg does not know, nothing pins in either form.
    engine = create_async_engine("postgresql+asyncpg://")
    if RECOMMENDED:
        event.listen(engine.sync_engine, "connect", leave_jit)
    async with engine.connect() as connection:
        colour = select(bindparam("colour", "red", Enum("red", "green", name="colour")))
        assert [await connection.scalar(colour) for _ in range(3)] == ["red"] * 3
    await engine.dispose()


asyncio.run(main())
report(sqlalchemy.__version__)
