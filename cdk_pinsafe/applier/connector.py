"""The way into a database: credentials that are read once, and sessions opened with them."""

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


class CredentialsCache:
    """A secret's credentials, for any number of connector and threads.

    They are read when first asked for, and once more if a password was rotated meanwhile.
    """

    def __init__(self, arn: str, read_secret: Callable[[str], Credentials]) -> None:
        self.arn = arn
        self._read = read_secret
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._failure: PinSafeError | None = None
        self._may_reread = True

    def get(self) -> Credentials:
        """The credentials; see :func:`~.secret.read` for what is raised, for every connector after one reading."""
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

    def after(self, refused: Credentials, deadline: Deadline) -> Credentials | None:
        """Other credentials than those that were refused; None if the secret has no others."""
        with self._lock:
            if self._credentials == refused and self._may_reread:
                self._may_reread = False
                # A rotation changes the password in the database a moment before it changes the secret.
                time.sleep(min(_ROTATION_PAUSE, deadline.left))
                self._credentials = self._read(self.arn)
                if self._credentials != refused:
                    log.info("secret_rotated")
            return self._credentials if self._credentials != refused else None


class Connector:
    """Opens sessions on one database."""

    def __init__(self, target: Target, keys: CredentialsCache) -> None:
        self.target = target
        self._keys = keys

    def open(self, deadline: Deadline, options: Mapping[str, str]) -> Session:
        """Connect; see :func:`~.connection.connect` for what is raised besides an ApplyError."""
        credentials: Credentials | None = self._keys.get()
        refused = ""
        while credentials is not None:
            try:
                return connect(self.target, credentials, deadline, options)
            except AuthenticationError as error:
                refused = str(error)
            credentials = self._keys.after(credentials, deadline)
        raise ApplyError(
            f"{self.target}: {refused}; the secret {self._keys.arn} does not open it: correct or rotate the secret"
        )


class PreopenedConnector(Connector):
    """A connector with a foot in it: the first session that it opens is one that was open before."""

    def __init__(self, connector: Connector, session: Session) -> None:
        super().__init__(connector.target, connector._keys)
        self._session: Session | None = session

    def open(self, deadline: Deadline, options: Mapping[str, str]) -> Session:
        """The held session, whatever the options; after that, as any other connector."""
        held, self._session = self._session, None
        return held or super().open(deadline, options)
