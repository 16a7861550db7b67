"""The database behind a stand-in: where it is, and how it is reached. Knows nothing of the protocol."""

import ssl
from dataclasses import dataclass, field
from typing import Final

from ..errors import StandInError

__all__ = ["Target"]

_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Target:
    """A PostgreSQL server.

    Attributes:
        host: a name, an address, or the folder of a Unix socket, which begins with `/`.
        port: its port.
        user: who clients are, unless a stand-in is given other users; "" if not known.
        password: that user's; None if not known.
        database: the database that the target's own DSN names; clients may ask for any.
        sslmode: as libpq's: `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`. `allow` is taken as
            `prefer`.
        sslrootcert: a PEM file of the authorities to trust, or `system`; None for the system's with `verify-…`, and for
            no verification with `require`.
        connect_timeout: seconds until a connection has to be open.
    """

    host: str = "127.0.0.1"
    port: int = 5432
    user: str = ""
    password: str | None = field(default=None, repr=False)
    database: str = ""
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    connect_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse an unknown `sslmode`."""
        if self.sslmode not in _MODES:
            raise StandInError(f"sslmode should be one of {', '.join(_MODES)}, got {self.sslmode!r}")

    @classmethod
    def from_dsn(cls, dsn: str) -> "Target":
        """Read a DSN as libpq does, with what `PGHOST` and its kin say where the DSN says nothing.

        Raises:
            StandInError: it is no DSN, or names several hosts.
        """
        import psycopg

        from ..dsn import MalformedError, parts_of

        try:
            given = parts_of(dsn)
        except MalformedError as error:
            raise StandInError(str(error)) from None
        defaults = {
            option.keyword.decode(): option.val.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.val
        }
        values = {**defaults, **given}
        host = values.get("hostaddr") or values.get("host") or "127.0.0.1"
        port = values.get("port") or "5432"
        if "," in host or not port.isdigit():
            raise StandInError(f"the target should be one host and port, got host {host!r}, port {port!r}")
        user = values.get("user", "")
        return cls(
            host=host,
            port=int(port),
            user=user,
            password=values.get("password"),
            database=values.get("dbname") or user,
            sslmode=values.get("sslmode", "prefer"),
            sslrootcert=given.get("sslrootcert") or None,
            connect_timeout=float(values.get("connect_timeout") or 0) or 10.0,
        )

    @property
    def asks_for_tls(self) -> bool:
        """Whether TLS is asked for."""
        return self.sslmode != "disable" and not self.host.startswith("/")

    @property
    def insists_on_tls(self) -> bool:
        """Whether a server without TLS is refused."""
        return self.sslmode in ("require", "verify-ca", "verify-full") and not self.host.startswith("/")

    def tls_context(self) -> ssl.SSLContext:
        """How TLS is verified.

        Raises:
            StandInError: the authorities' file cannot be read.
        """
        try:
            cafile = None if self.sslrootcert in (None, "system") else self.sslrootcert
            context = ssl.create_default_context(cafile=cafile)
        except (OSError, ssl.SSLError):
            raise StandInError(f"sslrootcert {self.sslrootcert!r} cannot be read as PEM certificates") from None
        # As libpq: `require` verifies where it was told the authorities.
        verifies = self.sslmode.startswith("verify") or (self.sslmode == "require" and self.sslrootcert is not None)
        context.check_hostname = self.sslmode == "verify-full" or (verifies and self.sslrootcert == "system")
        if not verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
