"""A PostgreSQL server for the length of a `with` block, on the loopback interface.

::

    with PostgresServer(wheel_installation(18), directory) as server:
        server.create_master("master", password, "app")
        server.connect("app", "master", password)

PostgreSQL refuses to run as root, so root runs it as the user `nobody`. The server is a child process: when this
process dies, even by SIGKILL, the server shuts down and its files are removed.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pg8000.native

from ..errors import RehearsalError
from .child_process import STOP, die_with_parent
from .installations import Installation, installations, wheel_installation

__all__ = ["Installation", "PostgresServer", "installations", "wheel_installation"]

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 15.0
PORT_ATTEMPTS = 5

# No durability: the data need not survive a power cut. UTC is RDS's default time zone.
_BASE_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
}


class PostgresServer:
    """An embedded server. A context manager; `stop` and `start` inside it restart the server with its data and port.

    Attributes:
        host: always 127.0.0.1.
        port: a free port, chosen by the first `start`.
        superuser: the bootstrap superuser's name.
        superuser_password: its random password.
    """

    def __init__(
        self,
        installation: Installation,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
        superuser: str = "postgres",
    ) -> None:
        """Prepare a server without starting it.

        Args:
            installation: which PostgreSQL to run.
            directory: where its files go. If this process is root and `nobody` cannot enter the folder, they go to a
                temporary folder instead.
            settings: server-wide parameters, as in `postgresql.conf`.
            tls: certificate and key files; only for an installation that was built with SSL.
            superuser: the name of the bootstrap superuser (on RDS it is `rdsadmin`).

        Raises:
            RehearsalError: `tls` is given, and the installation was built without SSL.
        """
        if tls is not None and not installation.has_ssl:
            raise RehearsalError(
                f"PostgreSQL {installation.major} at {installation.bin} was built without SSL: use TlsTerminator"
            )
        self.installation = installation
        self.host = HOST
        self.port = 0
        self.superuser = superuser
        self.superuser_password = secrets.token_urlsafe(24)
        self._directory = directory
        self._settings = {**_BASE_SETTINGS, **(settings or {})}
        self._tls = tls
        account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._uid = account.pw_uid if account else None
        self._gid = account.pw_gid if account else None
        self._groups: list[int] | None = [] if account else None
        self._programs = installation.bin
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def log(self) -> str:
        """The server's log so far."""
        path = self._home / "log" if self._home else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    def start(self) -> None:
        """Start the server and wait until it accepts connections. The first start creates the data directory.

        Raises:
            RehearsalError: it did not start; the message contains the end of its log.
        """
        if self._process is not None:
            return
        home = self._home or self._make_home()
        for _ in range(PORT_ATTEMPTS):
            port = self.port or _free_port()
            self._process = self._spawn(home, port)
            if self._wait_until_ready():
                self.port = port
                return
            self.stop()
            if "could not bind" not in self.log:
                break
            self.port = 0
        raise RehearsalError(f"PostgreSQL {self.installation.major} did not start: {_tail(self.log)}")

    def stop(self) -> None:
        """Shut the server down and end its sessions; `start` starts it again with the same data."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(STOP, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None

    def connect(
        self, database: str = "postgres", user: str | None = None, password: str | None = None
    ) -> pg8000.native.Connection:
        """Connect without TLS, by default as the superuser."""
        return pg8000.native.Connection(
            user or self.superuser,
            host=self.host,
            port=self.port,
            database=database,
            password=self.superuser_password if user is None else password,
            timeout=60,
        )

    def create_master(self, user: str, password: str, database: str | None = None) -> None:
        """Create a user like RDS's master user: not a superuser, with CREATEDB and CREATEROLE.

        It owns `database`, which is created if it does not exist, and, as on RDS, `postgres` and `template1`.
        """
        connection = self.connect()
        try:
            _run(connection, "CREATE ROLE %I LOGIN CREATEDB CREATEROLE PASSWORD %L", user, password)
            for owned in ("postgres", "template1"):
                _run(connection, "ALTER DATABASE %I OWNER TO %I", owned, user)
            if database is not None and not connection.run(
                "SELECT 1 FROM pg_database WHERE datname = :name", name=database
            ):
                _run(connection, "CREATE DATABASE %I OWNER %I", database, user)
        finally:
            connection.close()

    def set_password(self, user: str, password: str) -> None:
        """Change a role's password."""
        connection = self.connect()
        try:
            _run(connection, "ALTER ROLE %I PASSWORD %L", user, password)
        finally:
            connection.close()

    def _make_home(self) -> Path:
        """Create the folder of programs, data and log, and initialize the data."""
        self._directory.mkdir(parents=True, exist_ok=True)
        parent = self._directory if self._uid is None else self._accessible_folder()
        home = Path(tempfile.mkdtemp(prefix="pinsafe-pg-", dir=parent))
        self._home = home
        installation = self.installation.private_copy(home / "programs")
        (home / "tmp").mkdir()
        password_file = home / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.superuser_password)
        if self._tls:
            for name, source in zip(("server.crt", "server.key"), self._tls, strict=True):
                (home / name).touch(mode=0o600)
                (home / name).write_bytes(source.read_bytes())
        # All folders, so that the server's user can remove their files; no programs, which may be hard links to the
        # wheel's files.
        self._chown(*(Path(folder) for folder, _, _ in os.walk(home)), password_file, *(home.glob("server.*")))
        self._programs = installation.bin
        self._initialise(home, password_file)
        return home

    def _accessible_folder(self) -> Path:
        """The given folder if `nobody` can enter it, else the folder of temporary files."""
        for folder in (self._directory, Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp goes there
            path = folder.resolve()
            if all(step.stat().st_mode & 0o001 for step in (path, *path.parents)):
                return folder
        raise RehearsalError(
            f"as root, PostgreSQL runs as the user nobody, who can enter neither {self._directory} nor /tmp: "
            "run as another user, or let others enter one of the folders"
        )

    def _chown(self, *paths: Path) -> None:
        if self._uid is not None and self._gid is not None:
            for path in paths:
                os.chown(path, self._uid, self._gid)

    def _initialise(self, home: Path, password_file: Path) -> None:
        command = [
            str(self._programs / "initdb"),
            "--pgdata", str(home / "data"),
            "--username", self.superuser,
            "--pwfile", str(password_file),
            "--auth", "scram-sha-256",
            "--encoding", "UTF8",
            "--locale", "C",
            "--no-sync",
            "--no-instructions",
        ]  # fmt: skip
        initdb = subprocess.run(
            command,
            cwd=home,
            env=self._environment(home),
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            user=self._uid,
            group=self._gid,
            extra_groups=self._groups,
        )
        password_file.unlink()
        if initdb.returncode != 0:
            raise RehearsalError(
                f"initdb of PostgreSQL {self.installation.major} failed: {_tail(initdb.stdout + initdb.stderr)}"
            )
        settings = dict(self._settings)
        if self._tls:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(home / "server.crt"),
                "ssl_key_file": str(home / "server.key"),
            }
        with (home / "data" / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = {_quoted(value)}\n" for name, value in settings.items())

    def _spawn(self, home: Path, port: int) -> subprocess.Popen[bytes]:
        with (home / "log").open("wb") as log:
            return subprocess.Popen(
                die_with_parent(
                    [str(self._programs / "postgres"), "-D", str(home / "data"), "-p", str(port)],
                    "interrupt",
                    leftovers=home,
                ),
                cwd=home,
                env=self._environment(home),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal must reach this process only, which then stops the server.
                start_new_session=True,
                user=self._uid,
                group=self._gid,
                extra_groups=self._groups,
            )

    def _wait_until_ready(self) -> bool:
        """Wait for the message in the server's log: another process might be listening on the port."""
        assert self._process is not None  # noqa: S101 - set by the caller
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if "ready to accept connections" in self.log:
                return True
            time.sleep(0.02)
        return False

    def _environment(self, home: Path) -> dict[str, str]:
        """An environment without the PG* variables and the locale of the developer's shell."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": str(home), "TMPDIR": str(home / "tmp")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _quoted(value: str) -> str:
    """Quote a value for postgresql.conf."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _run(connection: pg8000.native.Connection, template: str, *values: str) -> None:
    """Run a statement that takes no parameters; the server itself quotes the values, with format()."""
    placeholders = ", ".join(f"CAST(:v{number} AS text)" for number in range(len(values)))
    bound = {f"v{number}": value for number, value in enumerate(values)}
    rows = connection.run(
        f"SELECT pg_catalog.format(CAST(:template AS text), {placeholders})", template=template, **bound
    )
    assert rows is not None  # noqa: S101 - a SELECT has rows
    connection.run(rows[0][0])


def _tail(log: str) -> str:
    """The last lines as one line: the cause usually precedes the line that says FATAL."""
    return " | ".join([line.strip() for line in log.splitlines() if line.strip()][-3:]) or "no output"
