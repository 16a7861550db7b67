"""A PostgreSQL instance or Aurora PostgreSQL cluster, created in this app or imported."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias, cast

from aws_cdk import Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct

from .checks import check_range, refuse
from .props import check_fields, checked

_POSTGRESQL_PORT: Final = 5432
_LARGEST_PORT: Final = 65_535


@dataclass(frozen=True)
class PostgresDatabase:
    """A database server and the secret of its master user.

    An ``IDatabaseInstance`` that CDK imports has no secret, and an engine and security groups only if they were given;
    the ``from_…_attributes`` methods here require all of them.

    Args:
        resource: the instance or cluster.
        secret: Secrets Manager secret of the master user, with ``username`` and ``password``; it can be one that RDS
            manages. Default: none; :meth:`from_database` takes the secret that CDK created.

    Raises:
        ConfigurationError: an argument is of the wrong kind.
    """

    resource: rds.IDatabaseInstance | rds.IDatabaseCluster
    secret: secretsmanager.ISecret | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    @checked
    def from_database(cls, database: "Database", *, secret: secretsmanager.ISecret | None = None) -> "PostgresDatabase":
        """A database of this app, or one that CDK imported.

        Args:
            database: what ``database`` props take.
            secret: secret of the master user. Default: the database's own.
        """
        if isinstance(database, cls):
            # The same object if possible: it caches what CDK returned, and each call to CDK takes time at synth.
            return cls(database.resource, secret) if secret else database
        resource = cast("rds.IDatabaseInstance | rds.IDatabaseCluster", database)
        return cls(resource, secret or getattr(resource, "secret", None))

    @classmethod
    @checked
    def from_instance_attributes(
        cls,
        scope: Construct,
        id: str,
        *,
        instance_identifier: str,
        endpoint_address: str,
        security_groups: Sequence[ec2.ISecurityGroup],
        secret: secretsmanager.ISecret,
        version: rds.PostgresEngineVersion,
        port: int = _POSTGRESQL_PORT,
    ) -> "PostgresDatabase":
        """Import an RDS PostgreSQL instance.

        Args:
            scope: parent of the imported construct.
            id: construct id.
            instance_identifier: the DB instance identifier.
            endpoint_address: the DNS name of the instance (not of a proxy).
            security_groups: the instance's security groups, to which the proxy and the applier get access.
            secret: the master user's secret.
            version: the engine's version.
            port: the instance's port, 1 to 65535. Default: 5432.

        Raises:
            ConfigurationError: a prop is of the wrong kind, or the port is out of range.
        """
        engine = rds.DatabaseInstanceEngine.postgres(version=version)
        instance = rds.DatabaseInstance.from_database_instance_attributes(
            scope,
            id,
            instance_identifier=instance_identifier,
            instance_endpoint_address=endpoint_address,
            port=port,
            security_groups=list(security_groups),
            engine=engine,
        )
        check_range(instance, "port", port, 1, _LARGEST_PORT, whole=True)
        return cls(instance, secret)

    @classmethod
    @checked
    def from_cluster_attributes(
        cls,
        scope: Construct,
        id: str,
        *,
        cluster_identifier: str,
        endpoint_address: str,
        security_groups: Sequence[ec2.ISecurityGroup],
        secret: secretsmanager.ISecret,
        version: rds.AuroraPostgresEngineVersion,
        port: int = _POSTGRESQL_PORT,
    ) -> "PostgresDatabase":
        """Import an Aurora PostgreSQL cluster.

        Args:
            scope: parent of the imported construct.
            id: construct id.
            cluster_identifier: the DB cluster identifier.
            endpoint_address: the DNS name of the cluster's writer endpoint.
            security_groups: the cluster's security groups, to which the proxy and the applier get access.
            secret: the master user's secret.
            version: the engine's version.
            port: the cluster's port, 1 to 65535. Default: 5432.

        Raises:
            ConfigurationError: a prop is of the wrong kind, or the port is out of range.
        """
        engine = rds.DatabaseClusterEngine.aurora_postgres(version=version)
        cluster = rds.DatabaseCluster.from_database_cluster_attributes(
            scope,
            id,
            cluster_identifier=cluster_identifier,
            cluster_endpoint_address=endpoint_address,
            port=port,
            security_groups=list(security_groups),
            engine=engine,
        )
        check_range(cluster, "port", port, 1, _LARGEST_PORT, whole=True)
        return cls(cluster, secret)

    @property
    def cluster(self) -> rds.IDatabaseCluster | None:
        """The resource if it is a cluster."""
        return cast("rds.IDatabaseCluster", self.resource) if _has(self.resource, "cluster_endpoint") else None

    @cached_property
    def endpoint(self) -> rds.Endpoint:
        """The endpoint of the instance or of the cluster's writer, not of a proxy."""
        if cluster := self.cluster:
            return cluster.cluster_endpoint
        return cast("rds.IDatabaseInstance", self.resource).instance_endpoint

    @cached_property
    def major_version(self) -> int | None:
        """PostgreSQL's major version, such as 17; None if the engine has no version."""
        engine = self.resource.engine
        version = engine.engine_version if engine else None
        major = version.major_version if version else None
        return int(major) if major and major.isdecimal() else None

    @cached_property
    def security_groups(self) -> Sequence[ec2.ISecurityGroup]:
        return self.resource.connections.security_groups

    def check(self, construct: IConstruct, prop: str) -> None:
        """Refuse a database that is not PostgreSQL, or has no known endpoint or no security group."""
        engine = self.resource.engine
        family = engine.engine_family if engine else None
        if family != "POSTGRESQL":
            refuse(
                construct,
                f"'{prop}' should be an RDS PostgreSQL instance or Aurora PostgreSQL cluster, "
                f"got one of engine family {family or 'unknown: pass its engine when you import it'}",
            )
        try:
            self.endpoint  # noqa: B018 (CDK raises for a cluster that was imported without one)
        except RuntimeError:
            refuse(construct, f"'{prop}' should have an endpoint, got none; pass it when you import the database")
        if not self.security_groups:
            refuse(
                construct, f"'{prop}' should have a security group, got none; pass them when you import the database"
            )

    def proxy_target(self, scope: Construct) -> tuple[rds.ProxyTarget, Sequence[ec2.ISecurityGroup]]:
        """The database as a proxy's target without making its stack depend on the proxy's, and its security groups.

        ``ProxyTarget`` opens the database's security groups to the proxy by rules in the database's stack; when the
        proxy is in another stack, the two would depend on each other. Then the rules are put into the proxy's stack,
        through an import of the database.
        """
        database = self if Stack.of(self.resource) == Stack.of(scope) else self._imported(scope)
        if cluster := database.cluster:
            return rds.ProxyTarget.from_cluster(cluster), database.security_groups
        instance = cast("rds.IDatabaseInstance", database.resource)
        return rds.ProxyTarget.from_instance(instance), database.security_groups

    def _imported(self, scope: Construct) -> "PostgresDatabase":
        endpoint = self.endpoint
        groups = [
            ec2.SecurityGroup.from_security_group_id(scope, f"TargetSecurityGroup{index}", group.security_group_id)
            for index, group in enumerate(self.security_groups)
        ]
        if cluster := self.cluster:
            return PostgresDatabase(
                rds.DatabaseCluster.from_database_cluster_attributes(
                    scope,
                    "Target",
                    cluster_identifier=cluster.cluster_identifier,
                    cluster_endpoint_address=endpoint.hostname,
                    port=endpoint.port,
                    security_groups=groups,
                    engine=cluster.engine,
                )
            )
        instance = cast("rds.IDatabaseInstance", self.resource)
        return PostgresDatabase(
            rds.DatabaseInstance.from_database_instance_attributes(
                scope,
                "Target",
                instance_identifier=instance.instance_identifier,
                instance_endpoint_address=endpoint.hostname,
                port=endpoint.port,
                security_groups=groups,
                engine=instance.engine,
            )
        )


def without_dependency(scope: Construct, id: str, secret: secretsmanager.ISecret) -> secretsmanager.ISecret:
    """The secret, imported if granting access to it would make its stack or its key's depend on the scope's.

    A grant on a secret under a customer's key adds a statement to the key's policy that names the reader.
    """
    key = secret.encryption_key
    # CDK does not change the policy of an imported secret's key.
    if key is None or secret.secret_full_arn is None or Stack.of(secret) == Stack.of(key) == Stack.of(scope):
        return secret
    return secretsmanager.Secret.from_secret_attributes(
        scope,
        id,
        secret_complete_arn=secret.secret_arn,
        encryption_key=kms.Key.from_key_arn(scope, f"{id}Key", key.key_arn),
    )


def _has(resource: object, name: str) -> bool:
    # isinstance() does not work on jsii protocols, and reading a property of an import that lacks it raises.
    return hasattr(type(resource), name)


Database: TypeAlias = PostgresDatabase | rds.IDatabaseInstance | rds.IDatabaseCluster
"""Types of ``database`` and ``target`` props."""


def port_text(endpoint: rds.Endpoint) -> str:
    """The port as text, whether a number or a token."""
    return Token.as_string(endpoint.port) if Token.is_unresolved(endpoint.port) else str(int(endpoint.port))
