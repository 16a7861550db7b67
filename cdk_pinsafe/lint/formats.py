"""Findings for programs: JSON, SARIF 2.1.0 and the workflow commands of GitHub Actions."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any, Final
from urllib.parse import quote

from ..pinning.conditions import Evidence
from .findings import FileReport, LintFinding
from .rules import LINT_RULES, LintRule

__all__ = ["as_github", "as_json", "as_sarif"]

_SURE: Final = frozenset({Evidence.DOCUMENTED, Evidence.MEASURED, Evidence.LOCAL})
_SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_json(reports: Sequence[FileReport]) -> str:
    """One document: the findings, the statements that were not parsed, the files that were skipped, and counts."""
    document = {
        "findings": [_json_finding(report.path, one) for report in reports for one in report.findings],
        "not_parsed": [
            {"path": report.path, "line": one.start[0], "column": one.start[1], "message": one.message}
            for report in reports
            for one in report.not_parsed
        ],
        "passed_over": [{"path": one.path, "reason": one.skipped} for one in reports if one.skipped],
        "summary": {
            "files": sum(1 for one in reports if not one.skipped),
            "statements": sum(one.statements for one in reports),
            "not_parsed": sum(len(one.not_parsed) for one in reports),
            "findings": sum(len(one.findings) for one in reports),
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _json_finding(path: str, finding: LintFinding) -> dict[str, Any]:
    return {
        "path": path,
        "line": finding.start[0],
        "column": finding.start[1],
        "end_line": finding.end[0],
        "end_column": finding.end[1],
        "rule": finding.rule.id,
        "message": finding.message,
        "remedy": finding.remedy,
        "evidence": list(finding.evidence),
        "source": list(finding.rule.source),
    }


def as_sarif(reports: Sequence[FileReport]) -> str:
    """A SARIF log of one run; paths in the current folder are relative to it."""
    ids = list(LINT_RULES)
    results = [
        {
            "ruleId": one.rule.id,
            "ruleIndex": ids.index(one.rule.id),
            "level": _level(one.evidence),
            "message": {"text": f"{one.message}\n\nInstead: {one.remedy}"},
            "locations": [{"physicalLocation": _sarif_location(report.path, one)}],
            "properties": {"evidence": list(one.evidence)},
        }
        for report in reports
        for one in report.findings
    ]
    run = {
        "tool": {
            "driver": {
                "name": "pinsafe",
                "version": version("cdk-pinsafe"),
                "informationUri": "https://pypi.org/project/cdk-pinsafe/",
                "rules": [_sarif_rule(rule) for rule in LINT_RULES.values()],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": results,
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": f"{one.path} was passed over: {one.skipped}"}}
                    for one in reports
                    if one.skipped
                ],
            }
        ],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _sarif_rule(rule: LintRule) -> dict[str, Any]:
    known = {"helpUri": rule.source[0]} if rule.source else {}
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": f"Instead: {rule.remedy}"},
        "defaultConfiguration": {"level": _level(rule.evidence)},
        "properties": {"evidence": list(rule.evidence)},
        **known,
    }


def _sarif_location(path: str, finding: LintFinding) -> dict[str, Any]:
    (line, column), (end_line, end_column) = finding.start, finding.end
    return {
        "artifactLocation": {"uri": _uri(path)},
        "region": {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column},
    }


def _uri(path: str) -> str:
    pure = PurePath(path)
    if pure.is_absolute():
        here = Path.cwd()
        if not pure.is_relative_to(here):
            return "file://" + quote(pure.as_posix(), errors="surrogateescape")
        pure = pure.relative_to(here)
    return quote(pure.as_posix(), errors="surrogateescape")


def as_github(reports: Sequence[FileReport]) -> str:
    """A line for each finding, which GitHub Actions shows at the code."""
    lines = []
    for report in reports:
        for one in report.findings:
            (line, column), (end_line, end_column) = one.start, one.end
            properties = {"file": PurePath(report.path).as_posix(), "line": line, "endLine": end_line}
            if end_line == line:
                properties |= {"col": column, "endColumn": end_column}
            properties["title"] = f"pinsafe: {one.rule.id}"
            text = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in properties.items())
            lines.append(f"::{_level(one.evidence)} {text}::{_escaped(f'{one.message}. Instead: {one.remedy}')}\n")
    return "".join(lines)


def _level(evidence: Sequence[Evidence]) -> str:
    """Error if it is documented or measured, otherwise warning."""
    return "error" if any(one in _SURE for one in evidence) else "warning"


def _escaped(text: str, more: str = "") -> str:
    """The text as a workflow command expects it."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
