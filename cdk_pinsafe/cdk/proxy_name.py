"""The default name of a proxy, which changes whenever CloudFormation has to replace the proxy.

CloudFormation creates the replacement before it deletes the proxy, and refuses that under a name that stays:
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
    """A name made of the construct's path and of what the proxy cannot change while it exists, in lower case.

    Args:
        scope: the construct that the name is for.
        proxy: with all its properties but the name; a later change of one that needs a replacement fails the synth.
    """
    readable = Names.unique_resource_name(scope, max_length=MAX_NAME_LENGTH - 1 - _DIGITS)
    create_only = _create_only(proxy)
    identity = {name: _identity(proxy, value) for name, value in create_only.items() if value is not None}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    scope.node.add_validation(_Unchanged(proxy, create_only))
    # RDS may keep identifiers in lower case (inferred), and the log group's name has to match.
    return f"{readable}-{digest}".lower()


def _create_only(proxy: rds.CfnDBProxy) -> dict[str, Any]:
    """The properties that need a replacement, but for the name.

    Source: ``createOnlyProperties`` of the CloudFormation schema of ``AWS::RDS::DBProxy``.
    """
    return {
        "EngineFamily": proxy.engine_family,
        "EndpointNetworkType": proxy.endpoint_network_type,
        "TargetConnectionNetworkType": proxy.target_connection_network_type,
        # Their order does not matter to CloudFormation (``insertionOrder`` of the schema).
        "VpcSubnetIds": sorted(proxy.vpc_subnet_ids),
    }


def _identity(proxy: rds.CfnDBProxy, value: str | list[str]) -> Any:
    stack = Stack.of(proxy)
    if isinstance(value, list):
        # A list that only the deployment knows is one token.
        resolved = stack.resolve(value)
        is_known = isinstance(resolved, list) and len(resolved) == len(value)
        return sorted((_identity(proxy, one) for one in value), key=json.dumps) if is_known else resolved
    parts: list[Any] = [stack.resolve(value)]
    for token in Tokenization.reverse_string(value).tokens:
        if Reference.is_reference(token):
            target = token.target  # type: ignore[attr-defined] # a Reference, as was asked
            home = Stack.of(target)
            if home != stack:
                # The same logical id may be in both.
                parts.append(stack.resolve(home.stack_name))
            if isinstance(target, ec2.CfnSubnet):
                # A subnet that is replaced keeps its logical id.
                parts.append(home.resolve([target.availability_zone, target.cidr_block]))
    return parts


@jsii.implements(IValidation)
class _Unchanged:
    """Fails the synth of a proxy that was changed after its name was made."""

    def __init__(self, proxy: rds.CfnDBProxy, create_only: dict[str, Any]) -> None:
        self._proxy = proxy
        self._create_only = create_only

    def validate(self) -> list[str]:
        return [
            f"'db_proxy_name' should be given where {name} is changed on the proxy's resource, got none: the default "
            "name does not follow that change, and CloudFormation refuses to replace a proxy under the name it has"
            for name, value in _create_only(self._proxy).items()
            if value != self._create_only[name]
        ]
