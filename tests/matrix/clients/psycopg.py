"""psycopg 3 with its pool."""

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from . import RECOMMENDED, report

options = {"prepare_threshold": None} if RECOMMENDED else {}

with ConnectionPool("", kwargs=options, min_size=2, max_size=2) as pool:
    for _ in range(2):
        with pool.connection() as connection:
            for number in range(7):  # the sixth is prepared
                found = connection.execute("SELECT %s::int + 1", (number,)).fetchone()
                assert found == (number + 1,)
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("committed",))
    with pool.connection() as connection:
        connection.execute("INSERT INTO basket (item) VALUES (%s)", ("rolled back",))
        connection.rollback()
    with pool.connection() as connection:
        connection.execute("INSERT INTO basket (item) VALUES (%s)", ("failed",))
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / %s::int", (0,))
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM basket").fetchone() == (1,)
    with pool.connection() as connection, connection.pipeline():
        numbers = [connection.execute("SELECT %s::int", (number,)) for number in range(3)]
        assert [cursor.fetchone() for cursor in numbers] == [(0,), (1,), (2,)]
report(psycopg.__version__)
