"""SQLAlchemy's engine with psycopg 3."""

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DataError

from . import RECOMMENDED, report

options: dict[str, Any] = {"prepare_threshold": None} if RECOMMENDED else {}
engine = create_engine("postgresql+psycopg://", pool_size=2, connect_args=options)
for _ in range(2):
    # What is only read is rolled back, too, when the pool gets its connection back.
    with engine.connect() as connection:
        for number in range(7):  # the sixth is prepared
            assert connection.scalar(text("SELECT CAST(:n AS int) + 1"), {"n": number}) == number + 1
with engine.begin() as connection:
    connection.execute(text("INSERT INTO basket (item) VALUES (:item)"), {"item": "committed"})
with engine.connect() as connection:
    connection.execute(text("INSERT INTO basket (item) VALUES (:item)"), {"item": "rolled back"})
    connection.rollback()
with pytest.raises(DataError, match="division by zero"), engine.begin() as connection:
    connection.execute(text("INSERT INTO basket (item) VALUES (:item)"), {"item": "failed"})
    connection.execute(text("SELECT 1 / CAST(:n AS int)"), {"n": 0})
with engine.connect() as connection:
    assert connection.scalar(text("SELECT count(*) FROM basket")) == 1
engine.dispose()
report(sqlalchemy.__version__)
