"""CloudFormation resource types that ministack lacks, or only records.

Each is a set of `Handlers` in ministack's table. A new type needs its handlers here, in a function that
`register` calls. This module runs in the local cloud's process only.
"""

# ruff: noqa: ARG001 - all handlers have the arguments that ministack passes

import functools
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any, Final

from ..emulator import Authentication, EmulatorOptions
from . import ministack_adapter as ministack
from .cloudwatch import Publication, alarm_handlers
from .databases import Database, Databases, scoped
from .ministack_adapter import Created, Handlers, Props
from .proxies import Proxies

__all__ = ["register"]

Attributes = dict[str, str]
Report = Callable[[dict[str, Any]], None]


def register(databases: Databases, proxies: Proxies, report: Report) -> list[str]:
    """Add the handlers to ministack's table, and return the types that it does more for than record them.

    Args:
        databases: starts the databases of instances and clusters.
        proxies: starts the emulators of proxies.
        report: called with every request to a custom resource.
    """
    table = ministack.resource_handlers
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
    ministack.create_only_properties.update(_CREATE_ONLY)
    ministack.custom_name_properties["AWS::RDS::DBProxy"] = {"name": "DBProxyName"}
    ministack.use_resource_handlers(_AnyType(table))
    ministack.use_rollback_that_keeps_failures()

    def observe(request_type: str, resource_type: str, stack_name: str, logical_id: str, props: Props) -> None:
        report(
            {
                "request": request_type,
                "type": resource_type,
                "account": ministack.account_id(),
                "region": ministack.region(),
                "stack": stack_name,
                "logical_id": logical_id,
                "properties": props,
            }
        )

    ministack.use_custom_resource_observer(observe)
    return sorted(table)


class _AnyType(dict[str, Handlers]):
    """The table, in which all other AWS types are recorded, so that any app deploys."""

    def __contains__(self, resource_type: object) -> bool:
        return super().__contains__(resource_type) or _is_recordable(resource_type)

    def get(self, resource_type: str, default: Any = None) -> Any:
        if super().__contains__(resource_type) or not _is_recordable(resource_type):
            return super().get(resource_type, default)
        return {"create": _record, "update": _keep_record, "delete": lambda *_: None}


class _AnyAttribute(dict[str, str]):
    """A resource's attributes. One that ministack lacks is the property of the same name, or a made-up text."""

    def __init__(self, attributes: Attributes, props: Props, physical_id: str) -> None:
        super().__init__(attributes)
        self._props = props
        self._physical_id = physical_id
        self["__physical_id__"] = physical_id  # not empty: ministack drops empty attributes

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, attribute: str) -> str:
        made_up = f"{self._physical_id}-{attribute.replace('.', '-').lower()}"
        return str(self._props.get(attribute, made_up))


def _is_recordable(resource_type: object) -> bool:
    # ministack itself handles the AWS::CloudFormation types that are not in the table, as no-operations.
    return (
        isinstance(resource_type, str)
        and resource_type.startswith("AWS::")
        and not resource_type.startswith("AWS::CloudFormation::")
    )


def _with_any_attribute(handlers: Handlers) -> Handlers:
    """Wrap handlers so that their resources have every attribute."""
    wrapped = dict(handlers)
    for name, props_position in (("create", 1), ("update", 2)):
        if name in handlers:
            wrapped[name] = _wrap_attributes(handlers[name], props_position)
    return wrapped


def _wrap_attributes(handler: Callable[..., Created], props_position: int) -> Callable[..., Created]:
    @functools.wraps(handler)
    def wrapped(*arguments: Any, **named: Any) -> Created:
        physical_id, attributes = handler(*arguments, **named)
        return physical_id, _AnyAttribute(attributes, arguments[props_position], physical_id)

    return wrapped


def _record(logical_id: str, props: Props, stack_name: str) -> Created:
    physical_id = f"{stack_name}-{logical_id}-{_digest(stack_name, logical_id)}"
    return physical_id, _AnyAttribute({}, props, physical_id)


def _keep_record(physical_id: str, old: Props, new: Props, stack_name: str) -> Created:
    return physical_id, _AnyAttribute({}, new, physical_id)


# --- Databases -----------------------------------------------------------------------------------


def _database_handlers(databases: Databases) -> dict[str, Handlers]:
    def create_instance(logical_id: str, props: Props, stack_name: str) -> Created:
        props, secret_arn = _with_password(props, stack_name, logical_id)
        name, attributes = ministack.create_instance(logical_id, props, stack_name)
        record = ministack.instances[name]
        source = props.get("DBClusterIdentifier") or props.get("SourceDBInstanceIdentifier")
        if source:
            database = databases.share(_key(name), _key(source))
        else:
            database = _start(databases, name, props, record, props.get("DBName"))
        if database is not None:
            record["Endpoint"].update(Address=database.host, Port=database.port)
            record["DBName"] = props.get("DBName", "")
            attributes = ministack.instance_attributes(record)
        return name, _with_secret(attributes, secret_arn)

    def create_cluster(logical_id: str, props: Props, stack_name: str) -> Created:
        props, secret_arn = _with_password(props, stack_name, logical_id)
        name, attributes = ministack.create_cluster(logical_id, props, stack_name)
        record = ministack.clusters[name]
        database = _start(databases, name, props, record, props.get("DatabaseName"))
        if database is not None:
            record.update(Endpoint=database.host, ReaderEndpoint=database.host, Port=database.port)
            attributes = ministack.cluster_attributes(record)
        return name, _with_secret(attributes, secret_arn)

    def update_instance(name: str, old: Props, new: Props, stack_name: str, logical_id: str | None = None) -> Created:
        before = dict(ministack.instances.get(name, {}))
        physical_id, attributes = ministack.update_instance(name, old, new, stack_name, logical_id)
        database = databases.get(_key(name))
        if physical_id == name and database is not None:
            record = ministack.instances[name]
            record["Endpoint"] = before["Endpoint"]
            attributes = ministack.instance_attributes(record)
            _update_password(database, before["MasterUsername"], old, new)
        return physical_id, attributes

    def update_cluster(name: str, old: Props, new: Props, stack_name: str, logical_id: str | None = None) -> Created:
        before = dict(ministack.clusters.get(name, {}))
        physical_id, attributes = ministack.update_cluster(name, old, new, stack_name, logical_id)
        database = databases.get(_key(name))
        if physical_id == name and database is not None:
            record = ministack.clusters[name]
            record.update({key: before[key] for key in ("Endpoint", "ReaderEndpoint", "Port")})
            attributes = ministack.cluster_attributes(record)
            _update_password(database, before["MasterUsername"], old, new)
        return physical_id, attributes

    delete_instance = _delete_unless_protected(ministack.instances, "DB Instance", ministack.delete_instance)
    delete_cluster = _delete_unless_protected(ministack.clusters, "Cluster", ministack.delete_cluster)
    ministack.use_database_functions(
        create_instance=create_instance,
        delete_instance=delete_instance,
        create_cluster=create_cluster,
        delete_cluster=delete_cluster,
    )
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


def _delete_unless_protected(
    records: dict[str, Props], kind: str, delete: Callable[[str, Props], None]
) -> Callable[..., None]:
    """A delete handler that fails with RDS's message for a protected database; ministack's deletes it."""

    def delete_unless_protected(name: str, props: Props) -> None:
        if records.get(name, {}).get("DeletionProtection"):
            raise ValueError(
                f"Cannot delete protected {kind}, please disable deletion protection and try again. "
                "(Service: Rds, Status Code: 400)"
            )
        delete(name, props)

    return delete_unless_protected


def _start(databases: Databases, name: str, props: Props, record: Props, database: str | None) -> Database | None:
    """Start PostgreSQL for an instance or cluster; one of another engine is only recorded."""
    if props.get("Engine") not in ("postgres", "aurora-postgresql"):
        return None
    return databases.create(
        _key(name),
        version=record["EngineVersion"],
        user=record["MasterUsername"],
        password=record["_MasterUserPassword"],
        database=database or None,
    )


def _update_password(database: Database, user: str, old: Props, new: Props) -> None:
    password = new.get("MasterUserPassword")
    if password and password != old.get("MasterUserPassword"):
        database.set_password(user, password)


def _with_password(props: Props, stack_name: str, logical_id: str) -> tuple[Props, str | None]:
    """Create the secret of ManageMasterUserPassword; like RDS's it contains only the user name and the password."""
    if not ministack.as_bool(props.get("ManageMasterUserPassword", False)):
        return props, None
    password = secrets.token_urlsafe(24)
    value = json.dumps({"username": props.get("MasterUsername", "admin"), "password": password})
    name = f"rds!db-{_digest(stack_name, logical_id)}"
    _, attributes = ministack.create_secret(logical_id, {"Name": name, "SecretString": value}, stack_name)
    return {**props, "MasterUserPassword": password}, attributes["Arn"]


def _with_secret(attributes: Attributes, secret_arn: str | None) -> Attributes:
    return {**attributes, "MasterUserSecret.SecretArn": secret_arn} if secret_arn else attributes


# --- Proxies -------------------------------------------------------------------------------------


_PROXY: Final = "AWS::RDS::DBProxy"
_CREATE_ONLY: Final = {
    _PROXY: (
        "DBProxyName",
        "EngineFamily",
        "VpcSubnetIds",
        "EndpointNetworkType",
        "TargetConnectionNetworkType",
    ),
    "AWS::RDS::DBProxyTargetGroup": ("DBProxyName", "TargetGroupName"),
}
"""A change of these replaces the resource; CloudFormation rejects that for a proxy that keeps its name. Source:
``createOnlyProperties`` of the types' schemas; aws-cdk issue 28369 for the rejection."""


def _proxy_handlers(databases: Databases, proxies: Proxies) -> dict[str, Handlers]:
    def create(logical_id: str, props: Props, stack_name: str) -> Created:
        name = props["DBProxyName"]
        ministack.call_rds(ministack.create_db_proxy, props, _PROXY)
        endpoint = proxies.create(_key(name))
        ministack.db_proxies[name]["Endpoint"] = ministack.db_proxy_endpoints[name]["Endpoint"] = endpoint
        return name, _proxy_attributes(name)

    def update(name: str, old: Props, new: Props, stack_name: str) -> Created:
        request = {**new, "SecurityGroups": new.get("VpcSecurityGroupIds", [])}
        ministack.call_rds(ministack.modify_db_proxy, request, _PROXY)
        _serve(name, databases, proxies)
        return name, _proxy_attributes(name)

    def delete(name: str, props: Props) -> None:
        if name in ministack.db_proxies:
            proxies.delete(_key(name))
            ministack.call_rds(ministack.delete_db_proxy, {"DBProxyName": name}, _PROXY)

    def create_target_group(logical_id: str, props: Props, stack_name: str) -> Created:
        """Configure the target group `default`, which every proxy has from the start."""
        name = props["DBProxyName"]
        group = {"DBProxyName": name, "TargetGroupName": "default"}
        pool = {**group, "ConnectionPoolConfig": props.get("ConnectionPoolConfigurationInfo") or {}}
        ministack.call_rds(ministack.modify_db_proxy_target_group, pool, _PROXY)
        targets = {key: props.get(key) or [] for key in ("DBInstanceIdentifiers", "DBClusterIdentifiers")}
        ministack.db_proxies[name]["Targets"].clear()
        if any(targets.values()):
            ministack.call_rds(ministack.register_db_proxy_targets, {**group, **targets}, _PROXY)
        _serve(name, databases, proxies)
        arn = ministack.db_proxies[name]["TargetGroup"]["TargetGroupArn"]
        return arn, {"TargetGroupArn": arn}

    def delete_target_group(arn: str, props: Props) -> None:
        proxy = ministack.db_proxies.get(props["DBProxyName"])
        if proxy:
            proxy["Targets"].clear()
            proxies.stop(_key(props["DBProxyName"]))

    return {
        _PROXY: {"create": create, "update": update, "delete": delete},
        "AWS::RDS::DBProxyTargetGroup": {
            "create": create_target_group,
            "update": lambda _, __, props, stack_name: create_target_group("", props, stack_name),
            "delete": delete_target_group,
        },
    }


def _proxy_attributes(name: str) -> Attributes:
    proxy = ministack.db_proxies[name]
    return {"DBProxyArn": proxy["DBProxyArn"], "Endpoint": proxy["Endpoint"], "VpcId": proxy["VpcId"]}


def _serve(name: str, databases: Databases, proxies: Proxies) -> None:
    """Start the emulator of a proxy with its current options; stop it if its target is not a local database."""
    proxy = ministack.db_proxies[name]
    target = next((databases.get(_key(one["RdsResourceId"])) for one in proxy["Targets"]), None)
    if target is None:
        proxies.stop(_key(name))
        return
    pool = proxy["TargetGroup"]["ConnectionPoolConfig"]
    max_connections = target.max_connections()
    authentication_types = {one.get("ClientPasswordAuthType") for one in proxy["Auth"]}
    options = EmulatorOptions(
        # How RDS rounds is not documented.
        pool_size=max(1, max_connections * int(pool["MaxConnectionsPercent"]) // 100),
        max_idle=max_connections * int(pool["MaxIdleConnectionsPercent"]) // 100,
        authentication=Authentication.MD5 if authentication_types == {"POSTGRES_MD5"} else Authentication.SCRAM,
        users=_users(proxy),
        tls=proxies.tls,
        require_tls=proxy["RequireTLS"],
        # AWS allows 0, the emulator does not.
        borrow_timeout=max(0.001, float(pool["ConnectionBorrowTimeout"])),
        idle_client_timeout=float(proxy["IdleClientTimeout"]),
    )
    proxies.serve(_key(name), target, options, log=proxy["DebugLogging"], publish=Publication(name))


def _users(proxy: Props) -> dict[str, str]:
    """The passwords in the proxy's secrets, by user."""
    users = {}
    for one in proxy["Auth"]:
        text = ministack.secret_string(one.get("SecretArn", ""))
        secret = json.loads(text) if text else {}
        if "username" in secret and "password" in secret:
            users[secret["username"]] = secret["password"]
    return users


# --- Security groups -----------------------------------------------------------------------------


def _security_group_rule_handlers() -> dict[str, Handlers]:
    def handlers(permissions: str) -> Handlers:
        def create(logical_id: str, props: Props, stack_name: str) -> Created:
            rule_id = f"sgr-{_digest(stack_name, logical_id)}"
            group = ministack.security_groups.get(props["GroupId"])
            if group is not None:
                group.setdefault(permissions, []).extend(ministack.security_group_permissions([props]))
            return rule_id, {"Id": rule_id}

        def update(rule_id: str, old: Props, new: Props, stack_name: str) -> Created:
            delete(rule_id, old)
            create(rule_id, new, stack_name)
            return rule_id, {"Id": rule_id}

        def delete(rule_id: str, props: Props) -> None:
            group = ministack.security_groups.get(props["GroupId"])
            if group is not None:
                gone = ministack.security_group_permissions([props])
                group[permissions] = [rule for rule in group.get(permissions, []) if rule not in gone]

        return {"create": create, "update": update, "delete": delete}

    return {
        "AWS::EC2::SecurityGroupIngress": handlers("IpPermissions"),
        "AWS::EC2::SecurityGroupEgress": handlers("IpPermissionsEgress"),
    }


# --- VPC endpoints -------------------------------------------------------------------------------


def _vpc_endpoint_handlers() -> dict[str, Handlers]:
    """Endpoints, of which only one per service and VPC can have private DNS, as on AWS.

    Source of the message: terraform-provider-aws issue 17535.
    """

    def create(logical_id: str, props: Props, stack_name: str) -> Created:
        vpc, service = props.get("VpcId"), props.get("ServiceName")
        for endpoint_id, other in ministack.vpc_endpoints.items():
            same = (other["VpcId"], other["ServiceName"]) == (vpc, service)
            if same and _has_private_dns(other) and _has_private_dns(props):
                raise ValueError(
                    "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
                    f"{service} in the VPC {vpc} ({endpoint_id})"
                )
        return ministack.create_vpc_endpoint(logical_id, props, stack_name)

    return {"AWS::EC2::VPCEndpoint": {"create": create}}


def _has_private_dns(endpoint: Props) -> bool:
    return ministack.as_bool(endpoint.get("PrivateDnsEnabled", False))


# --- Names ---------------------------------------------------------------------------------------


def _key(name: str) -> str:
    """A name in the account and region of the stack that is being deployed."""
    return scoped(name, ministack.account_id(), ministack.region())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:17]
