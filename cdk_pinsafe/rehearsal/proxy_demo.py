"""Shows what an application's own SET costs: in the proxy's log, its metrics and the deployed alarms.

The same clients use the proxy twice. First each sends one of the app's settings as a SET, as it would have to without
`DatabaseSettings`; then none does. Both times all clients see the same value.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import pg8000.native

from ..errors import RehearsalError
from ..localcloud.client import Account, LocalCloud
from ..pinning.log_lines import LineKind, parse_line
from ..rds_proxy import MAX_CONNECTIONS, METRIC_PERIOD, NAMESPACE, PINNED, PROXY_NAME, log_group_name
from .database_client import Login, SettingValue, quoted
from .report_items import AlarmRow, Note, ProxyUse, Reporter
from .stack_resources import Alarm, alarms
from .steps import step
from .traffic import Traffic

__all__ = ["ProxyDemo", "TimelineEntry", "UsableProxy", "find_proxies"]

_CLIENTS: Final = 12
_MAX_CLIENTS: Final = 50
# Minutes are CloudWatch's; in the local cloud each takes one second.
_MINUTES: Final = 5
_MAX_MINUTES: Final = 15
"""The longest time that an alarm may need to be part of the demo."""
_MINUTES_AFTER_ALARM: Final = 2
_SPARE_MINUTES: Final = 10
_TIMEOUT: Final = 90.0
_CLOCK_AHEAD: Final = timedelta(days=30)
_FALLBACK: Final = ("statement_timeout", "30s")


@dataclass(frozen=True)
class UsableProxy:
    """A proxy of a database with settings.

    Attributes:
        name: its name.
        login: to the database, through the proxy.
        direct: to the same database, without the proxy.
        settings: of that database.
        differences: from the same proxy on AWS.
    """

    name: str
    login: Login
    direct: Login
    settings: Mapping[str, SettingValue]
    differences: tuple[str, ...]


@dataclass(frozen=True)
class TimelineEntry:
    """A period in which clients were connected or an alarm was in one state; times are of `time.monotonic`."""

    row: Literal["clients", "alarm"]
    start: float
    end: float
    text: str
    is_problem: bool


def find_proxies(
    cloud: LocalCloud, account: Account, databases: Sequence[tuple[Login, Mapping[str, SettingValue]]]
) -> tuple[list[UsableProxy], list[str]]:
    """Find the proxies that clients can use; for each other proxy, the reason why not.

    Args:
        cloud: the local cloud.
        account: the account and region of the proxies.
        databases: the databases with settings, and these settings.
    """
    rds, secrets = cloud.client("rds", account), cloud.client("secretsmanager", account)
    found, skipped = [], []
    for proxy in rds.describe_db_proxies()["DBProxies"]:
        name = proxy["DBProxyName"]
        ports = {target.get("Port") for target in rds.describe_db_proxy_targets(DBProxyName=name)["Targets"]}
        database = next(((login, settings) for login, settings in databases if login.port in ports), None)
        if database is None:
            skipped.append(f"proxy {name}: not used, because no database behind it has settings")
            continue
        direct, settings = database
        arns = [one["SecretArn"] for one in proxy["Auth"] if "SecretArn" in one]
        found_secrets = [json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"]) for arn in arns]
        users = {secret.get("username"): secret.get("password") for secret in found_secrets}
        if direct.user not in users:
            skipped.append(f"proxy {name}: not used, because it has no secret of the master user {direct.user}")
            continue
        host, _, port = proxy["Endpoint"].partition(":")
        login = Login(host, int(port), direct.database, direct.user, users[direct.user], direct.ca_bundle)
        (group,) = rds.describe_db_proxy_target_groups(DBProxyName=name)["TargetGroups"]
        found.append(UsableProxy(name, login, direct, settings, tuple(_differences(proxy, group))))
    return found, skipped


class ProxyDemo:
    """The demo, on one proxy.

    Attributes:
        entries: what to draw on the timeline.
    """

    def __init__(self, cloud: LocalCloud, account: Account, reporter: Reporter, proxy: UsableProxy) -> None:
        self._cloud = cloud
        self._account = account
        self._reporter = reporter
        self._proxy = proxy
        self._cloudwatch = cloud.client("cloudwatch", account)
        self._logs = cloud.client("logs", account)
        self._drawn_alarm: str | None = None
        self._states: list[tuple[float, str]] = []
        self.entries: list[TimelineEntry] = []

    def run(self) -> None:
        """Run the clients with their SETs, then without, and report both.

        Raises:
            RehearsalError: the pins, values or alarms are not as expected.
        """
        proxy, reporter = self._proxy, self._reporter
        for text in proxy.differences:
            reporter.show(Note(f"proxy {proxy.name}: {text}"))
        with step(reporter, "wait for a minute of the proxy's metrics"):
            setting, statement = _session_set(proxy)
            self._wait_until_idle()
            limit = min(_MAX_CLIENTS, int(max(self._values(MAX_CONNECTIONS).values())))
            initial = self._alarms()
        expected = [one.definition for one in initial if one.definition is not None and _fires(one.definition, limit)]
        names = {definition["AlarmName"] for definition in expected}
        self._drawn_alarm = expected[0]["AlarmName"] if expected else None
        self._states = [(time.monotonic(), alarm.state) for alarm in initial if alarm.name == self._drawn_alarm]
        if not expected:
            text = f"no alarm fires for {limit} pinned connections within {_MAX_MINUTES} minutes"
            reporter.show(Note(f"proxy {proxy.name}: {text}"))
        clients = min(limit, max([_CLIENTS, *(int(definition["Threshold"]) + 1 for definition in expected)]))
        needed = [definition.get("DatapointsToAlarm") or definition["EvaluationPeriods"] for definition in expected]
        minutes = max([_MINUTES, *needed]) + _MINUTES_AFTER_ALARM

        with step(reporter, f"{clients} clients of the proxy, each with its own SET"):
            traffic = Traffic(proxy.login, clients, setting, statement)
            before = {alarm.name: alarm.state for alarm in initial}
            with_set = self._use(traffic, minutes, names, "ALARM", before)
            if with_set.pinned != clients:
                raise RehearsalError(f"{with_set.pinned} of {clients} clients with a SET were pinned, expected all")
        reporter.show(with_set)
        with step(reporter, "the same clients without the SET"):
            traffic = Traffic(proxy.login, clients, setting, None)
            before = {row.name: row.after for row in with_set.alarms}
            without = self._use(traffic, minutes, names, "OK", before)
            if without.pinned:
                raise RehearsalError(f"{without.pinned} clients without a SET were pinned, expected none")
            if without.value != with_set.value:
                raise RehearsalError(f"{setting} is {without.value} without the SET, and {with_set.value} with it")
        reporter.show(without)
        self.entries += self._alarm_entries()

    def _use(
        self,
        traffic: Traffic,
        minutes: int,
        names: set[str],
        expected: Literal["ALARM", "OK"],
        before: Mapping[str, str],
    ) -> ProxyUse:
        """Run the clients for at least `minutes`, and until the named alarms are in the expected state."""
        self._alarms()
        started, last = datetime.now(UTC), max(self._values("ClientConnections"))
        start = time.monotonic()
        with traffic:
            deadline = time.monotonic() + _TIMEOUT
            while True:
                passed = sum(1 for minute in self._values("ClientConnections") if minute > last)
                after = self._alarms()
                missing = [alarm for alarm in after if alarm.name in names and alarm.state != expected]
                if passed >= minutes and not missing:
                    break
                if passed >= minutes + _SPARE_MINUTES or time.monotonic() > deadline:
                    states = ", ".join(f"{alarm.name} is {alarm.state}, not {expected}" for alarm in missing)
                    raise RehearsalError(f"after {passed} minutes of metrics: {states or 'no more metrics arrived'}")
                self._pause(traffic)
        end = time.monotonic()
        self._wait_until_idle()
        pins = self._pin_lines(started)
        if len(traffic.values) != 1:
            raise RehearsalError(f"clients got different values of {traffic.setting}: {sorted(traffic.values)}")
        use = ProxyUse(
            proxy=self._proxy.name,
            clients=traffic.clients,
            statement=traffic.statement,
            setting=traffic.setting,
            value=next(iter(traffic.values)),
            transactions=traffic.transactions,
            connections=self._maximum("DatabaseConnections", last),
            pinned=self._maximum(PINNED, last),
            pins_in_log=len(pins),
            line=pins[0] if pins else None,
            alarms=tuple(AlarmRow(one.name, one.watches, before.get(one.name, "none"), one.state) for one in after),
        )
        sent = "each sent a SET" if traffic.statement else "no SET sent"
        text = f"{use.clients} clients, {sent}: {use.connections} connections, {use.pinned or 'none'} pinned"
        self.entries.append(TimelineEntry("clients", start, end, text, bool(use.pinned)))
        return use

    def _wait_until_idle(self) -> None:
        """Wait for a new minute in which the proxy had no client."""
        last = max(self._values("ClientConnections"), default=None)
        end = time.monotonic() + _TIMEOUT
        while True:
            values = self._values("ClientConnections")
            newest = max(values, default=None)
            if newest is not None and newest != last and not values[newest]:
                return
            if time.monotonic() > end:
                raise RehearsalError(f"no minute without clients in the metrics of the proxy {self._proxy.name}")
            self._alarms()
            self._pause()

    def _pause(self, traffic: Traffic | None = None) -> None:
        self._cloud.check()
        if traffic is not None:
            traffic.check()
        time.sleep(0.25)

    def _alarms(self) -> list[Alarm]:
        """The alarms on the proxy. Records the changes of the one that is drawn."""
        found = alarms(self._cloud, self._account, proxy=self._proxy.name)
        for alarm in found:
            if alarm.name == self._drawn_alarm and (not self._states or self._states[-1][1] != alarm.state):
                self._states.append((time.monotonic(), alarm.state))
        return found

    def _alarm_entries(self) -> list[TimelineEntry]:
        """The alarm's states, from the first client to the last."""
        if not self._states:
            return []
        ends = [start for start, _ in self._states[1:]] + [max(entry.end for entry in self.entries)]
        return [
            TimelineEntry("alarm", start, end, state, state == "ALARM")
            for (start, state), end in zip(self._states, ends, strict=True)
        ]

    def _values(self, metric: str) -> dict[datetime, float]:
        """A metric's values by minute; these minutes are ahead of the clock."""
        now = datetime.now(UTC)
        points = self._cloudwatch.get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName=metric,
            Dimensions=[{"Name": PROXY_NAME, "Value": self._proxy.name}],
            StartTime=now - _CLOCK_AHEAD,
            EndTime=now + _CLOCK_AHEAD,
            Period=METRIC_PERIOD,
            Statistics=["Maximum"],
        )["Datapoints"]
        return {point["Timestamp"]: point["Maximum"] for point in points}

    def _maximum(self, metric: str, since: datetime) -> int:
        return int(max((value for minute, value in self._values(metric).items() if minute > since), default=0))

    def _pin_lines(self, since: datetime) -> list[str]:
        """The log lines about pins; none if enhanced logging is off."""
        group = log_group_name(self._proxy.name)
        if not self._logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        events = self._logs.filter_log_events(logGroupName=group, startTime=int(since.timestamp() * 1000))["events"]
        parsed = [(event["message"], parse_line(event["message"])) for event in events]
        return [message for message, line in parsed if line is not None and line.kind is LineKind.PINNED]


def _differences(proxy: Mapping[str, Any], group: Mapping[str, Any]) -> list[str]:
    """The differences from the same proxy on AWS, for its clients."""
    differences = []
    if any(one.get("IAMAuth") in ("REQUIRED", "ENABLED") for one in proxy["Auth"]):
        differences.append("clients log in with the secret's password here; on AWS with IAM tokens")
    if group["ConnectionPoolConfig"].get("InitQuery"):
        differences.append("its initialization query is not run here")
    if not proxy["DebugLogging"]:
        differences.append("it has no log, because enhanced logging is off")
    return differences


def _fires(definition: Mapping[str, Any], clients: int) -> bool:
    """Whether that many pinned clients are expected to trigger the alarm soon enough."""
    return (
        definition.get("MetricName") == PINNED
        and definition["ComparisonOperator"] in ("GreaterThanThreshold", "GreaterThanOrEqualToThreshold")
        and definition["Threshold"] < clients
        and definition["Period"] == METRIC_PERIOD
        and definition["EvaluationPeriods"] <= _MAX_MINUTES
    )


def _session_set(proxy: UsableProxy) -> tuple[str, str]:
    """One of the settings that the user may also set in a session, and the SET statement."""
    for name, value in (*proxy.settings.items(), _FALLBACK):
        text = ", ".join(map(quoted, value)) if isinstance(value, list) else "'" + value.replace("'", "''") + "'"
        statement = f"SET {name} TO {text}"
        with proxy.direct.connect() as connection:
            try:
                connection.run(statement)
            except pg8000.native.DatabaseError:
                continue
        return name, statement
    raise RehearsalError(f"the user {proxy.direct.user} may not even set {_FALLBACK[0]}")
