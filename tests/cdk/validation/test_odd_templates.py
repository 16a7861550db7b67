"""Templates that hold what no template should."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdk_pinsafe.cdk.validation.plugin import _load
from cdk_pinsafe.cdk.validation.rules import RULES
from cdk_pinsafe.cdk.validation.templates import Templates
from cdk_pinsafe.errors import ConfigurationError
from cdk_pinsafe.rds_proxy import PINNED

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
    {"Metric": st.fixed_dictionaries({"MetricName": st.just(PINNED)}, optional={"Dimensions": VALUES})},
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
    "MetricName": st.just(PINNED),
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
OUTPUT = st.fixed_dictionaries({"Value": VALUES}, optional={"Export": st.fixed_dictionaries({"Name": VALUES}) | VALUES})
TEMPLATE = st.fixed_dictionaries(
    {},
    optional={
        "Resources": st.dictionaries(st.sampled_from(["Proxy", "Group", "Nested", "Alarm", "Topic"]), RESOURCE | VALUES)
        | VALUES,
        "Outputs": st.dictionaries(st.just("Name"), OUTPUT | VALUES) | VALUES,
    },
)


def proxy(name: object, **properties: object) -> dict[str, Any]:
    return {
        "Type": "AWS::RDS::DBProxy",
        "Properties": {"DBProxyName": name, "EngineFamily": "POSTGRESQL", **properties},
    }


def apply_rules(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    app = Templates()
    parent = app.add("outer.template.json", outer, None, None)
    if "Nested" in parent.resources:
        app.add_nested("inner.template.json", inner, parent, "Nested")
    for rule in RULES:
        assert all(finding.detail and "\0" not in finding.detail for finding in rule.find(app))


@given(TEMPLATE, TEMPLATE)
@example({"Resources": {"Proxy": proxy({"Ref": "Proxy"})}}, {})
@example({"Resources": {"Proxy": proxy({"Fn::Sub": "${Group}"}), "Group": proxy({"Ref": "Proxy"})}}, {})
@example(
    {"Resources": {"Nested": {"Type": "X", "Properties": {"Parameters": {"": {"Fn::GetAtt": "Nested.Outputs.Name"}}}}}},
    {"Resources": {"Proxy": proxy({"Ref": ""})}, "Outputs": {"Name": {"Value": {"Ref": ""}}}},
)
def test_rules_never_raise(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    """Whatever a template has in place of the right types."""
    apply_rules(outer, inner)


def texts(resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> dict[str, str]:
    """The text of a `Ref` to each resource."""
    template = Templates().add("one.template.json", {"Resources": resources, "Outputs": outputs or {}}, None, None)
    return {name: template.text({"Ref": name}) for name in resources}


@pytest.mark.parametrize(
    "refer",
    [
        lambda name: {"Ref": name},
        lambda name: {"Fn::Sub": f"${{{name}}}"},
        lambda name: {"Fn::Sub": ["${Other}", {"Other": {"Ref": name}}]},
        lambda name: {"Fn::Join": ["", [{"Ref": name}]]},
        lambda name: {"Fn::ImportValue": name},
    ],
    ids=["Ref", "Sub", "SubWithNames", "Join", "ImportValue"],
)
def test_names_in_a_cycle_are_unknown(refer: Callable[[str], Any]) -> None:
    """Other names are not affected."""
    resources = {"A": proxy(refer("B")), "B": proxy(refer("A")), "Outside": proxy(refer("A")), "Known": proxy("orders")}
    exports = {f"Out{name}": {"Export": {"Name": name}, "Value": {"Ref": name}} for name in resources}
    found = texts(resources, exports)
    assert all("\0" in found[name] for name in ("A", "B", "Outside"))
    assert found["Known"] == "orders"


def test_exports_named_by_imports() -> None:
    """Two stacks whose exports are named by each other's."""
    outputs = {"Out": {"Export": {"Name": {"Fn::ImportValue": "x"}}, "Value": "y"}}
    assert "import x" in texts({"A": proxy({"Fn::ImportValue": "x"})}, outputs)["A"]


def test_nested_stacks_in_a_cycle_are_unknown() -> None:
    """A parameter that is the nested stack's own output has no value."""
    app = Templates()
    passed = {"Parameters": {"Name": {"Fn::GetAtt": ["Nested", "Outputs.Name"]}}}
    outer = app.add("outer", {"Resources": {"Nested": {"Type": "X", "Properties": passed}}}, None, None)
    inner = app.add_nested("inner", {"Outputs": {"Name": {"Value": {"Ref": "Name"}}}}, outer, "Nested")
    assert "\0" in inner.text({"Ref": "Name"})
    assert "\0" in outer.text({"Fn::GetAtt": "Nested.Outputs.Name"})


LEVELS = 10_000


def test_long_chain_of_names() -> None:
    """Ten thousand references."""
    chain = {f"P{number}": proxy({"Ref": f"P{number + 1}"}) for number in range(LEVELS)}
    assert set(texts({**chain, f"P{LEVELS}": proxy("orders")}).values()) == {"orders"}


def test_names_that_double_are_bounded() -> None:
    """Sixty names, each twice the next, would have 2^60 letters."""
    doubled = {f"P{n}": proxy({"Fn::Join": ["", [{"Ref": f"P{n + 1}"}] * 2]}) for n in range(60)}
    found = texts({**doubled, "P60": proxy("ab")})
    assert found["P59"] == "abab"
    assert "\0" in found["P0"]
    assert max(map(len, found.values())) < 10_000


def nested(wrap: Callable[[Any], Any], levels: int) -> Any:
    value: Any = "orders"
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: {"Fn::Join": ["", [value]]},
        lambda value: {"Fn::Sub": ["${A}", {"A": value}]},
        lambda value: {"Fn::ImportValue": value},
        lambda value: {"Fn::If": ["A", value, value]},
        lambda value: {"Value": value},
        lambda value: [value],
    ],
    ids=["Join", "Sub", "ImportValue", "If", "mapping", "list"],
)
def test_deep_nesting(wrap: Callable[[Any], Any]) -> None:
    template = Templates().add("one.template.json", {}, None, None)
    known = isinstance(wrap("orders"), dict) and wrap("orders").keys() <= {"Fn::Join", "Fn::Sub"}
    assert ("\0" in template.text(nested(wrap, LEVELS))) is not known
    deep = nested(wrap, sys.getrecursionlimit() + 100)
    properties = dict.fromkeys(PROPERTIES, deep)
    likely = {
        "EngineFamily": "POSTGRESQL",
        "ConnectionPoolConfigurationInfo": {"InitQuery": deep, "SessionPinningFilters": [deep]},
        "MetricName": PINNED,
    }
    in_metrics = {
        "Metrics": [
            {"MetricStat": {"Metric": {"MetricName": PINNED, "Dimensions": [{"Name": deep}]}, "Period": deep}},
            {"Id": deep, "Expression": deep, "MetricStat": {"Period": wrap("other"), "Stat": deep}},
        ]
    }
    for written in ({**properties, **likely}, {**properties, **in_metrics}):
        resources = {
            type_: {"Type": type_, "Properties": written, "DependsOn": deep}
            for type_ in [*TYPES, "AWS::EC2::VPCEndpoint"]
        }
        apply_rules({"Resources": {**resources, "Nested": deep, "Odd": {"Type": deep}}, "Outputs": deep}, {})


def test_template_too_deep_to_read_is_refused(tmp_path: Path) -> None:
    """Python's JSON reader has a limit; the error names the file."""
    path = tmp_path / "Deep.template.json"
    path.write_text('{"Resources": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(ConfigurationError, match=r"^Deep\.template\.json should be nested"):
        _load(path)
