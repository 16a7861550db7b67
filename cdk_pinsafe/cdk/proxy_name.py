"""The default name of a proxy, which changes whenever CloudFormation has to replace the proxy.

CloudFormation creates the replacement before it deletes the proxy, and refuses to do so under the same name:
"CloudFormation cannot update a stack when a custom-named resource requires replacing" (aws-cdk issue 28369, for this
very type).
"""

import hashlib
import json
from typing import Any, Final

import jsii
from aws_cdk import Names, Reference, Stack, Tokenization
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct, IValidation

from ..rds_proxy import MAX_NAME_LENGTH

_DIGITS: Final = 8


def default_name(scope: Construct, proxy: rds.CfnDBProxy) -> str:
    """A name of the construct's path and a digest of the proxy's create-only properties, in lower case.

    Args:
        scope: the construct.
        proxy: the resource with all its properties except the name. A later change of a create-only property fails the
            synth.
    """
    readable = Names.unique_resource_name(scope, max_length=MAX_NAME_LENGTH - 1 - _DIGITS)
    create_only = _create_only(proxy)
    identity = {name: _identity(proxy, value) for name, value in create_only.items() if value is not None}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    scope.node.add_validation(_Unchanged(proxy, create_only))
    # RDS may store identifiers in lower case (inferred), and the log group's name has to match.
    return f"{readable}-{digest}".lower()


def _create_only(proxy: rds.CfnDBProxy) -> dict[str, Any]:
    """The properties that need a replacement, except the name.

    Source: ``createOnlyProperties`` of the CloudFormation schema of ``AWS::RDS::DBProxy``.
    """
    return {
        "EngineFamily": proxy.engine_family,
        "EndpointNetworkType": proxy.endpoint_network_type,
        "TargetConnectionNetworkType": proxy.target_connection_network_type,
        # CloudFormation ignores their order (``insertionOrder`` of the schema).
        "VpcSubnetIds": sorted(proxy.vpc_subnet_ids),
    }


def _identity(proxy: rds.CfnDBProxy, value: str | list[str]) -> Any:
    stack = Stack.of(proxy)
    if isinstance(value, list):
        # A list that is not known before the deployment is one token.
        resolved = stack.resolve(value)
        is_known = isinstance(resolved, list) and len(resolved) == len(value)
        return sorted((_identity(proxy, one) for one in value), key=json.dumps) if is_known else resolved
    parts: list[Any] = [stack.resolve(value)]
    for token in Tokenization.reverse_string(value).tokens:
        if Reference.is_reference(token):
            target = token.target  # type: ignore[attr-defined] # a Reference, as was asked
            home = Stack.of(target)
            if home != stack:
                # Both stacks may have the same logical id.
                parts.append(stack.resolve(home.stack_name))
            if isinstance(target, ec2.CfnSubnet):
                # A replaced subnet keeps its logical id.
                parts.append(home.resolve([target.availability_zone, target.cidr_block]))
    return parts


@jsii.implements(IValidation)
class _Unchanged:
    """Fails the synth of a proxy that was changed after its name was computed."""

    def __init__(self, proxy: rds.CfnDBProxy, create_only: dict[str, Any]) -> None:
        self._proxy = proxy
        self._create_only = create_only

    def validate(self) -> list[str]:
        return [
            f"'db_proxy_name' should be given if {name} is changed on the proxy's resource, got none: the default "
            "name does not follow that change, and CloudFormation refuses to replace a proxy under the same name"
            for name, value in _create_only(self._proxy).items()
            if value != self._create_only[name]
        ]
