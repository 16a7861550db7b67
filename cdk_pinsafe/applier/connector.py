"""Opens sessions. Caches the credentials, and reads them again once after a rotation."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from ..errors import ApplyError, PinSafeError
from . import log
from .connection import AuthenticationError, Session, connect
from .deadline import Deadline
from .messages import Target
from .secret import Credentials

_ROTATION_PAUSE: Final = 2.0
"""Seconds. A rotation changes the password in the database a moment before it changes the secret."""


class CredentialsCache:
    """The credentials of one secret, for any number of connectors and threads.

    The secret is read at the first use, and once more if the server refuses the password.
    """

    def __init__(self, arn: str, read_secret: Callable[[str], Credentials]) -> None:
        self.arn = arn
        self._read = read_secret
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._failure: PinSafeError | None = None
        self._may_reread = True

    def get(self) -> Credentials:
        """The credentials. A failure to read them is cached, too; see :func:`~.secret.read` for the errors."""
        with self._lock:
            if self._failure is not None:
                raise type(self._failure)(str(self._failure))
            if self._credentials is None:
                try:
                    self._credentials = self._read(self.arn)
                except PinSafeError as error:
                    self._failure = error
                    raise
            return self._credentials

    def reread_after(self, refused: Credentials, deadline: Deadline) -> Credentials | None:
        """Other credentials than those that the server refused; None if the secret has no others."""
        with self._lock:
            if self._credentials == refused and self._may_reread:
                self._may_reread = False
                time.sleep(min(_ROTATION_PAUSE, deadline.left))
                self._credentials = self._read(self.arn)
                if self._credentials != refused:
                    log.info("secret_rotated")
            return self._credentials if self._credentials != refused else None


class Connector:
    """Opens sessions in one database."""

    def __init__(self, target: Target, credentials: CredentialsCache) -> None:
        self.target = target
        self._credentials = credentials

    def open(self, deadline: Deadline, options: Mapping[str, str]) -> Session:
        """Connect; see :func:`~.connection.connect` for the errors.

        Raises:
            ApplyError: the server refuses the credentials of the secret.
        """
        credentials: Credentials | None = self._credentials.get()
        refused = ""
        while credentials is not None:
            try:
                return connect(self.target, credentials, deadline, options)
            except AuthenticationError as error:
                refused = str(error)
            credentials = self._credentials.reread_after(credentials, deadline)
        raise ApplyError(
            f"{self.target}: {refused}; the secret {self._credentials.arn} does not open it: correct or rotate the "
            "secret"
        )


class PreopenedConnector(Connector):
    """Returns a session that is already open first, in case a bad preload library blocks new log-ins."""

    def __init__(self, connector: Connector, session: Session) -> None:
        super().__init__(connector.target, connector._credentials)
        self._session: Session | None = session

    def open(self, deadline: Deadline, options: Mapping[str, str]) -> Session:
        """The open session, whatever the options; after that, a new session each time."""
        session, self._session = self._session, None
        return session or super().open(deadline, options)
