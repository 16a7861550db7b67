"""Finds the digest of a pin whose own line has none: on the line that announced it, by the client connection.

Under the extended protocol the proxy writes two lines: at INFO, when a statement is prepared, that it will pin if it
runs, with its digest; at WARN, when it runs, that it pinned. That both are of one client connection is how they are
joined, which is inferred: no documentation says so. Neither their order in the log nor a repeated line matters, within
the latest `SESSIONS` client connections.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from .aggregation import GroupKey

__all__ = ["SESSIONS", "Joins"]

SESSIONS: Final = 10_000
"""Client connections that are remembered; the one that was silent longest is settled for another."""
_Event = tuple[bytes | None, GroupKey]
_Session = tuple[list[_Event], list[_Event]]
"""Announcements and pins."""
_ANNOUNCEMENTS: Final = 4
"""Announcements that are remembered of a client connection, the latest."""


class Joins:
    """Pins without a digest and announcements, until they are settled.

    Args:
        settle: told each pin once: its key (the announcement's, where one was found), whether that was joined, its
            moment, its client connection.

    A moment is a text whose order is that of time, or None where a line has no time.
    """

    def __init__(self, settle: Callable[[GroupKey, bool, bytes | None, bytes], None]) -> None:
        self._settle = settle
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def announce(self, connection: bytes, moment: bytes | None, key: GroupKey) -> None:
        """Note that a statement of this client connection will pin if it runs."""
        announcements = self._session(connection)[0]
        if (moment, key) not in announcements:
            announcements.append((moment, key))
            del announcements[:-_ANNOUNCEMENTS]

    def pin(self, connection: bytes, moment: bytes | None, key: GroupKey) -> None:
        """Note a pin whose line has no digest."""
        self._session(connection)[1].append((moment, key))

    def finish(self) -> None:
        """Settle all that is left."""
        while self._sessions:
            self._settle_oldest()

    def _session(self, connection: bytes) -> _Session:
        if (session := self._sessions.get(connection)) is not None:
            self._sessions.move_to_end(connection)
            return session
        if len(self._sessions) >= SESSIONS:
            self._settle_oldest()
        session = self._sessions[connection] = ([], [])
        return session

    def _settle_oldest(self) -> None:
        connection, (announcements, pins) = self._sessions.popitem(last=False)
        for moment, key in pins:
            announced = _announcement(announcements, moment)
            self._settle(announced or key, announced is not None, moment, connection)


def _announcement(announcements: list[_Event], moment: bytes | None) -> GroupKey | None:
    """The latest that is not later than the pin."""
    if not announcements:
        return None
    if moment is None:
        return announcements[-1][1]
    timed = [(when, key) for when, key in announcements if when is not None and when <= moment]
    return max(timed, key=lambda one: one[0])[1] if timed else None
