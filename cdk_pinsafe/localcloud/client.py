"""Starts the local cloud, makes boto3 clients for it, and stops it.

It runs in a child process (`process`), which ends when this process dies, even by SIGKILL.
"""

import json
import queue
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self, overload

import boto3
from botocore.config import Config

from ..errors import RehearsalError
from ..localpg.tls import CertificateAuthority
from . import toolchain

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

__all__ = ["Account", "CustomResourceRequest", "LocalCloud"]

START_SECONDS = 90.0
STOP_SECONDS = 20.0
ANY_ACCOUNT = "000000000000"
"""The default account."""
_SESSION_TOKEN = secrets.token_urlsafe(32)
"""One per process. The local cloud runs Lambda functions as the current user, so it accepts no other token."""


@dataclass(frozen=True)
class Account:
    """An account and region of the local cloud; neither is real."""

    number: str = ANY_ACCOUNT
    region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """Environment variables with credentials. The access key id is the account number: ministack reads it so."""
        return {
            "AWS_ACCESS_KEY_ID": self.number,
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_SESSION_TOKEN": _SESSION_TOKEN,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


@dataclass(frozen=True)
class CustomResourceRequest:
    """A request of CloudFormation to a custom resource, with resolved properties."""

    request: str
    type: str
    account: str
    region: str
    stack: str
    logical_id: str
    properties: dict[str, Any]

    @property
    def environment(self) -> Account:
        """The account and region of the resource."""
        return Account(self.account, self.region)


class LocalCloud:
    """The local cloud. A context manager.

    Attributes:
        endpoint: its URL, once started.
        types: the resource types that it does more for than record them.
    """

    def __init__(self, directory: Path, authority: CertificateAuthority) -> None:
        self._directory = directory
        self._authority = authority
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._requests: list[CustomResourceRequest] = []
        self._clients: dict[tuple[str, Account], Any] = {}
        self.endpoint = ""
        self.types: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it responds.

        Raises:
            RehearsalError: it ended, or did not respond in time; the message contains the end of its log.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        certificate, key = self._authority.issue("localhost", "127.0.0.1")
        files = (self._directory, certificate, key, self._authority.certificate)
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cdk_pinsafe.localcloud.process", *map(str, files)],
                env={**toolchain.environment(self._directory), **Account().environment()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None  # noqa: S101 - it was made with a pipe
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()
        end = time.monotonic() + START_SECONDS
        first = self._next_message(end)
        self.types = frozenset(first["types"])
        self.endpoint = f"http://127.0.0.1:{first['port']}"
        self._wait_until_healthy(end)

    def stop(self) -> None:
        """Stop it and its databases. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101 - it was made with a pipe
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            toolchain.kill_group(process)
        if self._listener is not None:
            self._listener.join()

    def check(self) -> None:
        """Raise RehearsalError if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise RehearsalError(f"the local cloud ended with status {self._process.returncode}: {self._log_tail()}")

    def requests(self, resource_type: str) -> list[CustomResourceRequest]:
        """The requests to custom resources of a type so far, oldest first."""
        while not self._messages.empty():
            self._requests.append(CustomResourceRequest(**self._messages.get()))
        return [request for request in self._requests if request.type == resource_type]

    if TYPE_CHECKING:

        @overload
        def client(self, service: Literal["cloudformation"], account: Account) -> CloudFormationClient: ...
        @overload
        def client(self, service: Literal["cloudwatch"], account: Account) -> CloudWatchClient: ...
        @overload
        def client(self, service: Literal["logs"], account: Account) -> CloudWatchLogsClient: ...
        @overload
        def client(self, service: Literal["rds"], account: Account) -> RDSClient: ...
        @overload
        def client(self, service: Literal["secretsmanager"], account: Account) -> SecretsManagerClient: ...

    def client(self, service: Any, account: Account) -> Any:
        """A boto3 client for the local cloud; cached, because creating one is slow."""
        if (service, account) in self._clients:
            return self._clients[service, account]
        self._clients[service, account] = boto3.session.Session().client(
            service,
            endpoint_url=self.endpoint,
            region_name=account.region,
            aws_access_key_id=account.number,
            aws_secret_access_key="rehearsal",  # noqa: S106 - not checked
            aws_session_token=_SESSION_TOKEN,
            config=Config(retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=60),
        )
        return self._clients[service, account]

    @property
    def _log_path(self) -> Path:
        return self._directory / "cloud.log"

    def _listen(self, output: IO[str]) -> None:
        with output:
            for line in _json_lines(output):
                self._messages.put(line)

    def _next_message(self, end: float) -> dict[str, Any]:
        while time.monotonic() < end:
            self.check()
            try:
                return self._messages.get(timeout=0.1)
            except queue.Empty:
                continue
        raise RehearsalError(f"the local cloud did not start in {START_SECONDS:.0f} s: {self._log_tail()}")

    def _wait_until_healthy(self, end: float) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.addheaders = [("X-Amz-Security-Token", _SESSION_TOKEN)]
        while time.monotonic() < end:
            self.check()
            try:
                with opener.open(f"{self.endpoint}/_ministack/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise RehearsalError(f"the local cloud did not respond in {START_SECONDS:.0f} s: {self._log_tail()}")

    def _log_tail(self) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines() if self._log_path.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "no output")


def _json_lines(output: IO[str]) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects; ministack may print other lines."""
    for line in output:
        if line.startswith("{"):
            yield json.loads(line)
