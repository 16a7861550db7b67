"""The CloudFormation event, checked and typed. Pure.

CloudFormation sends every scalar as text; here it becomes what it means. Settings are run through
:func:`cdk_pinsafe.settings.to_text` again, as what was a token at synth is only known now.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ApplyError, SettingError
from ..settings import to_text
from .messages import Target, clip
from .plan import Value

PHYSICAL_ID_PREFIX: Final = "pinsafe:"
"""What every physical id of ours begins with. CDK's provider framework uses others for resources never created."""


@dataclass(frozen=True)
class Identity:
    """Which database, opened by which secret, on whose behalf."""

    target: Target
    secret_arn: str
    owner: str
    address: str

    @property
    def physical_id(self) -> str:
        """Made of the database's identity and the construct's, never of the settings."""
        return f"{PHYSICAL_ID_PREFIX}{self.target.host}/{self.target.database}/{self.address}"


@dataclass(frozen=True)
class Wish:
    """What the database is to have.

    Attributes:
        settings: name in lower case to text, or elements of a list.
        extensions: extensions that must exist.
    """

    settings: Mapping[str, Value]
    extensions: tuple[str, ...] = ()


NOTHING: Final = Wish({})


def identity(properties: Mapping[str, Any]) -> Identity:
    """Read ``Host``, ``Port``, ``Database``, ``SecretArn``, ``Owner`` and ``Address``.

    Raises:
        ApplyError: one is missing or malformed.
    """
    texts = {key: _text(properties, key) for key in ("Host", "Port", "Database", "SecretArn", "Owner", "Address")}
    port = texts["Port"]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ApplyError(f"property 'Port' must be a number between 1 and 65535, got {clip(port, 40)!r}")
    return Identity(
        Target(texts["Host"], int(port), texts["Database"]), texts["SecretArn"], texts["Owner"], texts["Address"]
    )


def wish(properties: Mapping[str, Any]) -> Wish:
    """Read ``Settings`` (JSON text of an object) and ``Extensions`` (a list of names, which may be absent).

    Raises:
        ApplyError: one is malformed.
        SettingError: a setting cannot live in a database.
    """
    try:
        given = json.loads(_text(properties, "Settings"))
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ApplyError("property 'Settings' must be the JSON text of an object of parameter and value")
    settings: dict[str, Value] = {}
    for name, value in given.items():
        text = to_text(name, value)
        if name.lower() in settings:
            raise SettingError(f"setting {name!r} is given twice, in different case; keep one")
        settings[name.lower()] = text if isinstance(text, str) else tuple(text)
    extensions = properties.get("Extensions", [])
    if not isinstance(extensions, list):
        raise ApplyError(f"property 'Extensions' must be a list of names, got {clip(repr(extensions), 80)}")
    return Wish(settings, tuple(_name(item) for item in extensions))


def _name(item: object) -> str:
    if not isinstance(item, str) or not item or not _is_text(item):
        raise ApplyError(f"property 'Extensions' must hold names of extensions, got {clip(repr(item), 80)}")
    return item


def _text(properties: Mapping[str, Any], key: str) -> str:
    value = properties.get(key)
    if not isinstance(value, str) or not value:
        raise ApplyError(f"property {key!r} is missing or empty, expected text")
    if not _is_text(value):
        raise ApplyError(f"property {key!r} has a NUL character or is not valid Unicode")
    return value


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
