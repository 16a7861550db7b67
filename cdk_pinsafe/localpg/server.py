"""A PostgreSQL server that lives as long as a `with` block, on the loopback interface, as root or as a plain user.

::

    with PostgresServer(wheel_installation(18), directory) as server:
        server.create_master("master", password, "app")
        server.connect("app", "master", password)

PostgreSQL refuses to run as root, so root hands it to the user `nobody`. The server is a child in the foreground that
also watches a pipe to this process: whatever ends this process, the server shuts down and its folder goes.

It must not know what it is used for: neither AWS nor settings are named here.
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
from .child_process import ON_PURPOSE, tied
from .installations import Installation, installations, wheel_installation

__all__ = ["Installation", "PostgresServer", "installations", "wheel_installation"]

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 15.0
PORT_ATTEMPTS = 5

# Durability is given up, behaviour is not: a server that is thrown away need not survive a power cut. UTC is what RDS
# starts with.
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
    """An embedded server. A context manager; `start` and `stop` may also be called by hand, and again, on the same data
    and port.

    Attributes:
        host: always 127.0.0.1.
        port: the free port it listens on, known once it was started.
        superuser: the bootstrap superuser's name.
        superuser_password: its random password, which is never printed.
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
        """Prepare a server; nothing runs yet.

        Args:
            installation: which PostgreSQL to run.
            directory: where its files go. Root's server goes to a temporary folder of its own where `nobody` cannot
                enter this one.
            settings: server-wide parameters, as in `postgresql.conf`.
            tls: certificate and key files, for an installation that has SSL; refused for the others.
            superuser: the name of the bootstrap superuser (on RDS it is `rdsadmin`).
        """
        if tls is not None and not installation.has_ssl:
            raise RehearsalError(
                f"PostgreSQL {installation.major} at {installation.bin} was built without SSL: use TlsFront before it"
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
        """What the server wrote to its log so far."""
        path = self._home / "log" if self._home else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    def start(self) -> None:
        """Start the server, creating its data first if there is none, and return once it accepts connections.

        Raises:
            RehearsalError: it did not start; the message has the end of its log.
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
        raise RehearsalError(f"PostgreSQL {self.installation.major} did not start: {_last_words(self.log)}")

    def stop(self) -> None:
        """Shut the server down, ending its sessions; its data stay for another `start`."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(ON_PURPOSE, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop the server and remove the folder that was made for it."""
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None

    def connect(
        self, database: str = "postgres", user: str | None = None, password: str | None = None
    ) -> pg8000.native.Connection:
        """A plain connection over loopback, as the superuser unless told otherwise."""
        return pg8000.native.Connection(
            user or self.superuser,
            host=self.host,
            port=self.port,
            database=database,
            password=self.superuser_password if user is None else password,
            timeout=60,
        )

    def create_master(self, user: str, password: str, database: str | None = None) -> None:
        """Create the nearest thing to an RDS master user: no superuser, may create roles and databases, owns
        `database`.

        It also owns `postgres` and `template1`, as on RDS. The database is created when it does not exist.
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
        """Give a role another password."""
        connection = self.connect()
        try:
            _run(connection, "ALTER ROLE %I PASSWORD %L", user, password)
        finally:
            connection.close()

    def _make_home(self) -> Path:
        """Lay out programs, data and log below a folder that the server's user can reach."""
        self._directory.mkdir(parents=True, exist_ok=True)
        parent = self._directory if self._uid is None else self._open_folder()
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
        # Every folder, since only a folder's owner may empty it; no program, which may be a link to the wheel's own.
        self._hand_over(*(Path(folder) for folder, _, _ in os.walk(home)), password_file, *(home.glob("server.*")))
        self._programs = installation.bin
        self._initialise(home, password_file)
        return home

    def _open_folder(self) -> Path:
        """The given folder if `nobody` can enter it, else a temporary one."""
        for folder in (self._directory, Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp goes there
            path = folder.resolve()
            if all(step.stat().st_mode & 0o001 for step in (path, *path.parents)):
                return folder
        raise RehearsalError(f"root's PostgreSQL runs as `nobody`, who can enter neither {self._directory} nor /tmp")

    def _hand_over(self, *paths: Path) -> None:
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
        made = subprocess.run(
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
        if made.returncode != 0:
            raise RehearsalError(
                f"initdb of PostgreSQL {self.installation.major} failed: {_last_words(made.stdout + made.stderr)}"
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
                tied(
                    [str(self._programs / "postgres"), "-D", str(home / "data"), "-p", str(port)],
                    "interrupt",
                    leftovers=home,
                ),
                cwd=home,
                env=self._environment(home),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal is for the story, which stops the server when its turn comes.
                start_new_session=True,
                user=self._uid,
                group=self._gid,
                extra_groups=self._groups,
            )

    def _wait_until_ready(self) -> bool:
        """Wait for the server's own word in its log: a port that answers may be somebody else's."""
        assert self._process is not None  # noqa: S101 - called right after _spawn
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if "ready to accept connections" in self.log:
                return True
            time.sleep(0.02)
        return False

    def _environment(self, home: Path) -> dict[str, str]:
        """A clean environment: PG* variables or a locale of the developer's shell must not change the server."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": str(home), "TMPDIR": str(home / "tmp")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _quoted(value: str) -> str:
    """A value for postgresql.conf, where a backslash escapes and a quote is doubled."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _run(connection: pg8000.native.Connection, template: str, *values: str) -> None:
    """Run a statement that takes no parameters, after the server itself has quoted the values into it."""
    holders = ", ".join(f"CAST(:v{number} AS text)" for number in range(len(values)))
    bound = {f"v{number}": value for number, value in enumerate(values)}
    rows = connection.run(f"SELECT pg_catalog.format(CAST(:template AS text), {holders})", template=template, **bound)
    assert rows is not None  # noqa: S101 - a SELECT has rows
    connection.run(rows[0][0])


def _last_words(log: str) -> str:
    """The last lines as one: the cause mostly stands before the line that says FATAL."""
    return " | ".join([line.strip() for line in log.splitlines() if line.strip()][-3:]) or "it said nothing"
