"""Log groups of CloudWatch Logs: in the local cloud; pages and errors, which it lacks, by a stub."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from click.testing import CliRunner

from cdk_pinsafe.cli import main
from cdk_pinsafe.errors import LogsError
from cdk_pinsafe.localcloud.client import Account, LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority
from cdk_pinsafe.logs import cloudwatch
from cdk_pinsafe.logs.cloudwatch import events, parse_time
from cdk_pinsafe.pinning.log_lines import REASON_SETTINGS, connected, pinned

GROUP = "/aws/rds/proxy/orders"
ACCOUNT = Account("123456789012", "eu-central-1")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    with LocalCloud(tmp_path_factory.mktemp("cloud"), authority) as cloud:
        yield cloud


@pytest.fixture
def account(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user of the local cloud."""
    for name, value in ACCOUNT.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    # boto3 would keep the credentials of an earlier test.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def put(group: str, lines: list[tuple[datetime, str]]) -> None:
    """Write lines to a log group."""
    client = boto3.client("logs")
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName="default")
    batch: Any = [{"timestamp": int(when.timestamp() * 1000), "message": line} for when, line in lines]
    client.put_log_events(logGroupName=group, logStreamName="default", logEvents=batch)


def report(*arguments: str, status: int) -> dict[str, Any]:
    ran = CliRunner().invoke(main, ["logs", *arguments, "--format", "json"])
    assert ran.exit_code == status, ran.output
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


@pytest.mark.usefixtures("account")
def test_log_group() -> None:
    """Only pins in the time range are requested."""
    now = datetime.now(UTC)
    ages = [timedelta(minutes=10), timedelta(minutes=50), timedelta(hours=3)]
    lines = [
        (now - age, pinned(now - age, number, 1, REASON_SETTINGS, "set search_path to $1"))
        for number, age in enumerate(ages)
    ]
    lines += [(now - age, connected(now - age, number, "10.0.0.1:5000")) for number, age in enumerate(ages)]
    put(GROUP, sorted(lines))
    for since, pins in (((), 2), (("--since", "2h"), 2), (("--since", "1d"), 3), (("--since", "30m"), 1)):
        document = report("--log-group", GROUP, *since, status=1)
        assert (document["pins"], document["lines"]["total"]) == (pins, pins)
        assert document["only_pins"] is True
        assert document["inputs"] == [GROUP]
    start, end = (f"{now - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S}" for minutes in (60, 30))
    document = report("--log-group", GROUP, "--since", start, "--until", end, status=1)
    assert document["pins"] == 1
    assert (document["first"], document["last"]) == (f"{start}Z", f"{end}Z")
    report("--log-group", GROUP, "--since", "5m", status=0)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--log-group", "/aws/rds/proxy/none"], "there is no log group '/aws/rds/proxy/none'"),
        (["--log-group", GROUP, "--since", "yesterday"], "'yesterday' is not a time: write how long ago, as 30m"),
        (["--log-group", GROUP, "--since", "1h", "--until", "2h"], "--since 1h is not before --until 2h"),
    ],
)
def test_invalid_arguments(arguments: list[str], message: str) -> None:
    ran = CliRunner().invoke(main, ["logs", *arguments])
    assert ran.exit_code == 2
    assert message in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.output


def test_missing_aws_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a missing region, credentials or profile says what to check."""
    for name in ACCOUNT.environment():
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable, message in (
        ("AWS_ENDPOINT_URL=", "You must specify a region"),
        ("AWS_DEFAULT_REGION=", "Invalid endpoint"),
        ("AWS_DEFAULT_REGION=eu-central-1", "Unable to locate credentials"),
        ("AWS_PROFILE=nobody", "The config profile (nobody) could not be found"),
    ):
        monkeypatch.setenv(*variable.split("="))
        ran = CliRunner().invoke(main, ["logs", "--log-group", GROUP])
        assert ran.exit_code == 2
        assert message in ran.stderr.splitlines()[-1]
        assert "AWS_PROFILE" in ran.stderr.splitlines()[-1]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """A client with prepared responses, which fails on an unexpected request."""
    client = boto3.client("logs", "eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    monkeypatch.setattr(cloudwatch, "_client", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def read(notes: list[str] | None = None) -> bytes:
    return b"".join(events(GROUP, NOW - timedelta(hours=2), NOW, [] if notes is None else notes))


ASKED = {
    "logGroupName": GROUP,
    "filterPattern": "pinned",
    "startTime": int((NOW - timedelta(hours=2)).timestamp() * 1000),
    "endTime": int(NOW.timestamp() * 1000),
}


def test_all_pages_are_read(stub: Stubber) -> None:
    """Empty pages in between included."""
    pages: list[tuple[list[str], str | None]] = [(["a", "b\nb"], "1"), ([], "2"), (["c"], None)]
    token: dict[str, str] = {}
    for messages, following in pages:
        page: dict[str, Any] = {"events": [{"message": message, "timestamp": 0} for message in messages]}
        stub.add_response("filter_log_events", page | ({"nextToken": following} if following else {}), ASKED | token)
        token = {"nextToken": following or ""}
    stamp = b"1970-01-01T00:00:00.000Z "
    assert read() == stamp + b"a\n" + stamp + b"b b\n" + stamp + b"c\n"


def test_number_of_events_is_limited(stub: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudwatch, "EVENTS", 2)
    stub.add_response("filter_log_events", {"events": [{"message": "a"}] * 3, "nextToken": "1"}, ASKED)
    notes: list[str] = []
    assert read(notes) == b"a\na\na\n"
    assert notes == ["only the first 3 lines were read: give --since and --until a shorter span"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDeniedException", "allow logs:FilterLogEvents on it"),
        ("ExpiredTokenException", "ExpiredTokenException: the words of AWS: check AWS_PROFILE"),
        ("ThrottlingException", "ThrottlingException"),
    ],
)
def test_errors_of_aws(stub: Stubber, code: str, message: str) -> None:
    stub.add_client_error("filter_log_events", code, "the\n words of AWS.")
    with pytest.raises(LogsError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)
    assert "the words of AWS" in str(caught.value)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:

    def unreachable() -> None:
        raise EndpointConnectionError(endpoint_url="https://logs.example")

    monkeypatch.setattr(cloudwatch, "_client", unreachable)
    with pytest.raises(LogsError, match="Could not connect to the endpoint URL"):
        read()


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        (" 7 D ", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T10:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00+02:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
    ],
)
def test_times(text: str, when: datetime) -> None:
    assert parse_time(text, NOW) == when


@pytest.mark.parametrize("text", ["", "h", "-1h", "1.5h", "999999w", "2026-13-01", "0001-01-01T00:00+23:00", "1y"])
def test_invalid_times(text: str) -> None:
    with pytest.raises(LogsError, match="is not a time"):
        parse_time(text, NOW)
