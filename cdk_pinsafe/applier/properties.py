"""Parses and validates the properties of the custom resource. Pure functions.

CloudFormation sends every scalar as text. Settings are validated by :func:`cdk_pinsafe.settings.to_text` again: tokens
have their values only now.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..contract import ON_ERROR, ON_ROLE_OVERRIDE, RECYCLE, Choice, Property
from ..errors import ApplyError, SettingError
from ..settings import to_text
from .messages import Target, truncate
from .plan import Key, Value

PHYSICAL_ID_PREFIX: Final = "pinsafe:"
"""Prefix of the physical ids of this resource. CDK's provider framework uses others for resources never created."""


@dataclass(frozen=True)
class Identity:
    """A database and the construct that manages its settings.

    Attributes:
        target: the database.
        secret_arn: the secret with the credentials.
        owner: path and stack of the construct.
        address: stack and CDK address of the construct.
        is_of_list: whether the resource has a list of databases.
    """

    target: Target
    secret_arn: str
    owner: str
    address: str
    is_of_list: bool = False

    @property
    def physical_id(self) -> str:
        """The physical id of the resource. It does not depend on the settings.

        For a list of databases it does not depend on the list either, so that a longer or shorter list is an update.
        """
        return (
            f"{PHYSICAL_ID_PREFIX}{self.target.host}/{'*' if self.is_of_list else self.target.database}/{self.address}"
        )


@dataclass(frozen=True)
class DesiredState:
    """The desired state of a database.

    Attributes:
        settings: setting to text, or to the elements of a list.
        extensions: extensions that must exist.
        allow_role_overrides: whether a role's value may override a setting that is set or adopted now.
        terminate_idle: whether idle sessions that predate a change are ended.
    """

    settings: Mapping[Key, Value]
    extensions: tuple[str, ...] = ()
    allow_role_overrides: bool = True
    terminate_idle: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that are set for the database."""
        return tuple(key.name for key in self.settings if not key.role)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that have settings."""
        return tuple(dict.fromkeys(key.role for key in self.settings if key.role))


def parse_identities(properties: Mapping[str, Any]) -> tuple[Identity, ...]:
    """Parse what identifies the databases, the secret and the construct.

    Raises:
        ApplyError: a property is missing or malformed.
    """
    is_list = Property.DATABASES in properties
    names = _databases(properties) if is_list else (_text(properties, Property.DATABASE),)
    host, port, secret_arn, owner, address = (
        _text(properties, name)
        for name in (Property.HOST, Property.PORT, Property.SECRET_ARN, Property.OWNER, Property.ADDRESS)
    )
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ApplyError(f"property 'Port' must be a number between 1 and 65535, got {truncate(port, 40)!r}")
    return tuple(Identity(Target(host, int(port), name), secret_arn, owner, address, is_list) for name in names)


def _databases(properties: Mapping[str, Any]) -> tuple[str, ...]:
    names = properties[Property.DATABASES]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ApplyError(
            f"property 'Databases' must be a list of one or more names of databases, got {truncate(repr(names), 80)}"
        )
    for name in names:
        if not _is_text(name):
            raise ApplyError("property 'Databases' has a name with a NUL character or that is not valid Unicode")
    if Property.DATABASE in properties:
        raise ApplyError("properties 'Database' and 'Databases' are both given; give one of them")
    # Two tokens may resolve to the same name.
    return tuple(dict.fromkeys(names))


def parse_desired_state(properties: Mapping[str, Any]) -> DesiredState:
    """Parse what a Create or Update wants.

    Raises:
        ApplyError: a property is malformed.
        SettingError: a parameter cannot be set in a database.
    """
    settings = _settings(_object(properties, Property.SETTINGS), "")
    if Property.ROLE_SETTINGS in properties:
        for role, given in _object(properties, Property.ROLE_SETTINGS).items():
            if not _is_identifier(role) or not isinstance(given, dict):
                raise ApplyError(
                    "property 'RoleSettings' must hold roles, whose names have 1 to 63 bytes and no NUL character, "
                    f"each with an object of parameter and value, got {truncate(repr(role), 80)}"
                )
            settings |= _settings(given, role)
    extensions = properties.get(Property.EXTENSIONS, [])
    if not isinstance(extensions, list):
        raise ApplyError(f"property 'Extensions' must be a list of names, got {truncate(repr(extensions), 80)}")
    return DesiredState(
        settings,
        tuple(_extension(item) for item in extensions),
        allow_role_overrides=_is_default(properties, ON_ROLE_OVERRIDE),
        terminate_idle=parse_terminate_idle(properties),
    )


def parse_continue_on_error(properties: Mapping[str, Any]) -> bool:
    """Whether ``OnError`` is ``continue``."""
    return not _is_default(properties, ON_ERROR)


def parse_terminate_idle(properties: Mapping[str, Any]) -> bool:
    """Whether ``Recycle`` is ``idle``."""
    return not _is_default(properties, RECYCLE)


def _is_default(properties: Mapping[str, Any], choice: Choice) -> bool:
    value = properties.get(choice.name, choice.default)
    if value not in (choice.default, choice.other):
        raise ApplyError(
            f"property {choice.name!r} must be {choice.default!r} or {choice.other!r}, got {truncate(repr(value), 80)}"
        )
    return bool(value == choice.default)


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
        kind = "parameter and value" if key == Property.SETTINGS else "role and settings"
        raise ApplyError(f"property {key!r} must be the JSON text of an object of {kind}")
    return given


def _extension(item: object) -> str:
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
    """Whether PostgreSQL takes it as a name. It would truncate a longer one, to what may be another role's name."""
    return _is_text(value) and 1 <= len(value.encode()) <= 63


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
