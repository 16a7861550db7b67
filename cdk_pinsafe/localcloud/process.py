"""The local cloud's process: ministack and the types that it lacks, on 127.0.0.1, until standard input is closed.

`client` starts it with these arguments: a directory, the certificate and key of its databases and proxies, and the
certificate of their authority. On standard output it writes JSON lines: first its port and the resource types that it
does more for than record them, then every request to a custom resource.

It accepts only requests with the session token of its own environment: ministack itself accepts any, and runs Lambda
functions as the current user.

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
"""An ASGI application: scope, receive, send."""

_HOST = "127.0.0.1"
_HOST_NAMES = (_HOST, "localhost")
_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the name of a header, and of a parameter of signed URLs
_CUSTOM_RESOURCE_RESPONSES = "/_ministack/cfn-response/"
_SHUTDOWN_SECONDS = 1.0


def main(directory: Path, certificate: Path, key: Path, authority: Path) -> None:
    """Serve until standard input is closed or SIGTERM arrives, then end all child processes."""
    listener = socket.create_server((_HOST, 0), backlog=128)
    port = listener.getsockname()[1]
    _configure(directory, port)
    with (
        Databases(directory, certificate, key) as databases,
        Proxies(directory, certificate, key, authority) as proxies,
    ):
        from .resources import register

        types = register(databases, proxies, _write)
        _write({"port": port, "types": types})
        # asyncio.run would wait for threads whose Lambda functions never return.
        asyncio.new_event_loop().run_until_complete(_serve(listener))
    # This process leads its group, to which the processes of Lambda functions belong.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(0)


def _configure(directory: Path, port: int) -> None:
    """Configure ministack: on the loopback interface, with its files below TMPDIR, without Docker."""
    os.environ |= {
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": _HOST,
        "BIND_HOST": _HOST,
        "S3_DATA_DIR": str(directory / "tmp" / "s3"),
        "STATE_DIR": str(directory / "tmp" / "state"),
        # Needed even without containers: at startup ministack removes those that it takes for its own.
        "DOCKER_HOST": f"unix://{directory / 'no-docker.sock'}",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }


def _guarded(application: _Application, token: str) -> _Application:
    """Wrap the application: reject requests without the token, or with another Host header than this machine's.

    The Host header protects against DNS rebinding by web pages. The response of a custom resource needs no token: its
    path cannot be guessed, and on AWS it is not signed either.
    """

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or _is_allowed(scope, token):
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"missing or wrong session token or host name\n"})

    return guard


def _is_allowed(scope: Mapping[str, Any], token: str) -> bool:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if headers.get("host", "").partition(":")[0].lower() not in _HOST_NAMES:
        return False
    if scope.get("method") == "PUT" and scope["path"].startswith(_CUSTOM_RESOURCE_RESPONSES):
        return True
    in_url = urllib.parse.parse_qs(scope["query_string"].decode("latin-1")).get(_TOKEN, [""])
    given = headers.get(_TOKEN.lower()) or in_url[0]
    return hmac.compare_digest(given.encode(), token.encode())


async def _serve(listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    from .ministack_adapter import use_session_token

    token = os.environ["AWS_SESSION_TOKEN"]
    use_session_token(token)  # for clients that assume a role, as the CDK CLI does
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def wait_for_end_of_input() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = _SHUTDOWN_SECONDS
    config.keep_alive_timeout = 75
    await serve(_guarded(app, token), config, shutdown_trigger=stop.wait)


def _write(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - the channel to the parent


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
