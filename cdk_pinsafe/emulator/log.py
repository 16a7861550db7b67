"""Writes events as log lines in the format of RDS Proxy's log."""

from collections.abc import Callable
from datetime import UTC, datetime

from ..pinning import log_lines
from ..terminal import one_line
from .events import Observer, PinEvent

__all__ = ["LogWriter"]


class LogWriter(Observer):
    """Writes a line for each event that RDS Proxy is known to log."""

    def __init__(self, write: Callable[[str], object], *, endpoint: str = "default") -> None:
        """Write lines with `write`, without line ends, in the emulator's thread; `write` must return quickly."""
        self._write = write
        self._endpoint = endpoint

    def client_connected(self, client: int, address: str) -> None:
        self._write(log_lines.connected(datetime.now(UTC), client, address, endpoint=self._endpoint))

    def client_closed(self, client: int, reason: str) -> None:
        self._write(log_lines.closed(datetime.now(UTC), client, one_line(reason), endpoint=self._endpoint))

    def pin_announced(self, pin: PinEvent) -> None:
        self._write(
            log_lines.may_pin(
                pin.when,
                pin.client_connection,
                pin.db_connection,
                pin.reason,
                one_line(pin.digest or ""),
                endpoint=self._endpoint,
            )
        )

    def pinned(self, pin: PinEvent) -> None:
        if not pin.repeated:
            self._write(
                log_lines.pinned(
                    pin.when,
                    pin.client_connection,
                    pin.db_connection,
                    pin.reason,
                    None if pin.digest is None else one_line(pin.digest),
                    endpoint=self._endpoint,
                )
            )
