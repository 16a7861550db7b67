"""PinningDashboard."""

import json
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from cdk_pinsafe import PinningDashboard, PinSafePostgres
from cdk_pinsafe.errors import ConfigurationError


@pytest.fixture
def stack(app: App) -> Stack:
    return Stack(app, "Test", env=Environment(account="111122223333", region="eu-west-1"))


def body_of(stack: Stack) -> dict[str, Any]:
    """The dashboard's body; references are replaced by their names."""
    [dashboard] = Template.from_stack(stack).find_resources("AWS::CloudWatch::Dashboard").values()
    assert "DashboardName" not in dashboard["Properties"]
    text = dashboard["Properties"]["DashboardBody"]
    if isinstance(text, dict):
        text = "".join(part if isinstance(part, str) else part["Ref"] for part in text["Fn::Join"][1])
    body: dict[str, Any] = json.loads(text)
    return body


def graphs_of(stack: Stack) -> list[dict[str, Any]]:
    return [widget for widget in body_of(stack)["widgets"] if widget["type"] == "metric"]


def test_metric_settings_of_all_graphs(stack: Stack) -> None:
    """Namespace, dimension, period and statistic as in the alarms."""
    PinningDashboard(stack, "Dashboard", proxy="orders")
    seen = set()
    for widget in graphs_of(stack):
        assert widget["properties"]["period"] == 60
        for metric in widget["properties"]["metrics"]:
            if "expression" not in metric[0]:
                namespace, name, dimension, value, options = metric
                assert (namespace, dimension, value) == ("AWS/RDS", "ProxyName", "orders")
                assert options["stat"] == ("Average" if name.endswith("Latency") else "Sum")
                seen.add(name)
    assert seen == {
        "ClientConnections",
        "ClientConnectionsSetupFailedAuth",
        "DatabaseConnections",
        "DatabaseConnectionsBorrowLatency",
        "DatabaseConnectionsCurrentlyBorrowed",
        "DatabaseConnectionsCurrentlySessionPinned",
        "MaxDatabaseConnectionsAllowed",
    }


def test_expressions_use_ids_of_their_widget(stack: Stack) -> None:
    """Each id exists once."""
    PinningDashboard(stack, "Dashboard", proxy="orders")
    shown = 0
    for widget in graphs_of(stack):
        options = [metric[-1] for metric in widget["properties"]["metrics"]]
        ids = [option["id"] for option in options if "id" in option]
        assert len(ids) == len(set(ids))
        expressions = " ".join(option.get("expression", "") for option in options)
        names = {word for word in "".join(c if c.isalnum() else " " for c in expressions).split() if word.islower()}
        assert names == set(ids)
        visible = [option for option in options if option.get("visible", True)]
        assert all(option["label"] for option in visible)
        shown += len(visible)
    assert shown == 8


def test_widgets_fill_the_grid_without_overlap(stack: Stack) -> None:
    """CloudWatch's grid has 24 columns; each cell belongs to one widget."""
    PinningDashboard(stack, "Dashboard", proxy="orders")
    cells = [
        (x, y)
        for widget in body_of(stack)["widgets"]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    bottom = max(y for _, y in cells) + 1
    assert sorted(cells) == [(x, y) for x in range(24) for y in range(bottom)]


def test_log_widgets_read_the_proxys_log_group(stack: Stack) -> None:
    """A chart of the conditions over time, and a table of the SQL that pinned."""
    PinningDashboard(stack, "Dashboard", proxy="orders")
    chart, table = (widget["properties"] for widget in body_of(stack)["widgets"] if widget["type"] == "log")
    assert (chart["view"], chart["stacked"], table["view"]) == ("timeSeries", True, "table")
    for properties in (chart, table):
        assert properties["query"].startswith("SOURCE '/aws/rds/proxy/orders' | filter @message like ")
        assert properties["region"] == "AWS::Region"
    assert chart["query"].endswith(" by bin(5m)")
    assert " by digest\n" in table["query"]


def test_widgets_can_be_added_below(stack: Stack) -> None:
    """CDK's dashboard places added widgets below the others."""
    dashboard = PinningDashboard(stack, "Dashboard", proxy="orders").dashboard
    dashboard.add_widgets(cloudwatch.TextWidget(markdown="ours"))
    *own, added = body_of(stack)["widgets"]
    assert added["properties"]["markdown"] == "ours"
    assert added["y"] == max(widget["y"] + widget["height"] for widget in own)


def test_token_of_a_name_is_a_reference(stack: Stack) -> None:
    name = CfnParameter(stack, "Name").value_as_string
    PinningDashboard(stack, "Dashboard", proxy=name)
    assert body_of(stack)["widgets"][1]["properties"]["metrics"][0][3] == "Name"


def test_bad_name_is_refused(stack: Stack) -> None:
    """RDS does not take it, so the dashboard would be empty."""
    with pytest.raises(ConfigurationError, match="^Test/Dashboard: 'proxy' should be 1 to 63 letters"):
        PinningDashboard(stack, "Dashboard", proxy="bad--name")


def test_dashboard_of_postgres(stack: Stack) -> None:
    """It is optional, since it costs money."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    with_it = PinSafePostgres(stack, "With", vpc=vpc)
    without = PinSafePostgres(stack, "Without", vpc=vpc, dashboard=False)
    assert with_it.dashboard is not None
    assert without.dashboard is None
    assert body_of(stack)["widgets"][1]["properties"]["metrics"][0][3] == with_it.proxy.db_proxy_name
