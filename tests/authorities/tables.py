"""The tables of ``docs/cdk-nag.md``; ``CDK_VALIDATION=false python -m tests.authorities.tables`` writes them.

CDK's own validation, which that switches off, would add a report to cdk-nag's.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ..docs.pages import page, path, replace_between
from .apps import APPS
from .synthesis import Finding, Synthesized, synthesize

PAGE: Final = "cdk-nag"
DECISIONS_START: Final = "<!-- decisions: CDK_VALIDATION=false python -m tests.authorities.tables -->\n"
DECISIONS_END: Final = "<!-- end of decisions -->\n"
ACKNOWLEDGED_START: Final = "<!-- acknowledged: CDK_VALIDATION=false python -m tests.authorities.tables -->\n"
ACKNOWLEDGED_END: Final = "<!-- end of acknowledged -->\n"
SHORT: Final = {
    "AwsSolutions": "AwsSolutions",
    "NIST.800.53.R5": "NIST",
    "HIPAA.Security": "HIPAA",
    "PCI.DSS.321": "PCI",
}


class Decision(NamedTuple):
    """What an app has to decide: the rules that ask for it, and how."""

    what: str
    rules: Sequence[str]
    how: str


DECISIONS: Final = (
    Decision(
        "a key of your own for the master user's secret",
        ["SecretsManagerUsingKMSKey"],
        "`encryption_key` of `PinSafePostgres`",
    ),
    Decision(
        "a key of your own for the log groups",
        ["CloudWatchLogGroupEncrypted"],
        "`encryption_key` of `PinSafePostgres`, `PinSafeProxy`, `DatabaseSettings`",
    ),
    Decision(
        "what the alarms do",
        ["CloudWatchAlarmAction"],
        "`alarm_actions` of `PinSafePostgres`, `actions` of `PinningAlarms`, `drift_guard.add_alarm_actions()`",
    ),
    Decision(
        "rotation of the master user's password",
        ["SMG4", "SecretsManagerRotationEnabled"],
        "`instance.add_rotation_single_user()`, which adds a function; or acknowledge it where clients log in with IAM",
    ),
    Decision("another port than PostgreSQL's", ["RDS11"], "acknowledge it: RDS Proxy listens on 5432 only"),
    Decision(
        "enhanced monitoring of the instance",
        ["RDSEnhancedMonitoringEnabled"],
        "`monitoring_interval` and `monitoring_role_arn` of `instance.node.default_child`",
    ),
    Decision(
        "AWS Backup beside RDS's own backups", ["RDSInBackupPlan"], "a `BackupPlan` with a selection of the instance"
    ),
    Decision("flow logs of the VPC", ["VPC7", "VPCFlowLogsEnabled"], "`vpc.add_flow_log()`"),
    Decision(
        "the VPC's default security group",
        ["VPCDefaultSecurityGroupClosed"],
        "close it with `restrict_default_security_group=True` of the VPC, and acknowledge the warning, which stays",
    ),
    Decision(
        "a key for the alarms' topic",
        ["SNSEncryptedKMS"],
        "`master_key` of the topic: a customer managed key whose policy lets CloudWatch use it",
    ),
)


def open_findings(app: Synthesized) -> Iterable[Finding]:
    """What an app's owner has to decide."""
    return (one for one in app.findings if one.reason is None)


def of_library(synthesized: Mapping[str, Synthesized]) -> Iterable[Finding]:
    """What is open on the library's constructs, and on the whole of the example that newcomers copy."""
    for name, app in synthesized.items():
        yield from (one for one in open_findings(app) if name == "chat" or app.is_of_library(one.path))


def decisions(synthesized: Mapping[str, Synthesized]) -> str:
    """The table in Markdown."""
    packs = defaultdict(set)
    for finding in of_library(synthesized):
        packs[finding.rule].add(finding.pack)
    rows = ["| decision | rules | how |", "|---|---|---|"]
    for decision in DECISIONS:
        rules = ", ".join(f"`{rule}` ({in_short(packs[rule])})" for rule in decision.rules)
        rows.append(f"| {decision.what} | {rules} | {decision.how} |")
    return "\n".join(rows) + "\n"


def acknowledged(synthesized: Mapping[str, Synthesized]) -> str:
    """The table in Markdown."""
    packs = defaultdict(set)
    for app in synthesized.values():
        for finding in app.findings:
            # The apps themselves acknowledge nothing.
            if finding.reason:
                # The function's logical id is in one rule's name.
                rule = re.sub(r"<PinSafeApplier\w+\.Arn>", "<the applier's ARN>", finding.rule)
                packs[rule, finding.reason].add(finding.pack)
    rows = ["| rule | packs | reason |", "|---|---|---|"]
    rows += [f"| `{rule}` | {in_short(packs[rule, reason])} | {reason} |" for rule, reason in sorted(packs)]
    return "\n".join(rows) + "\n"


def in_short(packs: Iterable[str]) -> str:
    return ", ".join(SHORT[pack] for pack in SHORT if pack in packs)


def with_tables(text: str, synthesized: Mapping[str, Synthesized]) -> str:
    """The page with today's tables between their markers."""
    text = replace_between(text, DECISIONS_START, DECISIONS_END, decisions(synthesized))
    return replace_between(text, ACKNOWLEDGED_START, ACKNOWLEDGED_END, acknowledged(synthesized))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        apps = {name: synthesize(name, Path(directory) / name) for name in APPS}
    path(PAGE).write_text(with_tables(page(PAGE), apps), encoding="utf-8")
