"""Facts about RDS Proxy for PostgreSQL, each stated once. Imports nothing.

Sources: Amazon RDS user guide, "Monitoring RDS Proxy metrics with Amazon CloudWatch" and "RDS Proxy concepts and
terminology"; Amazon RDS API reference, ``CreateDBProxy`` and ``ConnectionPoolConfiguration`` (documented). Another
source is named where it is needed. None of it was tried on AWS.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

PORT: Final = 5432
"""The only port of the proxy's endpoints."""

LOG_GROUP_PREFIX: Final = "/aws/rds/proxy/"
"""A proxy logs to the log group with this prefix and its name."""

MAX_SECRETS: Final = 200
MAX_NAME_LENGTH: Final = 63
NAME_PATTERN: Final = "[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*"
"""Regular expression for the whole of ``DBProxyName``."""

DEFAULT_BORROW_TIMEOUT: Final = 120
"""Seconds that a client waits for a database connection (``ConnectionBorrowTimeout``)."""
MAX_BORROW_TIMEOUT: Final = 300
DEFAULT_IDLE_CLIENT_TIMEOUT: Final = 1_800
"""Seconds until an idle client is disconnected (``IdleClientTimeout``)."""
MAX_IDLE_CLIENT_TIMEOUT: Final = 28_800
CLIENT_LIFETIME: Final = 86_400
"""Seconds that a client can stay connected. Not configurable."""
CONNECTION_LIFETIME: Final = 86_400
"""Seconds after which the proxy closes a database connection once it is free. Not configurable."""
DEBUG_LOGGING_LIFETIME: Final = 86_400
"""Seconds after which AWS switches enhanced logging (``DebugLogging``) off."""

STATEMENT_LIMIT: Final = 16_384
"""Bytes of a statement's text above which it pins.

AWS documents 16 KB; the proxy's log says "exceeded the 16384 byte limit" (measured by others).
"""

STARTUP_PARAMETERS: Final = (
    "application_name",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "extra_float_digits",
    "search_path",
)
"""Parameters that a client may send when it connects, in any case, besides ``user`` and ``database``.

Any other refuses the connection with SQLSTATE 0A000 (measured by others; see :data:`.pinning.conditions.CAVEATS`).
"""

NAMESPACE: Final = "AWS/RDS"
PROXY_NAME: Final = "ProxyName"
"""The dimension that all metrics have."""
METRIC_PERIOD: Final = 60
"""Seconds between two values of a metric.

Every node of a proxy publishes each minute, so the Sum of a gauge over a longer period counts it several times
(inferred).
"""
METRIC_DELAY: Final = 120
"""Seconds, at least, from a minute's end until its values arrive; two to three minutes.

prometheus-community/yet-another-cloudwatch-exporter issue 378, elastic/beats issue 30915 (measured by others).
"""

PINNED: Final = "DatabaseConnectionsCurrentlySessionPinned"
"""Absent while nothing is pinned (measured by others)."""
BORROWED: Final = "DatabaseConnectionsCurrentlyBorrowed"
CONNECTIONS: Final = "DatabaseConnections"
MAX_CONNECTIONS: Final = "MaxDatabaseConnectionsAllowed"
CLIENT_CONNECTIONS: Final = "ClientConnections"
FAILED_LOGINS: Final = "ClientConnectionsSetupFailedAuth"
BORROW_LATENCY: Final = "DatabaseConnectionsBorrowLatency"
"""In microseconds."""

_PROXY: Final = frozenset({PROXY_NAME})
_ENDPOINT: Final = frozenset({PROXY_NAME, "EndpointName"})
_TARGET: Final = frozenset({PROXY_NAME, "TargetGroup", "Target"})
_ROLE: Final = frozenset({PROXY_NAME, "TargetGroup", "TargetRole"})


class Metric(NamedTuple):
    """How a metric is published.

    Attributes:
        statistic: the statistic that AWS calls the most useful.
        dimension_sets: the sets of dimensions under which RDS publishes it.
    """

    statistic: Literal["Sum", "Average"]
    dimension_sets: tuple[frozenset[str], ...]


_OF_CLIENTS: Final = Metric("Sum", (_PROXY, _ENDPOINT))
_OF_TARGETS: Final = Metric("Sum", (_PROXY, _TARGET, _ROLE))

METRICS: Final[Mapping[str, Metric]] = {
    "AvailabilityPercentage": Metric("Average", (_ROLE,)),
    CLIENT_CONNECTIONS: _OF_CLIENTS,
    "ClientConnectionsClosed": _OF_CLIENTS,
    "ClientConnectionsNoTLS": _OF_CLIENTS,
    "ClientConnectionsReceived": _OF_CLIENTS,
    FAILED_LOGINS: _OF_CLIENTS,
    "ClientConnectionsSetupSucceeded": _OF_CLIENTS,
    "ClientConnectionsTLS": _OF_CLIENTS,
    "DatabaseConnectionRequests": _OF_TARGETS,
    "DatabaseConnectionRequestsWithTLS": _OF_TARGETS,
    CONNECTIONS: _OF_TARGETS,
    BORROW_LATENCY: Metric("Average", (_PROXY, _ENDPOINT)),
    BORROWED: _OF_TARGETS,
    "DatabaseConnectionsCurrentlyInTransaction": _OF_TARGETS,
    PINNED: _OF_TARGETS,
    "DatabaseConnectionsSetupFailed": _OF_TARGETS,
    "DatabaseConnectionsSetupSucceeded": _OF_TARGETS,
    "DatabaseConnectionsWithTLS": _OF_TARGETS,
    MAX_CONNECTIONS: _OF_TARGETS,
    "QueryDatabaseResponseLatency": Metric("Average", (_PROXY, _ENDPOINT, _TARGET, _ROLE)),
    "QueryRequests": _OF_CLIENTS,
    "QueryRequestsNoTLS": _OF_CLIENTS,
    "QueryRequestsTLS": _OF_CLIENTS,
    "QueryResponseLatency": Metric("Average", (_PROXY, _ENDPOINT)),
}
"""All metrics that AWS documents, by name."""


def log_group_name(db_proxy_name: str) -> str:
    """The log group of a proxy."""
    return f"{LOG_GROUP_PREFIX}{db_proxy_name}"
