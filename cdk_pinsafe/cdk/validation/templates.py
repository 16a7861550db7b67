"""An app's templates, and which of their values are the same name.

A proxy's name can be a literal, a reference to the proxy, an export of another stack, or a nested stack's parameter;
:meth:`Template.text` returns the same text for all of these. A value that only the deployment knows is a mark in the
text, the same for the same value.
"""

import hashlib
import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

_MARK: Final = "\0"
_NAMED_BY: Final = {"AWS::RDS::DBProxy": "DBProxyName", "AWS::Logs::LogGroup": "LogGroupName"}
"""What ``Ref`` gives for a resource: its name."""
_SAME_AS_REF: Final = {"AWS::EC2::VPC": "VpcId"}
"""The attribute of a resource that is what ``Ref`` gives."""
_LONGEST_NAME: Final = 4096
"""Characters; longer than any name on AWS."""
_LONGEST: Final = 1_000_000
"""Characters of any text; CloudFormation's limit for a template."""
_PLACEHOLDER: Final = re.compile(r"\$\{(!?)([^}]*)\}")

Properties = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource of a template."""

    template: "Template"
    logical_id: str
    type: str
    properties: Properties
    depends_on: Sequence[str]
    condition: str | None = None

    def text(self, *path: str) -> str | None:
        """A property as text, with marks; None if it is absent."""
        value = self.get(*path)
        return None if value is None else self.template.text(value)

    def get(self, *path: str) -> Any:
        """A property as written; None if it is absent, or if only the deployment knows its parent."""
        return dig(self.properties, *path)


@dataclass(frozen=True, eq=False)
class Template:
    """One template.

    Attributes:
        path: path of its file.
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
                type_ if isinstance(type_ := resource.get("Type"), str) else "",
                _mapping(resource.get("Properties")),
                _list(resource.get("DependsOn")),
                condition if isinstance(condition := resource.get("Condition"), str) else None,
            )
            for logical_id, resource in _mapping(self.content.get("Resources")).items()
            if isinstance(resource, Mapping)
        }

    def text(self, value: Any) -> str:
        """A value as text; a part that only the deployment knows is a mark."""
        return self.app.evaluate(self._text(value))

    def _text(self, value: Any) -> "Evaluation":
        match value:
            case bool():
                return json.dumps(value)
            case str():
                return value
            case int() | float():
                return _written(value)
            case {"Ref": str(name)}:
                return (yield _Name(self, name))
            case {"Fn::GetAtt": str(dotted)}:
                return (yield _Name(self, *dotted.partition(".")[::2]))
            case {"Fn::GetAtt": [str(logical_id), str(attribute)]}:
                return (yield _Name(self, logical_id, attribute))
            case {"Fn::Join": [str(separator), list(parts)]}:
                texts: list[str] = []
                length = 0
                for part in parts:
                    texts.append((yield self._text(part)))
                    length += len(texts[-1]) + len(separator)
                    if length > _LONGEST:
                        break
                return separator.join(texts)
            case {"Fn::Sub": str(text)}:
                return (yield self._substituted(text, {}))
            case {"Fn::Sub": [str(text), dict(names)]}:
                return (yield self._substituted(text, names))
            case {"Fn::ImportValue": exported}:
                name = yield self._text(exported)
                return (yield _Name(self, name if len(name) <= _LONGEST_NAME else _digest_mark(name), imported=True))
        return self.mark(_written(value))

    def _substituted(self, text: str, names: Properties) -> "Evaluation":
        texts, end, length = [], 0, len(text)
        for found in _PLACEHOLDER.finditer(text):
            if length > _LONGEST:
                break
            texts.append(text[end : found.start()])
            end = found.end()
            escaped, name = found[1], found[2].strip()
            if escaped:
                texts.append(f"${{{found[2]}}}")
            elif name in names:
                texts.append((yield self._text(names[name])))
            else:
                texts.append((yield _Name(self, *name.partition(".")[::2])))
            length += len(texts[-1])
        return "".join([*texts, text[end:]])

    def imported(self, name: str) -> "Evaluation":
        """The text of an import."""
        source = self.app.exported(self, name)
        if source is None:
            return _Name(self, name, imported=True).mark
        exporter, value = source
        return (yield exporter._text(value))

    def named(self, name: str, attribute: str) -> "Evaluation":
        """The text of a reference to a resource, a parameter or an attribute."""
        resource = self.resources.get(name)
        if resource and attribute == _SAME_AS_REF.get(resource.type):
            return (yield _Name(self, name))
        if attribute:
            nested = self.app.nested.get((self.path, name))
            output = dig(nested.content, "Outputs", attribute.removeprefix("Outputs."), "Value") if nested else None
            if nested is None or output is None or not attribute.startswith("Outputs."):
                return self.mark(f"{name}.{attribute}")
            return (yield nested._text(output))
        if name.startswith("AWS::"):
            known = {"AWS::AccountId": self.account, "AWS::Region": self.region}.get(name)
            # The same for all stacks, so the mark has no template's path.
            everywhere = name in ("AWS::AccountId", "AWS::Region", "AWS::Partition", "AWS::URLSuffix")
            return known or (f"{_MARK}{name}{_MARK}" if everywhere else self.mark(name))
        if resource:
            given = resource.get(_NAMED_BY[resource.type]) if resource.type in _NAMED_BY else None
            return self.mark(name) if given is None else (yield self._text(given))
        if self.parent:
            outer, logical_id = self.parent
            holder = outer.resources.get(logical_id)
            passed = holder.get("Parameters", name) if holder else None
            if passed is not None:
                return (yield outer._text(passed))
        return self.mark(name)

    def exports(self) -> Iterator[tuple[Any, Any]]:
        """Names and values of the template's exports, as written."""
        for output in _mapping(self.content.get("Outputs")).values():
            name = dig(output, "Export", "Name")
            if name is not None:
                yield name, dig(output, "Value")

    def mark(self, text: str) -> str:
        return f"{_MARK}{self.path}#{text}{_MARK}"


class _Name(NamedTuple):
    """A reference to what a template names: a resource, a parameter, an attribute of a resource, or an import."""

    template: Template
    name: str
    attribute: str = ""
    imported: bool = False

    def evaluation(self) -> "Evaluation":
        if self.imported:
            return self.template.imported(self.name)
        return self.template.named(self.name, self.attribute)

    @property
    def mark(self) -> str:
        """The mark if the value is not known."""
        if self.imported:
            return f"{_MARK}import {self.name}{_MARK}"
        return self.template.mark(f"{self.name}.{self.attribute}" if self.attribute else self.name)


Evaluation: TypeAlias = "Generator[_Name | Evaluation, str, str]"
"""Computes a text: yields what it depends on, receives its text, and returns its own."""


class Templates:
    """All templates of an app or stage.

    Attributes:
        all: the templates, nested ones included.
        nested: nested templates by their parent's path and the logical id that holds them there.
    """

    def __init__(self) -> None:
        self.all: list[Template] = []
        self.nested: dict[tuple[str, str], Template] = {}
        self._known: dict[_Name, str] = {}
        self._exports: dict[tuple[str | None, str | None, str], tuple[Template, Any]] | None = None

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

    def evaluate(self, evaluation: Evaluation) -> str:
        """Run an evaluation and its dependencies without recursion, since names may refer to names ten thousand deep.

        Each name is evaluated once. Names in a reference cycle, and texts that are too long for a name, are marks,
        which equal only themselves.
        """
        running: list[tuple[_Name | None, Evaluation]] = [(None, evaluation)]
        places: dict[_Name, int] = {}
        circular: set[_Name] = set()
        answer: str | None = None
        while running:
            name, current = running[-1]
            try:
                # The first value sent to a generator has to be None.
                needed = next(current) if answer is None else current.send(answer)
            except StopIteration as end:
                running.pop()
                text: str = end.value
                if name is not None:
                    del places[name]
                    if name in circular or len(text) > _LONGEST_NAME:
                        text = name.mark
                    self._known[name] = text
                answer = text if len(text) <= _LONGEST else _digest_mark(text)
                continue
            answer = None
            if not isinstance(needed, _Name):
                running.append((None, needed))
            elif needed in self._known:
                answer = self._known[needed]
            elif needed in places:
                circular.update(one for one, _ in running[places[needed] :] if one is not None)
                answer = needed.mark
            else:
                places[needed] = len(running)
                running.append((needed, needed.evaluation()))
        assert answer is not None  # noqa: S101 - set when the last evaluation ended
        return answer

    def exported(self, template: Template, name: str) -> "tuple[Template, Any] | None":
        """The export of a name in the same account and region: its template and value."""
        if self._exports is None:
            # No imports while exports are collected: CloudFormation takes no import in an export's name.
            self._exports = {}
            found: dict[tuple[str | None, str | None, str], tuple[Template, Any]] = {}
            for one in self.all:
                for exported, value in one.exports():
                    found.setdefault((one.account, one.region, one.text(exported)), (one, value))
            self._exports = found
            self._known.clear()
        return self._exports.get((template.account, template.region, name))


def dig(value: Any, *path: str) -> Any:
    """The value at a path of keys; None if a key is absent or its parent is not a mapping."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def is_known(text: str) -> bool:
    """Whether a text has no mark."""
    return _MARK not in text


def together(one: Resource, other: Resource) -> bool:
    """Whether two resources are in one account and region, as far as these are known."""
    pairs = ((one.template.account, other.template.account), (one.template.region, other.template.region))
    return all(first == second or None in (first, second) for first, second in pairs)


def as_bool(value: Any) -> bool | None:
    """A boolean property; None if it is absent or only the deployment knows it."""
    return {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, str | bool) else None


def as_number(value: Any) -> float | None:
    """A number; None if it is absent or only the deployment knows it."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _written(value: Any) -> str:
    """A value as written, for comparison."""
    try:
        return json.dumps(value, sort_keys=True)
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return f"{id(value):x}"


def _digest_mark(text: str) -> str:
    return f"{_MARK}{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}{_MARK}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[str]:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []
