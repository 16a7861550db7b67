"""Reads synthesized apps (cloud assemblies), and makes copies with changed settings.

A changed template gets the asset hash of its new content, as from synth, so the app need not be changed or run again.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..contract import RESOURCE_TYPE, Property
from ..errors import RehearsalError
from .database_client import SettingValue

__all__ = ["UNKNOWN_ACCOUNT", "UNKNOWN_REGION", "Assembly", "SettingsResource", "StackArtifact"]

UNKNOWN_ACCOUNT, UNKNOWN_REGION = "unknown-account", "unknown-region"
"""The account and region of a stack without an explicit environment."""


@dataclass(frozen=True)
class StackArtifact:
    """A stack of the app or of one of its Stages.

    Attributes:
        path: its hierarchical id, with which the CDK CLI selects it, such as `Prod/Database`.
        name: its name in CloudFormation; stacks of different Stages may have the same name.
        account: its account, or `UNKNOWN_ACCOUNT`.
        region: its region, or `UNKNOWN_REGION`.
        has_resources: whether its template has resources; the CDK CLI does not deploy a stack without any.
    """

    path: str
    name: str
    account: str
    region: str
    has_resources: bool

    @property
    def stage(self) -> str:
        """The outermost Stage of the stack; empty for a stack of the app itself."""
        return self.path.rpartition("/")[0].partition("/")[0]


@dataclass(frozen=True)
class SettingsResource:
    """A `DatabaseSettings` in a template.

    Attributes:
        template: the template's file, relative to the assembly.
        logical_id: its logical id.
        owner: the path and stack of its construct.
        address: the address of its construct, unique in the app.
        host: the host of an imported database; None if the app creates the database.
        settings: its settings; None if they contain tokens, which only deployment resolves.
        extensions: its extensions.
        retained: whether the settings stay when the resource is deleted.
    """

    template: Path
    logical_id: str
    owner: str
    address: str
    host: str | None
    settings: Mapping[str, SettingValue] | None
    extensions: tuple[str, ...]
    retained: bool


class Assembly:
    """A cloud assembly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stacks(self) -> list[StackArtifact]:
        """All stacks, including those of nested assemblies (Stages); those of the app itself come first."""
        return [
            _stack(folder, name, artifact)
            for folder in self._folders()
            for name, artifact in _artifacts(folder).items()
            if artifact["type"] == "aws:cloudformation:stack"
        ]

    def resource_types(self) -> set[str]:
        """The types of all resources, in all templates."""
        return {resource["Type"] for _, template in self._templates() for resource in _resources(template).values()}

    def settings(self) -> list[SettingsResource]:
        """All `DatabaseSettings`, in the order of the templates."""
        return [
            SettingsResource(
                path.relative_to(self.folder),
                logical_id,
                _text(resource["Properties"][Property.OWNER]),
                _text(resource["Properties"][Property.ADDRESS]),
                host if isinstance(host := resource["Properties"][Property.HOST], str) else None,
                _parsed(resource["Properties"].get(Property.SETTINGS)),
                tuple(resource["Properties"].get(Property.EXTENSIONS, ())),
                resource.get("DeletionPolicy") == "Retain",
            )
            for path, template in self._templates()
            for logical_id, resource in _resources(template).items()
            if resource["Type"] == RESOURCE_TYPE
        ]

    def with_setting(self, resource: SettingsResource, name: str, value: SettingValue, folder: Path) -> "Assembly":
        """A copy in `folder`, with another value of one setting."""
        if resource.settings is None:
            raise RehearsalError(f"the settings of {resource.owner} contain tokens and cannot be edited")
        copy = self.copy(folder)
        kept = {key: given for key, given in resource.settings.items() if key.lower() != name.lower()}
        copy._edit(resource, {Property.SETTINGS: json.dumps({**kept, name: value})})
        return copy

    def without_extensions(self, resource: SettingsResource, gone: Collection[str], folder: Path) -> "Assembly":
        """A copy in `folder`, without some extensions and their settings."""
        copy = self.copy(folder)
        changes: dict[str, object] = {Property.EXTENSIONS: [name for name in resource.extensions if name not in gone]}
        if resource.settings is not None:
            kept = {name: value for name, value in resource.settings.items() if name.partition(".")[0] not in gone}
            changes[Property.SETTINGS] = json.dumps(kept)
        copy._edit(resource, changes)
        return copy

    def copy(self, folder: Path) -> "Assembly":
        """A copy without termination protection: a rehearsal deletes its stacks."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copy = Assembly(folder)
        for nested in copy._folders():
            content = _json(nested / "manifest.json")
            for artifact in content.get("artifacts", {}).values():
                artifact.get("properties", {}).pop("terminationProtection", None)
            (nested / "manifest.json").write_text(json.dumps(content, indent=1))
        return copy

    def _edit(self, resource: SettingsResource, properties: Mapping[str, object]) -> None:
        path = self.folder / resource.template
        content = json.loads(path.read_text())
        content["Resources"][resource.logical_id]["Properties"].update(properties)
        path.write_text(json.dumps(content, indent=1))
        self._rename_asset(path)

    def _rename_asset(self, template: Path) -> None:
        """Update the asset hash of a changed template, here and in its parent templates."""
        digest = hashlib.sha256(template.read_bytes()).hexdigest()
        for assets in template.parent.glob("*.assets.json"):
            files = json.loads(assets.read_text()).get("files", {})
            old = [key for key, file in files.items() if file.get("source", {}).get("path") == template.name]
            for key in old:
                self._replace(template.parent, key, digest, changed=template)

    def _replace(self, folder: Path, old: str, new: str, *, changed: Path) -> None:
        for path in (*folder.glob("*.assets.json"), *folder.glob("*.template.json"), folder / "manifest.json"):
            text = path.read_text()
            if old in text and path != changed:
                path.write_text(text.replace(old, new))
                if path.name.endswith(".template.json"):
                    self._rename_asset(path)

    def _folders(self) -> list[Path]:
        """The folders of this assembly and its nested ones; not those of assets, which may have a manifest.json too."""
        found = [self.folder]
        for folder in found:  # grows
            for artifact in _artifacts(folder).values():
                if artifact["type"] == "cdk:cloud-assembly":
                    found.append(folder / artifact["properties"]["directoryName"])
        return found

    def _templates(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for folder in self._folders():
            for path in sorted(folder.glob("*.template.json")):
                yield path, _json(path)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _artifacts(folder: Path) -> Mapping[str, Any]:
    artifacts: Mapping[str, Any] = _json(folder / "manifest.json").get("artifacts", {})
    return artifacts


def _stack(folder: Path, name: str, artifact: Mapping[str, Any]) -> StackArtifact:
    account, _, region = artifact["environment"].removeprefix("aws://").partition("/")
    return StackArtifact(
        path=artifact.get("displayName", name),
        name=artifact["properties"].get("stackName", name),
        account=account,
        region=region,
        has_resources=bool(_resources(_json(folder / artifact["properties"]["templateFile"]))),
    )


def _resources(template: Mapping[str, Any]) -> Mapping[str, Any]:
    resources: Mapping[str, Any] = template.get("Resources", {})
    return resources


def _text(value: object) -> str:
    """A property as text, also if it contains tokens."""
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(settings: object) -> Mapping[str, SettingValue] | None:
    if not isinstance(settings, str):
        return None
    parsed: Mapping[str, SettingValue] = json.loads(settings)
    return parsed
