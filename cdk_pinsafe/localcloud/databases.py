"""The databases of the local cloud: a real PostgreSQL with TLS for each instance or cluster.

A deleted database keeps running until the local cloud stops, so that a rehearsal can show that the settings are gone.
On AWS its final snapshot keeps its contents.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ..localpg.server import PostgresServer, wheel_installation
from ..localpg.tls import TlsTerminator

__all__ = ["HOST_NAME", "Database", "Databases", "scoped"]

HOST_NAME = "localhost"
"""The host name of endpoints, for which the certificate is issued."""

_MAJORS = (16, 18)
_DEFAULT_MAJOR = 18


def scoped(name: str, account: str, region: str) -> str:
    """The name of a database or proxy, unique across accounts and regions."""
    return f"{account}.{region}.{name}"


@dataclass(frozen=True)
class Database:
    """A running database of the local cloud."""

    host: str
    port: int
    server: PostgresServer

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password."""
        self.server.set_password(user, password)

    def max_connections(self) -> int:
        """`max_connections`, of which a proxy may use a percentage."""
        connection = self.server.connect()
        try:
            ((value,),) = connection.run("SELECT pg_catalog.current_setting('max_connections')::int") or [(0,)]
        finally:
            connection.close()
        return int(value)


class Databases:
    """Starts databases; stops all on exit. A context manager."""

    def __init__(self, directory: Path, certificate: Path, key: Path) -> None:
        self._directory = directory
        self._certificate = certificate
        self._key = key
        self._running = contextlib.ExitStack()
        self._by_name: dict[str, Database] = {}

    def __enter__(self) -> "Databases":
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def create(self, name: str, *, version: str, user: str, password: str, database: str | None) -> Database:
        """Start a database with the version's major release if it is available, else with the newest."""
        requested = version.partition(".")[0]
        major = int(requested) if requested.isdecimal() and int(requested) in _MAJORS else _DEFAULT_MAJOR
        # RDS's superuser, so that `postgres` is available as the name of the master user.
        server = PostgresServer(wheel_installation(major), self._directory, superuser="rdsadmin")
        self._running.enter_context(server)
        server.create_master(user, password, database)
        tls = self._running.enter_context(TlsTerminator(server.host, server.port, self._certificate, self._key))
        self._by_name[name] = Database(HOST_NAME, tls.port, server)
        return self._by_name[name]

    def share(self, name: str, with_name: str) -> Database | None:
        """Make a cluster member or replica the same database as another; None if that does not exist."""
        database = self._by_name.get(with_name)
        if database is not None:
            self._by_name[name] = database
        return database

    def get(self, name: str) -> Database | None:
        """The database of an instance or cluster, if it has one."""
        return self._by_name.get(name)
