"""PinSafeChecks, run by CDK as it runs any validation plugin."""

import json
from pathlib import Path

import aws_cdk
import pytest
from aws_cdk import (
    Acknowledgment,
    App,
    Duration,
    Stack,
    Validations,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns

import cdk_pinsafe
from cdk_pinsafe import EnhancedLogging, PinningAlarms, PinSafeChecks, PinSafePostgres, PinSafeProxy
from cdk_pinsafe.cdk.validation.rules import RULES, Rule

from .helpers import check, good_alarm, plain_proxy, violations


@pytest.mark.parametrize("kind", ["bad", "good"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_example_of_a_rule(
    app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, rule: Rule, kind: str
) -> None:
    """The bad example breaks only this rule, the good one none."""
    safe = PinSafeProxy(stack, "Safe", target=instance, vpc=vpc)
    PinningAlarms(stack, "SafeAlarms", proxy=safe)
    names = {
        **vars(cdk_pinsafe.cdk),
        "stack": stack,
        "vpc": vpc,
        "database": instance,
        "safe": safe,
        "ec2": ec2,
        "rds": rds,
        "cloudwatch": cloudwatch,
        "actions": actions,
        "iam": iam,
        "kms": kms,
        "sns": sns,
        "logs": logs,
        "Duration": Duration,
    }
    exec(getattr(rule, kind), names)
    found = {(one.rule, one.severity) for one in check(app)}
    assert found == ({(rule.id, rule.severity)} if kind == "bad" else set())


def test_every_rule_can_be_acknowledged(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Above the construct; then the synth succeeds."""
    plain_proxy(stack, vpc, instance, require_tls=False)
    Validations.of(stack).acknowledge(
        *(Acknowledgment(id=f"PinSafe::{rule}", reason="a test") for rule in ("NoPinningAlarm", "RequireTls"))
    )
    Validations.of(app).add_plugins(PinSafeChecks(app))
    app.synth()
    report = json.loads(Path(app.outdir, "validation-report.json").read_text())
    assert [found.rule for found in violations(report)] == ["LogGroup"]
    [plugin] = [plugin for plugin in report["pluginReports"] if plugin["pluginName"] == "PinSafe"]
    suppressed = {violation["ruleName"]: violation["reason"] for violation in plugin["suppressedViolations"]}
    assert suppressed == {"NoPinningAlarm": "a test", "RequireTls": "a test"}


def test_error_fails_the_synth(app: App, proxy: rds.DatabaseProxy) -> None:
    """With the rule, the construct, the remedy and the id to acknowledge."""
    Validations.of(app).add_plugins(PinSafeChecks(app))
    with pytest.raises(RuntimeError) as caught:
        app.synth()
    for part in (
        "no alarm goes off when clients pin",
        "Test/Proxy/Resource",
        "add PinningAlarms",
        "PinSafe::NoPinningAlarm",
    ):
        assert part in str(caught.value)


def test_warning_does_not_fail_the_synth(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    good_alarm(stack, proxy.db_proxy_name)
    Validations.of(app).add_plugins(PinSafeChecks(app))
    app.synth()
    report = json.loads(Path(app.outdir, "validation-report.json").read_text())
    assert [(found.rule, found.severity) for found in violations(report)] == [("LogGroup", "warning")]


def test_rules_are_complete() -> None:
    """All texts are there; ids are single words and unique; the plugin lists all rules."""
    plugin = PinSafeChecks()
    assert plugin.rule_ids == [rule.id for rule in RULES]
    assert len(set(plugin.rule_ids)) == len(RULES)
    for rule in RULES:
        assert rule.id.isalnum()
        assert all(len(text) > 20 for text in (rule.finds, rule.why, rule.instead))
    assert plugin.version.count(".") == 2


@pytest.mark.parametrize("mode", [EnhancedLogging.ALWAYS, EnhancedLogging.ON_ALARM, EnhancedLogging.OFF])
def test_our_own_constructs_break_no_rule(app: App, stack: Stack, vpc: ec2.Vpc, mode: EnhancedLogging) -> None:
    PinSafePostgres(stack, "Database", vpc=vpc, enhanced_logging=mode)
    assert check(app) == []


def test_cdks_constructs_break_two_rules(app: App, stack: Stack, proxy: rds.DatabaseProxy) -> None:
    """The proxy has no alarm and no log group."""
    assert [(found.rule, found.path) for found in check(app)] == [
        ("NoPinningAlarm", "Test/Proxy/Resource"),
        ("LogGroup", "Test/Proxy/Resource"),
    ]


def test_plain_resources_break_many_rules(app: App, stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """Each is reported at its resource."""
    plain_proxy(
        stack,
        vpc,
        instance,
        require_tls=False,
        debug_logging=True,
        init_query="SET timezone = 'UTC'; SET search_path TO app",
        session_pinning_filters=[rds.SessionPinningFilter.EXCLUDE_VARIABLE_SETS],
        borrow_timeout=Duration.seconds(0),
        max_connections_percent=10,
        max_idle_connections_percent=90,
    )
    found = {found.rule: found for found in check(app)}
    others = {"PinningAlarm", "FilledAlarm", "AlarmTopic", "AlarmTopicKey", "PrivateDnsConflict"}
    assert sorted(found) == sorted({rule.id for rule in RULES} - others)
    assert found["IdleOverMax"].path == "Test/Proxy/ProxyTargetGroup"
    assert "it sets timezone, search_path" in found["InitQuery"].description


def test_mysql_is_not_checked(app: App, stack: Stack, vpc: ec2.Vpc) -> None:
    """Filters and initialization queries are fine for MySQL."""
    mysql = rds.DatabaseInstance(
        stack, "Mysql", engine=rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_0), vpc=vpc
    )
    proxy = plain_proxy(
        stack,
        vpc,
        mysql,
        require_tls=False,
        init_query="SET sql_mode = ''",
        session_pinning_filters=[rds.SessionPinningFilter.EXCLUDE_VARIABLE_SETS],
    )
    good_alarm(stack, proxy.db_proxy_name, treat_missing_data=cloudwatch.TreatMissingData.BREACHING)
    assert check(app) == []


def test_app_without_a_proxy(app: App, stack: Stack, vpc: ec2.Vpc) -> None:
    assert check(app) == []


def test_plugin_without_a_scope() -> None:
    assert PinSafeChecks().name == PinSafeChecks(aws_cdk.App()).name == "PinSafe"
