"""The local cloud's process: ministack with what it lacks, on the loopback interface, until its standard input closes.

Started by `local_cloud`, with a directory, a certificate and key for its databases and proxies, and the certificate of
their authority as arguments. On its standard
output it writes one JSON object a line: first its port and the resource types that it does more for than record them,
then every request to a custom resource.

It answers requests with the session token of its own environment only: ministack lets everybody in, and it runs
functions as this user.

ministack reads its configuration from the environment when it is imported, so it is imported late here.
"""

import asyncio
import hmac
import json
import os
import signal
import socket
import sys
import threading
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from .databases import Databases
from .proxies import Proxies

__all__ = ["main"]

_Application = Callable[[Any, Any, Any], Awaitable[None]]
"""As ASGI has it: scope, receive, send."""

_HOST = "127.0.0.1"
_OWN_NAMES = (_HOST, "localhost")
_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the name of a header, and of a parameter of signed URLs
_CUSTOM_RESOURCE_ANSWERS = "/_ministack/cfn-response/"
_LAST_WORDS_SECONDS = 1.0


def main(directory: Path, certificate: Path, key: Path, authority: Path) -> None:
    """Serve until standard input closes or SIGTERM comes, then leave nothing running."""
    listener = socket.create_server((_HOST, 0), backlog=128)
    port = listener.getsockname()[1]
    _configure(directory, port)
    with (
        Databases(directory, certificate, key) as databases,
        Proxies(directory, certificate, key, authority) as proxies,
    ):
        from .resources import register

        types = register(databases, proxies, _say)
        _say({"port": port, "types": types})
        # Not asyncio.run, which would wait for threads that wait for functions that will never answer.
        asyncio.new_event_loop().run_until_complete(_serve(listener))
    # The processes that ran Lambda functions are of this group, whose leader this process is.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(0)


def _configure(directory: Path, port: int) -> None:
    """Keep ministack on the loopback interface, its files below TMPDIR, and its hands off Docker."""
    os.environ |= {
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": _HOST,
        "BIND_HOST": _HOST,
        "S3_DATA_DIR": str(directory / "tmp" / "s3"),
        "STATE_DIR": str(directory / "tmp" / "state"),
        # Not for want of a container: at its start ministack removes those that it takes for its own.
        "DOCKER_HOST": f"unix://{directory / 'no-docker.sock'}",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }


def _guarded(application: _Application, token: str) -> _Application:
    """The application for those who send the token, and call it by a name of this machine.

    The name is what a web page cannot forge that has its own name lead here (DNS rebinding). Without the token only a
    custom resource's answer comes in: nobody else can guess its path, and it is signed by nobody on AWS either.
    """

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or _may_enter(scope, token):
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"this local cloud is of one rehearsal only\n"})

    return guard


def _may_enter(scope: Mapping[str, Any], token: str) -> bool:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if headers.get("host", "").partition(":")[0].lower() not in _OWN_NAMES:
        return False
    if scope.get("method") == "PUT" and scope["path"].startswith(_CUSTOM_RESOURCE_ANSWERS):
        return True
    in_url = urllib.parse.parse_qs(scope["query_string"].decode("latin-1")).get(_TOKEN, [""])
    given = headers.get(_TOKEN.lower()) or in_url[0]
    return hmac.compare_digest(given.encode(), token.encode())


async def _serve(listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app
    from ministack.services import sts

    token = os.environ["AWS_SESSION_TOKEN"]
    sts._gen_session_token = lambda: token  # who assumes a role, as the CDK CLI does, has come in with it
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def wait_for_end_of_input() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = _LAST_WORDS_SECONDS
    config.keep_alive_timeout = 75
    await serve(_guarded(app, token), config, shutdown_trigger=stop.wait)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - the channel to the parent


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
