"""All that this package uses of ministack, under names of its own; no other module imports ministack.

Most of it is private in ministack and may change with any release, so pyproject.toml pins the exact version.
tests/localcloud/test_ministack_adapter.py lists each name with its signature: with another version it fails for those
that changed.

The names below are ministack's original functions and data, whatever was replaced since. The functions that begin with
`use_` replace them for ministack itself. ministack's data are of the account and region of the current request.

ministack reads its configuration from the environment when it is imported: set it before importing this module.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, cloudwatch_logs, ec2, rds, secretsmanager, sts
from ministack.services.cloudformation import changesets, custom_resource, handlers, provisioners, stacks

Props = dict[str, Any]
"""The properties of a resource, or one of ministack's records."""
Created = tuple[str, dict[str, str]]
"""A physical id, and the attributes that `Fn::GetAtt` returns."""
Handlers = dict[str, Any]
"""create(logical_id, props, stack_name) and update(physical_id, old_props, new_props, stack_name) return `Created`;
delete(physical_id, props) returns None."""

account_id: Callable[[], str] = get_account_id
region: Callable[[], str] = get_region

# --- CloudFormation ------------------------------------------------------------------------------

resource_handlers: dict[str, Handlers] = provisioners._RESOURCE_HANDLERS
create_only_properties: dict[str, tuple[str, ...]] = provisioners._REPLACING_PROPERTIES
custom_name_properties: dict[str, dict[str, str]] = provisioners._CUSTOM_NAME_REPLACEMENT
as_bool: Callable[[object], bool] = provisioners._cfn_bool


def use_resource_handlers(table: dict[str, Handlers]) -> None:
    """Replace the table of resource types."""
    # `changesets` is the only other module that binds the table when it is imported.
    provisioners._RESOURCE_HANDLERS = changesets._RESOURCE_HANDLERS = table


def use_custom_resource_observer(observe: Callable[[str, str, str, str, Props], None]) -> None:
    """Observe the requests to custom resources: request type, resource type, stack, logical id, properties."""
    invoke = custom_resource.invoke_custom_resource

    def observed(
        request_type: str,
        logical_id: str,
        props: Props,
        stack_name: str,
        stack_id: str,
        resource_type: str,
        *rest: Any,
        **named: Any,
    ) -> Any:
        observe(request_type, resource_type, stack_name, logical_id, props)
        return invoke(request_type, logical_id, props, stack_name, stack_id, resource_type, *rest, **named)

    custom_resource.invoke_custom_resource = observed


def use_rollback_that_keeps_failures() -> None:
    """Keep the resources that a rollback could not delete in the stack, as CloudFormation does; ministack drops them.

    Deleting the ROLLBACK_FAILED stack then tries again to delete them.
    """
    roll_back = stacks._roll_back_operation

    async def keeping(stack_name: str, stack_id: str, stack: Props, *arguments: Any, **named: Any) -> None:
        before = dict(stack.get("_resources", {}))
        await roll_back(stack_name, stack_id, stack, *arguments, **named)
        if stack["StackStatus"] == "ROLLBACK_FAILED":
            failed = stack["_rollback_failed"]
            stack["_resources"].update({name: {**before[name], "ResourceStatus": "DELETE_FAILED"} for name in failed})

    stacks._roll_back_operation = handlers._roll_back_operation = keeping


# --- RDS -----------------------------------------------------------------------------------------

instances: dict[str, Props] = rds._instances
clusters: dict[str, Props] = rds._clusters
db_proxies: dict[str, Props] = rds._db_proxies
db_proxy_endpoints: dict[str, Props] = rds._db_proxy_endpoints

create_instance: Callable[[str, Props, str], Created] = provisioners._rds_db_instance_create
update_instance: Callable[..., Created] = provisioners._rds_db_instance_update
delete_instance: Callable[[str, Props], None] = provisioners._rds_db_instance_delete
instance_attributes: Callable[[Props], dict[str, str]] = provisioners._rds_db_instance_attrs
create_cluster: Callable[[str, Props, str], Created] = provisioners._rds_db_cluster_create
update_cluster: Callable[..., Created] = provisioners._rds_db_cluster_update
delete_cluster: Callable[[str, Props], None] = provisioners._rds_db_cluster_delete
cluster_attributes: Callable[[Props], dict[str, str]] = provisioners._rds_db_cluster_attrs

RdsAction = Callable[[dict[str, str]], tuple[int, Any, bytes]]
create_db_proxy: RdsAction = rds._create_db_proxy
modify_db_proxy: RdsAction = rds._modify_db_proxy
delete_db_proxy: RdsAction = rds._delete_db_proxy
modify_db_proxy_target_group: RdsAction = rds._modify_db_proxy_target_group
register_db_proxy_targets: RdsAction = rds._register_db_proxy_targets


def call_rds(action: RdsAction, props: Props, resource_type: str) -> None:
    """Call an action of the RDS API; an error becomes an exception, with which CloudFormation fails the resource."""
    provisioners._rds_call(action, provisioners._ec_query(props), resource_type, "request")


def use_database_functions(
    *,
    create_instance: Callable[..., Created],
    delete_instance: Callable[..., None],
    create_cluster: Callable[..., Created],
    delete_cluster: Callable[..., None],
) -> None:
    """Replace the functions that an update with a replacement calls, past the table of resource types."""
    provisioners._rds_db_instance_create, provisioners._rds_db_instance_delete = create_instance, delete_instance
    provisioners._rds_db_cluster_create, provisioners._rds_db_cluster_delete = create_cluster, delete_cluster


# --- EC2, Secrets Manager, STS -------------------------------------------------------------------

security_groups: dict[str, Props] = ec2._security_groups
vpc_endpoints: dict[str, Props] = ec2._vpc_endpoints
security_group_permissions: Callable[[Sequence[Props]], list[Props]] = provisioners._ec2_sg_permissions
create_vpc_endpoint: Callable[[str, Props, str], Created] = provisioners._ec2_vpc_endpoint_create
create_secret: Callable[[str, Props, str], Created] = provisioners._sm_secret_create
secret_string: Callable[[str], str | None] = secretsmanager.resolve_secret_string


def use_session_token(token: str) -> None:
    """Return this token with the credentials of every assumed role."""
    sts._gen_session_token = lambda: token


# --- CloudWatch ----------------------------------------------------------------------------------

alarms: dict[str, Props] = cloudwatch._alarms
composite_alarms: dict[str, Props] = cloudwatch._composite_alarms
metric_alarm_record: Callable[[str, Props], Props] = provisioners._cw_metric_alarm_record
create_metric_alarm: Callable[[str, Props, str], Created] = provisioners._cw_metric_alarm_create
evaluate_alarm: Callable[[Props], None] = cloudwatch._evaluate_alarm


def use_alarm_functions(*, record: Callable[[str, Props], Props], evaluate: Callable[[Props], None]) -> None:
    """Replace how an alarm's record is made, and how an alarm is evaluated after PutMetricData."""
    provisioners._cw_metric_alarm_record = record
    cloudwatch._evaluate_alarm = evaluate


def set_alarm_state(name: str, state: str, reason: str) -> None:
    """SetAlarmState: the alarm's actions run, and composite alarms follow."""
    change = {"AlarmName": name, "StateValue": state, "StateReason": reason}
    cloudwatch._set_alarm_state({}, change, False, True)


def put_composite_alarm(name: str, props: Props) -> str:
    """PutCompositeAlarm; return the ARN.

    Raises:
        ValueError: the properties are invalid.
    """
    status, _, body = cloudwatch._put_composite_alarm({}, {**props, "AlarmName": name}, False, True)
    if status >= 400:
        raise ValueError(f"AWS::CloudWatch::CompositeAlarm {name} failed: {body!r}")
    return str(composite_alarms[name]["AlarmArn"])


def delete_alarms(*names: str) -> None:
    """DeleteAlarms."""
    cloudwatch._delete_alarms({}, {"AlarmNames": list(names)}, False, True)


def put_metric(
    namespace: str, name: str, dimensions: Mapping[str, str], timestamp: float, unit: str, value: float, *, keep: int
) -> None:
    """PutMetricData with one value, without evaluating alarms; only the latest `keep` values are kept."""
    cloudwatch._store_datum(namespace, name, dict(dimensions), timestamp, unit, value, None, None, None)
    bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dict(dimensions))))
    del bucket[:-keep]


def put_log_lines(group: str, stream: str, lines: Sequence[tuple[int, str]]) -> None:
    """PutLogEvents: lines with their timestamps in milliseconds. A missing group or stream is created."""
    place = {"logGroupName": group, "logStreamName": stream}
    # For one that exists, both return an error, not an exception.
    cloudwatch_logs._create_log_group(place)
    cloudwatch_logs._create_log_stream(place)
    events = [{"timestamp": timestamp, "message": message} for timestamp, message in lines]
    cloudwatch_logs._put_log_events({**place, "logEvents": events})
