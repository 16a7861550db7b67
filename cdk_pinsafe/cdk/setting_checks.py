"""Settings against the catalogue of the engine's version, at synth."""

from typing import Final

from aws_cdk import Token
from constructs import IConstruct

from ..settings.catalogue import Doubt, check
from .checks import warn
from .database import PostgresDatabase

_HINTS: Final = {
    "UnknownEngineVersion": "give the version where the engine is named",
    "UnknownParameter": "check its spelling",
    "RoundedValue": "write the value that is meant",
}


class SettingChecks:
    """Judges settings for one construct, and keeps what is in doubt until all are judged: one warning a kind.

    Args:
        construct: the construct that is warned.
        target: the database that gets the settings.
    """

    def __init__(self, construct: IConstruct, target: PostgresDatabase) -> None:
        self._construct = construct
        self._major = target.major_version
        self._doubts: list[Doubt] = []

    def check(self, name: str, text: str | list[str]) -> None:
        """Judge one setting; of a value that is a token, or holds one, the name alone.

        Raises:
            SettingError: the engine's version has no such parameter or does not take the value.
        """
        self._doubts += check(name, None if Token.is_unresolved(text) else text, self._major)

    def warn(self) -> None:
        """Add the warnings ``cdk-pinsafe:UnknownEngineVersion``, ``…:UnknownParameter`` and ``…:RoundedValue``."""
        for kind, hint in _HINTS.items():
            messages = list(dict.fromkeys(doubt.message for doubt in self._doubts if doubt.kind == kind))
            if messages:
                warn(
                    self._construct,
                    kind,
                    f"{'; '.join(messages)}: {hint}, or acknowledge 'annotation::cdk-pinsafe:{kind}'",
                )
