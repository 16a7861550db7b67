"""RDS Proxy's facts against copies of AWS's documentation, and against botocore's model of the RDS API."""

import re
from typing import Any

import pytest
from botocore.loaders import Loader

from cdk_pinsafe import rds_proxy
from cdk_pinsafe.emulator import EmulatorOptions
from cdk_pinsafe.emulator.metrics import NAMES

# Typed from the table of the user guide, not generated. P: ProxyName; E: with EndpointName; T: with TargetGroup and
# Target; R: with TargetGroup and TargetRole.
DOCUMENTED = """
AvailabilityPercentage                     Average R
ClientConnections                          Sum     PE
ClientConnectionsClosed                    Sum     PE
ClientConnectionsNoTLS                     Sum     PE
ClientConnectionsReceived                  Sum     PE
ClientConnectionsSetupFailedAuth           Sum     PE
ClientConnectionsSetupSucceeded            Sum     PE
ClientConnectionsTLS                       Sum     PE
DatabaseConnectionRequests                 Sum     PTR
DatabaseConnectionRequestsWithTLS          Sum     PTR
DatabaseConnections                        Sum     PTR
DatabaseConnectionsBorrowLatency           Average PE
DatabaseConnectionsCurrentlyBorrowed       Sum     PTR
DatabaseConnectionsCurrentlyInTransaction  Sum     PTR
DatabaseConnectionsCurrentlySessionPinned  Sum     PTR
DatabaseConnectionsSetupFailed             Sum     PTR
DatabaseConnectionsSetupSucceeded          Sum     PTR
DatabaseConnectionsWithTLS                 Sum     PTR
MaxDatabaseConnectionsAllowed              Sum     PTR
QueryDatabaseResponseLatency               Average PETR
QueryRequests                              Sum     PE
QueryRequestsNoTLS                         Sum     PE
QueryRequestsTLS                           Sum     PE
QueryResponseLatency                       Average PE
"""
DIMENSION_SETS = {
    "P": {"ProxyName"},
    "E": {"ProxyName", "EndpointName"},
    "T": {"ProxyName", "TargetGroup", "Target"},
    "R": {"ProxyName", "TargetGroup", "TargetRole"},
}


@pytest.fixture(scope="module")
def shapes() -> dict[str, Any]:
    """The shapes of the RDS API."""
    found: dict[str, Any] = Loader().load_service_model("rds", "service-2")["shapes"]
    return found


def test_metrics_are_the_documented_ones() -> None:
    rows = [line.split() for line in DOCUMENTED.strip().splitlines()]
    assert list(rds_proxy.METRICS) == [name for name, _, _ in rows]
    for name, statistic, letters in rows:
        assert rds_proxy.METRICS[name].statistic == statistic
        assert list(rds_proxy.METRICS[name].dimension_sets) == [DIMENSION_SETS[letter] for letter in letters]


def test_names_that_the_tools_use_are_metrics() -> None:
    used = {
        *(rds_proxy.PINNED, rds_proxy.BORROWED, rds_proxy.CONNECTIONS, rds_proxy.MAX_CONNECTIONS),
        *(rds_proxy.CLIENT_CONNECTIONS, rds_proxy.FAILED_LOGINS, rds_proxy.BORROW_LATENCY),
    }
    assert len(used) == 7
    assert used <= set(rds_proxy.METRICS)


def test_emulator_has_all_metrics_that_it_can() -> None:
    """It has no failover, and does not count TLS separately when it opens connections."""
    missing = {"AvailabilityPercentage", "DatabaseConnectionRequestsWithTLS"}
    assert set(NAMES) == set(rds_proxy.METRICS) - missing


def test_borrow_timeout(shapes: dict[str, Any]) -> None:
    text = shapes["ConnectionPoolConfiguration"]["members"]["ConnectionBorrowTimeout"]["documentation"]
    assert f"Default: <code>{rds_proxy.DEFAULT_BORROW_TIMEOUT}</code>" in text
    assert f"Must be between 0 and {rds_proxy.MAX_BORROW_TIMEOUT}." in text


def test_name_and_number_of_secrets(shapes: dict[str, Any]) -> None:
    assert shapes["UserAuthConfigList"]["max"] == rds_proxy.MAX_SECRETS
    assert shapes["DBProxyName"]["max"] == rds_proxy.MAX_NAME_LENGTH
    # AWS's own expression takes time exponential in the length of a name that it does not match.
    documented = re.compile(shapes["DBProxyName"]["pattern"])
    for name in ("a", "A-1", "a-b-c", "orders", "", "1a", "-a", "a-", "a--b", "a_b", "a.b", "ä"):
        assert bool(re.fullmatch(rds_proxy.NAME_PATTERN, name)) == bool(documented.fullmatch(name)), name


@pytest.mark.parametrize(
    ("fact", "documented"),
    [
        (rds_proxy.PORT, 5432),
        (rds_proxy.DEFAULT_IDLE_CLIENT_TIMEOUT, 30 * 60),
        (rds_proxy.MAX_IDLE_CLIENT_TIMEOUT, 8 * 60 * 60),
        (rds_proxy.CLIENT_LIFETIME, 24 * 60 * 60),
        (rds_proxy.CONNECTION_LIFETIME, 24 * 60 * 60),
        (rds_proxy.DEBUG_LOGGING_LIFETIME, 24 * 60 * 60),
        (rds_proxy.STATEMENT_LIMIT, 16 * 1024),
        (rds_proxy.METRIC_PERIOD, 60),
        (rds_proxy.METRIC_DELAY, 2 * 60),
        (rds_proxy.NAMESPACE, "AWS/RDS"),
        (rds_proxy.log_group_name("orders"), "/aws/rds/proxy/orders"),
    ],
)
def test_fact(fact: object, documented: object) -> None:
    """In the units of AWS's documentation."""
    assert fact == documented


def test_startup_parameters() -> None:
    """As users reported them who got SQLSTATE 0A000 for others."""
    assert {name.lower() for name in rds_proxy.STARTUP_PARAMETERS} == {
        *("application_name", "client_encoding", "datestyle", "timezone", "extra_float_digits", "search_path")
    }


def test_emulator_has_the_defaults_of_rds() -> None:
    options = EmulatorOptions()
    assert (options.borrow_timeout, options.idle_client_timeout) == (120, 1800)
    assert (options.client_lifetime, options.connection_lifetime) == (86_400, 86_400)
