"""A connection string as libpq reads it, refused where libpq's own words would show a part of its password."""

import os
import socket
from threading import Timer
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

CONNECT_SECONDS: Final = 10
"""How long to wait until a connection is open, with login, unless the DSN or PGCONNECT_TIMEOUT says otherwise."""

READ_SECONDS: Final = 60
"""How long to wait for the answer to one statement."""

MALFORMED = (
    "the DSN is not understood: expected postgresql://user@host:port/database, or key=value pairs; a password in it "
    "must be percent-encoded, and is better left to PGPASSWORD or ~/.pgpass"
)


class MalformedError(ValueError):
    """The DSN is not one, or libpq takes a part of its password for a host or a port. The message shows none of it."""

    def __init__(self) -> None:
        super().__init__(MALFORMED)


def parts_of(dsn: str) -> dict[str, str]:
    """What the DSN says, by libpq's keyword.

    Raises:
        MalformedError: libpq would not understand it, or misread it.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except (psycopg.Error, ValueError):
        parts = None
    if (
        parts is None
        or any("@" in parts.get(name, "") for name in ("host", "dbname"))
        or not (parts.get("port") or "5432").replace(",", "").isdecimal()
    ):
        raise MalformedError
    return parts


def connect(dsn: str, **parameters: Any) -> psycopg.Connection[Any]:
    """Connect to a server that may stay silent: connecting, logging in and each statement have a time limit.

    Args:
        dsn: a connection string of libpq.
        parameters: those of `psycopg.connect`.

    Raises:
        MalformedError: as by `parts_of`.
        psycopg.OperationalError: there is no connection, or no answer in time; the connection's methods raise it, too.
    """
    if "connect_timeout" not in parts_of(dsn) and "PGCONNECT_TIMEOUT" not in os.environ:
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
