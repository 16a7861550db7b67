"""psycopg2 with its pool."""

import datetime

import psycopg2
import psycopg2.pool
import pytest

from . import RECOMMENDED, report

pool = psycopg2.pool.SimpleConnectionPool(2, 2, "")
for _ in range(2):
    connection = pool.getconn()
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s, DATE '2026-03-12'", (1,))
        assert cursor.fetchone() == (1, datetime.date(2026, 3, 12))
    pool.putconn(connection)

connection = pool.getconn()
with connection, connection.cursor() as cursor:
    cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("committed",))
with connection.cursor() as cursor:
    cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("rolled back",))
connection.rollback()
with pytest.raises(psycopg2.errors.DivisionByZero), connection, connection.cursor() as cursor:
    cursor.execute("INSERT INTO basket (item) VALUES (%s)", ("failed",))
    cursor.execute("SELECT 1 / %s", (0,))
for _ in range(7):
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM basket")
        assert cursor.fetchone() == (1,)
if not RECOMMENDED:
    connection.reset()
pool.putconn(connection)
pool.closeall()
report(psycopg2.__version__.split()[0])
