"""Settings against the catalogue of the engine's version, at synth."""

from collections.abc import Collection, Mapping
from typing import Final

from aws_cdk import Token
from constructs import IConstruct

from ..settings.catalogue import SettingWarning, check, check_default
from ..settings.catalogue.check import WarningKind
from .checks import warn
from .database import PostgresDatabase

_HINTS: Final[Mapping[WarningKind, str]] = {
    "UnknownEngineVersion": ": give the version where the engine is named, or acknowledge {id}",
    "UnknownParameter": ": check its spelling, and that its extension is created or preloaded, or acknowledge {id}",
    "CustomParameter": "; the deployment would fail; acknowledge {id} if a library of your server defines it",
    "SuperuserParameter": "; the deployment would fail; acknowledge {id} if your server lets the secret's user set it",
    "MissingExtension": ", or acknowledge {id} if the database has it",
    "BareNumber": "; acknowledge {id} if it is right as it is",
    "RoundedValue": ": write the value that is meant, or acknowledge {id}",
    "HarmfulDefault": ": give it to a role of its own by 'role_settings', or acknowledge {id} if all sessions want it",
}
"""What to do about a kind of doubt, behind the messages."""


class SettingChecks:
    """Judges settings for one construct, and keeps what is in doubt until all are judged: one warning a kind.

    Args:
        construct: the construct that is warned.
        target: the database that gets the settings.
        extensions: the extensions that are created with them.
    """

    def __init__(self, construct: IConstruct, target: PostgresDatabase, extensions: Collection[str]) -> None:
        self._construct = construct
        self._major = target.major_version
        self._extensions = extensions
        self._doubts: list[tuple[str, SettingWarning]] = []

    def check(self, prop: str, name: str, text: str | list[str]) -> None:
        """Judge one setting; of a value that is a token, or holds one, the name alone.

        Args:
            prop: where the setting was given: ``settings``, or ``role_settings[reports]``.
            name: the parameter's.
            text: its value.

        Raises:
            SettingError: the engine's version has no such parameter or does not take the value, or data would be lost
                or wrong with it.
        """
        value = None if Token.is_unresolved(text) else text
        self._doubts += [(prop, doubt) for doubt in check(name, value, self._major, self._extensions)]
        if value is not None:
            of_role = prop != "settings"
            self._doubts += [(prop, doubt) for doubt in check_default(name, value, of_role=of_role)]

    def warn(self) -> None:
        """Add the warnings ``cdk-pinsafe:<kind>``, one for each kind of doubt that there is."""
        for kind, hint in _HINTS.items():
            messages = dict.fromkeys(_message(prop, doubt) for prop, doubt in self._doubts if doubt.kind == kind)
            if messages:
                words = hint.format(id=f"'annotation::cdk-pinsafe:{kind}'")
                warn(self._construct, kind, f"{'; '.join(messages)}{words}")


def _message(prop: str, doubt: SettingWarning) -> str:
    """The doubt with the prop, where it is about a setting: ``UnknownEngineVersion`` is about none."""
    return doubt.message if doubt.kind == "UnknownEngineVersion" else f"'{prop}': {doubt.message}"
