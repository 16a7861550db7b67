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
from .messages import Target, truncate
from .plan import Key, Value

PHYSICAL_ID_PREFIX: Final = "pinsafe:"
"""What every physical id of ours begins with. CDK's provider framework uses others for resources never created."""


@dataclass(frozen=True)
class Identity:
    """Which database, opened by which secret, on whose behalf, and whether it is one of a list."""

    target: Target
    secret_arn: str
    owner: str
    address: str
    is_of_list: bool = False

    @property
    def physical_id(self) -> str:
        """Made of the database's identity and the construct's, never of the settings.

        Of a list of databases it is the same whatever is in it, so that a longer or shorter one is an update.
        """
        return (
            f"{PHYSICAL_ID_PREFIX}{self.target.host}/{'*' if self.is_of_list else self.target.database}/{self.address}"
        )


@dataclass(frozen=True)
class DesiredState:
    """What the database is to have.

    Attributes:
        settings: setting to text, or elements of a list.
        extensions: extensions that must exist.
        allow_role_overrides: whether a setting that is set or adopted now may be beaten by a role's value.
        recycles: whether idle sessions of before are ended after a change.
    """

    settings: Mapping[Key, Value]
    extensions: tuple[str, ...] = ()
    allow_role_overrides: bool = True
    recycles: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that all of the database's sessions are to have."""
        return tuple(key.name for key in self.settings if not key.role)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that are to have something of their own."""
        return tuple(dict.fromkeys(key.role for key in self.settings if key.role))


def identities(properties: Mapping[str, Any]) -> tuple[Identity, ...]:
    """Read ``Host``, ``Port``, ``SecretArn``, ``Owner``, ``Address``, and ``Database`` or the list ``Databases``.

    Raises:
        ApplyError: one is missing or malformed.
    """
    is_list = "Databases" in properties
    names = _databases(properties) if is_list else (_text(properties, "Database"),)
    host, port, secret_arn, owner, address = (
        _text(properties, key) for key in ("Host", "Port", "SecretArn", "Owner", "Address")
    )
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ApplyError(f"property 'Port' must be a number between 1 and 65535, got {truncate(port, 40)!r}")
    return tuple(Identity(Target(host, int(port), name), secret_arn, owner, address, is_list) for name in names)


def _databases(properties: Mapping[str, Any]) -> tuple[str, ...]:
    names = properties["Databases"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ApplyError(
            f"property 'Databases' must be a list of one or more names of databases, got {truncate(repr(names), 80)}"
        )
    for name in names:
        if not _is_text(name):
            raise ApplyError("property 'Databases' has a name with a NUL character or that is not valid Unicode")
    if "Database" in properties:
        raise ApplyError("properties 'Database' and 'Databases' are both given; give one of them")
    # Two tokens may have come to the same.
    return tuple(dict.fromkeys(names))


def wish(properties: Mapping[str, Any]) -> DesiredState:
    """Read what the database is to have.

    ``Settings`` is the JSON text of an object of parameter and value, ``RoleSettings``, which may be absent, of an
    object of role and such an object; ``Extensions``, which may be absent, is a list of names; ``OnRoleOverride``, which may
    be absent, is ``warn`` or ``fail``; for ``Recycle`` see :func:`recycles`.

    Raises:
        ApplyError: one is malformed.
        SettingError: a setting cannot live in a database.
    """
    settings = _settings(_object(properties, "Settings"), "")
    if "RoleSettings" in properties:
        for role, given in _object(properties, "RoleSettings").items():
            if not _is_identifier(role) or not isinstance(given, dict):
                raise ApplyError(
                    "property 'RoleSettings' must hold roles, whose names have 1 to 63 bytes and no NUL character, "
                    f"each with an object of parameter and value, got {truncate(repr(role), 80)}"
                )
            settings |= _settings(given, role)
    extensions = properties.get("Extensions", [])
    if not isinstance(extensions, list):
        raise ApplyError(f"property 'Extensions' must be a list of names, got {truncate(repr(extensions), 80)}")
    return DesiredState(
        settings,
        tuple(_name(item) for item in extensions),
        allow_role_overrides=_choice(properties, "OnRoleOverride", "warn", "fail") == "warn",
        recycles=recycles(properties),
    )


def continue_on_error(properties: Mapping[str, Any]) -> bool:
    """Read ``OnError``, which may be absent: ``rollback`` or ``continue``."""
    return _choice(properties, "OnError", "rollback", "continue") == "continue"


def recycles(properties: Mapping[str, Any]) -> bool:
    """Read ``Recycle``, which may be absent: ``never`` or ``idle``."""
    return _choice(properties, "Recycle", "never", "idle") == "idle"


def _choice(properties: Mapping[str, Any], key: str, default: str, *others: str) -> str:
    value = properties.get(key, default)
    if value not in (default, *others):
        expected = " or ".join(repr(one) for one in (default, *others))
        raise ApplyError(f"property {key!r} must be {expected}, got {truncate(repr(value), 80)}")
    return str(value)


def _settings(given: Mapping[str, Any], role: str) -> dict[Key, Value]:
    settings: dict[Key, Value] = {}
    for name, value in given.items():
        text = to_text(name, value)
        key = Key(name.lower(), role)
        if key in settings:
            raise SettingError(f"setting {name!r} is given twice, in different case; keep one")
        settings[key] = text if isinstance(text, str) else tuple(text)
    return settings


def _object(properties: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        given = json.loads(_text(properties, key))
    except ValueError:
        given = None
    if not isinstance(given, dict):
        kind = "parameter and value" if key == "Settings" else "role and settings"
        raise ApplyError(f"property {key!r} must be the JSON text of an object of {kind}")
    return given


def _name(item: object) -> str:
    if not isinstance(item, str) or not item or not _is_text(item):
        raise ApplyError(f"property 'Extensions' must hold names of extensions, got {truncate(repr(item), 80)}")
    return item


def _text(properties: Mapping[str, Any], key: str) -> str:
    value = properties.get(key)
    if not isinstance(value, str) or not value:
        raise ApplyError(f"property {key!r} is missing or empty, expected text")
    if not _is_text(value):
        raise ApplyError(f"property {key!r} has a NUL character or is not valid Unicode")
    return value


def _is_identifier(value: str) -> bool:
    """PostgreSQL cuts a longer name, and would take what is left for another role's."""
    return _is_text(value) and 1 <= len(value.encode()) <= 63


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
