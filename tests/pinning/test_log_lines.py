"""The proxy's log lines: published ones, and those of the emulator."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.pinning import log_lines
from cdk_pinsafe.pinning.conditions import CONDITIONS, Condition
from cdk_pinsafe.pinning.log_lines import LineKind, classify, parse_line

PINNED = (
    "The client session was pinned to the database connection [dbConnection=1953961465] for the remainder of the "
    "session. The proxy can't reuse this connection until the session ends. "
)
SETTINGS = (
    "Reason: SQL changed session settings that the proxy doesn't track. Consider moving session configuration to the "
    "proxy's initialization query. "
)
WHEN = datetime(2022, 5, 19, 17, 20, 40, 601000, tzinfo=UTC)


def test_line_of_2022() -> None:
    line = parse_line(
        "2022-05-19T17:20:40.601Z [WARN] [proxyEndpoint=default] [clientConnection=2125203372] "
        f'{PINNED}{SETTINGS}Digest: "set search_path to $1,$2,$3".\n'
    )
    assert line is not None
    assert (line.timestamp, line.level, line.endpoint) == (WHEN, "WARN", "default")
    assert (line.client_connection, line.db_connection, line.kind) == ("2125203372", "1953961465", LineKind.PINNED)
    assert line.reason is not None
    assert line.reason.startswith("SQL changed session settings that the proxy doesn't track")
    assert line.digest == "set search_path to $1,$2,$3"


def test_line_of_2020_has_no_endpoint() -> None:
    line = parse_line(
        "2020-08-04T11:47:24.251Z [WARN] [clientConnection=3888679423] The client session was pinned to the database "
        "connection [dbConnection=529039385] for the remainder of the session. The proxy can't reuse this connection "
        "until the session ends. Reason: A parse message was detected."
    )
    assert line is not None
    assert (line.endpoint, line.client_connection, line.db_connection) == (None, "3888679423", "529039385")
    assert (line.kind, line.reason, line.digest) == (LineKind.PINNED, "A parse message was detected", None)
    assert classify(line.reason, line.digest) is None


def test_prepared_statement_that_will_pin() -> None:
    """The INFO line of the extended protocol has the digest, with bare double quotes."""
    line = parse_line(
        "2026-08-12T09:00:00.000Z [INFO] [proxyEndpoint=default] [clientConnection=3327650365] If this prepared "
        "statement runs, the client session will be pinned to the database connection [dbConnection=4266821654]. "
        "Reason: SQL changed session settings that the proxy doesn't track. "
        'Digest: "declare "_django_curs_140042145613568_sync_7" no scroll cursor with hold for '
        'select "chat_chatmessage".… from "chat_chatmessage" where ("chat_chatmessage"."chat_id" = $1)".'
    )
    assert line is not None
    assert (line.kind, line.db_connection) == (LineKind.MAY_PIN, "4266821654")
    assert line.digest is not None
    assert line.digest.startswith('declare "_django_curs_')
    assert line.digest.endswith('"chat_id" = $1)')
    found = classify(line.reason, line.digest)
    assert found is not None
    assert found.id == "cursor"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("A new client connected from 10.0.1.7:52114.", LineKind.CONNECTED),
        ("The client connection closed. Reason: The client requested to close the connection.", LineKind.CLOSED),
        ("The database connection was released to the connection pool upon session reset.", LineKind.RELEASED),
        ("Something that nobody has published yet.", LineKind.OTHER),
    ],
)
def test_lines_about_other_events(text: str, kind: LineKind) -> None:
    line = parse_line(f"2023-09-06T08:28:13.685Z [INFO] [proxyEndpoint=default] [clientConnection=7] {text}")
    assert line is not None
    assert (line.kind, line.message) == (kind, text)


@pytest.mark.parametrize("before", ["", "  ", "2023-09-06T08:28:13.700000+00:00 default/1 ", "default-1 ", "﻿"])
def test_text_before_a_line_is_skipped(before: str) -> None:
    """`aws logs tail` and exports put a time and a stream's name there."""
    line = parse_line(f"{before}2022-05-19T17:20:40.601Z [WARN] [clientConnection=1] {PINNED}Reason: x.")
    assert line is not None
    assert line.timestamp == WHEN


@pytest.mark.parametrize("text", ["", "\n", "hello", "[WARN] pinned", "2022-05-19 [WARN]", "2022-05-19T17:20:40Z WARN"])
def test_other_text_is_no_line(text: str) -> None:
    assert parse_line(text) is None


@pytest.mark.parametrize(
    ("reason", "digest", "id"),
    [
        ("SQL changed session settings that the proxy doesn't track", "set search_path to $1,$2,$3", "set"),
        ("SQL changed session settings that the proxy doesn't track", "set names $1", "set"),
        ("SQL changed session settings", "set time zone interval $1 hour to minute", "set"),
        ("SQL changed session settings", "set transaction isolation level $1", "set-transaction"),
        ("SQL changed session settings", "load $1", "load"),
        ("SQL changed session settings", "set search_path = $1; set names $2;", "set"),
        ("SQL changed", "set session characteristics as transaction isolation level $1 uncommitted", "set"),
        ("SQL changed", "select pg_advisory_unlock_all(); close all; unlisten *; reset all;", "advisory-lock"),
        (
            "SQL changed",
            'select set_config($1, $2, $3), set_config($4, $5, $6); select "a"."b" [...] from "a" where "a" = $7',
            "set-config",
        ),
        ("SQL changed", "declare c cursor with hold for select …", "cursor"),
        ("SQL changed", "deallocate all", "sql-prepare"),
        ("Running a prepared statement pins the session", None, "sql-prepare"),
        ("The connection ran a SQL query which exceeded the 16384 byte limit", None, "oversized"),
        ("The connection ran a SQL query which exceeded the 16384 byte limit", "set x to $1", "oversized"),
        ("SQL changed session settings that the proxy doesn't track", None, None),
        (None, None, None),
        ("", "", None),
    ],
)
def test_published_reasons_and_digests_are_classified(reason: str | None, digest: str | None, id: str | None) -> None:
    """The digest decides, or a reason of only one condition."""
    found = classify(reason, digest)
    assert (found.id if found else None) == id


@pytest.mark.parametrize("one", CONDITIONS, ids=lambda one: one.id)
def test_pins_are_parsed_as_written(one: Condition) -> None:
    reason = log_lines.reason_for(one)
    line = parse_line(log_lines.pinned(WHEN, 7, 9, reason, "set x to $1", endpoint="readers"))
    assert line is not None
    assert (line.timestamp, line.level, line.endpoint, line.kind) == (WHEN, "WARN", "readers", LineKind.PINNED)
    assert (line.client_connection, line.db_connection, line.digest) == ("7", "9", "set x to $1")
    assert line.reason is not None
    assert line.reason.startswith(reason)
    line = parse_line(log_lines.may_pin(WHEN, 7, 9, reason, 'select "a"'))
    assert line is not None
    assert (line.level, line.kind, line.db_connection, line.digest) == ("INFO", LineKind.MAY_PIN, "9", 'select "a"')


def test_written_pin_is_the_published_line() -> None:
    assert log_lines.pinned(WHEN, 2125203372, 1953961465, log_lines.REASON_SETTINGS, "set search_path to $1,$2,$3") == (
        "2022-05-19T17:20:40.601Z [WARN] [proxyEndpoint=default] [clientConnection=2125203372] "
        f'{PINNED}{SETTINGS}Digest: "set search_path to $1,$2,$3".'
    )


def test_other_lines_are_parsed_as_written() -> None:
    written = {
        log_lines.connected(WHEN, 7, "127.0.0.1:5000"): LineKind.CONNECTED,
        log_lines.closed(WHEN, 7, "The client left"): LineKind.CLOSED,
        log_lines.released(WHEN, 7): LineKind.RELEASED,
    }
    for text, kind in written.items():
        line = parse_line(text)
        assert line is not None
        assert (line.kind, line.client_connection, line.level) == (kind, "7", "INFO")


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_parsed_without_an_error(before: str, after: str) -> None:
    parse_line(before)
    line = parse_line(f"2022-05-19T17:20:40.601Z [WARN] [clientConnection=1] {PINNED}Reason: {before} Digest: {after}")
    assert line is not None
    classify(line.reason, line.digest)
