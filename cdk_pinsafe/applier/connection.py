"""A connection to PostgreSQL: TLS verified before anything is sent, start-up options, classified errors.

The errors are :class:`ServerError` for the server's error of a statement, :class:`~.deadline.TransientError` for what
another attempt may cure, and :class:`~cdk_pinsafe.errors.ApplyError` for the rest.

This module knows nothing of settings or the ledger.
"""

import contextlib
import functools
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

import pg8000.native

from ..errors import ApplyError
from . import sql
from .deadline import Deadline, TransientError
from .messages import ServerMessage, Target, truncate
from .secret import Credentials

CA_BUNDLE_VARIABLE: Final = "PINSAFE_CA_BUNDLE"
_BUNDLE: Final = Path(__file__).with_name("rds-global-bundle.pem")
_SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

OVERRIDES: Final = {
    "application_name": "cdk-pinsafe",
    "client_encoding": "UTF8",
    "search_path": "pg_catalog,pg_temp",
    "default_transaction_read_only": "off",
    "standard_conforming_strings": "on",
    "client_min_messages": "notice",
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    "synchronous_commit": "on",
    "quote_all_identifiers": "off",
    "jit": "off",
}
"""Start-up options that make a session immune to the settings of the database, those of this library included."""

_STATEMENT_SECONDS: Final = 60.0
_LOCK_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 10.0
_LEAST_RESERVE: Final = 3.0
_MOST_RESERVE: Final = 20.0
"""Bounds of the seconds that must be left at a COMMIT; between them, they grow with the server's latency."""

_CONFLICTS: Final = ("XX000", "23505", "40001", "40P01", "55P03", "42P06", "42P07", "42710")
"""Another session was faster, or held a lock too long. XX000 is ``tuple concurrently updated``, which PostgreSQL raises
if two sessions alter one database; 23505, 42P06, 42P07 and 42710 are races to create the same object."""
_CREATION_CONFLICTS: Final = ("40001", "40P01", "55P03")
"""The same while extensions are created: a script may fail with the other SQLSTATEs at every attempt."""
_CANCELLED: Final = "57014"
"""The statement timed out. For the advisory lock this is a conflict with another applier."""
_ENDED: Final = ("network error", "connection is closed")
"""pg8000's messages if the server closed the connection without an error."""
_NOT_YET: Final = ("57P", "53", "08", "25P")
"""Classes of SQLSTATE of a server that starts, stops, is full, or has ended the session."""


class ServerError(Exception):
    """PostgreSQL's error of a statement."""

    def __init__(self, answer: ServerMessage) -> None:
        super().__init__(str(answer))
        self.answer = answer


class AuthenticationError(Exception):
    """The server refused user or password: they may have been rotated."""


class DatabaseMissingError(ApplyError):
    """The server has no such database."""


class UnreadableError(ApplyError):
    """The driver cannot parse what the server sends."""


class _Socket(ssl.SSLSocket):
    """A TLS socket with a deadline, which can be closed without flushing the driver's buffer.

    The driver leaves the flush to the garbage collector, which raises a warning if the server is gone.
    """

    deadline: Deadline
    longest = _CONNECT_SECONDS
    """Seconds that one response may take within the deadline."""
    _file: IO[bytes] | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read within the deadline, which partial reads do not extend."""
        left = self.deadline.left
        if not left:
            raise TimeoutError("no time is left")
        self.settimeout(min(self.longest, left))
        return super().recv_into(*args, **kwargs)

    def makefile(self, *args: Any, **kwargs: Any) -> Any:
        self._file = super().makefile(*args, **kwargs)
        return self._file

    def abandon(self) -> None:
        """Close the socket and its file. Never raises."""
        for resource in (self._file, self):
            if resource is not None:
                with contextlib.suppress(Exception):
                    resource.close()


class Session:
    """An open connection. A context manager. No call waits longer than its deadline."""

    def __init__(self, connection: pg8000.native.Connection, tls: _Socket, target: Target) -> None:
        self._start = time.monotonic()
        self._deadline = tls.deadline
        self._connection = connection
        self._tls = tls
        self._target = target

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # it may have been closed by the other end
            self._connection.close()
        self._tls.abandon()

    @property
    def major_version(self) -> int:
        """The server's major version."""
        match = re.match(r"\d+", self._connection.parameter_statuses.get("server_version", ""))
        return int(match[0]) if match else 0

    def run(self, statement: str, **values: str) -> list[list[Any]]:
        """Run a statement; ``values`` are bound to its ``:name`` placeholders."""
        if not self._deadline.left:
            raise TransientError("the server answers too slowly, no time is left")
        conflicts = _CREATION_CONFLICTS if statement == sql.CREATE_EXTENSIONS else _CONFLICTS
        if statement == sql.LOCK:
            conflicts = (*conflicts, _CANCELLED)
        with _classified_errors(self._target, conflicts):
            return self._connection.run(statement, **values) or []

    @property
    def has_time_after_commit(self) -> bool:
        """Whether verification and rollback fit into the time left: each takes about as long as this session so far."""
        lived = time.monotonic() - self._start
        return self._deadline.left > min(max(_LEAST_RESERVE, 2 * lived), _MOST_RESERVE)

    def create_extensions(self) -> None:
        """Run ``CREATE_EXTENSIONS``, with all time left but the reserve as its timeout."""
        seconds = max(0.1, self._deadline.left - _LEAST_RESERVE)
        self._tls.longest = max(self._tls.longest, seconds + 1)
        self.run(sql.STATEMENT_TIMEOUT, milliseconds=str(int(seconds * 1000)))
        start = time.monotonic()
        self.run(sql.CREATE_EXTENSIONS)
        # Its duration is not the server's latency.
        self._start += time.monotonic() - start


def connect(target: Target, credentials: Credentials, deadline: Deadline, options: Mapping[str, str]) -> Session:
    """Open a connection with TLS 1.2 or later. The password is sent after certificate and host name are verified.

    Args:
        target: the database.
        credentials: user and password.
        deadline: no wait lasts longer.
        options: parameters of the session, as ``-c`` options. Names and values must need no escaping.

    Raises:
        TransientError: the server cannot be reached yet.
        AuthenticationError: the server refused user or password.
        DatabaseMissingError: there is no such database.
        ApplyError: another attempt would not help.
    """
    context = tls_context()
    startup = {"options": " ".join(f"-c {name}={value}" for name, value in options.items())} if options else None
    with _classified_errors(target, connecting=True):
        tls = _open(target, context, max(0.1, min(_CONNECT_SECONDS, deadline.left)))
        tls.deadline = deadline
        try:
            connection = pg8000.native.Connection(
                credentials.user,
                # pg8000 gets a socket whose TLS is verified already.
                sock=tls,
                ssl_context=False,
                database=target.database,
                password=credentials.password,
                startup_params=startup,
            )
        except BaseException:
            tls.abandon()
            raise
    # The server's statement_timeout comes first; this is for a server that does not respond any more.
    tls.longest = _STATEMENT_SECONDS + 5
    return Session(connection, tls, target)


def immune_options(deadline: Deadline) -> dict[str, str]:
    """Start-up options of a session that the database's settings cannot affect."""
    statement = max(0.1, min(_STATEMENT_SECONDS, deadline.left))
    return {
        **OVERRIDES,
        "statement_timeout": f"{int(statement * 1000)}",
        "lock_timeout": f"{int(min(_LOCK_SECONDS, statement) * 1000)}",
        "idle_in_transaction_session_timeout": f"{int((statement + 5) * 1000)}",
    }


def creating_options(deadline: Deadline) -> dict[str, str]:
    """The same without ``search_path``, for ``CREATE_EXTENSIONS``: the session has the user's default path.

    The session's first statement must set the path of ``OVERRIDES``.
    """
    options = immune_options(deadline)
    del options["search_path"]
    return options


def tls_context() -> ssl.SSLContext:
    """The TLS client's context, with the CA bundle of this package or the one that ``PINSAFE_CA_BUNDLE`` names.

    Raises:
        ApplyError: the bundle cannot be read.
    """
    path = os.environ.get(CA_BUNDLE_VARIABLE) or str(_BUNDLE)
    try:
        return _load_context(path)
    except (OSError, ValueError) as error:
        raise ApplyError(
            f"the CA bundle {truncate(path, 200)} cannot be read: {truncate(str(error), 120)}; {CA_BUNDLE_VARIABLE} "
            "must name a PEM file"
        ) from None


@functools.cache
def _load_context(path: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    return context


class _NoTlsError(Exception):
    """The server does not speak TLS."""


def _open(target: Target, context: ssl.SSLContext, timeout: float) -> _Socket:
    plain = socket.create_connection((target.host, target.port), timeout)
    try:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # The driver writes a message in pieces; each would wait 40 ms for an acknowledgment.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.sendall(_SSL_REQUEST)
        # Only one byte: unencrypted data after it must not be taken for data of the TLS session.
        answer = plain.recv(1)
        if answer == b"N":
            raise _NoTlsError
        if answer != b"S":
            raise ConnectionResetError("the server closed the connection")
        tls = context.wrap_socket(plain, server_hostname=target.host)
        assert isinstance(tls, _Socket)  # noqa: S101 - the context makes no other
        return tls
    except BaseException:
        plain.close()
        raise


@contextlib.contextmanager
def _classified_errors(target: Target, conflicts: tuple[str, ...] = (), *, connecting: bool = False) -> Iterator[None]:
    """Turn the driver's errors into this module's, without their cause."""
    try:
        yield
    except Exception as error:
        # pg8000 raises anything: OSError, KeyError, UnicodeError, struct.error ...
        classified = _connect_error(target, error) if connecting else _statement_error(target, error, conflicts)
        raise classified from None


def _statement_error(target: Target, error: Exception, conflicts: tuple[str, ...]) -> Exception:
    answer = _answer(error)
    if answer is None:
        return _client_side_error(target, error, "the connection was lost")
    if answer.sqlstate in conflicts:
        return TransientError(str(answer), is_conflict=True)
    if answer.sqlstate.startswith(_NOT_YET):
        return TransientError(str(answer))
    return ServerError(answer)


def _connect_error(target: Target, error: Exception) -> Exception:
    answer = _answer(error)
    if answer is None:
        return _client_side_error(target, error, "it cannot be reached")
    match answer.sqlstate:
        case "28P01":
            return AuthenticationError(str(answer))
        case "28000":
            return ApplyError(
                f"{target}: {answer}; the server refuses this user, whatever its password: check that the role has "
                "LOGIN, that it is no member of rds_iam, which takes tokens only, and that pg_hba.conf has an entry"
            )
        case "3D000":
            return DatabaseMissingError(f"{target}: {answer}; create the database first, or correct its name")
        case state if state.startswith(_NOT_YET):
            return TransientError(str(answer))
        case "0A000":
            return ApplyError(
                f"{target}: {answer}; give the host of the instance or of the cluster's writer, not of a proxy, "
                "which refuses the start-up options of the applier's session"
            )
        case _:
            return ApplyError(f"{target}: {answer}; let the secret's user connect to the database")


def _client_side_error(target: Target, error: Exception, what: str) -> Exception:
    cause = _os_error(error)
    # By its name, as the driver does not export the class. Its message is about the password.
    if any(type(item).__name__ == "ScramException" for item in _chain(error)):
        return ApplyError(
            f"{target}: the driver's SCRAM log-in failed, as it does if a password has control or unassigned "
            "characters or mixes writing directions; give the user a password of printable ASCII characters, in the "
            "database and in the secret"
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ApplyError(
            f"{target}: its TLS certificate is not trusted: {truncate(cause.verify_message or str(cause), 200)}; "
            f"no password was sent; check the host's name, or pass the authority that signed it as the prop 'ca_bundle'"
        )
    if isinstance(error, _NoTlsError):
        return ApplyError(f"{target}: the server refuses TLS; no password was sent; turn on SSL in the server")
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ApplyError(f"{target}: TLS failed: {truncate(str(cause), 200)}; the server must speak TLS 1.2 or later")
    if cause is not None or str(error) in _ENDED:
        return TransientError(f"{what} ({_reason(error)})")
    return UnreadableError(f"{target}: the server's answer cannot be read ({_reason(error)}); is it PostgreSQL?")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and the ones before it: pg8000 closes a failed connection, and the close may fail too."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _answer(error: Exception) -> ServerMessage | None:
    for item in _chain(error):
        if isinstance(item, pg8000.native.DatabaseError) and item.args and isinstance(item.args[0], dict):
            given: dict[str, str] = item.args[0]
            answer = ServerMessage(given.get("C", "XXXXX"), given.get("M", ""), given.get("D", ""), given.get("H", ""))
            column = given.get("c", "")
            if not column.startswith(sql.ABOUT):
                return answer
            return replace(
                answer,
                about=column.removeprefix(sql.ABOUT),
                role=given.get("t", ""),
                role_lock=given.get("n", "").removeprefix(sql.ROLE_LOCK),
                user=given.get("d", ""),
            )
    return None


def _os_error(error: Exception) -> OSError | None:
    return next((item for item in _chain(error) if isinstance(item, OSError)), None)


def _reason(error: Exception) -> str:
    cause = _os_error(error) or error
    return truncate(f"{type(cause).__name__}: {cause}", 150)
