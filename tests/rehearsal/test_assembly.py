"""`Assembly`: reading and changing synthesized apps."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.rehearsal.assembly import Assembly, StackArtifact

SETTINGS = {"statement_timeout": "30s", "search_path": ["chat", "public"], "pg_trgm.similarity_threshold": "0.4"}


def resource(settings: object) -> dict[str, Any]:
    properties = {
        "Host": {"Fn::GetAtt": ["Db", "Endpoint.Address"]},
        "Owner": "Mine/Settings (stack Mine)",
        "Address": "Mine.c8",
        "Settings": settings,
        "Extensions": ["vector", "pg_trgm"],
    }
    return {"Type": "Custom::PinSafeDatabaseSettings", "Properties": properties}


def write(folder: Path, name: str, content: object) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


def asset(path: str, digest: str) -> dict[str, Any]:
    return {"source": {"path": path}, "destinations": {"here": {"objectKey": f"{digest}.json"}}}


def app(folder: Path, *, nested: bool = False, settings: object = None) -> Assembly:
    """An assembly of one stack, with a `DatabaseSettings` in it or in a nested stack."""
    settings = json.dumps(SETTINGS) if settings is None else settings
    files: dict[str, Any] = {}
    resources: dict[str, Any] = {"Topic": {"Type": "AWS::SNS::Topic"}}
    if nested:
        inner = write(folder, "Inner.nested.template.json", {"Resources": {"Settings": resource(settings)}})
        files[inner] = asset("Inner.nested.template.json", inner)
        resources["Inner"] = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": f"s3/{inner}.json"}}
    else:
        resources["Settings"] = resource(settings)
    outer = write(folder, "Mine.template.json", {"Resources": resources})
    files[outer] = asset("Mine.template.json", outer)
    write(folder, "Mine.assets.json", {"files": files})
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/unknown-region",
        "properties": {
            "templateFile": "Mine.template.json",
            "terminationProtection": True,
            "stackTemplateAssetObjectUrl": f"s3://assets/{outer}.json",
        },
    }
    write(folder, "manifest.json", {"artifacts": {"Mine": stack}})
    return Assembly(folder)


def test_reads_stacks_and_settings(tmp_path: Path) -> None:
    assembly = app(tmp_path / "app")
    (found,) = assembly.settings()
    assert (found.settings, found.extensions) == (SETTINGS, ("vector", "pg_trgm"))
    assert (found.host, found.retained) == (None, False)
    assert assembly.stacks() == [StackArtifact("Mine", "Mine", "unknown-account", "unknown-region", True)]
    assert assembly.resource_types() == {"AWS::SNS::Topic", "Custom::PinSafeDatabaseSettings"}


@pytest.mark.parametrize("nested", [False, True])
def test_changed_setting_updates_asset_hashes(tmp_path: Path, nested: bool) -> None:
    """In the assets, the manifest and the parent template; the original assembly is not changed."""
    original = app(tmp_path / "app", nested=nested)
    before = {path.name: path.read_bytes() for path in original.folder.iterdir()}
    (found,) = original.settings()
    copy = original.with_setting(found, "Statement_Timeout", "45s", tmp_path / "copy")

    (changed,) = copy.settings()
    others = {name: value for name, value in SETTINGS.items() if name != "statement_timeout"}
    assert changed.settings == {**others, "Statement_Timeout": "45s"}
    files = json.loads((copy.folder / "Mine.assets.json").read_text())["files"]
    for name, file in files.items():
        assert name == hashlib.sha256((copy.folder / file["source"]["path"]).read_bytes()).hexdigest()
        assert file["destinations"]["here"]["objectKey"] == f"{name}.json"
    outer = next(name for name, file in files.items() if file["source"]["path"] == "Mine.template.json")
    stack = json.loads((copy.folder / "manifest.json").read_text())["artifacts"]["Mine"]
    assert stack["properties"]["stackTemplateAssetObjectUrl"] == f"s3://assets/{outer}.json"
    if nested:
        inner = next(name for name, file in files.items() if "nested" in file["source"]["path"])
        template = json.loads((copy.folder / "Mine.template.json").read_text())
        assert template["Resources"]["Inner"]["Properties"]["TemplateURL"] == f"s3/{inner}.json"
    assert {path.name: path.read_bytes() for path in original.folder.iterdir()} == before


def test_copy_has_no_termination_protection(tmp_path: Path) -> None:
    copy = app(tmp_path / "app").copy(tmp_path / "copy")
    assert "terminationProtection" not in (copy.folder / "manifest.json").read_text()


def test_removed_extension_removes_its_settings(tmp_path: Path) -> None:
    original = app(tmp_path / "app")
    (changed,) = original.without_extensions(original.settings()[0], ["pg_trgm"], tmp_path / "copy").settings()
    assert changed.extensions == ("vector",)
    assert changed.settings == {k: v for k, v in SETTINGS.items() if "." not in k}


def test_tokens_in_owner_and_address(tmp_path: Path) -> None:
    """They become the JSON of the template."""
    folder = app(tmp_path / "app").folder
    template = json.loads((folder / "Mine.template.json").read_text())
    name = {"Fn::Sub": "Mine/Settings (stack ${AWS::StackName})"}
    template["Resources"]["Settings"]["Properties"] |= {"Owner": name, "Address": name}
    write(folder, "Mine.template.json", template)
    (found,) = Assembly(folder).settings()
    assert found.owner == found.address == json.dumps(name)


def test_settings_with_tokens_cannot_be_changed(tmp_path: Path) -> None:
    assembly = app(tmp_path / "app", settings={"Fn::Join": ["", ['{"work_mem":"', {"Ref": "Memory"}, '"}']]})
    (found,) = assembly.settings()
    assert found.settings is None
    with pytest.raises(RehearsalError, match="contain tokens"):
        assembly.with_setting(found, "statement_timeout", "45s", tmp_path / "copy")


def stage(folder: Path, name: str, *inner: dict[str, Any]) -> dict[str, Any]:
    """Write a nested assembly of one stack and of `inner`; return its artifact for the outer manifest."""
    path = folder / f"assembly-{name}"
    app(path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["artifacts"]["Mine"] |= {"environment": "aws://123456789012/eu-west-1", "displayName": f"{name}/Mine"}
    manifest["artifacts"] |= {f"inner{number}": artifact for number, artifact in enumerate(inner)}
    write(path, "manifest.json", manifest)
    return {"type": "cdk:cloud-assembly", "properties": {"directoryName": path.name}}


def test_stacks_of_nested_assemblies(tmp_path: Path) -> None:
    """Stages, and Stages in Stages. An asset with a manifest.json, as of a web app, is not an assembly."""
    folder = tmp_path / "app"
    app(folder)
    inner = stage(folder / "assembly-Prod", "Inner")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"]["Prod"] = stage(folder, "Prod", inner)
    write(folder, "manifest.json", manifest)
    web = write(folder / "asset.1234", "manifest.json", {"name": "Chat", "artifacts": {"terminationProtection": 1}})
    write(folder / "asset.1234", "Web.template.json", {"Resources": {"Settings": resource("{}")}})

    stacks = Assembly(folder).stacks()
    assert [(one.path, one.name, one.stage) for one in stacks] == [
        ("Mine", "Mine", ""),
        ("Prod/Mine", "Mine", "Prod"),
        ("Inner/Mine", "Mine", "Inner"),
    ]
    assert {(one.account, one.region) for one in stacks[1:]} == {("123456789012", "eu-west-1")}
    assert len(Assembly(folder).settings()) == 3
    copy = Assembly(folder).copy(tmp_path / "copy").folder
    assert hashlib.sha256((copy / "asset.1234" / "manifest.json").read_bytes()).hexdigest() == web
    assert "terminationProtection" not in (copy / "assembly-Prod" / "assembly-Inner" / "manifest.json").read_text()
