"""Alarms on pinned connections, and on what they cost."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from .. import rds_proxy
from . import metrics
from .alarm_topics import let_alarms_publish
from .any_proxy import Proxy, name_of
from .checks import check_range, refuse
from .props import checked

_PERCENT: Final = (0, 100)
_DAY: Final = 24 * 60
"""Minutes; the longest that an alarm with a period of one minute may look back. Source: PutMetricAlarm, Amazon
CloudWatch API reference (documented)."""
_SPARE: Final = rds_proxy.METRIC_DELAY // rds_proxy.METRIC_PERIOD
"""Periods that an alarm looks at beyond the data points that it needs, since RDS's metrics come late."""


class PinningAlarms(Construct):
    """CloudWatch alarms on any proxy.

    An alarm looks at the newest ``evaluation_periods`` minutes, goes off when ``datapoints_to_alarm`` of them breach
    the threshold, and is over when fewer do. Missing data does not breach (the pinned metric is absent while nothing is
    pinned). There are at least two more minutes than data points, since RDS's metrics come two to three minutes late
    (reported by users): if all minutes had to breach, the alarm might never go off, because the newest are missing. An
    alarm therefore goes off two to three minutes after the last data point that it needs, and ends as late. The
    thresholds are practitioners', not AWS's. None was tried on AWS.

    If an alarm notifies a topic of this app, by ``actions`` or by ``add_alarm_action`` of an attribute, CloudWatch gets
    the permissions that it needs for the topic and its key.

    Attributes:
        pinned: more than ``pinned_threshold`` connections are pinned.
        pinned_ratio: pinned connections in percent of the proxy's database connections.
        borrow_latency: clients wait long for a database connection.
        pool_utilization: database connections in percent of those that the proxy may open.
        failed_logins: clients fail to authenticate.
        pinned_and_slow: composite; ``pinned_ratio`` and ``borrow_latency`` are both on.

    Args:
        scope: parent.
        id: construct id.
        proxy: the proxy, of this library or of CDK, made here or imported; or its name (``DBProxyName``).
        pinned_threshold: pinned connections above which ``pinned`` goes off. Default: 5.
        pinned_ratio_threshold: percent, 0 to 100, above which ``pinned_ratio`` goes off. Under 10 is commonly read as
            fine, over 50 as an end of pooling. Default: 50.
        borrow_latency_threshold: mean wait for a connection above which ``borrow_latency`` goes off; the metric is in
            microseconds. Default: 100 milliseconds.
        pool_utilization_threshold: percent, 0 to 100, above which ``pool_utilization`` goes off. Default: 80.
        failed_logins_threshold: failed logins a minute above which ``failed_logins`` goes off. Default: 10.
        evaluation_periods: minutes that each alarm looks at, 3 to 1440 (a day). Default: 7.
        datapoints_to_alarm: how many of them have to breach, 1 to ``evaluation_periods`` less 2. Default:
            ``evaluation_periods`` less 2, which is 5.
        actions: actions of each alarm, when it goes off and when it is over. Prefer an SNS topic: CDK's
            ``LambdaAction`` cannot be shared by two alarms with the same id in a stack. Default: none.

    Raises:
        ConfigurationError: a number is out of its range, or RDS does not take the name.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        proxy: Proxy | str,
        pinned_threshold: int = 5,
        pinned_ratio_threshold: float = 50,
        borrow_latency_threshold: Duration | None = None,
        pool_utilization_threshold: float = 80,
        failed_logins_threshold: int = 10,
        evaluation_periods: int = 7,
        datapoints_to_alarm: int | None = None,
        actions: Sequence[cloudwatch.IAlarmAction] = (),
    ) -> None:
        super().__init__(scope, id)
        db_proxy_name = name_of(self, "proxy", proxy)
        check_range(self, "pinned_threshold", pinned_threshold, 0, 1_000_000)
        check_range(self, "pinned_ratio_threshold", pinned_ratio_threshold, *_PERCENT, unit="percent")
        check_range(self, "pool_utilization_threshold", pool_utilization_threshold, *_PERCENT, unit="percent")
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
        ratio, utilization = _number(pinned_ratio_threshold), _number(pool_utilization_threshold)
        self._periods = evaluation_periods
        self._datapoints = most if datapoints_to_alarm is None else datapoints_to_alarm
        self._actions = actions

        self.pinned = self._alarm(
            "Pinned",
            metrics.metric(db_proxy_name, rds_proxy.PINNED),
            pinned_threshold,
            f"RDS Proxy {db_proxy_name}: more than {_number(pinned_threshold)} database connections are pinned to one "
            "client each. The proxy's log names the statements.",
        )
        self.pinned_ratio = self._alarm(
            "PinnedRatio",
            metrics.pinned_ratio(db_proxy_name),
            pinned_ratio_threshold,
            f"RDS Proxy {db_proxy_name}: over {ratio} % of its database connections are pinned.",
        )
        self.borrow_latency = self._alarm(
            "BorrowLatency",
            metrics.metric(db_proxy_name, rds_proxy.BORROW_LATENCY),
            latency * 1000,
            f"RDS Proxy {db_proxy_name}: clients wait over {latency:g} ms for a database connection.",
        )
        self.pool_utilization = self._alarm(
            "PoolUtilization",
            metrics.pool_utilization(db_proxy_name),
            pool_utilization_threshold,
            f"RDS Proxy {db_proxy_name}: holds over {utilization} % of the database connections that it may open.",
        )
        self.failed_logins = self._alarm(
            "FailedLogins",
            metrics.metric(db_proxy_name, rds_proxy.FAILED_LOGINS),
            failed_logins_threshold,
            f"RDS Proxy {db_proxy_name}: more than {_number(failed_logins_threshold)} client logins a minute fail.",
        )
        self.pinned_and_slow = cloudwatch.CompositeAlarm(
            self,
            "PinnedAndSlow",
            alarm_rule=cloudwatch.AlarmRule.all_of(self.pinned_ratio, self.borrow_latency),
            alarm_description=f"RDS Proxy {db_proxy_name}: over {ratio} % of its database connections are pinned, and "
            f"clients wait over {latency:g} ms for one.",
        )
        self._add_actions(self.pinned_and_slow)
        let_alarms_publish(
            self.pinned,
            self.pinned_ratio,
            self.borrow_latency,
            self.pool_utilization,
            self.failed_logins,
            self.pinned_and_slow,
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
        self._add_actions(alarm)
        return alarm

    def _add_actions(self, alarm: cloudwatch.AlarmBase) -> None:
        if self._actions:
            alarm.add_alarm_action(*self._actions)
            alarm.add_ok_action(*self._actions)


def _number(value: float) -> str:
    return Token.as_string(value) if Token.is_unresolved(value) else f"{value:g}"
