"""Serves the metrics over HTTP: `/metrics` in Prometheus' text format, `/metrics.json` as JSON."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from ..errors import EmulatorError
from .threaded import ThreadedEmulator

__all__ = ["serve_metrics"]

_HOST: Final = "127.0.0.1"  # loopback only, because there is no authentication


@contextlib.contextmanager
def serve_metrics(proxy: ThreadedEmulator, port: int = 0) -> Iterator[int]:
    """Serve an emulator's metrics on 127.0.0.1 until the block ends. Yields the port; for port 0, a free one.

    Raises:
        EmulatorError: the port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer("text/plain; version=0.0.4; charset=utf-8", proxy.metrics().as_prometheus())
            elif self.path == "/metrics.json":
                self._answer("application/json", proxy.metrics().as_json() + "\n")
            else:
                self.send_error(404, "not found; try /metrics or /metrics.json")

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the terminal belongs to the view."""

        def _answer(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer((_HOST, port), Handler)
    except OSError as error:
        raise EmulatorError(f"cannot serve metrics on {_HOST}:{port}: {error.strerror or error}") from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="pinsafe-metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
