"""PinningLogs, and the log's text in CloudWatch's languages."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import postgast
import pytest
from aws_cdk import Stack
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Match, Template

from cdk_pinsafe import PinningLogs
from cdk_pinsafe.cdk import log_text
from cdk_pinsafe.errors import ConfigurationError
from cdk_pinsafe.pinning import log_lines
from cdk_pinsafe.pinning.conditions import CONDITIONS, Condition

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# From an article of 2022, the numbers changed.
PUBLISHED = (
    "2022-05-19T17:20:40.601Z [WARN] [proxyEndpoint=default] [clientConnection=2125203372] The client session was "
    "pinned to the database connection [dbConnection=1953961465] for the remainder of the session. The proxy can't "
    "reuse this connection until the session ends. Reason: SQL changed session settings that the proxy doesn't track. "
    "Consider moving session configuration to the proxy's initialization query. "
    'Digest: "set search_path to $1,$2,$3".'
)


def matches(pattern: str, line: str) -> bool:
    """Whether a filter pattern of quoted terms matches: all terms, and none that begins with a minus."""
    terms = re.findall(r'(-?)"((?:[^"\\]|\\.)*)"', pattern)
    assert " ".join(f'{minus}"{term}"' for minus, term in terms) == pattern
    return all((re.sub(r"\\(.)", r"\1", term) in line) is (minus == "") for minus, term in terms)


def conditions_of(line: str) -> list[str]:
    return [sign.condition for sign in log_text.SIGNS if matches(sign.pattern, line)]


def lines_for(one: Condition, sql: str) -> list[str]:
    """The proxy's log lines for a statement, by the simple and the extended protocol."""
    reason = log_lines.reason_for(one)
    if one.id == "oversized":
        return [log_lines.pinned(WHEN, 1, 2, reason)]
    digest = postgast.normalize(sql).lower()
    return [log_lines.pinned(WHEN, 1, 2, reason, digest), log_lines.may_pin(WHEN, 1, 2, reason, digest)]


EXAMPLES = [(one, sql) for one in CONDITIONS for sql in one.pinning_examples]


@pytest.mark.parametrize(("one", "sql"), EXAMPLES, ids=[f"{one.id}-{sql[:40]}" for one, sql in EXAMPLES])
def test_line_matches_one_filter(one: Condition, sql: str) -> None:
    """That of its condition, for each example of each condition."""
    for line in lines_for(one, sql):
        assert conditions_of(line) == [one.id]


def test_every_condition_has_a_filter() -> None:
    assert {sign.condition for sign in log_text.SIGNS} == {one.id for one in CONDITIONS}


def test_published_lines() -> None:
    assert conditions_of(PUBLISHED) == ["set"]
    assert conditions_of(log_lines.connected(WHEN, 1, "10.0.0.1:5432")) == []
    assert conditions_of(log_lines.pinned(WHEN, 1, 2, "Running a prepared statement")) == ["sql-prepare"]
    assert conditions_of(log_lines.pinned(WHEN, 1, 2, "Something new")) == []


def test_pin_phrase_is_in_both_kinds_of_lines() -> None:
    assert log_text.PIN in log_lines.PINNED_START
    assert log_text.PIN in log_lines.MAY_PIN_START


def test_limits_of_cloudwatch() -> None:
    """100 filters for a log group and 1,024 characters for a pattern; no regular expressions."""
    assert len(log_text.SIGNS) <= 100
    assert all(len(sign.pattern) <= 1024 and "%" not in sign.pattern for sign in log_text.SIGNS)


def test_query_over_time_counts_like_the_filters() -> None:
    lines = [PUBLISHED, *(line for one, sql in EXAMPLES for line in lines_for(one, sql))]

    def strcontains(line: str) -> Callable[[str, str], int]:
        return lambda message, phrase: int(phrase in line)

    for sign in log_text.SIGNS:
        assert "'" not in sign.phrase
        expression = sign.count.replace("@message", "''")
        for line in lines:
            counted = eval(expression, {"strcontains": strcontains(line)})
            assert counted == int(matches(sign.pattern, line))


@pytest.mark.parametrize("query", [log_text.BY_REASON, log_text.BY_DIGEST, log_text.BY_CLIENT_CONNECTION])
def test_query_parses_a_published_line(query: str) -> None:
    [phrase] = re.findall(r"^filter @message like '([^']+)'$", query, re.MULTILINE)
    assert phrase in PUBLISHED
    found = {}
    for regex in re.findall(r"parse @message /(.+)/$", query, re.MULTILINE):
        if match := re.search(regex.replace("(?<", "(?P<"), PUBLISHED):
            found.update(match.groupdict())
    for glob, name in re.findall(r"parse @message '([^']+)' as (\w+)$", query, re.MULTILINE):
        if match := re.search(re.escape(glob).replace(r"\*", "(.*?)"), PUBLISHED):
            found[name] = match[1]
    expected = {
        "reason": "SQL changed session settings that the proxy doesn't track",
        "digest": "set search_path to $1,$2,$3",
        "client_connection": "2125203372",
        "db_connection": "1953961465",
    }
    assert found
    assert found == {name: expected[name] for name in found}


def test_queries_and_filters_use_the_log_group(stack: Stack) -> None:
    """The metrics have no dimensions and no default value."""
    group = logs.LogGroup.from_log_group_name(stack, "LogGroup", "/aws/rds/proxy/orders")
    watched = PinningLogs(stack, "Logs", proxy="orders", log_group=group)
    metric = watched.metric("cursor")
    assert (metric.namespace, metric.metric_name, metric.statistic) == ("cdk-pinsafe/orders", "cursor", "Sum")
    assert metric.dimensions in (None, {})
    template = Template.from_stack(stack)
    queries = template.find_resources("AWS::Logs::QueryDefinition")
    assert sorted(query["Properties"]["Name"] for query in queries.values()) == [
        "pinsafe/orders/pins by SQL digest",
        "pinsafe/orders/pins by client connection",
        "pinsafe/orders/pins by reason",
    ]
    assert all(query["Properties"]["LogGroupNames"] == ["/aws/rds/proxy/orders"] for query in queries.values())
    filters = template.find_resources("AWS::Logs::MetricFilter")
    assert len(filters) == len(log_text.SIGNS)
    assert {one["Properties"]["LogGroupName"] for one in filters.values()} == {"/aws/rds/proxy/orders"}
    template.has_resource_properties(
        "AWS::Logs::MetricFilter",
        {
            "FilterPattern": '"pinned to the database connection" "Digest: \\"declare "',
            "MetricTransformations": [
                {
                    "MetricNamespace": "cdk-pinsafe/orders",
                    "MetricName": "cursor",
                    "MetricValue": "1",
                    "DefaultValue": Match.absent(),
                    "Dimensions": Match.absent(),
                }
            ],
        },
    )


def test_unknown_condition_is_refused(stack: Stack) -> None:
    """Its metric would always be empty."""
    group = logs.LogGroup(stack, "LogGroup")
    watched = PinningLogs(stack, "Logs", proxy="orders", log_group=group)
    with pytest.raises(ConfigurationError, match="^Test/Logs: 'condition' should be one of advisory-lock, .*'curser'"):
        watched.metric("curser")
    with pytest.raises(ConfigurationError, match="'proxy' should be 1 to 63"):
        PinningLogs(stack, "Bad", proxy="1", log_group=group)
