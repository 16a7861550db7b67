"""Completes ministack's CloudWatch: metrics and log lines of proxies, alarms on them, composite alarms as resources.

ministack evaluates an alarm whenever a metric is put, over all data since its first period and across dimensions, and
rejects metric math. Alarms on a proxy's metrics are therefore evaluated here, once a minute, by `alarms`. The other
alarms stay with ministack.

A minute of a proxy takes one second, so its metrics have timestamps in the future; its log lines have the real time.
Metrics arrive some minutes late, as RDS's do. Of the dimension sets that AWS publishes, only the one of the whole proxy
exists.

This module runs in the local cloud's process only.
"""

import contextvars
import time
from collections import deque
from typing import Any, Final

from ..emulator.metrics import NAMES
from ..pinning.log_lines import parse_line
from ..rds_proxy import METRIC_DELAY, NAMESPACE, PROXY_NAME
from . import ministack_adapter as ministack
from .alarms import evaluate, is_on_proxy
from .ministack_adapter import Created, Handlers, Props
from .proxies import Minute

__all__ = ["Publication", "alarm_handlers"]

_HISTORY_MINUTES: Final = 24 * 60
"""The longest time that a CloudWatch alarm can evaluate."""
MINUTES_LATE: Final = METRIC_DELAY // 60 + 1
"""The late end of the delay that was measured."""


class Publication:
    """Publishes the minutes of a proxy, in the account and region in which it was created."""

    def __init__(self, proxy: str) -> None:
        """Publish for a proxy, in the account and region of the current request."""
        self._proxy = proxy
        self._context = contextvars.copy_context()
        self._history: dict[str, deque[float | None]] = {name: deque(maxlen=_HISTORY_MINUTES) for name in NAMES}
        self._late: deque[Minute] = deque()

    def __call__(self, minute: Minute) -> None:
        """Publish a minute. Not thread-safe."""
        self._context.run(self._publish, minute)

    def _publish(self, minute: Minute) -> None:
        if minute.lines:
            ministack.put_log_lines(
                f"/aws/rds/proxy/{self._proxy}", self._proxy, [(_milliseconds(line), line) for line in minute.lines]
            )
        self._late.append(minute)
        arrived = self._late.popleft() if len(self._late) > MINUTES_LATE else None
        for name, values in self._history.items():
            values.append(None)
            value = arrived.metrics.get(name) if arrived else None
            if arrived and value is not None:
                values[-1 - MINUTES_LATE] = value
                self._put(name, value, arrived.start)
        for alarm in ministack.alarms.values():
            result = evaluate(alarm, self._history) if is_on_proxy(alarm, self._proxy) else None
            if result is not None and result.state != alarm["StateValue"]:
                ministack.set_alarm_state(alarm["AlarmName"], result.state, result.reason)

    def _put(self, name: str, value: float, start: int) -> None:
        unit = "Microseconds" if name.endswith("Latency") else "Count"
        dimensions = {PROXY_NAME: self._proxy}
        ministack.put_metric(NAMESPACE, name, dimensions, float(start), unit, value, keep=_HISTORY_MINUTES)


def alarm_handlers() -> dict[str, Handlers]:
    """Complete ministack's alarms, and return the handlers of the resource types that it lacks."""
    ministack.use_alarm_functions(record=_metric_alarm_record, evaluate=_evaluate_unless_on_proxy)
    return {
        "AWS::CloudWatch::CompositeAlarm": {
            "create": _create_composite_alarm,
            "update": lambda name, _, props, __: _put_composite_alarm(name, props),
            "delete": lambda name, _: ministack.delete_alarms(name),
        }
    }


def _metric_alarm_record(name: str, props: Props) -> Props:
    """The record of an alarm, also on metric math, which ministack rejects."""
    if not props.get("Metrics"):
        return dict(ministack.metric_alarm_record(name, props))
    placeholder = {**props, "Metrics": None, "MetricName": "-", "Namespace": "-"}
    absent: dict[str, Any] = dict.fromkeys(
        ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")
    )
    alarm = {**ministack.metric_alarm_record(name, placeholder), **absent}
    return {key: value for key, value in alarm.items() if value is not None} | {"Metrics": props["Metrics"]}


def _evaluate_unless_on_proxy(alarm: Props) -> None:
    if not any(is_on_proxy(alarm, proxy) for proxy in ministack.db_proxies):
        ministack.evaluate_alarm(alarm)


def _create_composite_alarm(logical_id: str, props: Props, stack_name: str) -> Created:
    return _put_composite_alarm(props.get("AlarmName") or f"{stack_name}-{logical_id}", props)


def _put_composite_alarm(name: str, props: Props) -> Created:
    return name, {"Arn": ministack.put_composite_alarm(name, props)}


def _milliseconds(line: str) -> int:
    """The timestamp of a log line; now, if it has none."""
    parsed = parse_line(line)
    when = parsed.timestamp if parsed is not None else None
    return int((when.timestamp() if when is not None else time.time()) * 1000)
