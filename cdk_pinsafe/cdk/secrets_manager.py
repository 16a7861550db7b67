"""The interface endpoint for Secrets Manager that an applier in isolated subnets needs.

AWS refuses a second endpoint of a service with private DNS in a VPC ("private-dns-enabled cannot be set because there
is already a conflicting DNS domain", terraform-provider-aws issue 17535), and the app may make its own anywhere in its
tree, before or after the settings. So the whole tree is searched once, when CDK begins to synthesize: an endpoint of
this library is removed if the app has one, the settings depend on the endpoint, and settings without one get a warning.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

import jsii
from aws_cdk import Aspects, IAspect, Reference, Stack, Stage, Token, Tokenization
from aws_cdk import aws_ec2 as ec2
from constructs import Construct, IConstruct, IValidation

from . import nag
from .checks import DUMMY_VPC_ID, warn

_OWN: Final = "PinSafeSecretsManager"
_SERVICE: Final = re.compile(r'\.secretsmanager"')


def add_endpoint(vpc: ec2.IVpc, subnets: ec2.SubnetSelection | None) -> None:
    """Add an endpoint to a VPC, once."""
    if vpc.node.try_find_child(_OWN) is None:
        endpoint = vpc.add_interface_endpoint(
            _OWN, service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER, subnets=subnets, open=False
        )
        # Open to the whole VPC, since private DNS sends all of its clients here. CDK would write the address range as a
        # reference, which cdk-nag cannot read.
        resource = vpc.node.default_child
        known = resource.cidr_block if isinstance(resource, ec2.CfnVPC) else None
        addresses = known or vpc.vpc_cidr_block
        endpoint.connections.allow_default_port_from(ec2.Peer.ipv4(addresses), "from the VPC")
        if Token.is_unresolved(addresses):
            reason = "open to the VPC's own address range only, which the deployment decides"
            rules = ("EC2RestrictedCommonPorts", "EC2RestrictedSSH")
            nag.acknowledge(endpoint, dict.fromkeys(rules, reason), solutions={"EC23": reason})


def require_endpoint(construct: Construct, vpc: ec2.IVpc) -> None:
    """Fails synth if the complete app has no endpoint in an imported VPC: whether the VPC has one, it cannot see."""
    construct.node.add_validation(_Requirement(construct, vpc))


def wait_for_endpoint(settings: Construct, resource: Construct, vpc: ec2.IVpc) -> None:
    """Make a resource depend on the VPC's endpoint, when the app is complete; without one, warn ``settings``."""
    dependency = _EndpointDependency(settings, resource, vpc)
    Aspects.of(resource).add(dependency)
    settings.node.add_validation(dependency)


@dataclass(frozen=True)
class _Endpoint:
    """An endpoint with private DNS: the construct that has it and its security group."""

    construct: IConstruct
    is_own: bool


@dataclass(frozen=True)
class _Endpoints:
    """The endpoints of an app by their VPC."""

    by_vpc: dict[str, list[_Endpoint]] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)


_found: WeakKeyDictionary[IConstruct, _Endpoints] = WeakKeyDictionary()


def _endpoints(root: IConstruct) -> _Endpoints:
    if root not in _found:
        found = _found[root] = _Endpoints()
        for construct in root.node.find_all():
            # The applier uses no endpoint without private DNS, and AWS allows any number of those.
            if isinstance(construct, ec2.CfnVPCEndpoint) and construct.private_dns_enabled and _serves(construct):
                scope = construct.node.scope
                holder = scope if isinstance(scope, ec2.InterfaceVpcEndpoint) else construct
                endpoint = _Endpoint(holder, holder.node.id == _OWN)
                found.by_vpc.setdefault(_identity(construct.vpc_id), []).append(endpoint)
        for vpc, endpoints in found.by_vpc.items():
            others = [endpoint for endpoint in endpoints if not endpoint.is_own]
            if others:
                for endpoint in endpoints:
                    scope = endpoint.construct.node.scope
                    if endpoint.is_own and scope is not None:
                        scope.node.try_remove_child(_OWN)
                found.by_vpc[vpc] = others
    return _found[root]


def _serves(endpoint: ec2.CfnVPCEndpoint) -> bool:
    return bool(_SERVICE.search(json.dumps(Stack.of(endpoint).resolve(endpoint.service_name))))


def _identity(vpc_id: str) -> str:
    """The path of the VPC's construct if it is in the app, otherwise the id."""
    for token in Tokenization.reverse_string(vpc_id).tokens:
        if Reference.is_reference(token) and isinstance(token.target, ec2.CfnVPC):  # type: ignore[attr-defined]
            return str(token.target.node.path)  # type: ignore[attr-defined] # a Reference, as was asked
    return vpc_id


@jsii.implements(IValidation)
class _Requirement:
    """An endpoint that has to be there, or to be spoken of."""

    def __init__(self, construct: Construct, vpc: ec2.IVpc) -> None:
        self._construct = construct
        self._vpc = vpc

    def validate(self) -> list[str]:
        """What to say about a VPC without a known endpoint."""
        if _endpoints(self._construct.node.root).by_vpc.get(_identity(self._vpc.vpc_id)):
            return []
        return [
            "'secrets_manager_endpoint' should be True or False for isolated subnets of an imported VPC, got None: "
            "without an interface endpoint for Secrets Manager the first deployment fails; True adds one, False says "
            "that the VPC has one, or another way to Secrets Manager"
        ]


@jsii.implements(IAspect, IValidation)
class _EndpointDependency:
    """The dependency of one resource on the endpoint, added when the app is complete."""

    def __init__(self, settings: Construct, resource: Construct, vpc: ec2.IVpc) -> None:
        self._settings = settings
        self._resource = resource
        self._vpc = vpc
        self._is_settled = False

    def visit(self, node: IConstruct) -> None:  # noqa: ARG002 - the interface's
        """Called for the resource and its children."""
        if self._is_settled:
            return
        self._is_settled = True
        endpoints = self._own()
        if not endpoints:
            warn(
                self._settings,
                "NoWayToSecretsManager",
                "the applier runs in isolated subnets of a VPC in which this app has no interface endpoint for "
                "Secrets Manager with private DNS: without one it cannot read the database's secret; add it with "
                "vpc.add_interface_endpoint("
                "'SecretsManager', service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER), or acknowledge "
                "'annotation::cdk-pinsafe:NoWayToSecretsManager' if it can reach Secrets Manager",
            )
            return
        endpoint = endpoints[0].construct
        if self._can_wait_for(endpoint):
            self._resource.node.add_dependency(endpoint)
        else:
            warn(
                self._settings,
                "EndpointAfterSettings",
                f"the interface endpoint for Secrets Manager, {endpoint.node.path}, is not deployed before these "
                "settings, which cannot be applied without it: make it in the stack of the VPC or of the settings, or "
                "acknowledge 'annotation::cdk-pinsafe:EndpointAfterSettings' if it is there when the settings are "
                "deployed for the first time",
            )

    def validate(self) -> list[str]:
        """An error if there are two endpoints, of which AWS refuses one."""
        vpc, found = _identity(self._vpc.vpc_id), _endpoints(self._settings.node.root)
        paths = [endpoint.construct.node.path for endpoint in self._own()]
        if len(paths) < 2 or vpc == DUMMY_VPC_ID or vpc in found.reported:
            return []
        found.reported.add(vpc)
        return [
            "'vpc' should have one interface endpoint for Secrets Manager with private DNS, as AWS refuses a second, "
            f"got {' and '.join(paths)}: remove all but one, or give the others private_dns_enabled=False"
        ]

    def _own(self) -> Sequence[_Endpoint]:
        return _endpoints(self._settings.node.root).by_vpc.get(_identity(self._vpc.vpc_id), [])

    def _can_wait_for(self, endpoint: IConstruct) -> bool:
        """Whether the endpoint's stack can be deployed before the settings'."""
        own, other = Stack.of(self._resource), Stack.of(endpoint)
        if Stage.of(own) != Stage.of(other):
            return False
        if own == other or own.nested_stack_parent or other.nested_stack_parent:
            return True
        # A stack that refers to a VPC is deployed after the VPC's.
        refers_to_own = _identity(self._vpc.vpc_id) != self._vpc.vpc_id and Stack.of(self._vpc) == own
        return not refers_to_own and not _comes_after(other, own)


def _comes_after(stack: Stack, other: Stack) -> bool:
    """Whether a stack depends on another, directly or indirectly, by dependencies that the app added itself."""
    seen: list[Stack] = []
    waiting = [stack]
    while waiting:
        one = waiting.pop()
        if one == other:
            return True
        if one not in seen:
            seen.append(one)
            waiting.extend(one.dependencies)
    return False
