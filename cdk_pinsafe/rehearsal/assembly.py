"""Synthesised apps (cloud assemblies): what is in them, and copies with a setting changed.

A copy is changed in its template, and gets the asset hash that belongs to its new content, as a synth would give it:
so the app itself need not be touched or run again. Files in, files out; it must not know who deploys them.
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
from .inspection import SettingValue

__all__ = ["Assembly", "SettingsResource"]


@dataclass(frozen=True)
class SettingsResource:
    """A `DatabaseSettings` in a template.

    Attributes:
        template: the template's file, relative to the assembly.
        logical_id: its name there.
        owner: the path of its construct, and its stack.
        settings: its settings; None where the template has tokens in them, so that they are known at deployment only.
        address: the address of its construct, unique in the app.
        host: the host of its database if the app makes it elsewhere and only names it; None for a database of the app.
        extensions: its extensions.
        retained: whether it leaves the settings in place when it is deleted.
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
    """A folder that `cdk synth` wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environments(self) -> set[tuple[str, str]]:
        """Account and region of every stack; `unknown-account` and `unknown-region` where the app does not say."""
        return {tuple(artifact["environment"].removeprefix("aws://").split("/")) for artifact in self._stacks()}

    def stack_names(self) -> list[str]:
        """The names of the stacks, as CloudFormation will have them."""
        return sorted(artifact["properties"].get("stackName", artifact["id"]) for artifact in self._stacks())

    def resource_types(self) -> set[str]:
        """The types of all resources."""
        return {resource["Type"] for _, template in self._templates() for resource in _resources(template).values()}

    def settings(self) -> list[SettingsResource]:
        """Every `DatabaseSettings`, in the order of the templates."""
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
        """A copy, in `folder`, in which one setting has another value."""
        if resource.settings is None:
            raise RehearsalError(f"the settings of {resource.owner} hold tokens and cannot be changed in the template")
        copy = self.copy(folder)
        kept = {key: given for key, given in resource.settings.items() if key.lower() != name.lower()}
        copy._edit(resource, {Property.SETTINGS: json.dumps({**kept, name: value})})
        return copy

    def without_extensions(self, resource: SettingsResource, gone: Collection[str], folder: Path) -> "Assembly":
        """A copy, in `folder`, without some extensions and their settings."""
        copy = self.copy(folder)
        changes: dict[str, object] = {Property.EXTENSIONS: [name for name in resource.extensions if name not in gone]}
        if resource.settings is not None:
            kept = {name: value for name, value in resource.settings.items() if name.partition(".")[0] not in gone}
            changes[Property.SETTINGS] = json.dumps(kept)
        copy._edit(resource, changes)
        return copy

    def copy(self, folder: Path) -> "Assembly":
        """A copy in which no stack is protected from being deleted, since a rehearsal ends with that."""
        shutil.copytree(self.folder, folder, symlinks=True)
        for manifest in folder.rglob("manifest.json"):
            content = json.loads(manifest.read_text())
            for artifact in content.get("artifacts", {}).values():
                artifact.get("properties", {}).pop("terminationProtection", None)
            manifest.write_text(json.dumps(content, indent=1))
        return Assembly(folder)

    def _edit(self, resource: SettingsResource, properties: Mapping[str, object]) -> None:
        path = self.folder / resource.template
        content = json.loads(path.read_text())
        content["Resources"][resource.logical_id]["Properties"].update(properties)
        path.write_text(json.dumps(content, indent=1))
        self._rename_asset(path)

    def _rename_asset(self, template: Path) -> None:
        """Give a changed template the asset hash of its content, here and in the templates that nest it."""
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

    def _stacks(self) -> Iterator[dict[str, Any]]:
        for manifest in sorted(self.folder.rglob("manifest.json")):
            for name, artifact in json.loads(manifest.read_text()).get("artifacts", {}).items():
                if artifact["type"] == "aws:cloudformation:stack":
                    yield {"id": name, **artifact}

    def _templates(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self.folder.rglob("*.template.json")):
            yield path, json.loads(path.read_text())


def _resources(template: Mapping[str, Any]) -> Mapping[str, Any]:
    resources: Mapping[str, Any] = template.get("Resources", {})
    return resources


def _text(value: object) -> str:
    """A property as people can read it, if the template has tokens in it too."""
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(settings: object) -> Mapping[str, SettingValue] | None:
    if not isinstance(settings, str):
        return None
    parsed: Mapping[str, SettingValue] = json.loads(settings)
    return parsed
