"""DSNs: libpq's URLs and `key=value` pairs, and URLs with the scheme of any driver (`postgresql+asyncpg://…`).

No error shows a part of a DSN: libpq's own messages can show a part of a password that it takes for a host or a port.
"""

import os
import socket
from threading import Timer
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .errors import DsnError

__all__ = ["CONNECT_SECONDS", "READ_SECONDS", "connect", "libpq_dsn", "parse_dsn", "with_address"]

CONNECT_SECONDS: Final = 10
"""How long to wait until a connection is open, with login, unless the DSN or PGCONNECT_TIMEOUT says otherwise."""

READ_SECONDS: Final = 60
"""How long to wait for the answer to one statement."""

_ADDRESS: Final = {"host", "hostaddr", "port"}
_SECURITY: Final = {
    "channel_binding",
    "require_auth",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
}
_TLS_MODE: Final = {"ssl", "sslmode"}
_MALFORMED: Final = (
    "the DSN is not understood: expected postgresql://user@host:port/database, or key=value pairs; percent-encode a "
    "password in it, or better leave it to PGPASSWORD or ~/.pgpass"
)


def parse_dsn(dsn: str) -> dict[str, str]:
    """Parse a DSN as libpq does.

    Returns:
        The values by libpq's keywords.

    Raises:
        DsnError: libpq rejects or misreads it.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except (psycopg.Error, ValueError):
        raise DsnError(_MALFORMED) from None
    misread = any("@" in parts.get(name, "") for name in ("host", "dbname"))
    if misread or not (parts.get("port") or "5432").replace(",", "").isdecimal():
        raise DsnError(_MALFORMED)
    return parts


def libpq_dsn(dsn: str) -> str:
    """Return the DSN without the driver in its scheme, and without parameters that libpq does not know.

    Raises:
        DsnError: the URL is malformed.
    """
    url = _url(dsn)
    if url is None:
        return dsn
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    parameters = [(name, value) for name, value in _parameters(url) if name in known]
    return _text(url._replace(scheme="postgresql", query=urlencode(parameters, quote_via=quote)))


def with_address(dsn: str, host: str, port: int) -> str:
    """Return the DSN with another host and port, without TLS, and otherwise unchanged.

    Raises:
        DsnError: the URL is malformed.
    """
    url = _url(dsn)
    if url is None:
        kept = {name: value for name, value in conninfo_to_dict(dsn).items() if name not in _ADDRESS | _SECURITY}
        return make_conninfo("", **{**kept, "host": host, "port": port, "sslmode": "disable"})
    account = url.netloc.rpartition("@")[0]
    parameters = [
        (name, "disable" if name in _TLS_MODE else value)
        for name, value in _parameters(url)
        if name not in _ADDRESS | _SECURITY
    ]
    netloc = f"{account}@{host}:{port}" if account else f"{host}:{port}"
    return _text(url._replace(netloc=netloc, query=urlencode(parameters, quote_via=quote)))


def _url(dsn: str) -> SplitResult | None:
    """The parts of a URL; None if the DSN consists of pairs."""
    if "://" not in dsn.partition("=")[0]:
        return None
    try:
        return urlsplit(dsn)
    except ValueError:
        raise DsnError(_MALFORMED) from None


def _parameters(url: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(url.query, keep_blank_values=True)


def _text(url: SplitResult) -> str:
    """The URL as text; urllib drops the slashes if there is no host."""
    query = f"?{url.query}" if url.query else ""
    return f"{url.scheme}://{url.netloc}{url.path}{query}"


def connect(dsn: str, **parameters: Any) -> psycopg.Connection[Any]:
    """Connect to a server that may stay silent: connecting, logging in and each statement have a time limit.

    Args:
        dsn: a connection string of libpq.
        parameters: those of `psycopg.connect`.

    Raises:
        DsnError: as by `parse_dsn`.
        psycopg.OperationalError: there is no connection, or no answer in time; the connection's methods raise it, too.
    """
    if "connect_timeout" not in parse_dsn(dsn) and "PGCONNECT_TIMEOUT" not in os.environ:
        parameters["connect_timeout"] = CONNECT_SECONDS
    return _TimedConnection.connect(dsn, **parameters)


class _TimedConnection(psycopg.Connection[Any]):
    """A connection whose waits end after `READ_SECONDS`. A server's statement_timeout would not end a silent server."""

    def wait(self, *arguments: Any, **options: Any) -> Any:
        expired = False

        def give_up() -> None:
            nonlocal expired
            expired = True
            with socket.socket(fileno=os.dup(self.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)  # ends the wait

        timer = Timer(READ_SECONDS, give_up)
        timer.daemon = True
        timer.start()
        try:
            return super().wait(*arguments, **options)
        except psycopg.OperationalError:
            if expired:
                raise psycopg.OperationalError(f"the server did not answer within {READ_SECONDS} s") from None
            raise
        finally:
            timer.cancel()
