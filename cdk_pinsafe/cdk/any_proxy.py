"""Name, ARN and log group of a proxy, whatever construct it is."""

from typing import Final, TypeAlias, cast

from aws_cdk import Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from ..rds_proxy import log_group_name
from .checks import check_proxy_name

Proxy: TypeAlias = rds.IDatabaseProxy | rds.CfnDBProxy
"""A proxy of this library or of CDK, made here or imported."""

_LOG_RETENTION: Final = "PinSafeLogRetention"


def name_of(construct: Construct, prop: str, proxy: Proxy | str) -> str:
    """The proxy's name (``DBProxyName``); raises ConfigurationError for a name that RDS does not take."""
    if isinstance(proxy, str):
        check_proxy_name(construct, prop, proxy)
        return proxy
    return proxy.ref if isinstance(proxy, rds.CfnDBProxy) else proxy.db_proxy_name


def arn_of(proxy: Proxy) -> str:
    """The proxy's ARN."""
    return proxy.attr_db_proxy_arn if isinstance(proxy, rds.CfnDBProxy) else proxy.db_proxy_arn


def log_group_of(scope: Construct, name: str, proxy: Proxy | str) -> logs.ILogGroup:
    """The proxy's log group, for resources below ``scope`` that need it to exist.

    It is the group of a :class:`PinSafeProxy`; for CDK's proxies, a group of the proxy's stack that has the right name.
    If there is none, CDK's ``LogRetention`` gives the group an expiry of one month, and creates it if RDS has not done
    so: a plain ``LogGroup`` could not be created for a proxy that exists, nor under a name that refers to the proxy.
    The group of an imported proxy, or of a name, has to exist.
    """
    own = getattr(proxy, "log_group", None)
    if isinstance(own, logs.LogGroup):
        return own
    resource = _resource(proxy)
    if resource is not None:
        if found := _find(scope, resource):
            return found
        holder = cast("Construct", proxy)
        scope.node.add_dependency(
            holder.node.try_find_child(_LOG_RETENTION)
            or logs.LogRetention(
                holder,
                _LOG_RETENTION,
                log_group_name=log_group_name(name),
                retention=logs.RetentionDays.ONE_MONTH,
            )
        )
    return _imported(scope, log_group_name(name))


def _resource(proxy: Proxy | str) -> rds.CfnDBProxy | None:
    """The proxy's resource if this app makes it."""
    resource = proxy if isinstance(proxy, str | rds.CfnDBProxy) else proxy.node.default_child
    return resource if isinstance(resource, rds.CfnDBProxy) else None


def _find(scope: Construct, resource: rds.CfnDBProxy) -> logs.ILogGroup | None:
    """The log group of the proxy's stack that has the proxy's name, as a literal or by a reference."""
    stack = Stack.of(resource)
    names = [stack.resolve(log_group_name(name)) for name in (resource.db_proxy_name, resource.ref)]
    for construct in stack.node.find_all():
        if isinstance(construct, logs.CfnLogGroup) and stack.resolve(construct.log_group_name) in names:
            own = construct.node.scope
            return own if isinstance(own, logs.LogGroup) else _imported(scope, construct.ref)
    return None


def _imported(scope: Construct, name: str) -> logs.ILogGroup:
    return logs.LogGroup.from_log_group_name(scope, "LogGroup", name)
