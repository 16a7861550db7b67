"""All known forms of lines about pins, and all formats of exported logs."""

import codecs
import csv
import io
import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_pinsafe.logs.formats import as_lines
from cdk_pinsafe.logs.report import LogReport
from cdk_pinsafe.logs.scan import Scanner
from cdk_pinsafe.pinning.log_lines import (
    REASON_OVERSIZED,
    REASON_PARSE,
    REASON_PREPARED,
    REASON_SETTINGS,
    closed,
    connected,
    may_pin,
    pinned,
    released,
)

from .generator import log
from .reading import report_of, scanned

WHEN = datetime(2023, 9, 6, 8, 28, 13, 685000, tzinfo=UTC)
SEARCH_PATH = pinned(WHEN, 11, 21, REASON_SETTINGS, "set search_path to $1,$2,$3")
PUBLISHED_2022 = (
    "2022-05-19T17:20:40.601Z [WARN] [proxyEndpoint=default] [clientConnection=2125203372] The client session was "
    "pinned to the database connection [dbConnection=1953961465] for the remainder of the session. The proxy can't "
    "reuse this connection until the session ends. Reason: SQL changed session settings that the proxy doesn't track. "
    "Consider moving session configuration to the proxy's initialization query. Digest: "
    '"set search_path to $1,$2,$3".'
)


def only(report: LogReport) -> tuple[str | None, str | None, int]:
    """Condition, digest and count of the only row."""
    (row,) = report.digests
    return row.condition, row.digest, row.count


@pytest.mark.parametrize(
    ("line", "condition", "digest"),
    [
        pytest.param(PUBLISHED_2022, "set", "set search_path to $1,$2,$3", id="2022"),
        pytest.param(
            PUBLISHED_2022.replace("[proxyEndpoint=default] ", ""), "set", "set search_path to $1,$2,$3", id="2020"
        ),
        pytest.param(pinned(WHEN, 1, 2, REASON_OVERSIZED), "oversized", None, id="no digest"),
        pytest.param(pinned(WHEN, 1, 2, REASON_SETTINGS), None, None, id="reason of many conditions"),
        pytest.param(pinned(WHEN, 1, 2, REASON_PARSE), None, None, id="before November 2023"),
        pytest.param(
            pinned(WHEN, 1, 2, REASON_SETTINGS, 'declare "c" cursor with hold for select $1'),
            "cursor",
            'declare "c" cursor with hold for select $1',
            id="bare double quotes",
        ),
        pytest.param(
            pinned(WHEN, 1, 2, REASON_SETTINGS, r"set search_path to \"app\""),
            "set",
            'set search_path to "app"',
            id="escaped double quotes",
        ),
        pytest.param(
            pinned(WHEN, 1, 2, REASON_SETTINGS, "set a.b=$1; create temp table t (id int)"),
            "set",
            "set a.b=$1; create temp table t (id int)",
            id="several statements",
        ),
        pytest.param(
            PUBLISHED_2022.replace(" [dbConnection=1953961465]", ""),
            "set",
            "set search_path to $1,$2,$3",
            id="no database connection",
        ),
        pytest.param(PUBLISHED_2022[:-11], "set", "set search_path to", id="cut in the digest"),
        pytest.param(PUBLISHED_2022.partition(" Digest")[0], None, None, id="cut before the digest"),
        pytest.param(PUBLISHED_2022.partition(" for the")[0], None, None, id="cut before the reason"),
        pytest.param("orders-1 " + PUBLISHED_2022, "set", "set search_path to $1,$2,$3", id="stream's name before it"),
    ],
)
def test_line_form(line: str, condition: str | None, digest: str | None) -> None:
    report = report_of(line)
    assert only(report) == (condition, digest, 1)
    assert report.lines.unknown == 0
    assert report.connections.count == 1


def test_unparsable_digests_have_their_condition() -> None:
    """The parser rejects an interval in which $1 replaces the string."""
    zone, mode = "set time zone interval $1 hour to minute", "set transaction isolation level $1 read"
    report = report_of(
        "\n".join(pinned(WHEN, number, 2, REASON_SETTINGS, (zone, mode)[number % 2]) for number in range(4))
    )
    assert {row.digest: (row.condition, row.count) for row in report.digests} == {
        zone: ("set", 2),
        mode: ("set-transaction", 2),
    }
    assert [(setting.name, setting.value, setting.count) for setting in report.settings] == [("timezone", None, 2)]
    remedies = {row.digest: row.remedies for row in report.digests}
    assert 'settings={"timezone": ...} in the database' in remedies[zone][0]
    assert "as in BEGIN ISOLATION LEVEL REPEATABLE READ" in remedies[mode][0]


def test_digest_with_several_conditions() -> None:
    report = report_of(pinned(WHEN, 1, 2, REASON_SETTINGS, "set a.b=$1; create temp table t (id int)"))
    assert report.pins == 1
    assert report.digests[0].conditions == ("set", "temp-object")
    assert len(report.digests[0].remedies) == 2


MESSAGES = [connected(WHEN, 11, "10.0.0.1:5000"), SEARCH_PATH, released(WHEN, 11), closed(WHEN, 11, "Gone")]


def csv_of(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


EVENTS = [{"timestamp": 1693988893685 + number, "message": message} for number, message in enumerate(MESSAGES)]
EXPORTS = {
    "plain": "\n".join(MESSAGES),
    "line end at the end": "\n".join(MESSAGES) + "\n",
    "CRLF": "\r\n".join(MESSAGES) + "\r\n",
    "export to S3": "\n".join(f"2023-09-06T08:28:14.000Z {message}" for message in MESSAGES),
    "aws logs tail": "\n".join(f"2023-09-06T08:28:14.000000+00:00 default/1 {message}" for message in MESSAGES),
    "aws logs --output text": "\n".join(
        f"EVENTS\t3778\t1693988893685\tdefault\t{message}\t1693988893685" for message in MESSAGES
    ),
    "aws logs --output json": json.dumps({"events": EVENTS, "searchedLogStreams": []}, indent=4),
    "JSON lines": "\n".join(json.dumps(event) for event in EVENTS),
    "JSON in one line": json.dumps({"messageType": "DATA_MESSAGE", "logEvents": EVENTS}) * 1,
    "JSON strung together": "".join(json.dumps(event) for event in EVENTS),
    "JSON without its end": json.dumps({"events": EVENTS, "x": "y"})[:-9],
    "aws logs --query events[].message": json.dumps(MESSAGES, indent=4),
    "aws logs --query events[].[timestamp,message]": json.dumps([list(event.values()) for event in EVENTS], indent=4),
    "aws logs --query events[].{m:message}": json.dumps([{"m": message} for message in MESSAGES]),
    "a collector's JSON lines": "\n".join(json.dumps({"log": message, "stream": "x"}) for message in MESSAGES),
    "Logs Insights JSON": json.dumps(
        {"results": [[{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": m}] for m in MESSAGES]}
    ),
    "Logs Insights CSV": csv_of(["@timestamp", "@message"], [["2023-09-06 08:28:13.685", m] for m in MESSAGES]),
    "console's CSV": csv_of(["timestamp", "message"], [["1693988893685", m + "\n"] for m in MESSAGES]),
}


@pytest.mark.parametrize("block", [7, 1 << 20])
@pytest.mark.parametrize("form", EXPORTS)
def test_export_form(form: str, block: int) -> None:
    """In blocks of any size."""
    scanner = scanned(EXPORTS[form], block=block)
    ((key, group),) = scanner.aggregation.groups.items()
    assert (key.conditions, key.digest, group.count) == (("set",), "set search_path to $1,$2,$3", 1)
    assert group.first == group.last == int(WHEN.timestamp())
    lines = scanner.lines
    assert (lines.total, lines.pins, lines.ordinary, lines.unknown) == (4, 1, 3, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("form", ["CRLF", "aws logs --output json", "console's CSV"])
def test_utf_16(form: str, encoding: str) -> None:
    data = EXPORTS[form].encode(encoding)
    data = data if encoding == "utf-16" else codecs.BOM_UTF16_BE + data
    scanner = Scanner()
    scanner.read(as_lines(data[start : start + 7] for start in range(0, len(data), 7)))
    scanner.finish()
    ((key, group),) = scanner.aggregation.groups.items()
    assert (key.digest, group.count, scanner.lines.unknown) == ("set search_path to $1,$2,$3", 1, 0)


def test_message_without_time_gets_its_events_time() -> None:
    message = SEARCH_PATH.removeprefix("2023-09-06T08:28:13.685Z ")
    report = report_of(json.dumps({"timestamp": 1693988893685, "message": message}))
    assert report.digests[0].first == 1693988893


def test_digest_with_a_line_break() -> None:
    line = pinned(WHEN, 1, 2, REASON_SETTINGS, "set search_path\n to $1")
    assert only(report_of(json.dumps({"message": line}))) == ("set", "set search_path to $1", 1)


def announced(client: int, after: int = 1) -> list[str]:
    digest = "select set_config($1, $2, $3)"
    return [
        may_pin(WHEN, client, 2, REASON_SETTINGS, digest),
        pinned(WHEN + timedelta(milliseconds=after), client, 2, REASON_PREPARED),
    ]


def test_digest_of_an_announcement_is_joined() -> None:
    report = report_of("\n".join(announced(7)))
    assert only(report) == ("set-config", "select set_config($1, $2, $3)", 1)
    assert (report.joined, report.digests[0].joined, report.lines.announced) == (1, 1, 1)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([announced(7)[0], announced(8)[1]], id="another client connection"),
        pytest.param(announced(7, after=-1000), id="announced after the pin"),
        pytest.param([announced(7)[0], pinned(WHEN, 7, 2, REASON_OVERSIZED)], id="a reason that needs no digest"),
    ],
)
def test_digest_is_not_joined(lines: list[str]) -> None:
    report = report_of("\n".join(lines))
    assert report.joined == 0
    assert report.digests[0].digest is None


def test_latest_announcement_before_the_pin_is_joined() -> None:
    lines = [
        may_pin(WHEN, 7, 2, REASON_SETTINGS, "set a.a=$1"),
        may_pin(WHEN + timedelta(milliseconds=2), 7, 2, REASON_SETTINGS, "set a.b=$1"),
        may_pin(WHEN + timedelta(milliseconds=9), 7, 2, REASON_SETTINGS, "set a.c=$1"),
        pinned(WHEN + timedelta(milliseconds=5), 7, 2, REASON_PREPARED),
    ]
    for order in (lines, lines[::-1]):
        assert only(report_of("\n".join(order))) == ("set", "set a.b=$1", 1)


def test_announcement_alone_is_no_pin() -> None:
    report = report_of(announced(7)[0])
    assert (report.pins, report.lines.announced) == (0, 1)


def counts(report: LogReport) -> list[tuple[object, ...]]:
    return [(row.condition, row.digest, row.count, row.first, row.last, row.joined, row.bars) for row in report.digests]


LINES = list(log(400, pinning=0.6))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), repeated=st.integers(0, 60), block=st.integers(1, 5000))
def test_order_and_repetition_do_not_matter(seed: int, repeated: int, block: int) -> None:
    """In blocks of any size."""
    expected = report_of("\n".join(LINES))
    chance = random.Random(seed)
    lines = LINES + chance.choices(LINES, k=repeated)
    chance.shuffle(lines)
    scanner = scanned("\n".join(lines), block=block)
    assert scanner.lines.pins == expected.lines.pins > 0
    assert scanner.lines.total == len(lines)
    assert counts(report_of("\n".join(lines))) == counts(expected)


OTHERS = [
    "2023-09-06T08:28:13.685Z [WARN] [proxyEndpoint=default] [clientConnection=1] Authentication failed for 'app'.",
    "not a line of a proxy",
    "2023-09-06T08:28:13.685Z [WARN] This session was pinned to the database connection of somebody",
    "    at com.example.Main",
]


@settings(max_examples=60, deadline=None)
@given(at=st.lists(st.integers(0, 3000), max_size=8), old=st.booleans())
def test_unknown_lines_are_counted(at: list[int], old: bool) -> None:
    """Few among many lines, of the old or new form."""
    lines = list(log(3000, pinning=0.05, seed=2))
    if old:
        lines = [line.replace("[proxyEndpoint=default] ", "") for line in lines]
    total = len(lines)
    for number, place in enumerate(at):
        lines.insert(place, OTHERS[number % len(OTHERS)])
    found = scanned("\n".join(lines), block=100_000).lines
    assert found.total == total + len(at)
    assert found.unknown == sum(count for _, count in found.forms.values()) == len(at)


def test_unknown_lines_of_one_form() -> None:
    """They differ in numbers only."""
    report = report_of("\n".join(f"request {number} failed" for number in range(50)))
    assert [count for _, count in report.lines.forms.values()] == [50]
