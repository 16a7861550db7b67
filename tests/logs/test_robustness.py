"""No input causes a traceback, or unbounded memory."""

import gzip
import json
import random
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_pinsafe.cli import main
from cdk_pinsafe.logs import cardinality
from cdk_pinsafe.logs.aggregation import BUCKETS, GROUPS, Aggregation, GroupKey
from cdk_pinsafe.logs.cardinality import DistinctCounter
from cdk_pinsafe.logs.correlation import SESSIONS, Correlator
from cdk_pinsafe.logs.formats import TAIL_LIMIT
from cdk_pinsafe.logs.scan import LONGEST_LINE, Scanner
from cdk_pinsafe.pinning.log_lines import REASON_PREPARED, REASON_SETTINGS, may_pin, pinned

from .generator import log
from .reading import report_of, scanned

WHEN = datetime(2026, 3, 2, tzinfo=UTC)
TEXT = "\n".join(log(120, pinning=0.7)).encode()
FORMATS = ("text", "json", "html")


def pin(number: int, digest: str = "set a.b=$1") -> str:
    return pinned(WHEN + timedelta(seconds=number), number, 1, REASON_SETTINGS, digest)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A log with parts removed, repeated, or replaced by random bytes."""
    text = TEXT
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 300)))
        text = text[:start] + draw(st.binary(max_size=40) | st.just(text[start:end] * 2)) + text[end:]
    return text


DOCUMENT = json.dumps({"events": [{"timestamp": 1, "message": line} for line in TEXT.decode().splitlines()]}).encode()


@settings(max_examples=60, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=400),
        damaged(),
        damaged().map(lambda text: gzip.compress(text)[:-5]),
        damaged().map(lambda text: gzip.compress(text)[:200] + b"\0" * 9 + text[:50]),
        st.tuples(st.integers(0, len(DOCUMENT)), st.binary(max_size=9)).map(
            lambda cut: DOCUMENT[: cut[0]] + cut[1] + DOCUMENT[cut[0] + 5 :]
        ),
        damaged().map(lambda text: b"timestamp,message\n1," + text),
    ),
    form=st.sampled_from(FORMATS),
)
def test_no_input_causes_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: bytes, form: str) -> None:
    file = tmp_path_factory.mktemp("input") / "input.log"
    file.write_bytes(data)
    ran = CliRunner().invoke(main, ["logs", str(file), "--format", form])
    assert ran.exit_code in (0, 1), ran.output
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    if form == "json":
        lines = json.loads(ran.stdout)["lines"]
        assert sum(lines.values()) == 2 * lines["total"]


def test_folder_of_broken_files(tmp_path: Path) -> None:
    text = "\n".join(pin(number) for number in range(40)).encode()
    random_bytes = random.Random(1).randbytes(5000)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "000000.gz").write_bytes(gzip.compress(text))
    (tmp_path / "bytes.log").write_bytes(random_bytes)
    (tmp_path / "cut.gz").write_bytes(gzip.compress("\n".join(map(pin, range(50, 90))).encode())[:-20])
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(text)[:10] + b"\xff" * 90)
    (tmp_path / "empty").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "nul.log").write_bytes(b"\0" * 5000)
    ran = CliRunner().invoke(main, ["logs", str(tmp_path), "--format", "json"])
    report = json.loads(ran.stdout)
    assert ran.exit_code == 1
    assert 40 < report["pins"] <= 80
    assert len(report["notes"]) == 2
    assert any("cut.gz is truncated" in note for note in report["notes"])
    assert any("damaged.gz is damaged" in note for note in report["notes"])


def test_gzip_members_are_one_log(tmp_path: Path) -> None:
    """Padding after them is ignored."""
    members = [gzip.compress((pin(number) + "\n").encode()) for number in range(3)]
    (tmp_path / "three.gz").write_bytes(b"".join(members) + b"\0" * 512)
    ran = CliRunner().invoke(main, ["logs", str(tmp_path / "three.gz"), "--format", "json"])
    assert json.loads(ran.stdout)["pins"] == 3
    assert json.loads(ran.stdout)["notes"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name log files"),
        (["nowhere.log"], "No such file"),
        (["."], "has no files"),
        (["-", "-"], "named twice"),
        (["nul\0"], "No such file"),
        (["-", "--since", "1h"], "--log-group"),
        (["-", "--log-group", "x"], "not both"),
        (["-", "--output", "nowhere/report.html"], "cannot write"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["logs", *arguments])
    assert ran.exit_code == 2
    assert message in ran.stderr.splitlines()[-1]


def test_standard_input() -> None:
    for data in (TEXT, gzip.compress(TEXT)):
        ran = CliRunner().invoke(main, ["logs", "-", "--format", "json"], input=data)
        assert json.loads(ran.stdout)["pins"] == report_of(TEXT).pins


def test_pipe_is_opened_once(tmp_path: Path) -> None:
    """A shell's `<(…)`."""
    file = tmp_path / "a.log"
    file.write_bytes(TEXT)
    command = f"{Path(sys.executable).with_name('pinsafe')} logs <(cat {file}) --format json"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert json.loads(ran.stdout)["pins"] == report_of(TEXT).pins, ran.stderr


def test_control_characters_are_escaped() -> None:
    digest = "set a.b=$1 /*\x1b[2J\x07\u202e\x9b31m*/"
    for form in FORMATS:
        ran = CliRunner().invoke(main, ["logs", "-", "--format", form], input="\x1b]0;x\n" + pin(1, digest))
        assert not set(ran.stdout) & set("\x1b\x07\u202e\x9b")
        assert "u202e" in ran.stdout
        assert "x1b" in ran.stdout


def test_long_lines() -> None:
    text = f"{pin(1)}\n{'x' * (5 * LONGEST_LINE)}\n{pin(2)}"
    scanner = scanned(text, block=100_000)
    assert scanner.lines.pins == 2
    assert 1 <= scanner.lines.unknown <= 6


def test_json_without_messages_is_unknown() -> None:
    for size in (10, 2 * TAIL_LIMIT):
        assert report_of('{"log": "' + "x" * size + '"}').lines.unknown >= 1


def peak(feed: int) -> int:
    """Peak memory in bytes of scanning pins with a new digest, client and time each."""
    tracemalloc.start()
    scanner = Scanner()
    for start in range(0, feed, 100):
        lines = (
            may_pin(WHEN, 2 * number, 1, REASON_SETTINGS, f"set a.p{number} = $1")
            + "\n"
            + pinned(WHEN, 2 * number, 1, REASON_PREPARED)
            + "\n"
            + pin(2 * number + 1, f"set a.q{number} = $1 {'x' * 300}")
            for number in range(start, min(feed, start + 100))
        )
        scanner.read([("\n".join(lines) + "\n").encode()])
    scanner.finish()
    assert scanner.lines.pins == 2 * feed == sum(group.count for group in scanner.aggregation.groups.values())
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    bounds = {
        "aggregation.GROUPS": 20,
        "aggregation.BUCKETS": 50,
        "cardinality.KEPT": 50,
        "correlation.SESSIONS": 50,
        "scan.REPEATS": 50,
    }
    for name, value in {**bounds, "scan._CACHED": 50, "scan._PENDING": 50, "scan._PENDING_LISTS": 50}.items():
        monkeypatch.setattr(f"cdk_pinsafe.logs.{name}", value)
    small, large = peak(300), peak(20_000 if long else 1200)
    assert large < 1.2 * small


def test_rare_digests_are_folded() -> None:
    """All totals stay exact."""
    aggregation = Aggregation()
    for number in range(5 * GROUPS):
        key = GroupKey(("set",), "", f"set a.p{number} = $1")
        for again in range(3 if number % 100 == 0 else 1):
            aggregation.add(aggregation.group(key), 1, (number, number), {number: 1}, [10 * number + again])
    groups = aggregation.groups.values()
    (rest,) = [group for group in groups if group.key.folded]
    assert len(groups) <= 2 * GROUPS + 1
    assert aggregation.folded > 2 * GROUPS
    assert sum(group.count for group in groups) == sum(sum(group.buckets.values()) for group in groups) == 1020
    assert rest.connections.count == rest.count
    assert {f"set a.p{100 * number} = $1" for number in range(9)} <= {group.key.digest for group in groups}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-62_135_596_800, 253_402_300_799), min_size=1, max_size=40))
def test_buckets_are_bounded(seconds: list[int]) -> None:
    """For times from year 1 to 9999."""
    aggregation = Aggregation()
    group = aggregation.group(GroupKey(("set",), "", "x"))
    for second in seconds:
        aggregation.add(group, 1, (second, second), {second: 1}, [])
    expected: dict[int, int] = {}
    for second in seconds:
        bucket = second // aggregation.width
        expected[bucket] = expected.get(bucket, 0) + 1
    assert group.buckets == expected
    assert max(expected) - min(expected) <= BUCKETS
    assert (group.first, group.last) == (min(seconds), max(seconds))


@pytest.mark.parametrize("many", [1, cardinality.KEPT, 5000, 100_000])
def test_distinct_counter(many: int) -> None:
    """Exact up to its limit, then within four standard errors."""
    chance = random.Random(many)
    numbers = [chance.getrandbits(32) for _ in range(many)]
    parts = [DistinctCounter(), DistinctCounter()]
    for number in numbers + numbers[:1000]:
        parts[chance.randrange(2)].add(number)
    parts[0].merge(parts[1])
    different = len(set(numbers))
    assert parts[0].exact == (different <= cardinality.KEPT)
    assert abs(parts[0].count - different) <= (0 if parts[0].exact else 4 * cardinality.RELATIVE_ERROR * different)


def test_pending_sessions_are_bounded() -> None:
    """Each is resolved once."""
    resolved: list[bytes] = []
    correlator = Correlator(lambda key, joined, moment, connection: resolved.append(connection))
    connections = [b"%d" % number for number in range(SESSIONS + 100)]
    for connection in connections:
        correlator.pin(connection, b"2026-03-02T10:00:00.000", GroupKey((), REASON_PREPARED, None))
    assert resolved == connections[:100]
    correlator.finish()
    assert resolved == connections
