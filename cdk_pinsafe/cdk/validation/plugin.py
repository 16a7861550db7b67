"""The validation plugin that CDK runs after synthesis."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any, Final

import jsii
from aws_cdk import (
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    NestedStack,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
    Stack,
)
from constructs import IConstruct

from ...errors import ConfigurationError
from ..props import checked
from .rules import RULES, Finding, Rule
from .templates import Template, Templates

_NAME: Final = "PinSafe"
"""Prefix of a rule's id in acknowledgments."""


@jsii.implements(IPolicyValidationPlugin)
class PinSafeChecks:
    """Checks every RDS Proxy for PostgreSQL of an app by this library's rules, whatever construct created it.

    Use it like any of CDK's validation plugins::

        Validations.of(app).add_plugins(PinSafeChecks(app))

    It reads the synthesized templates, so it also checks ``rds.DatabaseProxy``, ``rds.CfnDBProxy`` and included
    templates. An error fails the synth, a warning is shown; acknowledge either at the construct or above it::

        Validations.of(proxy).acknowledge(Acknowledgment(id="PinSafe::NoPinningAlarm", reason="..."))

    It cannot see what another app deployed, such as an alarm or a log group: acknowledge the rule then. If only the
    deployment knows a value, for example a parameter's, nothing is reported.

    Args:
        scope: the app, as for other plugins. It is ignored: the plugin checks the templates of the app or stage to
            which it was added.
    """

    @checked
    def __init__(self, scope: IConstruct | None = None) -> None:
        del scope

    @property
    def name(self) -> str:
        """The plugin's name in the report."""
        return _NAME

    @property
    def version(self) -> str:
        """The library's version."""
        return importlib.metadata.version("cdk-pinsafe")

    @property
    def rule_ids(self) -> list[str]:
        """The rules' ids."""
        return [rule.id for rule in RULES]

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        """Check the app by all rules."""
        app = _templates(context)
        violations = [_violation(rule, detail, found) for rule in RULES for detail, found in _by_detail(rule, app)]
        return PolicyValidationPluginReport(
            success=all(violation.severity != "error" for violation in violations), violations=violations
        )


def _by_detail(rule: Rule, app: Templates) -> list[tuple[str, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for finding in rule.find(app):
        found.setdefault(finding.detail, []).append(finding)
    return list(found.items())


def _violation(rule: Rule, detail: str, found: list[Finding]) -> PolicyViolation:
    return PolicyViolation(
        rule_name=rule.id,
        description=f"{rule.finds}: {detail}",
        severity=rule.severity,
        fix=rule.instead,
        rule_metadata={"why": rule.why, "evidence": rule.evidence.value},
        violating_resources=[
            PolicyViolatingResource(
                resource_logical_id=finding.resource.logical_id,
                template_path=finding.resource.template.path,
                locations=[finding.location],
            )
            for finding in found
        ],
    )


def _templates(context: IPolicyValidationContext) -> Templates:
    app = Templates()
    by_file: dict[str, Template] = {}
    for stack in context.stack_templates:
        template = app.add(stack.template_path, _load(Path(stack.template_path)), stack.account_id, stack.region)
        by_file[Path(stack.template_path).name] = template
    # CDK does not list nested stacks' templates, which are assets. The tree is searched only if there are any.
    if next(app.resources("AWS::CloudFormation::Stack"), None):
        _add_nested(app, by_file, context.app_construct)
    return app


def _add_nested(app: Templates, by_file: dict[str, Template], root: IConstruct) -> None:
    # From the top, since a nested stack needs its parent's template.
    for construct in root.node.find_all():
        if not isinstance(construct, NestedStack) or construct.nested_stack_parent is None:
            continue
        parent = by_file.get(construct.nested_stack_parent.template_file)
        resource = construct.nested_stack_resource
        if parent is None or resource is None:
            continue
        path = Path(parent.path).with_name(construct.template_file)
        logical_id = Stack.of(resource).resolve(resource.logical_id)
        by_file[path.name] = app.add_nested(str(path), _load(path), parent, logical_id)


def _load(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ConfigurationError(
            f"{path.name} should be nested at most some hundred levels deep, got a template that is too deep to read; "
            "find the property, or check the app's other stacks in an app of their own"
        ) from None
    return content
