"""A schedule that checks whether databases still have their settings, with alarms."""

from collections.abc import Mapping, Sequence
from typing import Final, Unpack

from aws_cdk import CfnResource, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ..contract import DRIFT_CHECK, METRIC_DIMENSION, METRIC_NAMESPACE, DriftCheckEvent, Metric
from . import metrics
from .alarm_topics import let_alarms_publish
from .checks import check_seconds, refuse
from .metrics import MetricOptions
from .props import checked
from .service_role import service_role

_LEAST, _MOST = 300, 86_400
_PERIODS_WITHOUT: Final = 3


def dimension_value(name: str) -> str:
    """The value of the metrics' dimension, for which CloudWatch takes ASCII only."""
    return name.encode("ascii", "replace").decode()


class DriftGuard(Construct):
    """Checks the settings on a schedule of EventBridge Scheduler, by the applier, and has alarms on the results.

    The applier publishes metrics in its log, in CloudWatch's embedded metric format, so isolated subnets need no other
    endpoint: ``Drifted`` (settings that are stored with another value than deployed, that a new session does not
    get, or that the ledger lost), ``OverriddenByRole`` (settings that a role's own value overrides), ``Repaired`` and
    ``Unchecked`` (databases that could not be checked). Not tried on AWS.

    The first check runs at once: "if you do not provide a StartDate for a rate-based schedule, your schedule starts
    invoking the target immediately" (EventBridge Scheduler user guide). A deployment that sets settings publishes
    ``Unchecked`` too, so the alarm notices missing checks even if the schedule never starts.

    Attributes:
        drifted: alarm; a setting drifted. It is over when a check finds none.
        check_failed: alarm; it goes off after three checks in a row that could not check a database. If there is no
            check for three intervals and the time that CloudWatch looks further back (two intervals in AWS's examples),
            its state becomes ``INSUFFICIENT_DATA``, which needs an action too: :meth:`add_alarm_actions` adds it. A new
            alarm begins in that state, without an action, so nothing goes off before the first check. A change of the
            interval creates a new alarm, because the old one would expect checks at the new interval in the past.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: lambda_.IFunction,
        identity: Mapping[str, object],
        settings: Sequence[tuple[str, str]],
        name: str,
        interval: Duration,
        repairs: bool,
    ) -> None:
        super().__init__(scope, id)
        if interval.is_unresolved():
            refuse(scope, "'drift_check' should be known at synth, got a token")
        check_seconds(scope, "drift_check", interval, _LEAST, _MOST)
        seconds = int(interval.to_seconds())
        if seconds % 60:
            refuse(scope, f"'drift_check' should be whole minutes, got {seconds} seconds")
        minutes = seconds // 60
        self._dimension = dimension_value(name)
        self._period = interval
        role = service_role(self, "Role", "scheduler.amazonaws.com", "lambda:InvokeFunction", function.function_arn)
        event: DriftCheckEvent = {
            "RequestType": DRIFT_CHECK,
            "Name": self._dimension,
            "Repair": repairs,
            "Settings": [{"name": parameter.lower(), "role": whose} for parameter, whose in settings],
            "ResourceProperties": dict(identity),
        }
        # By its type: the module of its L1 would be imported by every app for this one resource.
        CfnResource(
            self,
            "Schedule",
            type="AWS::Scheduler::Schedule",
            properties={
                "Description": f"Checks whether databases still have their settings ({scope.node.path})"[:512],
                "ScheduleExpression": f"rate({minutes} minute{'s' if minutes != 1 else ''})",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": function.function_arn,
                    "RoleArn": role.role_arn,
                    "Input": Stack.of(self).to_json_string(event),
                    # The next check comes soon.
                    "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": _LEAST},
                },
            },
        )
        self.drifted = self._alarm(
            "Drifted",
            Metric.DRIFTED,
            f"Settings of {name} drifted; see the applier's log, or run pinsafe drift.",
            1,
            cloudwatch.TreatMissingData.IGNORE,
        )
        self.check_failed = self._alarm(
            f"CheckFailed{minutes}",
            Metric.UNCHECKED,
            f"Checks of the settings of {name} fail; see the applier's log.",
            _PERIODS_WITHOUT,
            cloudwatch.TreatMissingData.MISSING,
        )
        let_alarms_publish(self.drifted, self.check_failed)

    @checked
    def add_alarm_actions(self, actions: Sequence[cloudwatch.IAlarmAction]) -> None:
        """Take actions when settings drift, when checks fail or stop, and when these alarms are over."""
        if not actions:
            return
        for alarm in (self.drifted, self.check_failed):
            alarm.add_alarm_action(*actions)
            alarm.add_ok_action(*actions)
        self.check_failed.add_insufficient_data_action(*actions)

    @checked
    def metric(self, metric_name: str, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """A metric of the checks. Default: Maximum over the time between two checks.

        Args:
            metric_name: ``Drifted``, ``OverriddenByRole``, ``Repaired`` or ``Unchecked``.
            options: CDK's ``cloudwatch.MetricOptions``.
        """
        metrics.check_period(self, options)
        defaults = MetricOptions(
            dimensions_map={METRIC_DIMENSION: self._dimension}, statistic="Maximum", period=self._period
        )
        return cloudwatch.Metric(
            namespace=METRIC_NAMESPACE, metric_name=metric_name, **metrics.with_defaults(options, defaults)
        ).attach_to(self)

    def _alarm(
        self, id: str, metric: str, description: str, periods: int, missing: cloudwatch.TreatMissingData
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            metric=self.metric(metric),
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=missing,
            alarm_description=description,
        )
