"""What a stand-in counts, under the names that CloudWatch has for RDS Proxy, namespace `AWS/RDS`.

The names and their statistics are AWS's (documented). Availability is not told: there is nothing to fail over to.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .client_edge import ClientEdge
from .connection import IDLE
from .pool import Pool
from .surroundings import Counters

__all__ = ["Metrics", "Tally"]


@dataclass
class Tally:
    """Counts of client connections."""

    received: int = 0
    succeeded: int = 0
    failed: int = 0
    closed: int = 0


# name -> what kind of number it is, and a line about it
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
    "QueryResponseLatency": (_MICROSECONDS, "Average microseconds from request to answer"),
    "QueryDatabaseResponseLatency": (_MICROSECONDS, "Average microseconds of it that the database took"),
    "DatabaseConnections": (_GAUGE, "Database connections"),
    "DatabaseConnectionsWithTLS": (_GAUGE, "Database connections with TLS"),
    "DatabaseConnectionsCurrentlyBorrowed": (_GAUGE, "Database connections that a client has"),
    "DatabaseConnectionsCurrentlyInTransaction": (_GAUGE, "Database connections in a transaction"),
    "DatabaseConnectionsCurrentlySessionPinned": (_GAUGE, "Database connections that are pinned"),
    "DatabaseConnectionRequests": (_COUNT, "Times that a database connection was asked for"),
    "DatabaseConnectionsBorrowLatency": (_MICROSECONDS, "Average microseconds until it was there"),
    "DatabaseConnectionsSetupSucceeded": (_COUNT, "Database connections that were opened"),
    "DatabaseConnectionsSetupFailed": (_COUNT, "Database connections that could not be opened"),
    "MaxDatabaseConnectionsAllowed": (_GAUGE, "The most database connections"),
}


@dataclass(frozen=True)
class Metrics:
    """A moment's values by CloudWatch's names; times in microseconds, averages since the start.

    Attributes:
        values: all of them.
        averaged: of each average the sum, in microseconds, and of how many it is.
    """

    values: dict[str, float]
    averaged: dict[str, tuple[float, int]]

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    @classmethod
    def of(cls, arrived: Iterable[ClientEdge], tally: Tally, pool: Pool, counters: Counters) -> "Metrics":
        """Count. `arrived` are the clients that are there, those that are not logged in yet included."""
        clients = [client for client in arrived if client.ready]
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
            "ClientConnectionsReceived": tally.received,
            "ClientConnectionsSetupSucceeded": tally.succeeded,
            "ClientConnectionsSetupFailedAuth": tally.failed,
            "ClientConnectionsClosed": tally.closed,
            "QueryRequests": counters.queries,
            "QueryRequestsTLS": counters.queries_tls,
            "QueryRequestsNoTLS": counters.queries - counters.queries_tls,
            "DatabaseConnections": len(connections) + len(pool.closing),
            "DatabaseConnectionsWithTLS": sum(
                1 for connection in connections if connection.edge is not None and connection.edge.tls
            ),
            "DatabaseConnectionsCurrentlyBorrowed": len(borrowed),
            "DatabaseConnectionsCurrentlyInTransaction": sum(
                1 for connection in borrowed if connection.status != IDLE or connection.asked
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
        return cls({name: values[name] for name in NAMES}, averaged)

    def as_json(self) -> str:
        """One JSON object: names and numbers."""
        return json.dumps(self.values, indent=2)

    def as_prometheus(self) -> str:
        """Prometheus' text format: `aws_rds_` and the name in snake case."""
        lines = []
        for name, (kind, text) in NAMES.items():
            snake = "aws_rds_" + _snake(name)
            lines += [f"# HELP {snake} {text}.", f"# TYPE {snake} {kind}", f"{snake} {self.values[name]:g}"]
        return "\n".join(lines) + "\n"


def _snake(name: str) -> str:
    spaced = name.replace("TLS", "Tls")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in spaced).lstrip("_")
