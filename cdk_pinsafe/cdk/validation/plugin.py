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
"""What stands before a rule's id where it is acknowledged."""


@jsii.implements(IPolicyValidationPlugin)
class PinSafeChecks:
    """Holds every RDS Proxy for PostgreSQL of an app to the rules of this library, whatever construct made it.

    Use it as any of CDK's validation plugins::

        Validations.of(app).add_plugins(PinSafeChecks(app))

    It reads the synthesised templates, so plain ``rds.DatabaseProxy`` and ``rds.CfnDBProxy`` are checked as well as
    :class:`PinSafeProxy`, and so are templates that were included. An error fails the synth, a warning is shown; both
    are acknowledged at the construct or above it::

        Validations.of(proxy).acknowledge(Acknowledgment(id="PinSafe::NoPinningAlarm", reason="..."))

    It cannot see what another app deployed, such as an alarm or a log group: acknowledge the rule there. Where a value
    is decided at deployment, by a parameter say, nothing is reported.

    Args:
        scope: the app, as other plugins take it. Which templates are checked depends on where the plugin is added.
    """

    @checked
    def __init__(self, scope: IConstruct | None = None) -> None:
        del scope

    @property
    def name(self) -> str:
        """What the report calls the plugin."""
        return _NAME

    @property
    def version(self) -> str:
        """The library's version."""
        return importlib.metadata.version("cdk-pinsafe")

    @property
    def rule_ids(self) -> list[str]:
        """The rules."""
        return [rule.id for rule in RULES]

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        """The rules that the app breaks."""
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
    # Nested stacks' templates are assets, which CDK does not list; the tree is asked only where there are any.
    if next(app.resources("AWS::CloudFormation::Stack"), None):
        _add_nested(app, by_file, context.app_construct)
    return app


def _add_nested(app: Templates, by_file: dict[str, Template], root: IConstruct) -> None:
    # From the top down: a nested stack in a nested stack needs its parent's template.
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
            f"{path.name} should be nested some hundred levels deep at most, to be read, got a template that is nested "
            "deeper; find the property that is, or check the app's other stacks in an app of their own"
        ) from None
    return content
