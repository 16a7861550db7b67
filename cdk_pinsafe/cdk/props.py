"""Refuses a prop of the wrong kind: the annotations of a constructor or method say what each prop may be.

jsii checks what CDK's own constructs are given, in Python code that it generates, but neither interfaces (it takes any
object for an ``ec2.IVpc``) nor what a construct written in Python is given. The check here looks at classes only, and
asks CDK nothing unless it refuses.
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
"""What is not judged here: a setting's value has its own check, which names the setting."""
EXAMPLES: Final = {
    "Duration": "Duration.minutes(5)",
    "cloudwatch.IAlarm": "PinningAlarms(...).pinned",
    "cloudwatch.IAlarmAction": "cloudwatch_actions.SnsAction(topic)",
    "ec2.ISecurityGroup": "ec2.SecurityGroup.from_security_group_id(self, 'Group', 'sg-...')",
    "ec2.IVpc": "ec2.Vpc(self, 'Vpc') or ec2.Vpc.from_lookup(self, 'Vpc', vpc_id='vpc-...')",
    "ec2.InstanceType": "ec2.InstanceType('t4g.medium')",
    "ec2.SubnetSelection": "ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)",
    "iam.IGrantable": "a Lambda function or an iam.Role",
    "logs.ILogGroup": "logs.LogGroup.from_log_group_name(self, 'Log', '/aws/rds/proxy/...')",
    "rds.IDatabaseProxy": "a PinSafeProxy or PinSafeProxy.from_database_proxy_attributes(...)",
    "rds.AuroraPostgresEngineVersion": "rds.AuroraPostgresEngineVersion.of('17.5', '17')",
    "rds.IInstanceEngine": "rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17)",
    "rds.PostgresEngineVersion": "rds.PostgresEngineVersion.VER_17",
    "secretsmanager.ISecret": "secretsmanager.Secret.from_secret_name_v2(self, 'Secret', 'name')",
}
_LONGEST: Final = 80
"""Characters of a string that are shown."""
_MOST_MEMBERS: Final = 6
"""An enum with more members is not listed; an example stands for them."""


class _Misfit(NamedTuple):
    """A value that is not of its kind: where it is (``secrets[1]``), what it should be, and what it is."""

    name: str
    kind: Any
    value: object


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A constructor or method that refuses arguments that are not what their annotations say.

    None passes where the annotation has it, and an empty string nowhere. A bool is no number, and neither are NaN and
    infinity; an int may be written as 20.0. Tokens pass as the strings, numbers and lists that they are. A jsii
    interface is taken from whatever implements it: CDK's classes, what it imports, subclasses, and classes under
    ``@jsii.implements``.

    Raises:
        ConfigurationError: of the wrapped function; the message has the construct's path, the prop, what it should be
            and what it got, but never the content of a string that was given in place of a construct.
    """
    names = list(inspect.signature(function).parameters)

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        # One argument too many is refused by Python itself.
        given: dict[str, object] = {**dict(zip(names, args, strict=False)), **kwargs}
        if misfit := _first_misfit(_hints(function), given):
            _refuse(_path(function, given), misfit)
        return function(*args, **kwargs)

    return wrapper


def check_fields(instance: object) -> None:
    """Refuses the fields of a dataclass that are not what their annotations say."""
    holder: Any = type(instance)
    if misfit := _first_misfit(_hints(holder), vars(instance)):
        _refuse(holder.__name__, misfit)


@cache
def _hints(holder: Any) -> Mapping[str, Any]:
    # Evaluated at the first call: the modules that annotations name are loaded by then.
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
    """What of ``value``, or in it, is not of ``kind``."""
    origin = get_origin(kind)
    if kind in _ANYTHING:
        return None
    if origin in (Union, UnionType):
        misfits = [_misfit(name, option, value) for option in get_args(kind)]
        if None in misfits:
            return None
        # A list with one wrong element is told of by that element.
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
    """Whether a value is of a class, implements a jsii interface, or is such a number."""
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_double(value):
            return False
        # A token is a number without a fraction.
        return kind is float or value == int(value)
    classes = _classes(value)
    return not classes or any(_is_class_of(candidate, kind) for candidate in classes)


def _is_double(value: int | float) -> bool:
    """Whether JSON can carry the number to CDK, whose process ends at NaN and infinity; NaN compares with nothing."""
    return -sys.float_info.max <= value <= sys.float_info.max


def _classes(value: object) -> Sequence[type]:
    """The classes of an object; of one that CDK returned by an interface, those of the objects that jsii made of it.

    None if a later jsii keeps them elsewhere: then the object passes, as nothing is known of it.
    """
    if type(value).__name__ == "InterfaceDynamicProxy":
        return [type(delegate) for delegate in vars(value).get("_delegates", ())]
    return [type(value)]


@cache
def _is_class_of(candidate: type, kind: type) -> bool:
    """Whether objects of one class serve as another class or as a jsii interface, which ``issubclass`` fails on."""
    if kind in candidate.__mro__:
        return True
    jsii_type = vars(kind).get("__jsii_type__")
    if not getattr(kind, "_is_protocol", False) or jsii_type is None:
        return False
    return any(
        # jsii's classes for what CDK returns by an interface carry the interface's name and no more.
        vars(base).get("__jsii_type__") == jsii_type
        or any(kind in interface.__mro__ for interface in vars(base).get("__jsii_ifaces__", ()))
        for base in candidate.__mro__
    )


def _path(function: Callable[..., Any], given: Mapping[str, object]) -> str:
    own, scope = given.get("self"), given.get("scope")
    # A constructor is checked before there is a construct, so that a refused one leaves nothing in the tree.
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
    """The kinds that a union or a list is made of."""
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
    """What a prop may be, in words."""
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
    """A class as a program names it, with the alias of CDK's module that its documentation uses: ``ec2.IVpc``."""
    if origin := get_origin(kind):
        return "list" if origin is Sequence else "dict"
    service = kind.__module__.partition("aws_cdk.aws_")[2]
    return f"{service}.{kind.__name__}" if service else str(kind.__name__)


def _got(value: object, kind: Any) -> str:
    """What was received: the value where it cannot be a secret, its kind otherwise."""
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
    """Whether a string in its place is a wrong number, duration or choice, and no password or connection string."""
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
