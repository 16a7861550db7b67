"""An app's templates, and which of their values are the same name.

A proxy's name is written as text, as a reference to the proxy, as an export of another stack, as a nested stack's
parameter; :meth:`Template.text` makes one text of all of these. What only CloudFormation will know stays in that text
as a mark, equal for equal things.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

_MARK: Final = "\0"
_NAMED_BY: Final = {"AWS::RDS::DBProxy": "DBProxyName", "AWS::Logs::LogGroup": "LogGroupName"}
"""What ``Ref`` gives for a resource: its name."""
_PLACEHOLDER: Final = re.compile(r"\$\{(!?)([^}]*)\}")

Properties = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource with what it is told by its template."""

    template: "Template"
    logical_id: str
    type: str
    properties: Properties
    depends_on: Sequence[str]

    def text(self, *path: str) -> str | None:
        """A property as text, marks and all; None where it is absent."""
        value = self.get(*path)
        return None if value is None else self.template.text(value)

    def get(self, *path: str) -> Any:
        """A property as it is written; None where it is absent, or its parent is decided by CloudFormation."""
        return dig(self.properties, *path)


@dataclass(frozen=True, eq=False)
class Template:
    """One template.

    Attributes:
        path: of its file.
        account: the account's number, if it is known at synth.
        region: the region, if it is known at synth.
        content: the template.
        parent: for a nested stack, the template and the logical id that hold it.
    """

    path: str
    account: str | None
    region: str | None
    content: Mapping[str, Any]
    app: "Templates" = field(repr=False)
    parent: "tuple[Template, str] | None" = None

    @cached_property
    def resources(self) -> Mapping[str, Resource]:
        return {
            logical_id: Resource(
                self,
                logical_id,
                str(resource.get("Type")),
                _mapping(resource.get("Properties")),
                _list(resource.get("DependsOn")),
            )
            for logical_id, resource in _mapping(self.content.get("Resources")).items()
            if isinstance(resource, Mapping)
        }

    def text(self, value: Any) -> str:
        """A value as text; what CloudFormation decides is a mark in it."""
        match value:
            case bool():
                return json.dumps(value)
            case str() | int() | float():
                return str(value)
            case {"Ref": str(name)}:
                return self._reference(name)
            case {"Fn::GetAtt": str(dotted)}:
                return self._attribute(*dotted.partition(".")[::2])
            case {"Fn::GetAtt": [str(logical_id), str(attribute)]}:
                return self._attribute(logical_id, attribute)
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(self.text(part) for part in parts)
            case {"Fn::Sub": str(text)}:
                return self._substitute(text, {})
            case {"Fn::Sub": [str(text), dict(names)]}:
                return self._substitute(text, names)
            case {"Fn::ImportValue": name}:
                return self._import(self.text(name))
        return self._mark(json.dumps(value, sort_keys=True))

    def _reference(self, name: str) -> str:
        if name in ("AWS::AccountId", "AWS::Region"):
            known = self.account if name == "AWS::AccountId" else self.region
            return known or f"{_MARK}{name}{_MARK}"
        if name in ("AWS::Partition", "AWS::URLSuffix"):
            return f"{_MARK}{name}{_MARK}"
        if resource := self.resources.get(name):
            given = resource.text(_NAMED_BY.get(resource.type, ""))
            return self._mark(name) if given is None else given
        if self.parent:
            outer, logical_id = self.parent
            passed = outer.resources[logical_id].get("Parameters", name)
            if passed is not None:
                return outer.text(passed)
        return self._mark(name)

    def _attribute(self, logical_id: str, attribute: str) -> str:
        nested = self.app.nested.get((self.path, logical_id))
        if nested and attribute.startswith("Outputs."):
            given = dig(nested.content, "Outputs", attribute.removeprefix("Outputs."), "Value")
            if given is not None:
                return nested.text(given)
        return self._mark(f"{logical_id}.{attribute}")

    def _substitute(self, text: str, names: Properties) -> str:
        def value(found: re.Match[str]) -> str:
            escaped, name = found[1], found[2].strip()
            if escaped:
                return f"${{{found[2]}}}"
            if name in names:
                return self.text(names[name])
            return self._attribute(*name.partition(".")[::2]) if "." in name else self._reference(name)

        return _PLACEHOLDER.sub(value, text)

    def _import(self, name: str) -> str:
        for template in self.app.all:
            if name in template.exports and template.account == self.account and template.region == self.region:
                return template.text(template.exports[name])
        return f"{_MARK}import {name}{_MARK}"

    @cached_property
    def exports(self) -> Mapping[str, Any]:
        outputs = _mapping(self.content.get("Outputs")).values()
        exported = [(dig(output, "Export", "Name"), dig(output, "Value")) for output in outputs]
        return {self.text(name): value for name, value in exported if name is not None}

    def _mark(self, text: str) -> str:
        return f"{_MARK}{self.path}#{text}{_MARK}"


class Templates:
    """All templates of an app or stage.

    Attributes:
        all: the templates, nested ones included.
        nested: nested templates by their parent's path and the logical id that holds them there.
    """

    def __init__(self) -> None:
        self.all: list[Template] = []
        self.nested: dict[tuple[str, str], Template] = {}

    def add(self, path: str, content: Mapping[str, Any], account: str | None, region: str | None) -> Template:
        template = Template(path, account, region, content, self)
        self.all.append(template)
        return template

    def add_nested(self, path: str, content: Mapping[str, Any], parent: Template, logical_id: str) -> Template:
        template = Template(path, parent.account, parent.region, content, self, (parent, logical_id))
        self.all.append(template)
        self.nested[parent.path, logical_id] = template
        return template

    def resources(self, *types: str) -> Iterator[Resource]:
        for template in self.all:
            yield from (resource for resource in template.resources.values() if resource.type in types)


def dig(value: Any, *path: str) -> Any:
    """What stands under a path of keys; None where something on the way is absent or no mapping."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def is_known(text: str) -> bool:
    """Whether a text has no mark."""
    return _MARK not in text


def together(one: Resource, other: Resource) -> bool:
    """Whether two resources are of one account and region, as far as is known."""
    pairs = ((one.template.account, other.template.account), (one.template.region, other.template.region))
    return all(first == second or None in (first, second) for first, second in pairs)


def as_bool(value: Any) -> bool | None:
    """A boolean property; None where it is absent or CloudFormation decides."""
    return {"true": True, "false": False}.get(str(value).lower())


def as_number(value: Any) -> float | None:
    """A number; None where it is absent or CloudFormation decides."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[str]:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []
