"""DSNs: libpq's URLs and `key=value` pairs, and URLs with the scheme of any driver (`postgresql+asyncpg://…`).

No error shows a part of a DSN: libpq's own messages can show a part of a password that it takes for a host or a port.
"""

from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .errors import DsnError

__all__ = ["libpq_dsn", "parse_dsn", "with_address"]

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
