"""A CloudWatch dashboard of one proxy: how much it pins, whether clients wait, and which statements pin."""

from collections.abc import Sequence
from typing import Any, Final

import jsii
from aws_cdk import Aws
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from .. import rds_proxy
from . import log_text, metrics
from .any_proxy import Proxy, name_of
from .props import checked

_WIDTH: Final = 24
"""Columns of CloudWatch's grid."""
_GRAPH_HEIGHT: Final = 6
_TABLE_HEIGHT: Final = 8
_PERCENT: Final = {"left": {"min": 0, "max": 100, "showUnits": False}}
_COUNT: Final = {"left": {"min": 0, "showUnits": False}}
_STACKED: Final = {"view": "timeSeries", "stacked": True}

Widget = dict[str, Any]


class PinningDashboard(Construct):
    """A dashboard of any proxy.

    It shows database connections (held, borrowed, pinned), the share that is pinned, how long clients wait for a
    connection, the clients and their failed logins, and the utilization of the pool; and, from the proxy's log, pins by
    condition over time and the SQL that pinned most often. A dashboard costs 3 USD a month beyond an account's first
    three, and Logs Insights has a price per gigabyte that it scans each time the dashboard is shown.

    CloudFormation chooses its name: an account's dashboards share their names across regions, so a fixed name would
    allow one deployment only. How AWS draws it was not tried.

    Attributes:
        dashboard: CDK's own construct, to which you can add widgets.

    Args:
        scope: parent.
        id: construct id.
        proxy: the proxy, of this library or of CDK, made here or imported; or its name (``DBProxyName``).

    Raises:
        ConfigurationError: RDS does not take the name.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, proxy: Proxy | str) -> None:
        super().__init__(scope, id)
        widgets = _widgets(name_of(self, "proxy", proxy))
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", widgets=[[_Block(widgets)]])


@jsii.implements(cloudwatch.IWidget)
class _Block:
    """All widgets in one, which saves a call to CDK for each metric of each widget."""

    def __init__(self, widgets: Sequence[Widget]) -> None:
        self._widgets = widgets
        self._x = self._y = 0.0

    @property
    def width(self) -> float:
        return _WIDTH

    @property
    def height(self) -> float:
        return float(max(widget["y"] + widget["height"] for widget in self._widgets))

    @property
    def warnings(self) -> list[str] | None:
        return None

    @property
    def warnings_v2(self) -> dict[str, str] | None:
        return None

    def position(self, x: float, y: float) -> None:
        self._x, self._y = x, y

    def to_json(self) -> list[Widget]:
        return [{**widget, "x": widget["x"] + self._x, "y": widget["y"] + self._y} for widget in self._widgets]


def _widgets(db_proxy_name: str) -> Sequence[Widget]:
    """Source of the format: "Dashboard Body Structure and Syntax", CloudWatch API reference (documented)."""

    def metric(name: str, label: str, **options: Any) -> list[Any]:
        shown = {"stat": rds_proxy.METRICS[name].statistic, "label": label, **options}
        return [rds_proxy.NAMESPACE, name, rds_proxy.PROXY_NAME, db_proxy_name, shown]

    def expression(text: str, label: str, **options: Any) -> list[Any]:
        return [{"expression": text, "label": label, **options}]

    def percentage(part: str, whole: str, label: str) -> list[list[Any]]:
        return [
            expression(metrics.PERCENTAGE, label),
            metric(part, part, id="part", visible=False),
            metric(whole, whole, id="whole", visible=False),
        ]

    log_group_name = rds_proxy.log_group_name(db_proxy_name)
    rows = [
        [_text(f"## RDS Proxy {db_proxy_name}\n{_LEGEND}")],
        [
            _graph(
                "Database connections",
                [
                    metric(rds_proxy.CONNECTIONS, "held"),
                    metric(rds_proxy.BORROWED, "borrowed"),
                    expression("FILL(pinned, 0)", "pinned", color="#d62728"),
                    metric(rds_proxy.PINNED, rds_proxy.PINNED, id="pinned", visible=False),
                ],
                _COUNT,
            ),
            _graph(
                "Pinned, in percent of the connections held",
                percentage(rds_proxy.PINNED, rds_proxy.CONNECTIONS, "pinned %"),
                _PERCENT,
                _line(10, "worth a look"),
                _line(50, "end of pooling"),
            ),
        ],
        [
            _graph(
                "Waiting for a database connection",
                [
                    expression("latency / 1000", "mean, milliseconds"),
                    metric(rds_proxy.BORROW_LATENCY, rds_proxy.BORROW_LATENCY, id="latency", visible=False),
                ],
                _COUNT,
            ),
            _graph(
                "Pool, in percent of the connections allowed",
                percentage(rds_proxy.CONNECTIONS, rds_proxy.MAX_CONNECTIONS, "pool %"),
                _PERCENT,
            ),
        ],
        [
            _graph("Client connections", [metric(rds_proxy.CLIENT_CONNECTIONS, "clients")], _COUNT),
            _graph("Failed client logins, each minute", [metric(rds_proxy.FAILED_LOGINS, "failed")], _COUNT),
        ],
        [_log("Pins by condition", _GRAPH_HEIGHT, log_group_name, log_text.BY_CONDITION_OVER_TIME, _STACKED)],
        [_log("SQL that pinned", _TABLE_HEIGHT, log_group_name, log_text.BY_DIGEST, {"view": "table"})],
    ]
    return list(_placed(rows))


_LEGEND: Final = (
    "A pinned database connection serves one client until that client disconnects. Under 10 % pinned is commonly read "
    "as fine, over 50 % as an end of pooling; clients notice when they wait for a connection."
)


def _text(markdown: str) -> Widget:
    return {"type": "text", "height": 3, "properties": {"markdown": markdown}}


def _graph(title: str, metrics_: list[list[Any]], y_axis: dict[str, Any], *lines: dict[str, Any]) -> Widget:
    properties = {
        "title": title,
        "view": "timeSeries",
        "region": Aws.REGION,
        "period": rds_proxy.METRIC_PERIOD,
        "metrics": metrics_,
        "yAxis": y_axis,
        **({"annotations": {"horizontal": list(lines)}} if lines else {}),
    }
    return {"type": "metric", "height": _GRAPH_HEIGHT, "properties": properties}


def _line(value: float, label: str) -> dict[str, Any]:
    return {"value": value, "label": label}


def _log(title: str, height: int, log_group_name: str, query: str, view: dict[str, Any]) -> Widget:
    properties = {"title": title, "region": Aws.REGION, "query": f"SOURCE '{log_group_name}' | {query}", **view}
    return {"type": "log", "height": height, "properties": properties}


def _placed(rows: Sequence[Sequence[Widget]]) -> Sequence[Widget]:
    placed: list[Widget] = []
    y = 0
    for row in rows:
        width = _WIDTH // len(row)
        placed += [{**widget, "x": index * width, "y": y, "width": width} for index, widget in enumerate(row)]
        y += max(widget["height"] for widget in row)
    return placed
