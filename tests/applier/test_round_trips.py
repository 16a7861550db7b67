"""Round trips do not grow with the number of settings, nor for an extension that exists."""

import pg8000.native
import pytest

from .many import many_settings
from .world import Database


def test_fifty_settings_take_as_many_round_trips_as_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ReadyForQuery of the server ends one; creating, changing and deleting 50 settings needs those of 1."""
    trips = 0
    original = pg8000.native.Connection.handle_READY_FOR_QUERY

    def counted(self: pg8000.native.Connection, data: bytes, context: object) -> None:
        nonlocal trips
        trips += 1
        original(self, data, context)

    def taken(number: int) -> list[int]:
        nonlocal trips
        counts = []
        first, second = many_settings(number, 0), many_settings(number, 1)
        database.create(first)
        counts.append(trips)
        database.update(second, first)
        counts.append(trips)
        database.delete(second)
        counts.append(trips)
        trips = 0
        return counts

    monkeypatch.setattr(pg8000.native.Connection, "handle_READY_FOR_QUERY", counted)
    one = taken(1)
    assert taken(50) == one
    assert 0 < one[-1] < 150
