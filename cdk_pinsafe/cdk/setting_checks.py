"""Checks settings against the catalogue of the engine's version, at synth."""

from collections.abc import Collection, Mapping
from typing import Final

from aws_cdk import Token
from constructs import IConstruct

from ..settings.catalogue import SettingWarning, check, check_default
from ..settings.catalogue.check import WarningKind
from .checks import warn
from .database import PostgresDatabase

_HINTS: Final[Mapping[WarningKind, str]] = {
    "UnknownEngineVersion": ": pass the engine with its version, or acknowledge {id}",
    "UnknownParameter": ": check its spelling, and that its extension is created or preloaded, or acknowledge {id}",
    "CustomParameter": "; the deployment would fail; acknowledge {id} if a library of your server defines it",
    "SuperuserParameter": "; the deployment would fail; acknowledge {id} if your server lets the secret's user set it",
    "MissingExtension": ", or acknowledge {id} if the database has it",
    "BareNumber": "; acknowledge {id} if that is right",
    "RoundedValue": ": write the value that you mean, or acknowledge {id}",
    "HarmfulDefault": ": set it for a role by 'role_settings', or acknowledge {id} if all sessions should have it",
}
"""What to do about each kind of doubt; appended to the messages."""


class SettingChecks:
    """Checks the settings of one construct, and collects doubts: one warning for each kind.

    Args:
        construct: the construct that gets the warnings.
        target: the database of the settings.
        extensions: the extensions that are created with them.
    """

    def __init__(self, construct: IConstruct, target: PostgresDatabase, extensions: Collection[str]) -> None:
        self._construct = construct
        self._major = target.major_version
        self._extensions = extensions
        self._doubts: list[tuple[str, SettingWarning]] = []

    def check(self, prop: str, name: str, text: str | list[str]) -> None:
        """Check one setting; if the value is or contains a token, only its name.

        Args:
            prop: ``settings``, or ``role_settings[reports]``.
            name: name of the parameter.
            text: its value.

        Raises:
            SettingError: the engine's version has no such parameter or does not take the value, or it would lose or
                corrupt data.
        """
        value = None if Token.is_unresolved(text) else text
        self._doubts += [(prop, doubt) for doubt in check(name, value, self._major, self._extensions)]
        if value is not None:
            of_role = prop != "settings"
            self._doubts += [(prop, doubt) for doubt in check_default(name, value, of_role=of_role)]

    def warn(self) -> None:
        """Add the warnings ``cdk-pinsafe:<kind>``, one for each kind of doubt."""
        for kind, hint in _HINTS.items():
            messages = dict.fromkeys(_message(prop, doubt) for prop, doubt in self._doubts if doubt.kind == kind)
            if messages:
                words = hint.format(id=f"'annotation::cdk-pinsafe:{kind}'")
                warn(self._construct, kind, f"{'; '.join(messages)}{words}")


def _message(prop: str, doubt: SettingWarning) -> str:
    """The warning, with the prop if it is about a setting; ``UnknownEngineVersion`` is not."""
    return doubt.message if doubt.kind == "UnknownEngineVersion" else f"'{prop}': {doubt.message}"
