"""The CDK CLI on the local cloud, and what it must not leave behind."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.localcloud.client import Account, LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority
from cdk_pinsafe.rehearsal.assembly import Assembly
from cdk_pinsafe.rehearsal.cdk_cli import App, CdkCli

ACCOUNT = Account("123456789013", "eu-central-1")
APP_WITH_LOOKUP = """
from aws_cdk import App, Environment, Stack, aws_ec2 as ec2
app = App()
stack = Stack(app, "Mine", env=Environment(account="123456789013", region="eu-central-1"))
vpc = ec2.Vpc.from_lookup(stack, "Vpc", is_default=True)
ec2.SecurityGroup(stack, "Group", vpc=vpc)
app.synth()
"""


@pytest.fixture
def cli(tmp_path: Path, authority: CertificateAuthority) -> CdkCli:
    (tmp_path / "cli").mkdir()
    return CdkCli(tmp_path / "cli", authority.certificate)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An app with a context lookup."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(APP_WITH_LOOKUP)
    (folder / "cdk.json").write_text('{"app": "python3 app.py"}')
    return App(folder, None)


def test_lookup_is_not_saved_in_the_app(tmp_path: Path, cli: CdkCli, app: App, cloud: LocalCloud) -> None:
    """The next real deployment would use it."""
    cli.synth(app, tmp_path / "synth", ACCOUNT, cloud.endpoint)
    assert Assembly(tmp_path / "synth").resource_types() >= {"AWS::EC2::SecurityGroup"}
    assert "vpc-" in (tmp_path / "synth" / "Mine.template.json").read_text()
    assert sorted(path.name for path in app.folder.iterdir()) == ["app.py", "cdk.json"]


@pytest.mark.parametrize("before", [None, b'{"mine":   1}'], ids=["absent", "there"])
@pytest.mark.parametrize("end", [RehearsalError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [None, b"looked up"], ids=["removed", "written"])
def test_context_file_is_restored(
    cli: CdkCli,
    app: App,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes | None,
    end: type[BaseException],
    after: bytes | None,
) -> None:
    context = app.folder / "cdk.context.json"

    def write(content: bytes | None) -> None:
        context.unlink(missing_ok=True)
        if content is not None:
            context.write_bytes(content)

    def synth(*_: object) -> None:
        write(after)
        raise end

    write(before)
    monkeypatch.setattr(cli, "_cdk", synth)
    with pytest.raises(end):
        cli.synth(app, app.folder / "out", ACCOUNT, "")
    assert (context.read_bytes() if context.exists() else None) == before


def test_daemon_of_the_app_does_not_block(cli: CdkCli, tmp_path: Path) -> None:
    """It keeps the command's output open."""
    program = """
import subprocess
daemon = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(daemon.pid, flush=True)
"""
    start = time.monotonic()
    status, output = cli._run("app", [sys.executable, "-c", program], tmp_path, dict(os.environ))
    assert time.monotonic() - start < 30
    os.kill(int(output), signal.SIGTERM)
    assert status == 0
