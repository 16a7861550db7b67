"""DSNs of a database, and the same ones through a stand-in before it.

A DSN is a URL, of whatever scheme the driver likes (`postgresql+asyncpg://…`), or libpq's `key=value` pairs.
"""

from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from ..errors import StandInError

__all__ = ["libpq_dsn", "through"]

_PLACE: Final = {"host", "hostaddr", "port"}
_DEMANDS: Final = {
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
    """The DSN as libpq takes it: without the driver in its scheme, and without parameters that libpq does not know.

    Raises:
        StandInError: the DSN is none; the message holds nothing of it.
    """
    url = _url(dsn)
    if url is None:
        return dsn
    import psycopg

    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    parameters = [(name, value) for name, value in _parameters(url) if name in known]
    return _text(url._replace(scheme="postgresql", query=urlencode(parameters, quote_via=quote)))


def through(dsn: str, host: str, port: int) -> str:
    """The DSN with another host and port, without TLS, and the same in all else."""
    url = _url(dsn)
    if url is None:
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        kept = {name: value for name, value in conninfo_to_dict(dsn).items() if name not in _PLACE | _DEMANDS}
        return make_conninfo("", **{**kept, "host": host, "port": port, "sslmode": "disable"})
    account = url.netloc.rpartition("@")[0]
    parameters = [
        (name, "disable" if name in _TLS_MODE else value)
        for name, value in _parameters(url)
        if name not in _PLACE | _DEMANDS
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

        # urllib's own words have the part that it took for a host.
        raise StandInError(MALFORMED) from None


def _parameters(url: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(url.query, keep_blank_values=True)


def _text(url: SplitResult) -> str:
    """As a URL; urllib leaves out the slashes of one that names no host."""
    query = f"?{url.query}" if url.query else ""
    return f"{url.scheme}://{url.netloc}{url.path}{query}"
