"""Alarms that go off when RDS Proxy pins, and when that begins to hurt."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from . import metrics
from .alarm_topics import let_alarms_publish
from .checks import check_proxy_name, check_range, refuse
from .props import checked

_PERCENT: Final = (0, 100)
_DAY: Final = 24 * 60
"""Minutes that an alarm with a period of one minute may look back. Source: PutMetricAlarm, Amazon CloudWatch API
reference (documented)."""
_SPARE: Final = 2
"""Periods beyond the data points that an alarm needs."""


class PinningAlarms(Construct):
    """CloudWatch alarms on one proxy, for any proxy whose name is known.

    Each of them looks at the newest ``evaluation_periods`` minutes, goes off once ``datapoints_to_alarm`` of these are
    bad, is over once fewer are, and takes missing data as good (the pinned metric is absent while nothing is pinned).
    There are at least two minutes more than data points, since RDS's metrics come two to three minutes late (reported
    by users): an alarm that needs every minute bad may never go off, as the newest ones are missing. So an alarm goes
    off two to three minutes after the last data point that it needs, and ends as late. The thresholds are those that
    practitioners report, not AWS's. None was tried on AWS.

    A topic of this app that is told of an alarm, by ``actions`` or by ``add_alarm_action`` of an attribute, gets the
    permissions that CloudWatch needs.

    Attributes:
        pinned: more than ``pinned_threshold`` connections pinned.
        pinned_ratio: pinned in percent of the proxy's database connections.
        borrow_latency: clients wait long for a database connection.
        pool: the proxy holds nearly as many database connections as it may.
        failed_logins: clients fail to authenticate.
        hurting: composite; ``pinned_ratio`` and ``borrow_latency`` together: pins that clients feel.

    Args:
        scope: parent.
        id: construct id.
        proxy_name: the proxy's name (``DBProxyName``), which is the metrics' dimension ``ProxyName``.
        pinned_threshold: pinned connections above which ``pinned`` goes off. Default: 5.
        pinned_ratio_threshold: percent, 0 to 100, above which ``pinned_ratio`` goes off. Under 10 is commonly read as
            fine, over 50 as no pooling left. Default: 50.
        borrow_latency_threshold: mean wait for a connection above which ``borrow_latency`` goes off; the metric is in
            microseconds. Default: 100 milliseconds.
        pool_threshold: percent of the connections allowed, 0 to 100, above which ``pool`` goes off. Default: 80.
        failed_logins_threshold: failed logins a minute above which ``failed_logins`` goes off. Default: 10.
        evaluation_periods: minutes that each alarm looks at, 3 to 1440, which is a day. Default: 7.
        datapoints_to_alarm: how many of these have to be bad, 1 to ``evaluation_periods`` less 2. Default:
            ``evaluation_periods`` less 2, which is 5.
        actions: what each of the alarms does when it goes off, and again when it is over. An SNS topic serves best:
            CDK's ``LambdaAction`` cannot be given to two alarms of one name in a stack. Default: nothing.

    Raises:
        ConfigurationError: a number is out of its range, or the name cannot be a proxy's.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        proxy_name: str,
        pinned_threshold: int = 5,
        pinned_ratio_threshold: float = 50,
        borrow_latency_threshold: Duration | None = None,
        pool_threshold: float = 80,
        failed_logins_threshold: int = 10,
        evaluation_periods: int = 7,
        datapoints_to_alarm: int | None = None,
        actions: Sequence[cloudwatch.IAlarmAction] = (),
    ) -> None:
        super().__init__(scope, id)
        check_proxy_name(self, "proxy_name", proxy_name)
        check_range(self, "pinned_threshold", pinned_threshold, 0, 1_000_000)
        check_range(self, "pinned_ratio_threshold", pinned_ratio_threshold, *_PERCENT, unit="percent")
        check_range(self, "pool_threshold", pool_threshold, *_PERCENT, unit="percent")
        check_range(self, "failed_logins_threshold", failed_logins_threshold, 0, 1_000_000)
        check_range(self, "evaluation_periods", evaluation_periods, 1 + _SPARE, _DAY, whole=True)
        if evaluation_periods < 0:
            refuse(self, "'evaluation_periods' should be known at synth, got a token")
        most = evaluation_periods - _SPARE
        check_range(self, "datapoints_to_alarm", datapoints_to_alarm, 1, most, whole=True)
        if borrow_latency_threshold and borrow_latency_threshold.is_unresolved():
            refuse(self, "'borrow_latency_threshold' should be known at synth, got a token")
        latency = borrow_latency_threshold.to_milliseconds() if borrow_latency_threshold else 100
        if latency <= 0:
            refuse(self, "'borrow_latency_threshold' should be more than 0 milliseconds, got 0")
        ratio, pool = _number(pinned_ratio_threshold), _number(pool_threshold)
        self._periods = evaluation_periods
        self._datapoints = most if datapoints_to_alarm is None else datapoints_to_alarm
        self._actions = actions

        self.pinned = self._alarm(
            "Pinned",
            metrics.metric(proxy_name, metrics.PINNED),
            pinned_threshold,
            f"RDS Proxy {proxy_name}: more than {_number(pinned_threshold)} database connections are pinned to one "
            "client each. The proxy's log names the statements.",
        )
        self.pinned_ratio = self._alarm(
            "PinnedRatio",
            metrics.pinned_ratio(proxy_name),
            pinned_ratio_threshold,
            f"RDS Proxy {proxy_name}: over {ratio} % of its database connections are pinned.",
        )
        self.borrow_latency = self._alarm(
            "BorrowLatency",
            metrics.metric(proxy_name, metrics.BORROW_LATENCY, "Average"),
            latency * 1000,
            f"RDS Proxy {proxy_name}: clients wait over {latency:g} ms for a database connection.",
        )
        self.pool = self._alarm(
            "Pool",
            metrics.pool_utilisation(proxy_name),
            pool_threshold,
            f"RDS Proxy {proxy_name}: holds over {pool} % of the database connections that it may open.",
        )
        self.failed_logins = self._alarm(
            "FailedLogins",
            metrics.metric(proxy_name, metrics.FAILED_LOGINS),
            failed_logins_threshold,
            f"RDS Proxy {proxy_name}: more than {_number(failed_logins_threshold)} client logins a minute fail.",
        )
        self.hurting = cloudwatch.CompositeAlarm(
            self,
            "Hurting",
            alarm_rule=cloudwatch.AlarmRule.all_of(self.pinned_ratio, self.borrow_latency),
            alarm_description=f"RDS Proxy {proxy_name}: over {ratio} % of its database connections are pinned, and "
            f"clients wait over {latency:g} ms for one.",
        )
        self._act(self.hurting)
        let_alarms_publish(
            self.pinned, self.pinned_ratio, self.borrow_latency, self.pool, self.failed_logins, self.hurting
        )

    def _alarm(
        self,
        id: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        description: str,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            id,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=self._periods,
            datapoints_to_alarm=self._datapoints,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        self._act(alarm)
        return alarm

    def _act(self, alarm: cloudwatch.AlarmBase) -> None:
        if self._actions:
            alarm.add_alarm_action(*self._actions)
            alarm.add_ok_action(*self._actions)


def _number(value: float) -> str:
    return Token.as_string(value) if Token.is_unresolved(value) else f"{value:g}"
