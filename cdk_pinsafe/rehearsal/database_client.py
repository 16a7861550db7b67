"""Reads the settings of a database in fresh connections, like any client.

All connections use TLS with full verification. Those that read settings send no SET and no start-up options.
"""

import contextlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pg8000.native

from ..errors import RehearsalError
from ..settings.libraries import LOAD_ALL_LIBRARIES

__all__ = ["Login", "SettingValue", "read", "same_value"]

SettingValue = str | list[str]
"""A setting in the template: text, or a list of identifiers."""

# The app may set a database to read-only or limit the time of statements; test data must be loaded anyway.
_PREPARE_OPTIONS = "-c default_transaction_read_only=off -c statement_timeout=0 -c search_path=pg_catalog"


@dataclass(frozen=True)
class Login:
    """The address and credentials of a database's master user."""

    host: str
    port: int
    database: str
    user: str
    password: str
    ca_bundle: Path

    @contextlib.contextmanager
    def connect(self, *, preparing: bool = False) -> Iterator[pg8000.native.Connection]:
        """Open a connection; with `preparing`, one in which test data can be loaded whatever the settings are."""
        connection = pg8000.native.Connection(
            self.user,
            host=self.host,
            port=self.port,
            database=self.database,
            password=self.password,
            ssl_context=ssl.create_default_context(cafile=self.ca_bundle),
            timeout=60,
            startup_params={"options": _PREPARE_OPTIONS} if preparing else {},
        )
        try:
            yield connection
        finally:
            with contextlib.suppress(pg8000.native.Error, OSError):
                connection.close()

    @property
    def dsn(self) -> str:
        """As a libpq connection string, including the password."""
        return (
            f"host={self.host} port={self.port} dbname={self.database} user={self.user} password={self.password} "
            f"sslmode=verify-full sslrootcert={self.ca_bundle}"
        )

    def to(self, database: str) -> "Login":
        """The same login to another database of the server."""
        return Login(self.host, self.port, database, self.user, self.password, self.ca_bundle)

    def create_empty_database(self, name: str, extensions: Sequence[str]) -> "Login":
        """Create a database with the extensions and without settings, for comparison."""
        other = self.to(name)
        with self.connect(preparing=True) as connection:
            connection.run(f"CREATE DATABASE {quoted(name)}")
        with other.connect(preparing=True) as connection:
            for extension in extensions:
                connection.run(f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)} SCHEMA public CASCADE")
        return other


def read(login: Login, names: Sequence[str]) -> dict[str, str]:
    """The values of settings in one fresh connection, with the libraries of the extensions loaded."""
    with login.connect() as connection:
        connection.run(LOAD_ALL_LIBRARIES)
        return {name: _current(connection, name) for name in names}


def same_value(login: Login, name: str, wanted: SettingValue, got: str) -> bool:
    """Whether the server considers two values equal: `30s` is `30000`, `on` is `true`.

    Args:
        login: to a database that has the extensions; it is not changed.
        name: the parameter.
        wanted: the value in the template.
        got: the value in a connection.
    """
    if isinstance(wanted, list):
        return [part.strip().strip('"') for part in got.split(",")] == wanted
    with login.connect() as connection:
        connection.run(LOAD_ALL_LIBRARIES)
        values = []
        for value in (wanted, got):
            connection.run("BEGIN")
            rows = connection.run("SELECT pg_catalog.set_config(:name, :value, true)", name=name, value=value)
            values.append(rows)
            connection.run("ROLLBACK")
        return bool(values[0] == values[1])


def quoted(identifier: str) -> str:
    """Quote an identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text_of(value: SettingValue) -> str:
    """A template's value as one text."""
    return ", ".join(value) if isinstance(value, list) else value


def check_settings(plain: Login, wanted: Mapping[str, SettingValue], got: Mapping[str, str]) -> None:
    """Raise RehearsalError for the first setting that differs from the template."""
    for name, value in wanted.items():
        if not same_value(plain, name, value, got[name]):
            raise RehearsalError(f"{name} is {got[name]!r} in a fresh connection, the template says {text_of(value)!r}")


def _current(connection: pg8000.native.Connection, name: str) -> str:
    rows = connection.run("SELECT pg_catalog.current_setting(:name, true)", name=name)
    value = rows[0][0] if rows else None
    return "(unknown)" if value is None else str(value)
