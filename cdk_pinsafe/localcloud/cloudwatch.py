"""CloudWatch of the local cloud, as far as ministack lacks it: what proxies tell, alarms on it, composite alarms.

ministack evaluates an alarm when somebody puts a metric, over all data since the beginning of its periods and all
dimensions alike, and refuses metric math. Alarms on a proxy's metrics are therefore evaluated here, minute by minute
(see `alarms`), and get their states by SetAlarmState's own function, whose actions and composite alarms follow. All
others are as ministack has them.

The minutes last a second each, so the times of a proxy's metrics run ahead of the clock; its log lines have the time of
the clock. Metrics come some minutes late, as RDS's do. Of the sets of dimensions that AWS publishes, there is the one
of the proxy as a whole.

This module runs in the local cloud's process only.
"""

import contextvars
import time
from collections import deque
from typing import Any, Final

from ministack.services import cloudwatch, cloudwatch_logs, rds
from ministack.services.cloudformation import provisioners

from ..emulator.metrics import NAMES
from ..pinning.log_lines import parse_line
from ..rds_proxy import METRIC_DELAY, NAMESPACE, PROXY_NAME, log_group_name
from .alarms import is_on_proxy, state
from .proxies import Minute

__all__ = ["Publication", "alarm_handlers"]

_MINUTES_KEPT: Final = 24 * 60
"""CloudWatch lets no alarm look further back."""
MINUTES_LATE: Final = METRIC_DELAY // 60 + 1
"""The late end of the delay that was measured."""

Props = dict[str, Any]


class Publication:
    """Takes the minutes of one proxy, in its account and region."""

    def __init__(self, proxy: str) -> None:
        """Publish for a proxy, in the account and region of whoever asks now."""
        self._proxy = proxy
        self._context = contextvars.copy_context()
        self._history: dict[str, deque[float | None]] = {name: deque(maxlen=_MINUTES_KEPT) for name in NAMES}
        self._under_way: deque[Minute] = deque()

    def __call__(self, minute: Minute) -> None:
        """Publish a minute; to be called by one thread."""
        self._context.run(self._publish, minute)

    def _publish(self, minute: Minute) -> None:
        if minute.lines:
            self._log(minute)
        self._under_way.append(minute)
        arrived = self._under_way.popleft() if len(self._under_way) > MINUTES_LATE else None
        for name, values in self._history.items():
            values.append(None)
            value = arrived.metrics.get(name) if arrived else None
            if arrived and value is not None:
                values[-1 - MINUTES_LATE] = value
                self._put(name, value, arrived.start)
        for alarm in cloudwatch._alarms.values():
            judged = state(alarm, self._history) if is_on_proxy(alarm, self._proxy) else None
            if judged is not None and judged[0] != alarm["StateValue"]:
                change = {"AlarmName": alarm["AlarmName"], "StateValue": judged[0], "StateReason": judged[1]}
                cloudwatch._set_alarm_state({}, change, False, True)

    def _log(self, minute: Minute) -> None:
        # As on AWS, a group that nobody made is made here; one that exists answers with an error that says so.
        place = {"logGroupName": log_group_name(self._proxy), "logStreamName": self._proxy}
        cloudwatch_logs._create_log_group(place)
        cloudwatch_logs._create_log_stream(place)
        events = [{"timestamp": _milliseconds(line), "message": line} for line in minute.lines]
        cloudwatch_logs._put_log_events({**place, "logEvents": events})

    def _put(self, name: str, value: float, start: int) -> None:
        dimensions = {PROXY_NAME: self._proxy}
        unit = "Microseconds" if name.endswith("Latency") else "Count"
        cloudwatch._store_datum(NAMESPACE, name, dimensions, float(start), unit, value, None, None, None)
        kept = cloudwatch._metric_bucket((NAMESPACE, name, cloudwatch._dims_key(dimensions)))
        del kept[:-_MINUTES_KEPT]


def alarm_handlers() -> dict[str, dict[str, Any]]:
    """Complete ministack's alarms, and return what its table of resource types lacks."""
    plain_record, evaluate = provisioners._cw_metric_alarm_record, cloudwatch._evaluate_alarm

    def record(name: str, props: Props) -> Props:
        """The record of an alarm, on metric math too, which ministack refuses."""
        if not props.get("Metrics"):
            return dict(plain_record(name, props))
        placeholder = {**props, "Metrics": None, "MetricName": "-", "Namespace": "-"}
        absent = dict.fromkeys(("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit"))
        alarm = {**plain_record(name, placeholder), **absent}
        return {key: value for key, value in alarm.items() if value is not None} | {"Metrics": props["Metrics"]}

    def evaluate_others(alarm: Props) -> None:
        if not any(is_on_proxy(alarm, proxy) for proxy in rds._db_proxies):
            evaluate(alarm)

    provisioners._cw_metric_alarm_record = record
    cloudwatch._evaluate_alarm = evaluate_others
    return {
        "AWS::CloudWatch::CompositeAlarm": {
            "create": _create_composite_alarm,
            "update": lambda name, _, props, __: _put_composite_alarm(name, props),
            "delete": lambda name, _: cloudwatch._delete_alarms({}, {"AlarmNames": [name]}, False, True),
        }
    }


def _create_composite_alarm(logical_id: str, props: Props, stack_name: str) -> tuple[str, dict[str, str]]:
    return _put_composite_alarm(props.get("AlarmName") or f"{stack_name}-{logical_id}", props)


def _put_composite_alarm(name: str, props: Props) -> tuple[str, dict[str, str]]:
    status, _, body = cloudwatch._put_composite_alarm({}, {**props, "AlarmName": name}, False, True)
    if status >= 400:
        raise ValueError(f"AWS::CloudWatch::CompositeAlarm {name} failed: {body!r}")
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def _milliseconds(line: str) -> int:
    parsed = parse_line(line)
    when = parsed.timestamp if parsed is not None else None
    return int((when.timestamp() if when is not None else time.time()) * 1000)
