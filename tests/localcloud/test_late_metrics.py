"""`PinningAlarms` on metrics that arrive late, or are absent when there is nothing to report."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from cdk_pinsafe import PinningAlarms, rds_proxy
from cdk_pinsafe.localcloud import ministack_adapter as ministack
from cdk_pinsafe.localcloud.alarms import evaluate
from cdk_pinsafe.localcloud.cloudwatch import MINUTES_LATE, Publication, alarm_handlers
from cdk_pinsafe.localcloud.proxies import Minute

Definition = dict[str, Any]
BAD: Mapping[str, dict[str, float]] = {
    "pinned": {rds_proxy.PINNED: 6, rds_proxy.CONNECTIONS: 50},
    "pinned_ratio": {rds_proxy.PINNED: 3, rds_proxy.CONNECTIONS: 5},
    "borrow_latency": {rds_proxy.BORROW_LATENCY: 100_001},
    "pool_utilization": {rds_proxy.CONNECTIONS: 81, rds_proxy.MAX_CONNECTIONS: 100},
    "failed_logins": {rds_proxy.FAILED_LOGINS: 11},
    "pinned_and_slow": {rds_proxy.PINNED: 3, rds_proxy.CONNECTIONS: 5, rds_proxy.BORROW_LATENCY: 100_001},
}
QUIET: Mapping[str, dict[str, float]] = {
    # A proxy that has no client: some metrics are 0, the pinned one and the latency are absent.
    "idle": {rds_proxy.CONNECTIONS: 0, rds_proxy.MAX_CONNECTIONS: 100, rds_proxy.FAILED_LOGINS: 0},
    "busy": {
        rds_proxy.CONNECTIONS: 10,
        rds_proxy.MAX_CONNECTIONS: 100,
        rds_proxy.BORROW_LATENCY: 9,
        rds_proxy.FAILED_LOGINS: 1,
    },
    "silent": {},
}
OLD_RATIO = "IF(FILL(whole, 0) > 0, 100 * FILL(part, 0) / FILL(whole, 1), 0)"


@pytest.fixture(scope="module")
def template() -> Template:
    stack = Stack(App(), "Test")
    PinningAlarms(stack, "Alarms", proxy="orders")
    return Template.from_stack(stack)


def named(resources: Mapping[str, Any], attribute: str) -> tuple[str, Definition]:
    """The logical id and the properties of the alarm that is an attribute of ``PinningAlarms``."""
    start = "Alarms" + attribute.title().replace("_", "")
    [found] = [one for one in resources if re.fullmatch(f"{start}[0-9A-F]{{8}}", one)]
    return found, dict(resources[found]["Properties"])


@pytest.fixture
def deploy(template: Template) -> Iterator[Callable[..., dict[str, str]]]:
    """Creates the template's alarms in ministack's CloudWatch, in this process, and returns their names."""
    handlers = alarm_handlers()
    names: dict[str, str] = {}

    def make(**changes: Any) -> dict[str, str]:
        arns = {}
        for attribute in BAD:
            if attribute != "pinned_and_slow":
                logical_id, properties = named(template.find_resources("AWS::CloudWatch::Alarm"), attribute)
                names[attribute], attributes = ministack.create_metric_alarm(
                    logical_id, {**properties, **changes}, "Test"
                )
                arns[logical_id] = attributes["Arn"]
        logical_id, properties = named(template.find_resources("AWS::CloudWatch::CompositeAlarm"), "pinned_and_slow")
        parts = properties["AlarmRule"]["Fn::Join"][1]
        rule = "".join(part if isinstance(part, str) else arns[part["Fn::GetAtt"][0]] for part in parts)
        create = handlers["AWS::CloudWatch::CompositeAlarm"]["create"]
        names["pinned_and_slow"], _ = create(logical_id, {**properties, "AlarmRule": rule}, "Test")
        return names

    yield make
    ministack.delete_alarms(*names.values())
    ministack.use_alarm_functions(record=ministack.metric_alarm_record, evaluate=ministack.evaluate_alarm)


class Proxy:
    """Publishes minutes, and returns the alarms that are in ALARM after each."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._publish = Publication("orders")
        self._minutes = itertools.count(60, 60)

    def minute(self, metrics: Mapping[str, float]) -> set[str]:
        self._publish(Minute(next(self._minutes), metrics, ()))
        known = {**ministack.alarms, **ministack.composite_alarms}
        return {attribute for attribute, name in self._names.items() if known[name]["StateValue"] == "ALARM"}


@pytest.mark.parametrize("quiet", QUIET)
@pytest.mark.parametrize("attribute", BAD)
def test_alarm_starts_and_ends(deploy: Callable[..., dict[str, str]], attribute: str, quiet: str) -> None:
    """ALARM after five breaching minutes, not before; OK when they have left the evaluation range."""
    proxy = Proxy(deploy())
    assert not any(proxy.minute(QUIET[quiet]) for _ in range(12))
    bad = {**QUIET[quiet], **BAD[attribute]}
    for _ in range(4 + MINUTES_LATE):
        assert attribute not in proxy.minute(bad)
    assert attribute in proxy.minute(bad)
    for _ in range(20):
        assert attribute in proxy.minute(bad)
    for _ in range(MINUTES_LATE + 7):
        states = proxy.minute(QUIET[quiet])
    assert states == set()
    assert not any(proxy.minute(QUIET[quiet]) for _ in range(12))


def test_four_breaching_minutes_are_not_enough(deploy: Callable[..., dict[str, str]]) -> None:
    """Neither while they are the latest data points nor later."""
    proxy = Proxy(deploy())
    everything = {name: value for bad in BAD.values() for name, value in bad.items()}
    minutes = [QUIET["busy"]] * 10 + [everything] * 4 + [QUIET["busy"]] * 20
    assert not any(proxy.minute(minute) for minute in minutes)


def state(definition: Definition, history: Mapping[str, list[float | None]]) -> str | None:
    result = evaluate(definition, history)
    return result.state if result else None


def ratio(template: Template, **changes: Any) -> Definition:
    _, properties = named(template.find_resources("AWS::CloudWatch::Alarm"), "pinned_ratio")
    return {key: value for key, value in {**properties, **changes}.items() if value is not None}


def with_expression(definition: Definition, expression: str) -> Definition:
    queries = [{**one, "Expression": expression} if "Expression" in one else one for one in definition["Metrics"]]
    return {**definition, "Metrics": queries}


def history(minutes: int, *, part_late: int, whole_late: int) -> dict[str, list[float | None]]:
    """Ten minutes without pins, then `minutes` with; the latest values of each metric have not arrived yet."""
    part = [None] * 10 + [8.0] * minutes
    whole = [10.0] * len(part)
    return {
        rds_proxy.PINNED: [*part[: len(part) - part_late], *[None] * part_late],
        rds_proxy.CONNECTIONS: [*whole[: len(whole) - whole_late], *[None] * whole_late],
    }


@pytest.mark.parametrize("part_late", [2, 3])
@pytest.mark.parametrize("whole_late", [2, 3])
def test_ratio_of_metrics_with_different_delays(template: Template, part_late: int, whole_late: int) -> None:
    """A missing number of pinned connections counts as 0."""
    assert state(ratio(template), history(30, part_late=part_late, whole_late=whole_late)) == "ALARM"


@pytest.mark.parametrize("late", [2, 3])
@pytest.mark.parametrize(
    ("expression", "changes"),
    [
        (OLD_RATIO, {"EvaluationPeriods": 5, "DatapointsToAlarm": None}),
        ("100 * FILL(part, 0) / FILL(whole, 1)", {"EvaluationPeriods": 7, "DatapointsToAlarm": 7}),
    ],
)
def test_filled_ratio_never_alarms(template: Template, expression: str, changes: Definition, late: int) -> None:
    """With FILL the newest data points are filler: an alarm that needs them stays OK."""
    definition = with_expression(ratio(template, **changes), expression)
    for minutes in range(60):
        assert state(definition, history(minutes, part_late=late, whole_late=late)) == "OK"
    assert state(definition, history(30, part_late=0, whole_late=0)) == "ALARM"


def test_breaching_filler_keeps_the_alarm(template: Template) -> None:
    definition = with_expression(ratio(template, EvaluationPeriods=1, DatapointsToAlarm=None), "FILL(part, 100)")
    late: dict[str, list[float | None]] = {
        rds_proxy.PINNED: [0.0] * 30 + [None] * 2,
        rds_proxy.CONNECTIONS: [10.0] * 32,
    }
    assert state(definition, late) == "ALARM"


def test_n_of_n_misses_late_data(template: Template) -> None:
    """Five of five never alarms when data arrives three minutes late, even without FILL."""
    definition = ratio(template, EvaluationPeriods=5, DatapointsToAlarm=None)
    assert state(definition, history(30, part_late=3, whole_late=3)) == "OK"
