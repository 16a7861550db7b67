"""The database behind an emulator: its address, and how to connect to it. Knows nothing of the protocol."""

import ssl
from dataclasses import dataclass, field
from typing import Final

from ..errors import DsnError, EmulatorError

__all__ = ["ProxyTarget"]

_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class ProxyTarget:
    """A PostgreSQL server.

    Attributes:
        host: a host name, an address, or the directory of a Unix socket, which starts with `/`.
        port: its port.
        user: the user of clients, unless `EmulatorOptions.users` names others; "" if not known.
        password: that user's password; None if not known.
        database: the database in the target's DSN; clients may connect to any.
        sslmode: as in libpq: `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`. `allow` is treated
            as `prefer`.
        sslrootcert: a PEM file of trusted authorities, or `system`. None means the system's authorities with
            `verify-…`, and no verification with `require`.
        connect_timeout: seconds until a connection must be open.
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
        """Validate `sslmode`."""
        if self.sslmode not in _MODES:
            raise EmulatorError(f"sslmode should be one of {', '.join(_MODES)}, got {self.sslmode!r}")

    @classmethod
    def from_dsn(cls, dsn: str) -> "ProxyTarget":
        """Read a DSN as libpq does; `PGHOST` and the other variables fill in what it does not contain.

        Raises:
            EmulatorError: the DSN is malformed, or names several hosts.
        """
        import psycopg

        from ..dsn import parse_dsn

        try:
            given = parse_dsn(dsn)
        except DsnError as error:
            raise EmulatorError(str(error)) from None
        defaults = {
            option.keyword.decode(): option.val.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.val
        }
        values = {**defaults, **given}
        host = values.get("hostaddr") or values.get("host") or "127.0.0.1"
        port = values.get("port") or "5432"
        if "," in host or not port.isdigit():
            raise EmulatorError(f"the target should be one host and port, got host {host!r}, port {port!r}")
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
    def requests_tls(self) -> bool:
        """Whether to request TLS."""
        return self.sslmode != "disable" and not self.host.startswith("/")

    @property
    def requires_tls(self) -> bool:
        """Whether to reject a server without TLS."""
        return self.sslmode in ("require", "verify-ca", "verify-full") and not self.host.startswith("/")

    def tls_context(self) -> ssl.SSLContext:
        """Return the TLS context.

        Raises:
            EmulatorError: the file of authorities cannot be read.
        """
        try:
            cafile = None if self.sslrootcert in (None, "system") else self.sslrootcert
            context = ssl.create_default_context(cafile=cafile)
        except (OSError, ssl.SSLError):
            raise EmulatorError(f"sslrootcert {self.sslrootcert!r} cannot be read as PEM certificates") from None
        # As in libpq, `require` verifies if a file of authorities is given.
        verifies = self.sslmode.startswith("verify") or (self.sslmode == "require" and self.sslrootcert is not None)
        context.check_hostname = self.sslmode == "verify-full" or (verifies and self.sslrootcert == "system")
        if not verifies:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
