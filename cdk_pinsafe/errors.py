"""The public exceptions. Exceptions that a package raises and catches itself are not part of this hierarchy.

::

    PinSafeError
    ├── SettingError          a setting that cannot live in a database
    ├── ConfigurationError    a construct's prop that is of the wrong kind, out of range, or contradicts another
    ├── ApplyError            the applier could not bring a database to its settings
    │   └── UnreachableError       ... because the database or its secret could not be reached in time
    ├── DsnError              a DSN is malformed
    ├── RehearsalError        a step of the rehearsal failed, or a local server that it uses
    ├── LogsError             a log, or a log group of CloudWatch, could not be read
    ├── EmulatorError         an invalid option of the emulator, or a port that cannot be bound
    ├── AuditError            a database could not be audited
    ├── ProbeError            a proxy could not be probed
    ├── LintError             a path or a configuration that the linter cannot work with
    ├── UnknownNameError      there is no condition or client of that name
    └── MissingExtraError     a command needs an extra that is not installed

Each message says what was wrong, what was received and what to do, in one line. None holds a password.
"""

__all__ = [
    "ApplyError",
    "AuditError",
    "ConfigurationError",
    "DsnError",
    "EmulatorError",
    "LintError",
    "LogsError",
    "MissingExtraError",
    "PinSafeError",
    "ProbeError",
    "RehearsalError",
    "SettingError",
    "UnknownNameError",
    "UnreachableError",
]


class PinSafeError(Exception):
    """The base of all exceptions of this package."""


class SettingError(PinSafeError, ValueError):
    """A setting's name or value cannot be set in a database."""


class ConfigurationError(PinSafeError, ValueError):
    """A construct was given a prop it cannot work with."""


class ApplyError(PinSafeError):
    """The applier could not bring a database to its settings; nothing of the change was kept."""


class UnreachableError(ApplyError):
    """The database, or the secret that opens it, could not be reached before time ran out."""


class DsnError(PinSafeError):
    """A text is not a DSN, or libpq takes a part of its password for a host or a port."""


class RehearsalError(PinSafeError):
    """A step of the rehearsal failed, or a local PostgreSQL or cloud could not start; the message says why."""


class EmulatorError(PinSafeError):
    """An option of the RDS Proxy emulator is invalid, or its port cannot be bound."""


class AuditError(PinSafeError):
    """A database could not be audited; the message says what it lacks."""


class ProbeError(PinSafeError):
    """A proxy could not be probed: an option is out of range, or no connection could be opened."""


class LintError(PinSafeError):
    """The linter was given a path or a configuration that it cannot work with; nothing was checked."""


class UnknownNameError(PinSafeError, LookupError):
    """There is no condition or client of the name that was asked for."""


class LogsError(PinSafeError):
    """A log could not be read: a file, a folder, or a log group of CloudWatch."""


class MissingExtraError(PinSafeError):
    """A command needs packages of an extra that is not installed."""
