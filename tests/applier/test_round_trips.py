"""The number of round trips depends neither on the number of settings nor on existing extensions."""

from collections.abc import Callable

import pg8000.native
import pytest

from .harness import Database
from .many_settings import many_settings

Trips = Callable[[], int]


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Trips:
    """The round trips since the last call: each ReadyForQuery of the server ends one."""
    count = 0
    original = pg8000.native.Connection.handle_READY_FOR_QUERY

    def counted(self: pg8000.native.Connection, data: bytes, context: object) -> None:
        nonlocal count
        count += 1
        original(self, data, context)

    def since() -> int:
        nonlocal count
        taken, count = count, 0
        return taken

    monkeypatch.setattr(pg8000.native.Connection, "handle_READY_FOR_QUERY", counted)
    return since


def test_fifty_settings_take_the_round_trips_of_one(database: Database, trips: Trips) -> None:
    """To create, change and delete them."""

    def taken(number: int) -> list[int]:
        counts = []
        first, second = many_settings(number, 0), many_settings(number, 1)
        trips()
        database.create(first)
        counts.append(trips())
        database.update(second, first)
        counts.append(trips())
        database.delete(second)
        counts.append(trips())
        return counts

    one = taken(1)
    assert taken(50) == one
    assert 0 < sum(one) < 150


def test_existing_extension_takes_no_round_trip(database: Database, trips: Trips) -> None:
    """Only a missing one needs another session."""
    counts = []
    for extensions in ([], ["plpgsql"]):
        trips()
        database.create({"jit": "off"}, Extensions=extensions)
        counts.append(trips())
        database.delete({"jit": "off"}, Extensions=extensions)
        counts.append(trips())
    assert counts[:2] == counts[2:]
