"""Runs the commands of docs/first-deployment.md with the real CDK CLI on the local cloud."""

import os
import re
import shlex
import stat
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdk_pinsafe.localcloud import toolchain
from cdk_pinsafe.localcloud.client import Account, LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority
from cdk_pinsafe.rehearsal.cdk_cli import CdkCli

DOCUMENT = Path(__file__).parents[2] / "docs" / "first-deployment.md"
ROLE_SETTINGS = '    role_settings={"reports": {"statement_timeout": Duration.minutes(5)}},\n'
NO_PROTECTION = "    deletion_protection=False,\n"
# The commands of the AWS CLI that the document uses, through the same API.
AWS = """
import sys
import boto3, jmespath
service, operation, *arguments = sys.argv[1:]
given, options = {}, {}
while arguments:
    name = arguments.pop(0).removeprefix("--")
    value = arguments.pop(0) if arguments and not arguments[0].startswith("--") else not name.startswith("no-")
    if name in ("output", "query"):
        options[name] = value
    else:
        words = name.removeprefix("no-").split("-") if value is False else name.split("-")
        given["".join({"db": "DB"}.get(word, word.capitalize()) for word in words)] = value
answer = getattr(boto3.client(service), operation.replace("-", "_"))(**given)
if "query" in options:
    print("\\t".join(jmespath.search(options["query"], answer)))
"""


def section(heading: str) -> dict[str, list[str]]:
    """The code blocks of a section, by language."""
    after = re.split(rf"^#+ {re.escape(heading)}\n", DOCUMENT.read_text(), flags=re.MULTILINE)[1]
    text = re.split(r"^#+ ", after, flags=re.MULTILINE)[0]
    blocks: dict[str, list[str]] = {}
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        blocks.setdefault(language, []).append(code)
    return blocks


@dataclass
class Workspace:
    """A CDK app, and the environment in which the document's commands use the local cloud.

    Attributes:
        folder: the folder of the app.
        environment: the environment variables of the commands.
        cloud: the local cloud.
        account: the account of the credentials.
    """

    folder: Path
    environment: dict[str, str]
    cloud: LocalCloud
    account: Account

    def write(self, program: str) -> None:
        (self.folder / "app.py").write_text(program)

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def fails(self, commands: str) -> str:
        run = self.run(commands)
        assert run.returncode == 1, run.stdout
        assert 'role "reports" in database "app"' in " ".join(run.stdout.split()), run.stdout
        return run.stdout

    def succeeds(self, commands: str) -> None:
        run = self.run(commands)
        assert run.returncode == 0, run.stdout

    def status(self, stack: str) -> str:
        (found,) = self.cloud.client("cloudformation", self.account).describe_stacks(StackName=stack)["Stacks"]
        return found["StackStatus"]

    def instances(self) -> list[tuple[str, bool]]:
        """A unique text (creation time and port) and the deletion protection of each instance."""
        found = self.cloud.client("rds", self.account).describe_db_instances()["DBInstances"]
        return [
            (one["InstanceCreateTime"].isoformat() + str(one["Endpoint"]["Port"]), one["DeletionProtection"])
            for one in found
        ]


@pytest.fixture
def workspace(tmp_path: Path, authority: CertificateAuthority, request: pytest.FixtureRequest) -> Workspace:
    folder, tools = tmp_path / "app", tmp_path / "tools"
    folder.mkdir()
    tools.mkdir()
    (folder / "cdk.json").write_text('{"app": "python3 app.py"}')
    cloud: LocalCloud = request.getfixturevalue("cloud")
    cli = CdkCli(tools, authority.certificate)
    cli.install()
    account = Account(f"{zlib.crc32(request.node.name.encode()):012}")
    cli.bootstrap(account, cloud.endpoint)
    (tools / "aws.py").write_text(AWS)
    options = "--require-approval never --progress events --no-notices --no-version-reporting --ci"
    for name, command in {
        "cdk": f'{shlex.quote(str(toolchain.node()))} {shlex.quote(str(cli._program))} "$@" {options}',
        "aws": f'{shlex.quote(sys.executable)} {shlex.quote(str(tools / "aws.py"))} "$@"',
    }.items():
        program = tools / "bin" / name
        program.write_text(f"#!/bin/sh\nexec {command}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {**cli._environment, **account.environment(), "AWS_ENDPOINT_URL": cloud.endpoint}
    assert environment["PATH"].split(os.pathsep)[0] == str(tools / "bin")
    return Workspace(folder, environment, cloud, account)


def corrected(program: str) -> str:
    assert ROLE_SETTINGS in program
    return program.replace(ROLE_SETTINGS, "")


def test_without_rollback(workspace: Workspace) -> None:
    """The instance survives the failure, always protected, and the same command completes the stack."""
    (program,) = section("What synth finds")["python"]
    (first,) = section("The first deployment")["sh"]
    (again,) = section("With `--no-rollback` (recommended)")["sh"]
    workspace.write(program)
    workspace.fails(first)
    assert workspace.status("Chat") == "CREATE_FAILED"
    ((made, protected),) = workspace.instances()
    assert protected
    workspace.write(corrected(program))
    workspace.succeeds(again)
    assert workspace.status("Chat") == "UPDATE_COMPLETE"
    assert workspace.instances() == [(made, True)]


def test_after_a_failed_rollback(workspace: Workspace) -> None:
    """The protected instance makes the rollback fail; without protection the CLI replaces the stack."""
    (program,) = section("What synth finds")["python"]
    blocks = section("After a rollback: `ROLLBACK_FAILED`")
    (message,), (recover,) = blocks["text"], blocks["sh"]
    workspace.write(program)
    assert message.strip() in workspace.fails("cdk deploy")
    assert workspace.status("Chat") == "ROLLBACK_FAILED"
    ((made, protected),) = workspace.instances()
    assert protected
    workspace.write(corrected(program))
    refused = workspace.run("cdk deploy")
    assert (refused.returncode, workspace.status("Chat")) == (1, "DELETE_FAILED")
    assert workspace.instances() == [(made, True)]
    switch_off, _, deploy = recover.rpartition("cdk deploy")
    workspace.succeeds(f"{switch_off}cdk destroy --force\ncdk deploy{deploy}")
    assert workspace.status("Chat") == "CREATE_COMPLETE"
    ((new, protected),) = workspace.instances()
    assert (new != made, protected) == (True, True)


def test_commands_recover_from_a_failed_rollback(workspace: Workspace) -> None:
    """The document's commands, right after the failure."""
    (program,) = section("What synth finds")["python"]
    (recover,) = section("After a rollback: `ROLLBACK_FAILED`")["sh"]
    workspace.write(program)
    workspace.fails("cdk deploy")
    workspace.write(corrected(program))
    workspace.succeeds(recover)
    assert workspace.status("Chat") == "CREATE_COMPLETE"
    assert [protected for _, protected in workspace.instances()] == [True]


def test_settings_in_a_second_stack(workspace: Workspace) -> None:
    """The failure does not affect the stack of the protected instance."""
    blocks = section("Settings in a second stack")
    (program,), (deploy,) = blocks["python"], blocks["sh"]
    workspace.write(program)
    workspace.fails(deploy)
    assert (workspace.status("Data"), workspace.status("Chat")) == ("CREATE_COMPLETE", "ROLLBACK_COMPLETE")
    before = workspace.instances()
    workspace.write(corrected(program))
    workspace.succeeds(deploy)
    assert (workspace.status("Data"), workspace.status("Chat")) == ("CREATE_COMPLETE", "CREATE_COMPLETE")
    assert workspace.instances() == before
    assert [protected for _, protected in before] == [True]


def test_protection_in_a_later_deployment(workspace: Workspace) -> None:
    """The rollback deletes the unprotected instance; the second deployment creates another, the third protects it."""
    blocks = section("Deletion protection in a later deployment")
    (program,), (deploy,) = blocks["python"], blocks["sh"]
    workspace.write(program)
    workspace.fails(deploy)
    assert (workspace.status("Chat"), workspace.instances()) == ("ROLLBACK_COMPLETE", [])
    workspace.write(corrected(program))
    workspace.succeeds(deploy)
    ((made, protected),) = workspace.instances()
    assert (workspace.status("Chat"), protected) == ("CREATE_COMPLETE", False)
    workspace.write(corrected(program).replace(NO_PROTECTION, ""))
    workspace.succeeds(deploy)
    assert (workspace.status("Chat"), workspace.instances()) == ("UPDATE_COMPLETE", [(made, True)])
