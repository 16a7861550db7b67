"""Checks the props of constructs and methods against their annotations.

The Python code that jsii generates checks the props of CDK's own constructs, but no interfaces (it takes any object for
an ``ec2.IVpc``), and no constructs that are written in Python. The check here compares classes, without a call to CDK
unless it fails.
"""

import enum
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    NamedTuple,
    NoReturn,
    ParamSpec,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)

from aws_cdk import Duration, Resource, Token
from constructs import Construct

from ..errors import ConfigurationError
from ..settings import SettingValue

P = ParamSpec("P")
R = TypeVar("R")

_ANYTHING: Final = (Any, object, SettingValue)
"""Not checked here: settings have their own check, with the setting's name."""
EXAMPLES: Final = {
    "Duration": "Duration.minutes(5)",
    "cloudwatch.IAlarm": "PinningAlarms(...).pinned",
    "cloudwatch.IAlarmAction": "cloudwatch_actions.SnsAction(topic)",
    "ec2.ISecurityGroup": "ec2.SecurityGroup.from_security_group_id(self, 'Group', 'sg-...')",
    "ec2.IVpc": "ec2.Vpc(self, 'Vpc') or ec2.Vpc.from_lookup(self, 'Vpc', vpc_id='vpc-...')",
    "ec2.InstanceType": "ec2.InstanceType('t4g.medium')",
    "ec2.SubnetSelection": "ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)",
    "iam.IGrantable": "a Lambda function or an iam.Role",
    "kms.IKey": "kms.Key(self, 'Key', enable_key_rotation=True)",
    "logs.ILogGroup": "logs.LogGroup.from_log_group_name(self, 'Log', '/aws/rds/proxy/...')",
    "rds.IDatabaseProxy": "a PinSafeProxy or PinSafeProxy.from_database_proxy_attributes(...)",
    "rds.AuroraPostgresEngineVersion": "rds.AuroraPostgresEngineVersion.of('17.5', '17')",
    "rds.IInstanceEngine": "rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17)",
    "rds.PostgresEngineVersion": "rds.PostgresEngineVersion.VER_17",
    "secretsmanager.ISecret": "secretsmanager.Secret.from_secret_name_v2(self, 'Secret', 'name')",
}
_LONGEST: Final = 80
"""Characters of a string in a message."""
_MOST_MEMBERS: Final = 6
"""Of an enum with more members, messages have an example."""


class _Misfit(NamedTuple):
    """A value of the wrong kind: its place (``secrets[1]``), the kind it should have, and the value."""

    name: str
    kind: Any
    value: object


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a constructor or method that checks its arguments against their annotations.

    None passes if the annotation has it; an empty string never does. A bool is not a number, and neither are NaN and
    infinity; an int may be written as 20.0. Tokens pass as strings, numbers and lists. For a jsii interface, all
    objects pass that implement it: CDK's classes, imports, subclasses, and classes with ``@jsii.implements``. Of
    ``**options: Unpack[...]``, each option is checked.

    Raises:
        ConfigurationError: by the decorated function; the message has the construct's path, the prop, what it should be
            and what it got, but never the content of a string in place of a construct.
    """
    names = list(inspect.signature(function).parameters)

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        # Python itself refuses an argument too many.
        given: dict[str, object] = {**dict(zip(names, args, strict=False)), **kwargs}
        if misfit := _first_misfit(_hints(function), given):
            _refuse(_path(function, given), misfit)
        return function(*args, **kwargs)

    return wrapper


def check_fields(instance: object) -> None:
    """Check the fields of a dataclass against their annotations."""
    holder: Any = type(instance)
    if misfit := _first_misfit(_hints(holder), vars(instance)):
        _refuse(holder.__name__, misfit)


@cache
def _hints(holder: Any) -> Mapping[str, Any]:
    # Evaluated at the first call, when the modules that the annotations name are loaded.
    hints: dict[str, Any] = {}
    for name, kind in inspect.get_annotations(holder, eval_str=True).items():
        origin: Any = get_origin(kind)
        if origin is Unpack:
            hints |= get_type_hints(*get_args(kind))
        else:
            hints[name] = kind
    return hints


def _first_misfit(hints: Mapping[str, Any], given: Mapping[str, object]) -> _Misfit | None:
    for name, value in given.items():
        if name in hints:
            if isinstance(value, str) and not value:
                return _Misfit(name, hints[name], value)
            if misfit := _misfit(name, hints[name], value):
                return misfit
    return None


def _misfit(name: str, kind: Any, value: object) -> _Misfit | None:
    """The part of ``value`` that is not of ``kind``, or all of it."""
    origin = get_origin(kind)
    if kind in _ANYTHING:
        return None
    if origin in (Union, UnionType):
        misfits = [_misfit(name, option, value) for option in get_args(kind)]
        if None in misfits:
            return None
        # If a list has a wrong element, the message is about the element.
        inner = [misfit for misfit in misfits if misfit and misfit.name != name]
        return inner[0] if inner else _Misfit(name, kind, value)
    if origin is Sequence and isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return _first(_misfit(f"{name}[{index}]", get_args(kind)[0], item) for index, item in enumerate(value))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        key_kind, value_kind = get_args(kind)
        wrong_key = _first(_misfit(f"{name}.keys()", key_kind, key) for key in value)
        return wrong_key or _first(_misfit(f"{name}[{key}]", value_kind, item) for key, item in value.items())
    if origin is Literal:
        fits = isinstance(value, str) and value in get_args(kind)
    else:
        fits = isinstance(kind, type) and is_a(kind, value)
    return None if fits else _Misfit(name, kind, value)


def _first(misfits: Iterator[_Misfit | None]) -> _Misfit | None:
    return next(filter(None, misfits), None)


def is_a(kind: type, value: object) -> bool:
    """Whether a value is an instance of a class, implements a jsii interface, or is a number that JSON can have."""
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_double(value):
            return False
        # A token is a number without a fraction.
        return kind is float or value == int(value)
    classes = _classes(value)
    return not classes or any(_is_class_of(candidate, kind) for candidate in classes)


def _is_double(value: int | float) -> bool:
    """Whether JSON can carry the number: NaN and infinity would end CDK's process. No comparison with NaN is true."""
    return -sys.float_info.max <= value <= sys.float_info.max


def _classes(value: object) -> Sequence[type]:
    """The classes of an object; of an object that CDK returned as an interface, the classes of jsii's delegates.

    Empty if another version of jsii stores them elsewhere: then the object passes.
    """
    if type(value).__name__ == "InterfaceDynamicProxy":
        return [type(delegate) for delegate in vars(value).get("_delegates", ())]
    return [type(value)]


@cache
def _is_class_of(candidate: type, kind: type) -> bool:
    """Whether a class is a subclass of another or implements a jsii interface, for which ``issubclass`` raises."""
    if kind in candidate.__mro__:
        return True
    jsii_type = vars(kind).get("__jsii_type__")
    if not getattr(kind, "_is_protocol", False) or jsii_type is None:
        return False
    return any(
        # jsii's classes of objects that CDK returned as an interface have only the interface's name.
        vars(base).get("__jsii_type__") == jsii_type
        or any(kind in interface.__mro__ for interface in vars(base).get("__jsii_ifaces__", ()))
        for base in candidate.__mro__
    )


def _path(function: Callable[..., Any], given: Mapping[str, object]) -> str:
    own, scope = given.get("self"), given.get("scope")
    # A constructor is checked before the construct is in the tree, so that nothing is left there if it fails.
    if isinstance(scope, Construct) and "id" in given:
        return "/".join(part for part in (scope.node.path, str(given["id"]).replace("/", "--")) if part)
    if isinstance(own, Construct) and function.__name__ != "__init__":
        return own.node.path
    return function.__qualname__.removesuffix(".__init__")


def _refuse(path: str, misfit: _Misfit) -> NoReturn:
    name, kind, value = misfit
    example = next(filter(None, (_example(option, value) for option in _options(kind))), None)
    hint = f"; for example {example}" if example else ""
    if type(value) is Resource:
        hint = "; an object whose class CDK does not export is passed by jsii.unsafe_cast(object, interface)"
    raise ConfigurationError(f"{path}: '{name}' should be {_one(kind)}, got {_got(value, kind)}{hint}")


def _options(kind: Any) -> Iterator[Any]:
    """The kinds in a union or a list."""
    if get_origin(kind) in (Union, UnionType, Sequence):
        for option in get_args(kind):
            yield from _options(option)
    else:
        yield kind


def _example(kind: Any, value: object) -> str | None:
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and len(kind) > _MOST_MEMBERS:
        member = str(value).upper()
        return f"{_name(kind)}.{member if member in kind.__members__ else next(iter(kind)).name}"
    return EXAMPLES.get(_name(kind))


def _one(kind: Any) -> str:
    """A kind in words."""
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _or([_one(option) for option in sorted(options, key=lambda option: option is NoneType)])
    if origin is Literal:
        return _or([repr(option) for option in options])
    if origin is Sequence:
        return f"a list of {_name(options[0])}"
    if origin in (dict, Mapping):
        return "a dict" if options[1] in _ANYTHING else f"a dict of {_name(options[0])} to {_name(options[1])}"
    if kind in _WORDS:
        return _WORDS[kind]
    name = _name(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        members = [f"{name}.{member.name}" for member in kind]
        if len(members) <= _MOST_MEMBERS:
            return _or(members)
    return f"{_article(name)} {name}"


_WORDS: Final = {
    NoneType: "None",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a str",
}


def _name(kind: Any) -> str:
    """A class as programs name it, with CDK's usual alias of the module: ``ec2.IVpc``."""
    if origin := get_origin(kind):
        return "list" if origin is Sequence else "dict"
    service = kind.__module__.partition("aws_cdk.aws_")[2]
    return f"{service}.{kind.__name__}" if service else str(kind.__name__)


def _got(value: object, kind: Any) -> str:
    """The value received if it cannot be a secret, otherwise its kind."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str | list | tuple | dict | set) and not value:
        return f"an empty {type(value).__name__}"
    if isinstance(value, str) and _is_plain(kind):
        text = repr(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}...")
        return f"the token {text}" if Token.is_unresolved(value) else text
    if isinstance(value, int) and not _is_double(value):
        return "an int that no double can hold"
    if isinstance(value, int | float):
        return "a token of a number" if _is_double(value) and Token.is_unresolved(value) else repr(value)
    if value is None:
        return "None"
    last = [type(value), *_classes(value)][-1]
    name = str(vars(last).get("__jsii_type__") or last.__name__).rpartition(".")[2]
    return f"{_article(name)} {name}"


def _is_plain(kind: Any) -> bool:
    """Whether a string in place of the kind can only be a wrong number, duration or choice, not a secret."""
    return all(
        option in (*_WORDS, Duration)
        or get_origin(option) is Literal
        or (isinstance(option, type) and issubclass(option, enum.Enum))
        for option in _options(kind)
    )


def _or(options: Sequence[str]) -> str:
    return f"{', '.join(options[:-1])} or {options[-1]}" if len(options) > 1 else options[0]


def _article(name: str) -> str:
    return "an" if name.startswith(("rds.", *"AEIOaeio")) else "a"
