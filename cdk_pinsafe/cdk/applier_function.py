"""The two Lambda functions that apply settings: one pair for a stack and network placement, however many databases."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from aws_cdk import CfnResource, Duration, Stack, Token, custom_resources
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from . import asset, nag, network
from .checks import refuse
from .database import PostgresDatabase
from .log_group import log_group

HANDLER: Final = "cdk_pinsafe.applier.handler.on_event"
TIMEOUT: Final = Duration.minutes(10)
"""Timeout of the applier, which stops early enough to respond. The framework's own function has 15 minutes."""

_RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
_NETWORK_INTERFACES: Final = "service-role/AWSLambdaENIManagementAccess"


class ApplierFunction(Construct):
    """The applier, in the database's network, and CDK's provider framework in front of it.

    The framework's function is outside the VPC and responds to CloudFormation even if the applier crashes. Therefore
    isolated subnets suffice: the applier itself needs only the database and Secrets Manager.
    """

    @classmethod
    def of(
        cls,
        scope: Construct,
        *,
        vpc: ec2.IVpc,
        vpc_subnets: ec2.SubnetSelection | None,
        ca_bundle: Path,
        encryption_key: kms.IKey | None,
    ) -> "ApplierFunction":
        """The stack's applier for this placement; created by the first call.

        Raises:
            ConfigurationError: it has other certificate authorities than ``ca_bundle``, or another key.
        """
        stack = Stack.of(scope)
        name = f"PinSafeApplier{_digest(*network.placement(vpc, vpc_subnets))}"
        existing = stack.node.try_find_child(name)
        if not isinstance(existing, cls):
            return cls(
                stack,
                name,
                vpc=vpc,
                vpc_subnets=vpc_subnets,
                ca_bundle=ca_bundle,
                encryption_key=encryption_key,
            )
        if existing._ca_bundle.read_bytes() != ca_bundle.read_bytes():
            refuse(
                scope,
                "'ca_bundle' should be the same for all DatabaseSettings of a stack in the same subnets, which share "
                f"one Lambda function, got {str(ca_bundle)!r} after {str(existing._ca_bundle)!r}",
            )
        keys = [key.node.path if key else None for key in (encryption_key, existing._encryption_key)]
        if keys[0] != keys[1]:
            refuse(
                scope,
                "'encryption_key' should be the same for all DatabaseSettings of a stack in the same subnets, "
                f"which share one Lambda function, got {keys[0]} after {keys[1]}",
            )
        return existing

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        vpc_subnets: ec2.SubnetSelection | None,
        ca_bundle: Path,
        encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id)
        self._ca_bundle = ca_bundle
        self._encryption_key = encryption_key
        self._security_group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description="cdk-pinsafe: applies settings to databases",
            allow_all_outbound=False,
        )
        self._security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "to Secrets Manager")
        log = log_group(self, "FunctionLog", key=encryption_key)
        self.role = _role(self, "FunctionRole", log, _NETWORK_INTERFACES)
        self.function = lambda_.Function(
            self,
            "Function",
            description="cdk-pinsafe: applies settings to databases with ALTER DATABASE",
            runtime=_RUNTIME,
            handler=HANDLER,
            code=asset.code(ca_bundle),
            memory_size=256,
            timeout=TIMEOUT,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=[self._security_group],
            role=self.role,
            log_group=log,
        )
        provider_log = log_group(self, "ProviderLog", key=encryption_key)
        self._provider = custom_resources.Provider(
            self,
            "Provider",
            on_event_handler=self.function,
            framework_on_event_role=_role(self, "ProviderRole", provider_log),
            log_group=provider_log,
        )
        self._acknowledge(self.function)

    @property
    def service_token(self) -> str:
        return self._provider.service_token

    def reach(self, database: PostgresDatabase) -> Sequence[Construct]:
        """Allow the applier to connect to a database; returns the security group rules.

        The rules are in this stack even if the database is in another, which must not depend on this one.
        """
        rules = [self._rules(group, database.endpoint.port) for group in database.security_groups]
        return [rule for pair in rules for rule in pair]

    def _acknowledge(self, function: lambda_.Function) -> None:
        """Acknowledge cdk-nag's findings that an app cannot influence."""
        function_id = Stack.of(self).get_logical_id(cast("CfnResource", function.node.default_child))
        nag.acknowledge(
            self,
            {
                **nag.INLINE_POLICY,
                "LambdaConcurrency": (
                    "CloudFormation and one schedule call it, one call for each resource; reserved concurrency would "
                    "be taken from the account's other functions"
                ),
                "LambdaDLQ": "CloudFormation gets every failure as a response, and drift checks have an alarm",
            },
            solutions={
                f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_NETWORK_INTERFACES}]": (
                    "AWS's own policy for a function's network interfaces, whose names are not known before"
                ),
                f"IAM5[Resource::<{function_id}.Arn>:*]": "CDK's provider framework calls any version of one function",
                "L1": "the applier is tested on this runtime",
            },
        )
        nag.acknowledge(
            self._provider,
            {
                "LambdaInsideVPC": (
                    "CDK's provider framework answers CloudFormation even if the VPC has no route out; it calls the "
                    "applier and reaches no database"
                )
            },
        )

    def _rules(self, database_group: ec2.ISecurityGroup, port: float) -> Sequence[Construct]:
        own_id, database_id = self._security_group.security_group_id, database_group.security_group_id
        # A group that was imported twice is one group; if its id is not known yet, the construct identifies it.
        identity = database_group.node.addr if Token.is_unresolved(database_id) else database_id
        name = _digest(identity, str(port) if not Token.is_unresolved(port) else "port")
        existing = [self.node.try_find_child(f"{kind}{name}") for kind in ("ToDatabase", "FromApplier")]
        if all(existing):
            return [rule for rule in existing if isinstance(rule, CfnResource)]
        rules = [
            ec2.CfnSecurityGroupEgress(
                self,
                f"ToDatabase{name}",
                group_id=own_id,
                destination_security_group_id=database_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description="to the database",
            ),
            ec2.CfnSecurityGroupIngress(
                self,
                f"FromApplier{name}",
                group_id=database_id,
                source_security_group_id=own_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description="from the cdk-pinsafe applier",
            ),
        ]
        nag.acknowledge(rules[1], nag.DATABASE_PORT)
        return rules


def _role(scope: Construct, id: str, log: logs.LogGroup, *managed_policies: str) -> iam.Role:
    """A role that may write to one log group; the roles that CDK creates may write to all."""
    return iam.Role(
        scope,
        id,
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in managed_policies],
        inline_policies={
            "WriteLog": iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log.log_group_arn]
                    )
                ]
            )
        },
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
