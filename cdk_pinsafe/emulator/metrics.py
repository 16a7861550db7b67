"""The emulator's counters, under CloudWatch's metric names for RDS Proxy (namespace `AWS/RDS`).

Names and statistics are as AWS documents them. AvailabilityPercentage is missing: the emulator has no failover.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .connection import IDLE
from .frontend import ClientProtocol
from .pool import ConnectionPool
from .shared import TrafficCounters

__all__ = ["ClientCounters", "Metrics", "collect"]


@dataclass
class ClientCounters:
    """Counts of client connections."""

    received: int = 0
    succeeded: int = 0
    failed: int = 0
    closed: int = 0


# name -> Prometheus type and help text
_GAUGE, _COUNT, _MICROSECONDS = "gauge", "counter", "gauge"
NAMES: Final[dict[str, tuple[str, str]]] = {
    "ClientConnections": (_GAUGE, "Client connections"),
    "ClientConnectionsTLS": (_GAUGE, "Client connections with TLS"),
    "ClientConnectionsNoTLS": (_GAUGE, "Client connections without TLS"),
    "ClientConnectionsReceived": (_COUNT, "Client connections that were opened"),
    "ClientConnectionsSetupSucceeded": (_COUNT, "Client connections that were logged in"),
    "ClientConnectionsSetupFailedAuth": (_COUNT, "Client connections that were refused at login"),
    "ClientConnectionsClosed": (_COUNT, "Client connections that ended"),
    "QueryRequests": (_COUNT, "Requests of clients"),
    "QueryRequestsTLS": (_COUNT, "Requests of clients with TLS"),
    "QueryRequestsNoTLS": (_COUNT, "Requests of clients without TLS"),
    "QueryResponseLatency": (_MICROSECONDS, "Average microseconds from request to response"),
    "QueryDatabaseResponseLatency": (_MICROSECONDS, "Average microseconds that the database took to respond"),
    "DatabaseConnections": (_GAUGE, "Database connections"),
    "DatabaseConnectionsWithTLS": (_GAUGE, "Database connections with TLS"),
    "DatabaseConnectionsCurrentlyBorrowed": (_GAUGE, "Database connections that a client has borrowed"),
    "DatabaseConnectionsCurrentlyInTransaction": (_GAUGE, "Database connections in a transaction"),
    "DatabaseConnectionsCurrentlySessionPinned": (_GAUGE, "Database connections that are pinned"),
    "DatabaseConnectionRequests": (_COUNT, "Requests for a database connection"),
    "DatabaseConnectionsBorrowLatency": (
        _MICROSECONDS,
        "Average microseconds until a database connection was borrowed",
    ),
    "DatabaseConnectionsSetupSucceeded": (_COUNT, "Database connections that were opened"),
    "DatabaseConnectionsSetupFailed": (_COUNT, "Database connections that could not be opened"),
    "MaxDatabaseConnectionsAllowed": (_GAUGE, "Maximum number of database connections"),
}


@dataclass(frozen=True)
class Metrics:
    """The values at one moment by CloudWatch's names; times in microseconds, averages since the start.

    Attributes:
        values: all metrics.
        averaged: for each average, the sum in microseconds and the number of samples.
    """

    values: dict[str, float]
    averaged: dict[str, tuple[float, int]]

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def as_json(self) -> str:
        """Return one JSON object of names and numbers."""
        return json.dumps(self.values, indent=2)

    def as_prometheus(self) -> str:
        """Return Prometheus' text format; the names are `aws_rds_` and the metric's name in snake case."""
        lines = []
        for name, (kind, text) in NAMES.items():
            snake = "aws_rds_" + _snake(name)
            lines += [f"# HELP {snake} {text}.", f"# TYPE {snake} {kind}", f"{snake} {self.values[name]:g}"]
        return "\n".join(lines) + "\n"


def collect(
    connected: Iterable[ClientProtocol],
    client_counters: ClientCounters,
    pool: ConnectionPool,
    counters: TrafficCounters,
) -> Metrics:
    """Collect the metrics; `connected` are all client connections, including those that have not logged in yet."""
    clients = [client for client in connected if client.ready]
    encrypted = sum(1 for client in clients if client.tls)
    connections = list(pool.connections.values())
    averaged = {
        "QueryResponseLatency": (counters.response_seconds * 1e6, counters.answered),
        "QueryDatabaseResponseLatency": (counters.database_seconds * 1e6, counters.answered),
        "DatabaseConnectionsBorrowLatency": (counters.borrow_seconds * 1e6, counters.borrows),
    }
    borrowed = [connection for connection in connections if connection.session is not None]
    values: dict[str, float] = {
        "ClientConnections": len(clients),
        "ClientConnectionsTLS": encrypted,
        "ClientConnectionsNoTLS": len(clients) - encrypted,
        "ClientConnectionsReceived": client_counters.received,
        "ClientConnectionsSetupSucceeded": client_counters.succeeded,
        "ClientConnectionsSetupFailedAuth": client_counters.failed,
        "ClientConnectionsClosed": client_counters.closed,
        "QueryRequests": counters.queries,
        "QueryRequestsTLS": counters.queries_tls,
        "QueryRequestsNoTLS": counters.queries - counters.queries_tls,
        "DatabaseConnections": len(connections) + len(pool.closing),
        "DatabaseConnectionsWithTLS": sum(
            1 for connection in connections if connection.protocol is not None and connection.protocol.tls
        ),
        "DatabaseConnectionsCurrentlyBorrowed": len(borrowed),
        "DatabaseConnectionsCurrentlyInTransaction": sum(
            1 for connection in borrowed if connection.status != IDLE or connection.pending
        ),
        "DatabaseConnectionsCurrentlySessionPinned": sum(
            1 for connection in borrowed if connection.session is not None and connection.session.pinned
        ),
        "DatabaseConnectionRequests": counters.borrows,
        "DatabaseConnectionsSetupSucceeded": pool.opened,
        "DatabaseConnectionsSetupFailed": pool.failed,
        "MaxDatabaseConnectionsAllowed": pool.size,
        **{name: round(total / number, 1) if number else 0.0 for name, (total, number) in averaged.items()},
    }
    return Metrics({name: values[name] for name in NAMES}, averaged)


def _snake(name: str) -> str:
    spaced = name.replace("TLS", "Tls")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in spaced).lstrip("_")
