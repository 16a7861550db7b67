"""pg8000 by its DB-API."""

import contextlib
import os
from importlib.metadata import version

import pg8000.dbapi
import pytest

from . import report

with contextlib.closing(
    pg8000.dbapi.connect(
        os.environ["PGUSER"],
        host=os.environ["PGHOST"],
        port=int(os.environ["PGPORT"]),
        database=os.environ["PGDATABASE"],
        password=os.environ["PGPASSWORD"],
    )
) as connection:
    cursor = connection.cursor()
    for number in range(7):
        cursor.execute("SELECT %s::int + 1", (number,))
        assert cursor.fetchone() == [number + 1]
    connection.commit()
    cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("committed",))
    connection.commit()
    cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("rolled back",))
    connection.rollback()
    cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("failed",))
    with pytest.raises(pg8000.dbapi.DatabaseError, match="division by zero"):
        cursor.execute("SELECT 1 / %s::int", (0,))
    connection.rollback()
    cursor.executemany("INSERT INTO basket (item) VALUES (%s)", [("one",), ("two",)])
    connection.rollback()
    cursor.execute("SELECT count(*) FROM basket")
    assert cursor.fetchone() == [1]
report(version("pg8000"))
