"""CloudFormation resource types that ministack 1.5.33 lacks, or has as records only, registered in its own table.

Its table `provisioners._RESOURCE_HANDLERS` maps a type to functions: create(logical_id, props, stack_name) and
update(physical_id, old_props, new_props, stack_name) return (physical_id, attributes), delete(physical_id, props)
nothing. It is ministack's internals, hence the exact version in this package's requirements.

This module runs in the local cloud's process only. It must not know the story.
"""

# ruff: noqa: ARG001 - ministack calls the functions of its table with all these arguments

import functools
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any, Final

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, rds, secretsmanager
from ministack.services.cloudformation import changesets, custom_resource, provisioners, stacks
from ministack.services.cloudformation import handlers as actions

from ..emulator import Authentication, EmulatorOptions
from .cloudwatch import Publication, alarm_handlers
from .databases import Database, Databases, scoped
from .proxies import Proxies

__all__ = ["register"]

Props = dict[str, Any]
Attributes = dict[str, str]
Created = tuple[str, Attributes]
Handlers = dict[str, Any]
Report = Callable[[dict[str, Any]], None]


def register(databases: Databases, proxies: Proxies, report: Report) -> list[str]:
    """Complete ministack's table, and return the types that are more than a plain record.

    Args:
        databases: starts the databases behind instances and clusters.
        proxies: starts the emulators behind proxies.
        report: called with every request to a custom resource.
    """
    table = provisioners._RESOURCE_HANDLERS
    for resource_type, handlers in {
        **_database_handlers(databases),
        **_proxy_handlers(databases, proxies),
        **_security_group_rule_handlers(),
        **_vpc_endpoint_handlers(),
        **alarm_handlers(),
    }.items():
        table[resource_type] = {**table.get(resource_type, {}), **handlers}
    for resource_type in filter(_is_recordable, table):
        table[resource_type] = _with_any_attribute(table[resource_type])
    provisioners._REPLACING_PROPERTIES.update(_CREATE_ONLY)
    provisioners._CUSTOM_NAME_REPLACEMENT["AWS::RDS::DBProxy"] = {"name": "DBProxyName"}
    # `changesets` is the one other module that binds the table when it is imported.
    provisioners._RESOURCE_HANDLERS = changesets._RESOURCE_HANDLERS = _AnyType(table)
    _report_custom_resources(report)
    _keep_what_a_rollback_could_not_delete()
    return sorted(table)


class _AnyType(dict[str, Handlers]):
    """The table, in which every other AWS type is a plain record, so that any app deploys."""

    def __contains__(self, resource_type: object) -> bool:
        return super().__contains__(resource_type) or _is_recordable(resource_type)

    def get(self, resource_type: str, default: Any = None) -> Any:
        if super().__contains__(resource_type) or not _is_recordable(resource_type):
            return super().get(resource_type, default)
        return {"create": _record, "update": _keep_record, "delete": lambda *_: None}


class _AnyAttribute(dict[str, str]):
    """A resource's attributes; for one that ministack leaves out, the property of that name or a made-up text."""

    def __init__(self, attributes: Attributes, props: Props, physical_id: str) -> None:
        super().__init__(attributes)
        self._props = props
        self._physical_id = physical_id
        self["__physical_id__"] = physical_id  # not empty: ministack forgets empty attributes

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, attribute: str) -> str:
        made_up = f"{self._physical_id}-{attribute.replace('.', '-').lower()}"
        return str(self._props.get(attribute, made_up))


def _is_recordable(resource_type: object) -> bool:
    # AWS::CloudFormation types that are not in the table are ministack's own no-operations.
    return (
        isinstance(resource_type, str)
        and resource_type.startswith("AWS::")
        and not resource_type.startswith("AWS::CloudFormation::")
    )


def _with_any_attribute(handlers: Handlers) -> Handlers:
    """Handlers whose results have every attribute."""
    completed = dict(handlers)
    for name, place in (("create", 1), ("update", 2)):
        if name in handlers:
            completed[name] = _completing(handlers[name], place)
    return completed


def _completing(function: Callable[..., Created], place_of_props: int) -> Callable[..., Created]:
    @functools.wraps(function)
    def complete(*arguments: Any, **named: Any) -> Created:
        physical_id, attributes = function(*arguments, **named)
        return physical_id, _AnyAttribute(attributes, arguments[place_of_props], physical_id)

    return complete


def _record(logical_id: str, props: Props, stack_name: str) -> Created:
    physical_id = f"{stack_name}-{logical_id}-{_digest(stack_name, logical_id)}"
    return physical_id, _AnyAttribute({}, props, physical_id)


def _keep_record(physical_id: str, old: Props, new: Props, stack_name: str) -> Created:
    return physical_id, _AnyAttribute({}, new, physical_id)


def _report_custom_resources(report: Report) -> None:
    invoke = custom_resource.invoke_custom_resource

    def reporting(
        request_type: str,
        logical_id: str,
        props: Props,
        stack_name: str,
        stack_id: str,
        resource_type: str,
        *rest: Any,
        **named: Any,
    ) -> Any:
        report(
            {
                "request": request_type,
                "type": resource_type,
                "account": get_account_id(),
                "region": get_region(),
                "stack": stack_name,
                "logical_id": logical_id,
                "properties": props,
            }
        )
        return invoke(request_type, logical_id, props, stack_name, stack_id, resource_type, *rest, **named)

    custom_resource.invoke_custom_resource = reporting


def _keep_what_a_rollback_could_not_delete() -> None:
    """Leave in a stack that is ROLLBACK_FAILED what made it so, as CloudFormation does; ministack forgets it.

    Deleting the stack then tries again to delete these resources.
    """
    roll_back = stacks._roll_back_operation

    async def keeping(stack_name: str, stack_id: str, stack: Props, *arguments: Any, **named: Any) -> None:
        before = dict(stack.get("_resources", {}))
        await roll_back(stack_name, stack_id, stack, *arguments, **named)
        if stack["StackStatus"] == "ROLLBACK_FAILED":
            failed = stack["_rollback_failed"]
            stack["_resources"].update({name: {**before[name], "ResourceStatus": "DELETE_FAILED"} for name in failed})

    stacks._roll_back_operation = actions._roll_back_operation = keeping


# --- Databases -----------------------------------------------------------------------------------


def _database_handlers(databases: Databases) -> dict[str, Handlers]:
    create_plain_instance = provisioners._rds_db_instance_create
    create_plain_cluster = provisioners._rds_db_cluster_create
    update_plain_instance = provisioners._rds_db_instance_update
    update_plain_cluster = provisioners._rds_db_cluster_update

    def create_instance(logical_id: str, props: Props, stack_name: str) -> Created:
        props, secret_arn = _with_password(props, stack_name, logical_id)
        name, attributes = create_plain_instance(logical_id, props, stack_name)
        record = rds._instances[name]
        source = props.get("DBClusterIdentifier") or props.get("SourceDBInstanceIdentifier")
        if source:
            database = databases.share(_key(name), _key(source))
        else:
            database = _start(databases, name, props, record, props.get("DBName"))
        if database is not None:
            record["Endpoint"].update(Address=database.host, Port=database.port)
            record["DBName"] = props.get("DBName", "")
            attributes = provisioners._rds_db_instance_attrs(record)
        return name, _with_secret(attributes, secret_arn)

    def create_cluster(logical_id: str, props: Props, stack_name: str) -> Created:
        props, secret_arn = _with_password(props, stack_name, logical_id)
        name, attributes = create_plain_cluster(logical_id, props, stack_name)
        record = rds._clusters[name]
        database = _start(databases, name, props, record, props.get("DatabaseName"))
        if database is not None:
            record.update(Endpoint=database.host, ReaderEndpoint=database.host, Port=database.port)
            attributes = provisioners._rds_db_cluster_attrs(record)
        return name, _with_secret(attributes, secret_arn)

    def update_instance(name: str, old: Props, new: Props, stack_name: str, logical_id: str | None = None) -> Created:
        return _updated(databases, rds._instances, update_plain_instance, name, old, new, stack_name, logical_id)

    def update_cluster(name: str, old: Props, new: Props, stack_name: str, logical_id: str | None = None) -> Created:
        return _updated(databases, rds._clusters, update_plain_cluster, name, old, new, stack_name, logical_id)

    delete_instance = _refusing(rds._instances, "DB Instance", provisioners._rds_db_instance_delete)
    delete_cluster = _refusing(rds._clusters, "Cluster", provisioners._rds_db_cluster_delete)
    # A replacement calls its module's own create and delete.
    provisioners._rds_db_instance_create, provisioners._rds_db_instance_delete = create_instance, delete_instance
    provisioners._rds_db_cluster_create, provisioners._rds_db_cluster_delete = create_cluster, delete_cluster
    return {
        "AWS::RDS::DBInstance": {
            "create": create_instance,
            "update": update_instance,
            "update_with_logical_id": True,
            "delete": delete_instance,
        },
        "AWS::RDS::DBCluster": {
            "create": create_cluster,
            "update": update_cluster,
            "update_with_logical_id": True,
            "delete": delete_cluster,
        },
    }


def _refusing(records: dict[str, Props], kind: str, delete: Callable[[str, Props], None]) -> Callable[..., None]:
    """A delete that fails with RDS's message if the record is protected; ministack's CloudFormation deletes it."""

    def delete_unless_protected(name: str, props: Props) -> None:
        if records.get(name, {}).get("DeletionProtection"):
            raise ValueError(
                f"Cannot delete protected {kind}, please disable deletion protection and try again. "
                "(Service: Rds, Status Code: 400)"
            )
        delete(name, props)

    return delete_unless_protected


def _start(databases: Databases, name: str, props: Props, record: Props, database: str | None) -> Database | None:
    """Start PostgreSQL for the record; an instance or cluster of another engine stays a record."""
    if props.get("Engine") not in ("postgres", "aurora-postgresql"):
        return None
    return databases.create(
        _key(name),
        version=record["EngineVersion"],
        user=record["MasterUsername"],
        password=record["_MasterUserPassword"],
        database=database or None,
    )


def _updated(
    databases: Databases,
    records: dict[str, Props],
    update: Callable[..., Created],
    name: str,
    old: Props,
    new: Props,
    stack_name: str,
    logical_id: str | None,
) -> Created:
    """Update a record in place, keeping where its database is and passing a new password on."""
    before = dict(records.get(name, {}))
    physical_id, attributes = update(name, old, new, stack_name, logical_id)
    database = databases.get(_key(name))
    if physical_id == name and database is not None:
        records[name].update({key: before[key] for key in ("Endpoint", "ReaderEndpoint") if key in before})
        if isinstance(before["Endpoint"], str):
            records[name]["Port"] = database.port
            attributes = provisioners._rds_db_cluster_attrs(records[name])
        else:
            attributes = provisioners._rds_db_instance_attrs(records[name])
        password = new.get("MasterUserPassword")
        if password and password != old.get("MasterUserPassword"):
            database.set_password(before["MasterUsername"], password)
    return physical_id, attributes


def _with_password(props: Props, stack_name: str, logical_id: str) -> tuple[Props, str | None]:
    """Make the secret that RDS would manage, which holds the user's name and password and nothing else."""
    if not provisioners._cfn_bool(props.get("ManageMasterUserPassword", False)):
        return props, None
    password = secrets.token_urlsafe(24)
    value = json.dumps({"username": props.get("MasterUsername", "admin"), "password": password})
    name = f"rds!db-{_digest(stack_name, logical_id)}"
    _, attributes = provisioners._sm_secret_create(logical_id, {"Name": name, "SecretString": value}, stack_name)
    return {**props, "MasterUserPassword": password}, attributes["Arn"]


def _with_secret(attributes: Attributes, secret_arn: str | None) -> Attributes:
    return {**attributes, "MasterUserSecret.SecretArn": secret_arn} if secret_arn else attributes


# --- Proxies -------------------------------------------------------------------------------------


_CREATE_ONLY: Final = {
    "AWS::RDS::DBProxy": (
        "DBProxyName",
        "EngineFamily",
        "VpcSubnetIds",
        "EndpointNetworkType",
        "TargetConnectionNetworkType",
    ),
    "AWS::RDS::DBProxyTargetGroup": ("DBProxyName", "TargetGroupName"),
}
"""A change of these is a replacement, which CloudFormation refuses where a proxy keeps its name. Source: the types'
schemas, ``createOnlyProperties``; aws-cdk issue 28369 for the refusal."""


def _proxy_handlers(databases: Databases, proxies: Proxies) -> dict[str, Handlers]:
    def create(logical_id: str, props: Props, stack_name: str) -> Created:
        name = props["DBProxyName"]
        _call(rds._create_db_proxy, props)
        rds._db_proxies[name]["Endpoint"] = rds._db_proxy_endpoints[name]["Endpoint"] = proxies.create(_key(name))
        return name, _proxy_attributes(name)

    def update(name: str, old: Props, new: Props, stack_name: str) -> Created:
        _call(rds._modify_db_proxy, {**new, "SecurityGroups": new.get("VpcSecurityGroupIds", [])})
        _serve(name, databases, proxies)
        return name, _proxy_attributes(name)

    def delete(name: str, props: Props) -> None:
        if name in rds._db_proxies:
            proxies.delete(_key(name))
            _call(rds._delete_db_proxy, {"DBProxyName": name})

    def create_target_group(logical_id: str, props: Props, stack_name: str) -> Created:
        """Every proxy has its one target group from the start: creating it means to fill it in."""
        name = props["DBProxyName"]
        group = {"DBProxyName": name, "TargetGroupName": "default"}
        _call(
            rds._modify_db_proxy_target_group,
            {**group, "ConnectionPoolConfig": props.get("ConnectionPoolConfigurationInfo") or {}},
        )
        targets = {key: props.get(key) or [] for key in ("DBInstanceIdentifiers", "DBClusterIdentifiers")}
        rds._db_proxies[name]["Targets"].clear()
        if any(targets.values()):
            _call(rds._register_db_proxy_targets, {**group, **targets})
        _serve(name, databases, proxies)
        arn = rds._db_proxies[name]["TargetGroup"]["TargetGroupArn"]
        return arn, {"TargetGroupArn": arn}

    def delete_target_group(arn: str, props: Props) -> None:
        proxy = rds._db_proxies.get(props["DBProxyName"])
        if proxy:
            proxy["Targets"].clear()
            proxies.stop(_key(props["DBProxyName"]))

    return {
        "AWS::RDS::DBProxy": {"create": create, "update": update, "delete": delete},
        "AWS::RDS::DBProxyTargetGroup": {
            "create": create_target_group,
            "update": lambda _, __, props, stack_name: create_target_group("", props, stack_name),
            "delete": delete_target_group,
        },
    }


def _proxy_attributes(name: str) -> Attributes:
    proxy = rds._db_proxies[name]
    return {"DBProxyArn": proxy["DBProxyArn"], "Endpoint": proxy["Endpoint"], "VpcId": proxy["VpcId"]}


def _serve(name: str, databases: Databases, proxies: Proxies) -> None:
    """Let a proxy serve its target as it is described; without a target that is a database here, nobody."""
    proxy = rds._db_proxies[name]
    target = next((databases.get(_key(one["RdsResourceId"])) for one in proxy["Targets"]), None)
    if target is None:
        proxies.stop(_key(name))
        return
    pool = proxy["TargetGroup"]["ConnectionPoolConfig"]
    most = target.max_connections()
    methods = {one.get("ClientPasswordAuthType") for one in proxy["Auth"]}
    options = EmulatorOptions(
        # How RDS rounds is not known.
        pool_size=max(1, most * int(pool["MaxConnectionsPercent"]) // 100),
        max_idle=most * int(pool["MaxIdleConnectionsPercent"]) // 100,
        authentication=Authentication.MD5 if methods == {"POSTGRES_MD5"} else Authentication.SCRAM,
        users=_users(proxy),
        tls=proxies.tls,
        require_tls=proxy["RequireTLS"],
        # An emulator wants more than the 0 that AWS allows.
        borrow_timeout=max(0.001, float(pool["ConnectionBorrowTimeout"])),
        idle_client_timeout=float(proxy["IdleClientTimeout"]),
    )
    proxies.serve(_key(name), target, options, log=proxy["DebugLogging"], publish=Publication(name))


def _users(proxy: Props) -> dict[str, str]:
    """The names and passwords in the proxy's secrets."""
    users = {}
    for one in proxy["Auth"]:
        text = secretsmanager.resolve_secret_string(one.get("SecretArn", ""))
        secret = json.loads(text) if text else {}
        if "username" in secret and "password" in secret:
            users[secret["username"]] = secret["password"]
    return users


def _call(function: Callable[[dict[str, str]], tuple[int, Any, bytes]], props: Props) -> None:
    """Call a function of ministack's RDS as its API would, and turn its error into an exception."""
    provisioners._rds_call(function, provisioners._ec_query(props), "AWS::RDS::DBProxy", "request")


# --- Security groups -----------------------------------------------------------------------------


def _security_group_rule_handlers() -> dict[str, Handlers]:
    def handlers(permissions: str) -> dict[str, Any]:
        def create(logical_id: str, props: Props, stack_name: str) -> Created:
            rule_id = f"sgr-{_digest(stack_name, logical_id)}"
            group = ec2._security_groups.get(props["GroupId"])
            if group is not None:
                group.setdefault(permissions, []).extend(provisioners._ec2_sg_permissions([props]))
            return rule_id, {"Id": rule_id}

        def update(rule_id: str, old: Props, new: Props, stack_name: str) -> Created:
            delete(rule_id, old)
            create(rule_id, new, stack_name)
            return rule_id, {"Id": rule_id}

        def delete(rule_id: str, props: Props) -> None:
            group = ec2._security_groups.get(props["GroupId"])
            if group is not None:
                gone = provisioners._ec2_sg_permissions([props])
                group[permissions] = [rule for rule in group.get(permissions, []) if rule not in gone]

        return {"create": create, "update": update, "delete": delete}

    return {
        "AWS::EC2::SecurityGroupIngress": handlers("IpPermissions"),
        "AWS::EC2::SecurityGroupEgress": handlers("IpPermissionsEgress"),
    }


def _key(name: str) -> str:
    """The name in the account and region of the stack that is being deployed."""
    return scoped(name, get_account_id(), get_region())


# --- VPC endpoints -------------------------------------------------------------------------------


def _vpc_endpoint_handlers() -> dict[str, Handlers]:
    """Endpoints of which, as on AWS, one of a service and VPC has private DNS.

    Source of the message: terraform-provider-aws issue 17535.
    """

    def create(logical_id: str, props: Props, stack_name: str) -> Created:
        vpc, service = props.get("VpcId"), props.get("ServiceName")
        for endpoint_id, other in ec2._vpc_endpoints.items():
            same = (other["VpcId"], other["ServiceName"]) == (vpc, service)
            if same and _has_private_dns(other) and _has_private_dns(props):
                raise ValueError(
                    "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                    f"{service} in the VPC {vpc} ({endpoint_id})"
                )
        created: Created = provisioners._ec2_vpc_endpoint_create(logical_id, props, stack_name)
        return created

    return {"AWS::EC2::VPCEndpoint": {"create": create}}


def _has_private_dns(endpoint: Props) -> bool:
    return bool(provisioners._cfn_bool(endpoint.get("PrivateDnsEnabled", False)))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:17]
