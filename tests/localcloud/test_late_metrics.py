"""The deployed alarms on metrics that come late, and that are absent while there is nothing to say."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template
from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from cdk_pinsafe import PinningAlarms, rds_proxy
from cdk_pinsafe.localcloud.alarms import state
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
def deploy(template: Template, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, str]]]:
    """Makes the alarms of the template in the local CloudWatch, in this process; answers with their names."""
    for module, name in ((provisioners, "_cw_metric_alarm_record"), (cloudwatch, "_evaluate_alarm")):
        monkeypatch.setattr(module, name, getattr(module, name))
    handlers = alarm_handlers()
    names: dict[str, str] = {}

    def make(**changes: Any) -> dict[str, str]:
        arns = {}
        for attribute in BAD:
            if attribute != "pinned_and_slow":
                logical_id, properties = named(template.find_resources("AWS::CloudWatch::Alarm"), attribute)
                names[attribute], attributes = provisioners._cw_metric_alarm_create(
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
    cloudwatch._delete_alarms({}, {"AlarmNames": list(names.values())}, False, True)


class Proxy:
    """Publishes minutes, and tells the states of the alarms after each."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._publish = Publication("orders")
        self._minutes = itertools.count(60, 60)

    def minute(self, told: Mapping[str, float]) -> set[str]:
        """The alarms that are in ALARM after the minute."""
        self._publish(Minute(next(self._minutes), told, ()))
        known = {**cloudwatch._alarms, **cloudwatch._composite_alarms}
        return {attribute for attribute, name in self._names.items() if known[name]["StateValue"] == "ALARM"}


@pytest.mark.parametrize("quiet", QUIET)
@pytest.mark.parametrize("attribute", BAD)
def test_alarm_goes_off_and_ends(deploy: Callable[..., dict[str, str]], attribute: str, quiet: str) -> None:
    """After five bad minutes, not before, and no longer than they can be seen."""
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


def test_four_bad_minutes_are_none(deploy: Callable[..., dict[str, str]]) -> None:
    """Fewer bad data points than are needed set nothing off, neither before nor after they have come."""
    proxy = Proxy(deploy())
    everything = {name: value for bad in BAD.values() for name, value in bad.items()}
    minutes = [QUIET["busy"]] * 10 + [everything] * 4 + [QUIET["busy"]] * 20
    assert not any(proxy.minute(minute) for minute in minutes)


def ratio(template: Template, **changes: Any) -> Definition:
    _, properties = named(template.find_resources("AWS::CloudWatch::Alarm"), "pinned_ratio")
    return {key: value for key, value in {**properties, **changes}.items() if value is not None}


def with_expression(definition: Definition, expression: str) -> Definition:
    queries = [{**one, "Expression": expression} if "Expression" in one else one for one in definition["Metrics"]]
    return {**definition, "Metrics": queries}


def history(minutes: int, *, part_late: int, whole_late: int) -> dict[str, list[float | None]]:
    """Pinned for so many minutes now, after ten without, as far as it has come."""
    part = [None] * 10 + [8.0] * minutes
    whole = [10.0] * len(part)
    return {
        rds_proxy.PINNED: [*part[: len(part) - part_late], *[None] * part_late],
        rds_proxy.CONNECTIONS: [*whole[: len(whole) - whole_late], *[None] * whole_late],
    }


@pytest.mark.parametrize("part_late", [2, 3])
@pytest.mark.parametrize("whole_late", [2, 3])
def test_ratio_with_parts_of_different_lateness(template: Template, part_late: int, whole_late: int) -> None:
    """The pinned connections may come after the connections held, and count as 0 until then."""
    judged = state(ratio(template), history(30, part_late=part_late, whole_late=whole_late))
    assert judged is not None
    assert judged[0] == "ALARM"


@pytest.mark.parametrize("late", [2, 3])
@pytest.mark.parametrize(
    ("expression", "changes"),
    [
        (OLD_RATIO, {"EvaluationPeriods": 5, "DatapointsToAlarm": None}),
        ("100 * FILL(part, 0) / FILL(whole, 1)", {"EvaluationPeriods": 7, "DatapointsToAlarm": 7}),
    ],
)
def test_filled_ratio_never_goes_off(template: Template, expression: str, changes: Definition, late: int) -> None:
    """With FILL the newest data points are the filler, and an alarm that needs them sticks in OK."""
    definition = with_expression(ratio(template, **changes), expression)
    for minutes in range(60):
        judged = state(definition, history(minutes, part_late=late, whole_late=late))
        assert judged is not None
        assert judged[0] == "OK"
    judged = state(definition, history(30, part_late=0, whole_late=0))
    assert judged is not None
    assert judged[0] == "ALARM"


def test_filler_that_breaches_never_ends(template: Template) -> None:
    """A filler above the threshold keeps the alarm in ALARM when a single data point is needed."""
    definition = with_expression(ratio(template, EvaluationPeriods=1, DatapointsToAlarm=None), "FILL(part, 100)")
    judged = state(definition, {rds_proxy.PINNED: [0.0] * 30 + [None] * 2, rds_proxy.CONNECTIONS: [10.0] * 32})
    assert judged is not None
    assert judged[0] == "ALARM"


def test_n_of_n_misses_late_minutes(template: Template) -> None:
    """Without FILL, and with data three minutes late, five of five never goes off either."""
    definition = ratio(template, EvaluationPeriods=5, DatapointsToAlarm=None)
    judged = state(definition, history(30, part_late=3, whole_late=3))
    assert judged is not None
    assert judged[0] == "OK"
