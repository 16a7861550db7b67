"""The custom resource that keeps settings in a database."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import CustomResource, Duration, RemovalPolicy, Size, Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from ..errors import SettingError
from ..settings import LIST_PARAMETERS, SettingValue, check_name, to_text
from . import asset, network
from .applier_function import TIMEOUT, ApplierFunction
from .checks import refuse, warn
from .database import Database, PostgresDatabase, port_text
from .setting_checks import SettingChecks

RESOURCE_TYPE: Final = "Custom::PinSafeDatabaseSettings"


class DatabaseSettings(Construct):
    """Session settings as defaults of one database, by ``ALTER DATABASE … SET``.

    Every new connection starts with them, so no client has to send a SET, which would pin. A client that sends its own
    SET all the same still pins, even with the value that the database has. Connections opened before a change keep the
    old values; those that RDS Proxy holds are replaced by and by (it closes a connection some time after 24 hours).

    What is changed is written down in the schema ``cdk_pinsafe`` of the database, in the transaction that changes it:
    a setting that is removed here gets back the value that stood there before; one that somebody changed by hand in the
    meantime is left as it is; two ``DatabaseSettings`` cannot fight for one name. A deployment that fails leaves the
    database as it was.

    Attributes:
        resource: the custom resource; depend on it, or on this construct, for what needs the settings in place.

    Args:
        scope: parent.
        id: construct id.
        database: an RDS PostgreSQL instance or Aurora PostgreSQL cluster, made here, in another stack, or imported
            (see :class:`PostgresDatabase`, which keeps an imported one's security groups and secret). The applier
            connects to it directly, never through a proxy.
        vpc: the VPC in which the applier runs, from which the database can be reached.
        database_name: the database; it must exist.
        settings: parameter name to value: ``str``, ``int``, ``float``, ``bool``, ``Duration``, ``Size``, and a list of
            ``str`` for ``search_path``, ``temp_tablespaces`` and ``session_preload_libraries``. Strings and numbers may
            be tokens.
        secret: the secret of the database's owner: ``username`` and ``password`` are read from it, nothing else.
            Default: the database's own.
        extensions: extensions to create in the database where they are missing, before the settings. They are never
            dropped. Default: none.
        vpc_subnets: where the applier runs; they need a way to the database and to Secrets Manager, and public ones
            are refused. It is settled by the first deployment, as CloudFormation does not move a custom resource to
            another function: to change it, remove the settings in one deployment and add them in the next. Default:
            CDK's, private subnets.
        removal_policy: ``DESTROY`` gives the database back what it had when this is removed from the stack;
            ``RETAIN`` leaves the settings in place. Default: ``RemovalPolicy.DESTROY``.
        ca_bundle: path of a PEM file with the certificate authorities that the applier trusts instead of RDS's. The
            environment variable ``CDK_PINSAFE_CA_BUNDLE``, read at synth, does the same for a whole app. Default:
            RDS's authorities of 27 commercial regions; a stack of another region is warned.

    Raises:
        SettingError: a setting that cannot be set in a database, that the engine's version does not have, or whose
            value it does not take, with the construct's path and what to do instead.
        ConfigurationError: a prop that cannot work.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        database: Database,
        vpc: ec2.IVpc,
        database_name: str,
        settings: Mapping[str, SettingValue],
        secret: secretsmanager.ISecret | None = None,
        extensions: Sequence[str] = (),
        vpc_subnets: ec2.SubnetSelection | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
        ca_bundle: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        target = PostgresDatabase.of(database, secret=secret)
        target.check(self, "database")
        self._checks = SettingChecks(self, target)
        if target.secret is None:
            refuse(self, "'secret' should be the secret of the database's owner, got none and the database has none")
        self._check_names(database_name, extensions)
        if removal_policy not in (RemovalPolicy.DESTROY, RemovalPolicy.RETAIN):
            refuse(self, f"'removal_policy' should be DESTROY or RETAIN, got {removal_policy.name}")
        texts = self._texts(settings)
        isolated = network.is_isolated(vpc, network.select(self, vpc, vpc_subnets))
        endpoint = network.secrets_manager_endpoint(self, vpc) if isolated else None
        if isolated and endpoint is None:
            warn(
                self,
                "NoWayToSecretsManager",
                "the applier runs in isolated subnets of a VPC in which this app made no interface endpoint for "
                "Secrets Manager: without one it cannot read the database's secret; add it with "
                "vpc.add_interface_endpoint("
                "'SecretsManager', service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER), or acknowledge "
                "'annotation::cdk-pinsafe:NoWayToSecretsManager' if there is a way",
            )
        self._checks.warn()

        bundle = asset.ca_bundle(ca_bundle, f"{self.node.path}: 'ca_bundle'")
        region = Stack.of(self).region
        if not Token.is_unresolved(region) and asset.lacks_authority_of(region, bundle):
            warn(
                self,
                "RegionWithoutAuthority",
                f"the certificate authorities that travel with the applier are not those of region {region}, where it "
                "would refuse the database's certificate: download the region's bundle from "
                f"https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem and pass it as 'ca_bundle'",
            )

        applier = ApplierFunction.of(self, vpc=vpc, vpc_subnets=vpc_subnets, ca_bundle=bundle)
        rules = applier.reach(target)
        permission = self._may_read(target.secret, applier)
        self.resource = CustomResource(
            self,
            "Resource",
            resource_type=RESOURCE_TYPE,
            service_token=applier.service_token,
            service_timeout=TIMEOUT.plus(Duration.minutes(1)),
            removal_policy=removal_policy,
            properties={
                "Host": target.endpoint.hostname,
                "Port": port_text(target.endpoint),
                "Database": database_name,
                "SecretArn": target.secret.secret_arn,
                # As text, since CloudFormation turns every number and boolean of a property into a string.
                "Settings": Stack.of(self).to_json_string(texts),
                "Extensions": list(extensions),
                # With the stack's name: the same code may be deployed as two stacks that meet in one database.
                "Owner": f"{self.node.path} (stack {_deployed_name(self)})",
                "Address": f"{_deployed_name(self)}.{self.node.addr}",
            },
        )
        # Deleted in reverse: while the settings go, the applier still has its permission, its way to the database and
        # its way to Secrets Manager.
        self.resource.node.add_dependency(permission, *rules, *([endpoint] if endpoint else []))
        self._wait_for_members(target)

    @property
    def shadowed(self) -> str:
        """Token: names of settings, joined by commas, that a value of some role beats at present; mostly empty."""
        return self.resource.get_att_string("Shadowed")

    def _may_read(self, secret: secretsmanager.ISecret, applier: ApplierFunction) -> iam.Policy:
        """A policy of this construct alone, for it has to outlast the settings.

        In a policy shared by all settings the statement would be gone before CloudFormation deletes the resource. The
        secret's own grant would also write into the policy of a customer's key, which may be another stack's.
        """
        # A secret that was imported by its name lacks the six characters that end its ARN.
        arn = secret.secret_arn if secret.secret_full_arn else f"{secret.secret_arn}-??????"
        policy = iam.Policy(self, "ReadSecret", roles=[applier.role])
        policy.add_statements(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn]))
        if key := secret.encryption_key:
            policy.add_statements(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key.key_arn]))
        return policy

    def _texts(self, settings: Mapping[str, SettingValue]) -> dict[str, str | list[str]]:
        texts: dict[str, str | list[str]] = {}
        seen: dict[str, str] = {}
        try:
            for name, value in settings.items():
                lower = check_name(name)
                if lower in seen:
                    refuse(self, f"'settings' should name a parameter once, got {seen[lower]!r} and {name!r}")
                seen[lower] = name
                texts[name] = self._text(name, value)
                self._checks.check(name, texts[name])
        except SettingError as error:
            raise SettingError(f"{self.node.path}: {error}") from None
        # In order of names: the order in which a program adds them must not change the template.
        return dict(sorted(texts.items()))

    def _text(self, name: str, value: SettingValue) -> str | list[str]:
        if isinstance(value, Duration | Size) and value.is_unresolved():
            refuse(
                self,
                f"'settings' should give {name!r} an amount that is known at synth, got a {type(value).__name__} of a "
                "token; pass the number and its unit as text, as in f'{seconds}s'",
            )
        # Only these can be tokens, or hold one.
        if not isinstance(value, str | int | float | list | tuple) or not Token.is_unresolved(value):
            return to_text(name, value)
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return Token.as_string(value)
        if name.lower() in LIST_PARAMETERS:
            refuse(
                self,
                f"'settings' should give {name!r} a list whose length is known at synth, got a list token; "
                "pass a list of tokens, as in [Fn.select(0, names), Fn.select(1, names)]",
            )
        return to_text(name, value)

    def _check_names(self, database_name: str, extensions: Sequence[str]) -> None:
        fits = "\0" not in database_name and 1 <= len(database_name.encode()) <= 63
        if not fits and not Token.is_unresolved(database_name):
            refuse(self, f"'database_name' should be 1 to 63 bytes long, got {database_name!r}")
        if isinstance(extensions, str):
            refuse(self, f"'extensions' should be a list of names, got the one string {extensions!r}")
        for extension in extensions:
            if not extension or "\0" in extension:
                refuse(self, f"'extensions' should be names such as 'vector', got {extension!r}")

    def _wait_for_members(self, target: PostgresDatabase) -> None:
        """A cluster answers once it has an instance, to which its endpoint does not refer."""
        if cluster := target.cluster:
            for child in cluster.node.children:
                if any(isinstance(node, rds.CfnDBInstance) for node in child.node.find_all()):
                    self.resource.node.add_dependency(child)


def _deployed_name(construct: Construct) -> str:
    """The name of the construct's stack; of a nested stack, which gets its name at deployment, the outermost one's."""
    stack = Stack.of(construct)
    while stack.nested_stack_parent:
        stack = stack.nested_stack_parent
    return stack.stack_name
