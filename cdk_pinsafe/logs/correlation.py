"""Finds the digest of a pin whose line has none on an earlier line of the same client connection.

Under the extended protocol the proxy writes two lines: at INFO, when a statement is prepared, that it will pin if it
runs (an announcement), with its digest; at WARN, when it runs, that it pinned. They are joined by their client
connection, which is inferred: no documentation says so. The order of lines and repeated lines do not matter within the
latest `SESSIONS` client connections.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from .aggregation import GroupKey

__all__ = ["SESSIONS", "Correlator"]

SESSIONS: Final = 10_000
"""Client connections that are kept; for another one the least recently used is resolved."""
_Event = tuple[bytes | None, GroupKey]
_Session = tuple[list[_Event], list[_Event]]
"""Announcements and pins."""
_ANNOUNCEMENTS: Final = 4
"""The latest announcements of a client connection that are kept."""


class Correlator:
    """Keeps pins without a digest, and announcements, until they are resolved.

    Args:
        resolve: called once for each pin with its key (the announcement's, if there is one), whether it was joined, its
            moment and its client connection.

    A moment is a text that sorts by time, or None if the line has no time.
    """

    def __init__(self, resolve: Callable[[GroupKey, bool, bytes | None, bytes], None]) -> None:
        self._resolve = resolve
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def announce(self, connection: bytes, moment: bytes | None, key: GroupKey) -> None:
        """Record that a statement of this client connection will pin if it runs."""
        announcements = self._session(connection)[0]
        if (moment, key) not in announcements:
            announcements.append((moment, key))
            del announcements[:-_ANNOUNCEMENTS]

    def pin(self, connection: bytes, moment: bytes | None, key: GroupKey) -> None:
        """Record a pin whose line has no digest."""
        self._session(connection)[1].append((moment, key))

    def finish(self) -> None:
        """Resolve all pins that are left."""
        while self._sessions:
            self._resolve_oldest()

    def _session(self, connection: bytes) -> _Session:
        if (session := self._sessions.get(connection)) is not None:
            self._sessions.move_to_end(connection)
            return session
        if len(self._sessions) >= SESSIONS:
            self._resolve_oldest()
        session = self._sessions[connection] = ([], [])
        return session

    def _resolve_oldest(self) -> None:
        connection, (announcements, pins) = self._sessions.popitem(last=False)
        for moment, key in pins:
            announced = _announcement(announcements, moment)
            self._resolve(announced or key, announced is not None, moment, connection)


def _announcement(announcements: list[_Event], moment: bytes | None) -> GroupKey | None:
    """The latest announcement that is not later than the pin."""
    if not announcements:
        return None
    if moment is None:
        return announcements[-1][1]
    timed = [(when, key) for when, key in announcements if when is not None and when <= moment]
    return max(timed, key=lambda one: one[0])[1] if timed else None
