"""Generates logs of a busy RDS Proxy for tests, benchmarks and the guide's picture, deterministic by seed.

The lines are from `pinning.log_lines`: clients connect, pin or do not pin, and disconnect.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdk_pinsafe.pinning import log_lines
from cdk_pinsafe.pinning.log_lines import REASON_OVERSIZED, REASON_PREPARED, REASON_SETTINGS

START = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Habit:
    """What a kind of client sends that pins: the digest is on the WARN line, or on an INFO line before it."""

    weight: int
    digest: str | None
    reason: str = REASON_SETTINGS
    announced: bool = False


HABITS = (
    Habit(46, "set search_path to $1,$2"),
    Habit(21, "set client_min_messages to $1;set time zone interval $2 hour to minute"),
    Habit(13, "select pg_advisory_unlock_all(); close all; unlisten *; reset all"),
    Habit(8, 'declare "_django_curs_140230_sync_1" no scroll cursor with hold for select "orders"."id" from "orders"'),
    Habit(7, "select current_setting($1) as cur, set_config($2, $3, $4) as new", REASON_PREPARED, announced=True),
    Habit(3, None, REASON_OVERSIZED),
    Habit(2, "create temp table batch (id bigint)"),
)
"""Of Knex, Sequelize, asyncpg, Django and SQLAlchemy, as in the catalogue of clients."""


def log(
    lines: int, *, seed: int = 1, hours: float = 24.0, pinning: float = 0.15, habits: tuple[Habit, ...] = HABITS
) -> Iterator[str]:
    """Lines without line breaks, ordered by time.

    Args:
        lines: minimum number of lines.
        seed: of the random numbers.
        hours: duration of the log.
        pinning: the share of clients that pin.
        habits: of the clients that pin.
    """
    chance = random.Random(seed)
    weights = [habit.weight for habit in habits]
    written = 0
    while written < lines:
        # More clients around noon than in the morning and in the evening.
        share = written / lines
        when = START + timedelta(hours=hours * (share + 0.12 * math.sin(2 * math.pi * share)))
        session = _session(chance, when, habits, weights, pinning)
        written += len(session)
        yield from session


def _session(
    chance: random.Random, when: datetime, habits: tuple[Habit, ...], weights: list[int], pinning: float
) -> list[str]:
    client, database = chance.getrandbits(32), chance.getrandbits(32)
    address = f"10.0.{chance.randrange(256)}.{chance.randrange(1, 255)}:{chance.randrange(1024, 65536)}"
    lines = [log_lines.connected(when, client, address)]
    if chance.random() < pinning:
        habit = chance.choices(habits, weights)[0]
        when += timedelta(milliseconds=chance.randrange(1, 40))
        if habit.announced:
            lines.append(log_lines.may_pin(when, client, database, habit.reason, habit.digest or ""))
            when += timedelta(milliseconds=1)
        lines.append(log_lines.pinned(when, client, database, habit.reason, None if habit.announced else habit.digest))
    else:
        lines += [log_lines.released(when, client) for _ in range(chance.randrange(1, 5))]
    lines.append(log_lines.closed(when, client, "The client disconnected"))
    return lines
