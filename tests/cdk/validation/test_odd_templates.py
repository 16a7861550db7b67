"""Templates that hold what no template should."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.cdk import metrics
from cdk_pinsafe.cdk.validation.rules import RULES
from cdk_pinsafe.cdk.validation.templates import Templates

NAMES = st.sampled_from(["orders", "Proxy", "Group", "Nested", "Nested.Outputs.Name", "AWS::Region", "", "/aws/rds/"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES,
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Ref", "Fn::GetAtt", "Fn::Join", "Fn::Sub", "Fn::ImportValue", "Fn::If", "Name", "Value"]),
            values,
            max_size=2,
        )
    ),
    max_leaves=6,
)
PROPERTIES = [
    *("DBProxyName", "RequireTLS", "DebugLogging", "ConnectionPoolConfigurationInfo", "Namespace", "MetricName"),
    *("Dimensions", "Metrics", "Period", "Statistic", "TreatMissingData", "LogGroupName", "RetentionInDays", "Target"),
    *("Parameters", "AlarmActions", "Topics", "TopicArn", "TopicName", "KmsMasterKeyId", "KeyPolicy", "TargetKeyId"),
    *("AliasName", "EvaluationPeriods", "DatapointsToAlarm", "ActionsEnabled"),
]
TYPES = [
    *("AWS::RDS::DBProxy", "AWS::RDS::DBProxyTargetGroup", "AWS::CloudWatch::Alarm", "AWS::Logs::LogGroup"),
    *("AWS::Scheduler::Schedule", "AWS::CloudFormation::Stack", "AWS::CloudWatch::CompositeAlarm"),
    *("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::SNS::TopicInlinePolicy", "AWS::KMS::Key", "AWS::KMS::Alias"),
]
POOL = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("InitQuery", "SessionPinningFilters", "ConnectionBorrowTimeout", "MaxIdleConnectionsPercent"), VALUES
    ),
)
STAT = st.fixed_dictionaries(
    {"Metric": st.fixed_dictionaries({"MetricName": st.just(metrics.PINNED)}, optional={"Dimensions": VALUES})},
    optional={"Period": VALUES, "Stat": VALUES},
)
STATEMENT = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]) | VALUES},
    optional=dict.fromkeys(("Action", "NotAction", "Principal", "NotPrincipal", "Condition"), VALUES),
)
TOPIC = st.just({"Ref": "Topic"})
LIKELY = {
    "AlarmActions": st.lists(TOPIC) | VALUES,
    "Topics": st.lists(TOPIC) | VALUES,
    "PolicyDocument": st.fixed_dictionaries({"Statement": st.lists(STATEMENT | VALUES) | STATEMENT | VALUES}) | VALUES,
    "KeyPolicy": st.fixed_dictionaries({"Statement": st.lists(STATEMENT | VALUES)}) | VALUES,
    "EngineFamily": st.just("POSTGRESQL"),
    "MetricName": st.just(metrics.PINNED),
    "ConnectionPoolConfigurationInfo": POOL,
    "Metrics": st.lists(st.fixed_dictionaries({}, optional={"MetricStat": STAT | VALUES, "Id": VALUES}) | VALUES),
}
RESOURCE = st.fixed_dictionaries(
    {"Type": st.sampled_from(TYPES)},
    optional={
        "Properties": st.fixed_dictionaries({}, optional={**dict.fromkeys(PROPERTIES, VALUES), **LIKELY}) | VALUES,
        "DependsOn": VALUES,
    },
)
TEMPLATE = st.fixed_dictionaries(
    {},
    optional={
        "Resources": st.dictionaries(st.sampled_from(["Proxy", "Group", "Nested", "Alarm", "Topic"]), RESOURCE | VALUES)
        | VALUES,
        "Outputs": st.dictionaries(st.just("Name"), VALUES) | VALUES,
    },
)


@given(TEMPLATE, TEMPLATE)
def test_no_template_breaks_a_rule_itself(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    """Whatever a template holds where it should hold something else, a rule reports or is silent, and never raises."""
    app = Templates()
    parent = app.add("outer.template.json", outer, None, None)
    if "Nested" in parent.resources:
        app.add_nested("inner.template.json", inner, parent, "Nested")
    for rule in RULES:
        assert all(finding.detail and "\0" not in finding.detail for finding in rule.find(app))
