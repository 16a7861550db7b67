"""docs/first-deployment.md, each way of it walked with the real CDK CLI on the local cloud."""

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
# The part of the AWS CLI that the document uses, by the same API.
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
class Desk:
    """A CDK app in a folder, the document's commands, and the local cloud that they reach.

    Attributes:
        folder: the app's.
        environment: of the commands.
        cloud: the local cloud.
        account: whose credentials the commands have.
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
        """The port of each instance, which no other of the local cloud has, and whether the instance is protected."""
        found = self.cloud.client("rds", self.account).describe_db_instances()["DBInstances"]
        return [
            (one["InstanceCreateTime"].isoformat() + str(one["Endpoint"]["Port"]), one["DeletionProtection"])
            for one in found
        ]


@pytest.fixture
def desk(tmp_path: Path, authority: CertificateAuthority, request: pytest.FixtureRequest) -> Desk:
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
    asked = "--require-approval never --progress events --no-notices --no-version-reporting --ci"
    for name, command in {
        "cdk": f'{shlex.quote(str(toolchain.node()))} {shlex.quote(str(cli._program))} "$@" {asked}',
        "aws": f'{shlex.quote(sys.executable)} {shlex.quote(str(tools / "aws.py"))} "$@"',
    }.items():
        program = tools / "bin" / name
        program.write_text(f"#!/bin/sh\nexec {command}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {**cli._environment, **account.environment(), "AWS_ENDPOINT_URL": cloud.endpoint}
    assert environment["PATH"].split(os.pathsep)[0] == str(tools / "bin")
    return Desk(folder, environment, cloud, account)


def corrected(program: str) -> str:
    assert ROLE_SETTINGS in program
    return program.replace(ROLE_SETTINGS, "")


def test_without_rollback(desk: Desk) -> None:
    """The instance survives the failure, protected all the time, and the same command completes the stack."""
    (program,) = section("What synth finds")["python"]
    (first,) = section("The first deployment")["sh"]
    (again,) = section("With `--no-rollback` (recommended)")["sh"]
    desk.write(program)
    desk.fails(first)
    assert desk.status("Chat") == "CREATE_FAILED"
    ((made, protected),) = desk.instances()
    assert protected
    desk.write(corrected(program))
    desk.succeeds(again)
    assert desk.status("Chat") == "UPDATE_COMPLETE"
    assert desk.instances() == [(made, True)]


def test_after_a_failed_rollback(desk: Desk) -> None:
    """The protected instance makes the rollback fail; without protection the CLI replaces the stack."""
    (program,) = section("What synth finds")["python"]
    blocks = section("After a rollback: `ROLLBACK_FAILED`")
    (message,), (way_out,) = blocks["text"], blocks["sh"]
    desk.write(program)
    assert message.strip() in desk.fails("cdk deploy")
    assert desk.status("Chat") == "ROLLBACK_FAILED"
    ((made, protected),) = desk.instances()
    assert protected
    desk.write(corrected(program))
    refused = desk.run("cdk deploy")
    assert (refused.returncode, desk.status("Chat")) == (1, "DELETE_FAILED")
    assert desk.instances() == [(made, True)]
    switch_off, _, deploy = way_out.rpartition("cdk deploy")
    desk.succeeds(f"{switch_off}cdk destroy --force\ncdk deploy{deploy}")
    assert desk.status("Chat") == "CREATE_COMPLETE"
    ((new, protected),) = desk.instances()
    assert (new != made, protected) == (True, True)


def test_the_document_s_commands_leave_a_failed_rollback(desk: Desk) -> None:
    """The commands as they are written, right after the failure."""
    (program,) = section("What synth finds")["python"]
    (way_out,) = section("After a rollback: `ROLLBACK_FAILED`")["sh"]
    desk.write(program)
    desk.fails("cdk deploy")
    desk.write(corrected(program))
    desk.succeeds(way_out)
    assert desk.status("Chat") == "CREATE_COMPLETE"
    assert [protected for _, protected in desk.instances()] == [True]


def test_settings_in_a_second_stack(desk: Desk) -> None:
    """The stack of the protected instance is complete before the failure, and is not touched by it."""
    blocks = section("Settings in a second stack")
    (program,), (deploy,) = blocks["python"], blocks["sh"]
    desk.write(program)
    desk.fails(deploy)
    assert (desk.status("Data"), desk.status("Chat")) == ("CREATE_COMPLETE", "ROLLBACK_COMPLETE")
    before = desk.instances()
    desk.write(corrected(program))
    desk.succeeds(deploy)
    assert (desk.status("Data"), desk.status("Chat")) == ("CREATE_COMPLETE", "CREATE_COMPLETE")
    assert desk.instances() == before
    assert [protected for _, protected in before] == [True]


def test_protection_in_a_later_deployment(desk: Desk) -> None:
    """The rollback deletes the unprotected instance; the second deployment makes another, the third protects it."""
    blocks = section("Deletion protection in a later deployment")
    (program,), (deploy,) = blocks["python"], blocks["sh"]
    desk.write(program)
    desk.fails(deploy)
    assert (desk.status("Chat"), desk.instances()) == ("ROLLBACK_COMPLETE", [])
    desk.write(corrected(program))
    desk.succeeds(deploy)
    ((made, protected),) = desk.instances()
    assert (desk.status("Chat"), protected) == ("CREATE_COMPLETE", False)
    desk.write(corrected(program).replace(NO_PROTECTION, ""))
    desk.succeeds(deploy)
    assert (desk.status("Chat"), desk.instances()) == ("UPDATE_COMPLETE", [(made, True)])
