"""Deployed proxies: their endpoints accept clients, and their logs, metrics and alarms show them."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cdk_pinsafe.localcloud.client import LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority

from .test_local_cloud import ACCOUNT, NETWORK, deploy, get

PINNED = "DatabaseConnectionsCurrentlySessionPinned"
LATENCY = "DatabaseConnectionsBorrowLatency"
LOGIN = {"username": "postgres", "password": "It's-1"}


def resources(**proxy: Any) -> dict[str, Any]:
    """An instance, its proxy, and alarms on the proxy."""

    def alarm(changes: dict[str, Any]) -> dict[str, Any]:
        common = {
            # Metrics arrive late: the latest minutes are missing.
            "EvaluationPeriods": 5,
            "DatapointsToAlarm": 2,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            **({"Period": 60} if "MetricName" in changes else {}),
        }
        return {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {**common, **changes},
        }

    def metric(name: str) -> dict[str, Any]:
        dimensions = [{"Name": "ProxyName", "Value": {"Ref": "Proxy"}}]
        return {"Namespace": "AWS/RDS", "MetricName": name, "Dimensions": dimensions}

    def stat(id: str, name: str) -> dict[str, Any]:
        return {"Id": id, "MetricStat": {"Metric": metric(name), "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    ratio = [{"Id": "e", "Expression": "100 * m / n"}, stat("m", PINNED), stat("n", "DatabaseConnections")]
    return {
        **NETWORK,
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": json.dumps(LOGIN)}},
        "Db": {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {
                "Engine": "postgres",
                "EngineVersion": "18.1",
                "DBName": "app",
                "MasterUsername": LOGIN["username"],
                "MasterUserPassword": LOGIN["password"],
            },
        },
        "Proxy": {
            "Type": "AWS::RDS::DBProxy",
            "Properties": {
                "DBProxyName": "shop",
                "EngineFamily": "POSTGRESQL",
                "RoleArn": "arn:aws:iam::123456789012:role/proxy",
                "VpcSubnetIds": [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}],
                "Auth": [{"AuthScheme": "SECRETS", "IAMAuth": "REQUIRED", "SecretArn": {"Ref": "Secret"}}],
                "RequireTLS": True,
                "DebugLogging": True,
                **proxy,
            },
        },
        "Targets": {
            "Type": "AWS::RDS::DBProxyTargetGroup",
            "Properties": {
                "DBProxyName": {"Ref": "Proxy"},
                "TargetGroupName": "default",
                "DBInstanceIdentifiers": [{"Ref": "Db"}],
                "ConnectionPoolConfigurationInfo": {"MaxConnectionsPercent": 3, "ConnectionBorrowTimeout": 1},
            },
        },
        "Pinned": alarm({**metric(PINNED), "AlarmName": "pinned", "Statistic": "Sum", "Threshold": 1}),
        "Ratio": alarm({"AlarmName": "ratio", "Metrics": ratio, "Threshold": 50}),
        "Waits": alarm(
            {**metric(LATENCY), "AlarmName": "waits", "Statistic": "Average", "Period": 60, "Threshold": 9e9}
        ),
        "Either": {
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "Properties": {
                "AlarmName": "either",
                "AlarmRule": {"Fn::Sub": 'ALARM("${Ratio.Arn}") OR ALARM("${Waits.Arn}")'},
            },
        },
    }


@pytest.fixture(scope="module")
def endpoint(cloud: LocalCloud) -> Iterator[str]:
    """The endpoint of a deployed proxy with a pool of three database connections."""
    yield deploy(cloud, "shop", resources(), Endpoint=get("Proxy", "Endpoint"))["Endpoint"]
    client = cloud.client("cloudformation", ACCOUNT)
    client.delete_stack(StackName="shop")
    client.get_waiter("stack_delete_complete").wait(StackName="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 30})


@dataclass
class Clients:
    """Opens connections through the proxy."""

    endpoint: str
    authority: CertificateAuthority
    opened: list[psycopg.Connection] = field(default_factory=list)

    def connect(self, **changes: Any) -> psycopg.Connection:
        host, _, port = self.endpoint.partition(":")
        given = {
            "host": host,
            "port": port,
            "dbname": "app",
            "user": LOGIN["username"],
            "password": LOGIN["password"],
            "sslmode": "verify-full",
            "sslrootcert": str(self.authority.certificate),
            **changes,
        }
        self.opened.append(psycopg.connect(**given, autocommit=True))
        return self.opened[-1]


@pytest.fixture
def clients(endpoint: str, authority: CertificateAuthority) -> Iterator[Clients]:
    clients = Clients(endpoint, authority)
    yield clients
    for connection in clients.opened:
        connection.close()


def becomes_true(condition: Callable[[], bool], *, within: float) -> bool:
    """Whether the condition becomes true in time; a minute of the proxy's metrics takes one second."""
    end = time.monotonic() + within
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return result


def points(cloud: LocalCloud, metric: str) -> dict[datetime, float]:
    now = datetime.now(UTC)
    found = cloud.client("cloudwatch", ACCOUNT).get_metric_statistics(
        Namespace="AWS/RDS",
        MetricName=metric,
        Dimensions=[{"Name": "ProxyName", "Value": "shop"}],
        StartTime=now - timedelta(days=1),
        EndTime=now + timedelta(days=1),
        Period=60,
        Statistics=["Sum"],
    )
    return {point["Timestamp"]: point["Sum"] for point in found["Datapoints"]}


def states(cloud: LocalCloud) -> dict[str, str]:
    found = cloud.client("cloudwatch", ACCOUNT).describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    both = [*found["MetricAlarms"], *found["CompositeAlarms"]]
    return {one["AlarmName"]: one["StateValue"] for one in both if one["AlarmName"] in ("pinned", "ratio", "either")}


def log(cloud: LocalCloud) -> list[str]:
    logs = cloud.client("logs", ACCOUNT)
    if not logs.describe_log_groups(logGroupNamePrefix="/aws/rds/proxy/shop")["logGroups"]:
        return []
    return [event["message"] for event in logs.filter_log_events(logGroupName="/aws/rds/proxy/shop")["events"]]


def test_clients_share_the_pool(cloud: LocalCloud, clients: Clients) -> None:
    """Six clients without pins share at most three database connections (MaxConnectionsPercent of 100)."""
    six = [clients.connect() for _ in range(6)]
    for _ in range(3):
        for connection in six:
            assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    assert becomes_true(lambda: list(points(cloud, "ClientConnections").values()).count(6) > 1, within=10)
    assert set(points(cloud, "MaxDatabaseConnectionsAllowed").values()) == {3}
    assert max(points(cloud, "DatabaseConnections").values()) <= 3
    assert not points(cloud, PINNED), "the metric is absent while nothing is pinned"
    for metric in ("ClientConnections", "QueryRequests"):
        minutes = sorted(points(cloud, metric))
        assert {(b - a).total_seconds() for a, b in itertools.pairwise(minutes)} == {60}, "none is missing"
    assert sum(points(cloud, "QueryRequests").values()) >= 18


def test_rejected_clients(clients: Clients) -> None:
    """Wrong password, a user without secret, no TLS, start-up options."""
    with pytest.raises(psycopg.OperationalError, match="password"):
        clients.connect(password="wrong")
    with pytest.raises(psycopg.OperationalError):
        clients.connect(user="rdsadmin")
    with pytest.raises(psycopg.OperationalError):
        clients.connect(sslmode="disable")
    with pytest.raises(psycopg.OperationalError, match="options"):
        clients.connect(options="-c statement_timeout=1s")


def test_pins_are_logged_and_alarmed(cloud: LocalCloud, clients: Clients) -> None:
    """Alarms, also on metric math and composite ones, go to ALARM and back to OK."""
    assert becomes_true(lambda: states(cloud) == {"pinned": "OK", "ratio": "OK", "either": "OK"}, within=10)
    for _ in range(2):
        clients.connect().execute("SET statement_timeout = '7s'")
    assert becomes_true(lambda: states(cloud) == {"pinned": "ALARM", "ratio": "ALARM", "either": "ALARM"}, within=15)
    assert 2 in points(cloud, PINNED).values()
    pins = [line for line in log(cloud) if "was pinned to the database connection" in line]
    assert len(pins) == 2
    assert all('Digest: "set statement_timeout' in line and "7s" not in line for line in pins)
    for connection in clients.opened:
        connection.close()
    assert becomes_true(lambda: states(cloud) == {"pinned": "OK", "ratio": "OK", "either": "OK"}, within=15)
    history = cloud.client("cloudwatch", ACCOUNT).describe_alarm_history(AlarmName="pinned")["AlarmHistoryItems"]
    assert {"Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"} <= {
        one["HistorySummary"] for one in history
    }


def test_borrow_timeout_of_a_full_pool(clients: Clients) -> None:
    for _ in range(3):
        clients.connect().execute("SET statement_timeout = '7s'")
    start = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        clients.connect().execute("SELECT 1")
    assert 0.5 < time.monotonic() - start < 20


def test_changed_options_keep_the_endpoint(cloud: LocalCloud, clients: Clients, endpoint: str) -> None:
    """RequireTLS and DebugLogging are switched off."""
    template = resources(RequireTLS=False, DebugLogging=False)
    made = deploy(cloud, "shop", template, Endpoint=get("Proxy", "Endpoint"))
    assert made["Endpoint"] == endpoint
    last = max(points(cloud, "ClientConnectionsReceived"), default=None)
    lines = len(log(cloud))
    connection = clients.connect(sslmode="disable")
    connection.execute("SET statement_timeout = '7s'")
    newer = lambda: any(value for at, value in points(cloud, PINNED).items() if last is None or at > last)  # noqa: E731
    assert becomes_true(newer, within=10)
    assert len(log(cloud)) == lines


def test_proxy_without_target_refuses_connections(cloud: LocalCloud, authority: CertificateAuthority) -> None:
    alone = {name: one for name, one in resources(DBProxyName="alone").items() if name not in ("Pinned", "Ratio")}
    alone = {name: one for name, one in alone.items() if name not in ("Targets", "Waits", "Either")}
    made = deploy(cloud, "alone", alone, Endpoint=get("Proxy", "Endpoint"))
    with pytest.raises(psycopg.OperationalError, match="refused"):
        Clients(made["Endpoint"], authority).connect()
    cloud.client("cloudformation", ACCOUNT).delete_stack(StackName="alone")
