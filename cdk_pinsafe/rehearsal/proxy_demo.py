"""The chapter on the proxy: what an application's own SET costs, seen in the proxy's log, metrics and deployed alarms.

The same clients come twice. First each sends one of the app's own settings as a SET, as it would have to without
`DatabaseSettings`; then none does. Both times they see the same value.
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
from ..pinning.log_lines import Kind, parse_line
from ..rds_proxy import MAX_CONNECTIONS, METRIC_PERIOD, NAMESPACE, PINNED, PROXY_NAME, log_group_name
from .database_client import Login, SettingValue, quoted
from .report_items import AlarmRow, Note, Pooling, Reporter
from .stack_resources import Alarm, alarms
from .steps import step
from .traffic import Traffic

__all__ = ["Pool", "Scene", "find_pools", "tell"]

_CLIENTS: Final = 12
_MOST_CLIENTS: Final = 50
_MINUTES: Final = 5
_MOST_MINUTES: Final = 15
"""Of CloudWatch's, to wait for an alarm; here they are seconds."""
_MINUTES_MORE: Final = 2
"""To see the alarm's state stay."""
_SPARE_MINUTES: Final = 10
_PATIENCE: Final = 90.0
_AHEAD: Final = timedelta(days=30)
_FALLBACK: Final = ("statement_timeout", "30s")


@dataclass(frozen=True)
class Pool:
    """A proxy that serves a database of the rehearsal.

    Attributes:
        proxy: its name.
        login: through it, to a database with settings.
        direct: to the same database, past it.
        settings: of that database.
        notes: in what it differs from the one on AWS.
    """

    proxy: str
    login: Login
    direct: Login
    settings: Mapping[str, SettingValue]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A visit of the clients, or a while of the alarm in one state; by the clock `time.monotonic`."""

    row: Literal["clients", "alarm"]
    start: float
    end: float
    text: str
    is_bad: bool


def find_pools(
    cloud: LocalCloud, account: Account, databases: Sequence[tuple[Login, Mapping[str, SettingValue]]]
) -> tuple[list[Pool], list[str]]:
    """The proxies that clients can come to; and of each other one, why they cannot.

    Args:
        cloud: the local cloud.
        account: the one that it plays.
        databases: the databases that have settings: how to get in, and the settings.
    """
    rds, secrets = cloud.client("rds", account), cloud.client("secretsmanager", account)
    found, skipped = [], []
    for proxy in rds.describe_db_proxies()["DBProxies"]:
        name = proxy["DBProxyName"]
        ports = {target.get("Port") for target in rds.describe_db_proxy_targets(DBProxyName=name)["Targets"]}
        behind = next(((login, settings) for login, settings in databases if login.port in ports), None)
        if behind is None:
            skipped.append(f"proxy {name}: nobody comes, as no database behind it has settings")
            continue
        direct, settings = behind
        arns = [one["SecretArn"] for one in proxy["Auth"] if "SecretArn" in one]
        found_secrets = [json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"]) for arn in arns]
        users = {secret.get("username"): secret.get("password") for secret in found_secrets}
        if direct.user not in users:
            skipped.append(f"proxy {name}: nobody comes, as none of its secrets is of the master user, {direct.user}")
            continue
        host, _, port = proxy["Endpoint"].partition(":")
        login = Login(host, int(port), direct.database, direct.user, users[direct.user], direct.ca_bundle)
        (group,) = rds.describe_db_proxy_target_groups(DBProxyName=name)["TargetGroups"]
        found.append(Pool(name, login, direct, settings, tuple(_differences(proxy, group))))
    return found, skipped


def tell(cloud: LocalCloud, account: Account, reporter: Reporter, pool: Pool) -> list[Scene]:
    """Let clients come with their SETs and then without, and show what became of each; return what happened when.

    Raises:
        RehearsalError: it is not what it should be.
    """
    chapter = _Chapter(cloud, account, reporter, pool)
    chapter.tell()
    return chapter.scenes


class _Chapter:
    def __init__(self, cloud: LocalCloud, account: Account, reporter: Reporter, pool: Pool) -> None:
        self._cloud = cloud
        self._account = account
        self._reporter = reporter
        self._pool = pool
        self._cloudwatch = cloud.client("cloudwatch", account)
        self._logs = cloud.client("logs", account)
        self._watched: str | None = None
        self._states: list[tuple[float, str]] = []
        self.scenes: list[Scene] = []

    def tell(self) -> None:
        """Tell it all."""
        pool, reporter = self._pool, self._reporter
        for text in pool.notes:
            reporter.show(Note(f"proxy {pool.proxy}: {text}"))
        with step(reporter, "wait for a minute of the proxy's metrics"):
            setting, statement = _own_set(pool)
            self._wait_until_quiet()
            most = min(_MOST_CLIENTS, int(max(self._values(MAX_CONNECTIONS).values())))
            standing = self._alarms()
        goal = [one.definition for one in standing if one.definition is not None and _goes_off(one.definition, most)]
        names = {definition["AlarmName"] for definition in goal}
        self._watched = goal[0]["AlarmName"] if goal else None
        self._states = [(time.monotonic(), alarm.state) for alarm in standing if alarm.name == self._watched]
        if not goal:
            text = f"no alarm goes off by {most} pinned connections within {_MOST_MINUTES} minutes"
            reporter.show(Note(f"proxy {pool.proxy}: {text}"))
        clients = min(most, max([_CLIENTS, *(int(definition["Threshold"]) + 1 for definition in goal)]))
        needed = [definition.get("DatapointsToAlarm") or definition["EvaluationPeriods"] for definition in goal]
        minutes = max([_MINUTES, *needed]) + _MINUTES_MORE

        with step(reporter, f"{clients} clients of the proxy, each with its own SET"):
            traffic = Traffic(pool.login, clients, setting, statement)
            before = {alarm.name: alarm.state for alarm in standing}
            with_set = self._visited(traffic, minutes, names, "ALARM", before)
            if with_set.pinned != clients:
                raise RehearsalError(f"{with_set.pinned} of {clients} clients with a SET were pinned, all should be")
        reporter.show(with_set)
        with step(reporter, "the same clients without it"):
            traffic = Traffic(pool.login, clients, setting, None)
            before = {row.name: row.after for row in with_set.alarms}
            without = self._visited(traffic, minutes, names, "OK", before)
            if without.pinned:
                raise RehearsalError(f"{without.pinned} clients without a SET were pinned, none should be")
            if without.value != with_set.value:
                raise RehearsalError(f"{setting} is {without.value} without the SET, and {with_set.value} with it")
        reporter.show(without)
        self.scenes += self._states_as_scenes()

    def _visited(
        self, traffic: Traffic, minutes: int, names: set[str], wanted: Literal["ALARM", "OK"], before: Mapping[str, str]
    ) -> Pooling:
        """Let the clients come, for so many minutes and until the named alarms are in the wanted state."""
        self._alarms()
        began, last = datetime.now(UTC), max(self._values("ClientConnections"))
        start = time.monotonic()
        with traffic:
            latest = time.monotonic() + _PATIENCE
            while True:
                passed = sum(1 for minute in self._values("ClientConnections") if minute > last)
                after = self._alarms()
                missing = [alarm for alarm in after if alarm.name in names and alarm.state != wanted]
                if passed >= minutes and not missing:
                    break
                if passed >= minutes + _SPARE_MINUTES or time.monotonic() > latest:
                    states = ", ".join(f"{alarm.name} is {alarm.state}" for alarm in missing)
                    raise RehearsalError(f"after {passed} minutes {states or 'no more came'}, not {wanted}")
                self._pause(traffic)
        end = time.monotonic()
        self._wait_until_quiet()
        pins = self._pins(began)
        if len(traffic.values) != 1:
            raise RehearsalError(f"{traffic.setting} was {' and '.join(sorted(traffic.values))} for different clients")
        shown = Pooling(
            proxy=self._pool.proxy,
            clients=traffic.clients,
            statement=traffic.statement,
            setting=traffic.setting,
            value=next(iter(traffic.values)),
            transactions=traffic.transactions,
            connections=self._most("DatabaseConnections", last),
            pinned=self._most(PINNED, last),
            pins_in_log=len(pins),
            line=pins[0] if pins else None,
            alarms=tuple(AlarmRow(one.name, one.watches, before.get(one.name, "none"), one.state) for one in after),
        )
        sent = "each sent a SET" if traffic.statement else "no SET sent"
        text = f"{shown.clients} clients, {sent}: {shown.connections} connections, {shown.pinned or 'none'} pinned"
        self.scenes.append(Scene("clients", start, end, text, bool(shown.pinned)))
        return shown

    def _wait_until_quiet(self) -> None:
        """Wait for a minute, from now on, in which the proxy has no client."""
        last = max(self._values("ClientConnections"), default=None)
        end = time.monotonic() + _PATIENCE
        while True:
            values = self._values("ClientConnections")
            newest = max(values, default=None)
            if newest is not None and newest != last and not values[newest]:
                return
            if time.monotonic() > end:
                raise RehearsalError(f"the proxy {self._pool.proxy} told of no minute without clients")
            self._alarms()
            self._pause()

    def _pause(self, traffic: Traffic | None = None) -> None:
        self._cloud.check()
        if traffic is not None:
            traffic.check()
        time.sleep(0.25)

    def _alarms(self) -> list[Alarm]:
        found = alarms(self._cloud, self._account, proxy=self._pool.proxy)
        for alarm in found:
            if alarm.name == self._watched and (not self._states or self._states[-1][1] != alarm.state):
                self._states.append((time.monotonic(), alarm.state))
        return found

    def _states_as_scenes(self) -> list[Scene]:
        """What the alarm was from the first client to the last."""
        if not self._states:
            return []
        ends = [start for start, _ in self._states[1:]] + [max(scene.end for scene in self.scenes)]
        return [
            Scene("alarm", start, end, state, state == "ALARM")
            for (start, state), end in zip(self._states, ends, strict=True)
        ]

    def _values(self, metric: str) -> dict[datetime, float]:
        """A metric's values by minute; CloudWatch's minutes run ahead of the clock."""
        now = datetime.now(UTC)
        points = self._cloudwatch.get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName=metric,
            Dimensions=[{"Name": PROXY_NAME, "Value": self._pool.proxy}],
            StartTime=now - _AHEAD,
            EndTime=now + _AHEAD,
            Period=METRIC_PERIOD,
            Statistics=["Maximum"],
        )["Datapoints"]
        return {point["Timestamp"]: point["Maximum"] for point in points}

    def _most(self, metric: str, since: datetime) -> int:
        return int(max((value for minute, value in self._values(metric).items() if minute > since), default=0))

    def _pins(self, since: datetime) -> list[str]:
        """The log lines about pins; none where the app wants no enhanced logging."""
        group = log_group_name(self._pool.proxy)
        if not self._logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        events = self._logs.filter_log_events(logGroupName=group, startTime=int(since.timestamp() * 1000))["events"]
        parsed = [(event["message"], parse_line(event["message"])) for event in events]
        return [message for message, line in parsed if line is not None and line.kind is Kind.PINNED]


def _differences(proxy: Mapping[str, Any], group: Mapping[str, Any]) -> list[str]:
    """What clients on AWS would meet and do not meet here."""
    notes = []
    if any(one.get("IAMAuth") in ("REQUIRED", "ENABLED") for one in proxy["Auth"]):
        notes.append("clients log in with the secret's password here; on AWS with IAM tokens")
    if group["ConnectionPoolConfig"].get("InitQuery"):
        notes.append("its initialization query is not run here")
    if not proxy["DebugLogging"]:
        notes.append("it has no log, as enhanced logging is off")
    return notes


def _goes_off(definition: Mapping[str, Any], clients: int) -> bool:
    """Whether so many pinned clients are expected to set the alarm off, soon enough."""
    return (
        definition.get("MetricName") == PINNED
        and definition["ComparisonOperator"] in ("GreaterThanThreshold", "GreaterThanOrEqualToThreshold")
        and definition["Threshold"] < clients
        and definition["Period"] == METRIC_PERIOD
        and definition["EvaluationPeriods"] <= _MOST_MINUTES
    )


def _own_set(pool: Pool) -> tuple[str, str]:
    """One of the settings that the user may set in a session, too, and the statement for it."""
    for name, value in (*pool.settings.items(), _FALLBACK):
        text = ", ".join(map(quoted, value)) if isinstance(value, list) else "'" + value.replace("'", "''") + "'"
        statement = f"SET {name} TO {text}"
        with pool.direct.connect() as connection:
            try:
                connection.run(statement)
            except pg8000.native.DatabaseError:
                continue
        return name, statement
    raise RehearsalError(f"the user {pool.direct.user} may not even set {_FALLBACK[0]}")
