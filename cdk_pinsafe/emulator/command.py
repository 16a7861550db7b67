"""`pinsafe emulator`: runs the emulator in the foreground, with a terminal view, until Ctrl-C."""

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console
from rich.live import Live

from ..errors import EmulatorError
from ..terminal import plural
from .events import Observer, PinEvent
from .frontend_login import Authentication
from .log import LogWriter
from .metrics_server import serve_metrics
from .server import EmulatorOptions
from .target import ProxyTarget
from .terminal_view import pin_text, render
from .threaded import ThreadedEmulator, run_in_thread
from .timeline import Recording

__all__ = ["address", "run"]

_REFRESH = 0.25


class _NewPins(Observer):
    """Queues pins until they are printed."""

    def __init__(self) -> None:
        self._new: SimpleQueue[PinEvent] = SimpleQueue()

    def pinned(self, pin: PinEvent) -> None:
        if not pin.repeated:
            self._new.put(pin)

    def drain(self, show: Callable[[PinEvent], object]) -> None:
        while not self._new.empty():
            show(self._new.get())


def address(text: str) -> tuple[str, int]:
    """Parse `host:port`, `:port` or `port`.

    Raises:
        EmulatorError: the text has none of these forms.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise EmulatorError(f"an address should be host:port, got {text!r}")
    return host, int(port)


def run(
    target: str,
    options: EmulatorOptions,
    *,
    output_format: str,
    log: str | None,
    timeline: Path | None,
    metrics_port: int | None,
) -> int:
    """Run until Ctrl-C or SIGTERM. Return 0 if nothing pinned, 1 if something did."""
    new_pins = _NewPins()
    observers: list[Observer] = [new_pins]
    with contextlib.ExitStack() as stack:
        if log is not None:
            observers.append(LogWriter(_writer(log, stack), endpoint=options.endpoint))
        recording = Recording()
        if timeline is not None:
            _check_writable(timeline)
            observers.append(recording)
        proxy = stack.enter_context(run_in_thread(ProxyTarget.from_dsn(target), options, observers=observers))
        port = stack.enter_context(serve_metrics(proxy, metrics_port)) if metrics_port is not None else None
        stopped = stack.enter_context(_stop_event())
        try:
            if output_format == "json":
                _json(proxy, port, stopped, new_pins)
            else:
                _text(proxy, port, stopped, new_pins, quiet=log == "-")
        finally:
            pins = proxy.pins
            if timeline is not None:
                recording.save(timeline)
    return 1 if pins else 0


def options(**given: Any) -> EmulatorOptions:
    """Convert the command line's options."""
    authentication = Authentication(given.pop("authentication"))
    host, port = address(given.pop("listen"))
    certificate, key = given.pop("tls_certificate"), given.pop("tls_key")
    if (certificate is None) != (key is None):
        raise EmulatorError("--tls-certificate and --tls-key go together")
    tls = (Path(certificate), Path(key)) if certificate is not None else None
    return EmulatorOptions(host=host, port=port, authentication=authentication, tls=tls, **given)


def _text(
    proxy: ThreadedEmulator, metrics_port: int | None, stopped: threading.Event, new_pins: _NewPins, *, quiet: bool
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not quiet:
        console.print(f"[bold]Connect to[/] {proxy.host}:{proxy.port} [dim](Ctrl-C stops it)[/]")
        if metrics_port is not None:
            console.print(f"Metrics: http://127.0.0.1:{metrics_port}/metrics and /metrics.json")
    if console.is_terminal and not quiet:
        _live(proxy, Console(highlight=False), stopped)
    elif quiet:
        stopped.wait()
    else:
        while not stopped.wait(_REFRESH):
            new_pins.drain(lambda pin: console.print(pin_text(pin)))
        new_pins.drain(lambda pin: console.print(pin_text(pin)))
    if not quiet:
        _print_summary(proxy, console)


def _live(proxy: ThreadedEmulator, console: Console, stopped: threading.Event) -> None:
    before, then = proxy.snapshot(), time.monotonic()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            snapshot, now = proxy.snapshot(), time.monotonic()
            rate = (snapshot.queries - before.queries) / max(now - then, 1e-3)
            before, then = snapshot, now
            live.update(render(snapshot, rate, height=console.size.height), refresh=True)
            if stopped.wait(_REFRESH):
                return


def _print_summary(proxy: ThreadedEmulator, console: Console) -> None:
    snapshot, metrics = proxy.snapshot(), proxy.metrics()
    pins = snapshot.pins
    console.print(
        f"{plural(metrics['ClientConnectionsSetupSucceeded'], 'client')}, "
        f"{plural(metrics['QueryRequests'], 'request')}, {plural(snapshot.peak, 'database connection')} at most, "
        f"{plural(len(pins), 'session')} pinned"
    )
    if console.is_terminal:
        for pin in pins[-5:]:
            console.print(pin_text(pin))


def _json(proxy: ThreadedEmulator, metrics_port: int | None, stopped: threading.Event, new_pins: _NewPins) -> None:
    """Write one JSON object a line: for the start, for each pin, for the end."""

    def emit(**what: object) -> None:
        _line(json.dumps(what))

    emit(event="listening", host=proxy.host, port=proxy.port, metrics_port=metrics_port)
    while not stopped.wait(_REFRESH):
        new_pins.drain(lambda pin: emit(event="pinned", **pin_dict(pin)))
    new_pins.drain(lambda pin: emit(event="pinned", **pin_dict(pin)))
    emit(event="stopped", metrics=proxy.metrics().values)


def pin_dict(pin: PinEvent) -> dict[str, object]:
    """Return a pin as a dictionary for JSON."""
    return {
        "statement": pin.statement,
        "condition": pin.condition.id if pin.condition is not None else None,
        "evidence": list(pin.evidence),
        "reason": pin.reason,
        "digest": pin.digest,
        "remedy": pin.remedy,
        "start": pin.start,
        "end": pin.end,
        "client_connection": pin.client_connection,
        "db_connection": pin.db_connection,
        "user": pin.user,
        "database": pin.database,
        "application_name": pin.application_name,
        "client_address": pin.client_address,
        "when": pin.when.isoformat(),
        "repeated": pin.repeated,
    }


def _writer(log: str, stack: contextlib.ExitStack) -> Callable[[str], object]:
    if log == "-":
        return _line
    try:
        stream = stack.enter_context(Path(log).open("a", encoding="utf-8", buffering=1))  # noqa: SIM115 - it is
    except OSError as error:
        raise EmulatorError(f"cannot write the log {log}: {error.strerror}") from None
    return lambda line: stream.write(line + "\n")


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _check_writable(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:
        raise EmulatorError(f"cannot write the timeline {path}: {error.strerror}") from None


@contextlib.contextmanager
def _stop_event() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
