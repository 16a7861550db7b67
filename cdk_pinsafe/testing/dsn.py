"""DSNs of a database, and the same DSNs through an emulator.

A DSN is a URL with the scheme of any driver (`postgresql+asyncpg://…`), or libpq's `key=value` pairs.
"""

from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from ..errors import EmulatorError

__all__ = ["libpq_dsn", "through"]

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


def libpq_dsn(dsn: str) -> str:
    """Return the DSN as libpq takes it: without the driver in the scheme and without parameters that libpq does not
    know.

    Raises:
        EmulatorError: the DSN is malformed; the message contains nothing of it.
    """
    url = _url(dsn)
    if url is None:
        return dsn
    import psycopg

    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    parameters = [(name, value) for name, value in _parameters(url) if name in known]
    return _text(url._replace(scheme="postgresql", query=urlencode(parameters, quote_via=quote)))


def through(dsn: str, host: str, port: int) -> str:
    """Return the DSN with another host and port, without TLS, and otherwise unchanged."""
    url = _url(dsn)
    if url is None:
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

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
    if "://" not in dsn.partition("=")[0]:
        return None
    try:
        return urlsplit(dsn)
    except ValueError:
        from ..dsn import MALFORMED

        # urllib's message contains the part that it took for a host.
        raise EmulatorError(MALFORMED) from None


def _parameters(url: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(url.query, keep_blank_values=True)


def _text(url: SplitResult) -> str:
    """Return the URL as text; urllib drops the slashes if there is no host."""
    query = f"?{url.query}" if url.query else ""
    return f"{url.scheme}://{url.netloc}{url.path}{query}"
