"""What happens, as lines in the form of RDS Proxy's log."""

from collections.abc import Callable
from datetime import UTC, datetime

from ..pinning import log_lines
from .events import Observer, Pin

__all__ = ["Log"]


class Log(Observer):
    """Writes a line for each thing that RDS Proxy is known to log."""

    def __init__(self, write: Callable[[str], object], *, endpoint: str = "default") -> None:
        """Write lines, without line ends, by `write`, in the stand-in's thread; it should return quickly."""
        self._write = write
        self._endpoint = endpoint

    def client_connected(self, client: int, address: str) -> None:
        self._write(log_lines.connected(datetime.now(UTC), client, address, endpoint=self._endpoint))

    def client_closed(self, client: int, reason: str) -> None:
        self._write(log_lines.closed(datetime.now(UTC), client, _one_line(reason), endpoint=self._endpoint))

    def may_pin(self, pin: Pin) -> None:
        self._write(
            log_lines.may_pin(
                pin.when,
                pin.client_connection,
                pin.db_connection,
                pin.reason,
                _one_line(pin.digest or ""),
                endpoint=self._endpoint,
            )
        )

    def pinned(self, pin: Pin) -> None:
        if not pin.repeated:
            self._write(
                log_lines.pinned(
                    pin.when,
                    pin.client_connection,
                    pin.db_connection,
                    pin.reason,
                    None if pin.digest is None else _one_line(pin.digest),
                    endpoint=self._endpoint,
                )
            )


def _one_line(text: str) -> str:
    """A client's text as a part of a line: whatever it holds, it neither ends the line nor writes to a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
