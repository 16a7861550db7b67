"""A connection string as libpq reads it, refused where libpq's own words would show a part of its password."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

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
