"""A CloudWatch dashboard of one proxy: how much it pins, whether that hurts, and which statements do it."""

from collections.abc import Sequence
from typing import Any, Final

import jsii
from aws_cdk import Aws
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from . import log_text, metrics
from .checks import check_proxy_name
from .props import checked

_WIDTH: Final = 24
"""Of CloudWatch's grid."""
_GRAPH_HEIGHT: Final = 6
_TABLE_HEIGHT: Final = 8
_PERCENT: Final = {"left": {"min": 0, "max": 100, "showUnits": False}}
_COUNT: Final = {"left": {"min": 0, "showUnits": False}}
_STACKED: Final = {"view": "timeSeries", "stacked": True}

Widget = dict[str, Any]


class PinningDashboard(Construct):
    """A dashboard of one proxy, for any proxy whose name is known.

    It shows database connections (held, borrowed, pinned), what share of them is pinned, how long clients wait for one,
    the clients and their failed logins, and how full the pool is. With a log group it also shows pins by condition over
    time, and which SQL pinned most often; those two scan the log by Logs Insights whenever somebody looks at them, at
    its price per gigabyte. A dashboard costs 3 USD a month beyond an account's first three.

    CloudFormation names it: the names of an account's dashboards are shared by its regions, so that a fixed one would
    let a stack be deployed once only. How AWS draws it was not tried.

    Attributes:
        dashboard: CDK's own construct, to which widgets of your own can be added.

    Args:
        scope: parent.
        id: construct id.
        proxy_name: the proxy's name (``DBProxyName``), which is the metrics' dimension ``ProxyName``.
        log_group: the proxy's log group, ``/aws/rds/proxy/<name>``. Default: nothing is shown of the log.

    Raises:
        ConfigurationError: the name cannot be a proxy's.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, proxy_name: str, log_group: logs.ILogGroup | None = None) -> None:
        super().__init__(scope, id)
        check_proxy_name(self, "proxy_name", proxy_name)
        widgets = _widgets(proxy_name, log_group.log_group_name if log_group else None)
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", widgets=[[_Block(widgets)]])


@jsii.implements(cloudwatch.IWidget)
class _Block:
    """All widgets as one, so that a synth asks CDK once and not for each metric of each."""

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


def _widgets(proxy_name: str, log_group_name: str | None) -> Sequence[Widget]:
    """Source of the form: "Dashboard Body Structure and Syntax", CloudWatch API reference (documented)."""

    def metric(name: str, label: str, stat: str = "Sum", **options: Any) -> list[Any]:
        return [metrics.NAMESPACE, name, metrics.DIMENSION, proxy_name, {"stat": stat, "label": label, **options}]

    def expression(text: str, label: str, **options: Any) -> list[Any]:
        return [{"expression": text, "label": label, **options}]

    def percentage(part: str, whole: str, label: str) -> list[list[Any]]:
        return [
            expression(metrics.PERCENTAGE, label),
            metric(part, part, id="part", visible=False),
            metric(whole, whole, id="whole", visible=False),
        ]

    rows = [
        [_text(f"## RDS Proxy {proxy_name}\n{_LEGEND}")],
        [
            _graph(
                "Database connections",
                [
                    metric(metrics.CONNECTIONS, "held"),
                    metric(metrics.BORROWED, "borrowed"),
                    expression("FILL(pinned, 0)", "pinned", color="#d62728"),
                    metric(metrics.PINNED, metrics.PINNED, id="pinned", visible=False),
                ],
                _COUNT,
            ),
            _graph(
                "Pinned, in percent of the connections held",
                percentage(metrics.PINNED, metrics.CONNECTIONS, "pinned %"),
                _PERCENT,
                _line(10, "worth a look"),
                _line(50, "no pooling left"),
            ),
        ],
        [
            _graph(
                "Waiting for a database connection",
                [
                    expression("latency / 1000", "mean, milliseconds"),
                    metric(metrics.BORROW_LATENCY, metrics.BORROW_LATENCY, "Average", id="latency", visible=False),
                ],
                _COUNT,
            ),
            _graph(
                "Pool, in percent of the connections allowed",
                percentage(metrics.CONNECTIONS, metrics.MAX_CONNECTIONS, "pool %"),
                _PERCENT,
            ),
        ],
        [
            _graph("Client connections", [metric(metrics.CLIENT_CONNECTIONS, "clients")], _COUNT),
            _graph("Failed client logins, each minute", [metric(metrics.FAILED_LOGINS, "failed")], _COUNT),
        ],
    ]
    if log_group_name is not None:
        rows += [
            [_log("Pins by condition", _GRAPH_HEIGHT, log_group_name, log_text.BY_CONDITION_OVER_TIME, _STACKED)],
            [_log("SQL that pinned", _TABLE_HEIGHT, log_group_name, log_text.BY_DIGEST, {"view": "table"})],
        ]
    return list(_placed(rows))


_LEGEND: Final = (
    "A pinned database connection serves one client until that client disconnects. Under 10 % pinned is commonly read "
    "as fine, over 50 % as no pooling left; it hurts once clients wait for a connection."
)


def _text(markdown: str) -> Widget:
    return {"type": "text", "height": 3, "properties": {"markdown": markdown}}


def _graph(title: str, metrics_: list[list[Any]], y_axis: dict[str, Any], *lines: dict[str, Any]) -> Widget:
    properties = {
        "title": title,
        "view": "timeSeries",
        "region": Aws.REGION,
        "period": metrics.PERIOD_SECONDS,
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
