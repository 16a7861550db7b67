"""The databases of the local cloud: for each instance or cluster a real PostgreSQL with TLS in front of it.

A database that its stack deleted keeps running until the rehearsal ends, as its final snapshot would keep its contents:
that is how the story shows that the settings are gone.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ..localpg.server import PostgresServer, wheel_installation
from ..localpg.tls import TlsFront

__all__ = ["HOST_NAME", "Database", "Databases", "scoped"]

HOST_NAME = "localhost"
"""What the endpoint is called; the certificate is issued for it."""

_MAJORS = (16, 18)
_DEFAULT_MAJOR = 18


def scoped(name: str, account: str, region: str) -> str:
    """The name of a database or proxy in the whole local cloud: other accounts and regions may have the same names."""
    return f"{account}.{region}.{name}"


@dataclass(frozen=True)
class Database:
    """A running database of the local cloud."""

    host: str
    port: int
    server: PostgresServer

    def set_password(self, user: str, password: str) -> None:
        """Give the master user another password."""
        self.server.set_password(user, password)

    def max_connections(self) -> int:
        """The most connections that it takes, of which a proxy may have a share."""
        connection = self.server.connect()
        try:
            ((most,),) = connection.run("SELECT pg_catalog.current_setting('max_connections')::int") or [(0,)]
        finally:
            connection.close()
        return int(most)


class Databases:
    """Starts databases and stops them all together. A context manager."""

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
        """Start a database, with the version's major release where there is one, else with the newest."""
        wanted = version.partition(".")[0]
        major = int(wanted) if wanted.isdecimal() and int(wanted) in _MAJORS else _DEFAULT_MAJOR
        # RDS has a superuser of its own, which leaves every other name, `postgres` too, to the master user.
        server = PostgresServer(wheel_installation(major), self._directory, superuser="rdsadmin")
        self._running.enter_context(server)
        server.create_master(user, password, database)
        front = self._running.enter_context(TlsFront(server.host, server.port, self._certificate, self._key))
        self._by_name[name] = Database(HOST_NAME, front.port, server)
        return self._by_name[name]

    def share(self, name: str, with_name: str) -> Database | None:
        """Let a member of a cluster, or a replica, be the same database as another; None if that is unknown."""
        database = self._by_name.get(with_name)
        if database is not None:
            self._by_name[name] = database
        return database

    def get(self, name: str) -> Database | None:
        """The database of that instance or cluster, if there is one."""
        return self._by_name.get(name)
