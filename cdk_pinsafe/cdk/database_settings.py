"""The custom resource that sets a database's settings."""

from collections import Counter
from collections.abc import Mapping, Sequence

from aws_cdk import CustomResource, Duration, RemovalPolicy, Size, Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from ..contract import ON_ERROR, ON_ROLE_OVERRIDE, RECYCLE, RESOURCE_TYPE, Attribute, Property
from ..errors import SettingError
from ..settings import LIST_PARAMETERS, SettingValue, check_name, to_text
from ..settings.catalogue.extensions import LIBRARIES, meant
from . import asset, nag, network, secrets_manager
from .applier_function import TIMEOUT, ApplierFunction
from .checks import refuse, warn
from .claims import Claims
from .database import Database, PostgresDatabase, port_text
from .drift_guard import DriftGuard, dimension_value
from .extension_checks import check_offered
from .on_error import OnError
from .on_role_override import OnRoleOverride
from .props import checked
from .recycle import Recycle
from .setting_checks import SettingChecks
from .time_zone_checks import check_time_zones


class DatabaseSettings(Construct):
    """Session settings as defaults of one database or several, by ``ALTER DATABASE … SET``, and of single roles in it.

    Every new connection starts with them, so clients need no SET, which would pin. A client that still sends a SET
    pins, even if the database has the same value. Connections that were opened before a change keep the old values,
    unless ``recycle`` terminates them; RDS Proxy closes its connections some time after 24 hours.

    Each change is recorded in the schema ``cdk_pinsafe`` of the database, in the same transaction. A setting that is
    removed here gets back its previous value; one that was changed by other means since is left as it is; two
    ``DatabaseSettings`` cannot set the same name. A deployment that fails leaves the database unchanged.

    Attributes:
        resource: the custom resource. Resources that need the settings depend on it or on this construct.
        drift_guard: the :class:`DriftGuard` with its alarms; None without ``drift_check``.

    Args:
        scope: parent.
        id: construct id.
        database: an RDS PostgreSQL instance or Aurora PostgreSQL cluster, of this stack or another, or imported
            (see :class:`PostgresDatabase`, which has an imported one's security groups and secret). The applier
            connects to it directly, never through a proxy.
        vpc: the VPC in which the applier runs, from which the database can be reached.
        database_name: the database, which must exist; or a list of databases of the server, up to hundreds, that get
            the same settings. The applier works on eight at a time, each with its own transaction and ledger. A
            database that leaves the list loses its settings, and does not have to exist any more. A change from one
            name to a list, or back, leaves the settings in place throughout.
        on_error: of a list, what to do if some of the databases fail; see :class:`OnError`. Default:
            ``OnError.ROLLBACK``.
        settings: parameter name to value: ``str``, ``int``, ``float``, ``bool``, ``Duration``, ``Size``, and a list of
            ``str`` for ``search_path`` and ``temp_tablespaces``. Strings and numbers may be tokens. A number without a
            unit has the parameter's own, and gets a warning: 30 for ``statement_timeout`` is 30 ms, while most mean
            ``Duration.seconds(30)`` or ``"30s"``. Parameters that only superusers may set, and names of your own such
            as ``app.tenant``, get a warning too, since RDS denies them (documented and reported by others, not tried on
            AWS). No two ``DatabaseSettings`` of an app may set the same parameter of the same database.
        role_settings: exact role name to settings of that role, by ``ALTER ROLE … IN DATABASE … SET``. They override
            the database's when the role logs in; a role does not get those of the roles that it is a member of. The
            roles must exist. The secret's user needs CREATEROLE and, on PostgreSQL 16 and later, the ADMIN option on
            the role, which it has for roles that it created (measured); for others, run ``GRANT role TO user WITH ADMIN
            TRUE, INHERIT FALSE, SET FALSE``, since a user that inherits from a member of ``rds_iam`` loses its password
            login. The stored values are read back, but not checked in a new session, since only the role itself can log
            in as it. Default: none.
        on_role_override: what to do if a role has a value of its own for a setting; see :class:`OnRoleOverride`.
            Default: ``OnRoleOverride.WARN``.
        recycle: which connections that were opened before a change are terminated after it. The attributes ``Recycled``
            and ``Stale`` of the resource are the number of those, and of those left that may have old values. Default:
            ``Recycle.NEVER``.
        drift_check: how often the applier compares the settings with the ledger, 5 minutes to 24 hours; see
            :class:`DriftGuard`. Default: never.
        drift_repair: whether a check restores settings that drifted. Default: False.
        secret: the secret of the database's owner, with ``username`` and ``password``. Default: the database's own.
        extensions: extensions to create in the database if they are missing, before the settings, by the names that
            CREATE EXTENSION takes: ``vector``, not ``pgvector``. They are never dropped. Default: none.
        vpc_subnets: the applier's subnets, from which the database and Secrets Manager can be reached; public ones are
            refused. The first deployment fixes them, since CloudFormation does not move a custom resource to another
            function: to change them, remove the settings in one deployment and add them in the next. Default: CDK's,
            private subnets.
        removal_policy: on removal from the stack, ``DESTROY`` restores the database's previous values; ``RETAIN``
            leaves the settings in place. Default: ``RemovalPolicy.DESTROY``. The applier
            is deleted with the last ``DatabaseSettings`` of a stack in the same subnets: CloudFormation waits up to 40
            minutes for the network interfaces of a Lambda function in a VPC
            (aws-cloudformation/cloudformation-coverage-roadmap issue 392).
        encryption_key: KMS key of the log groups of the Lambda functions; the same for all ``DatabaseSettings`` of a
            stack in the same subnets, which share the functions. CloudWatch Logs gets permission to use it; the policy
            of an imported key must have it already. Default: CloudWatch's own key.
        ca_bundle: path of a PEM file with the certificate authorities that the applier trusts instead of RDS's. The
            environment variable ``CDK_PINSAFE_CA_BUNDLE``, read at synth, does the same for a whole app. Default:
            RDS's authorities of 27 commercial regions; a stack in another region gets a warning.

    Raises:
        SettingError: a setting that a database cannot have, that the engine's version does not have, whose value it
            does not take, or that would lose or corrupt data (``session_replication_role = replica`` for every
            session), with the construct's path and what to do instead.
        ConfigurationError: a prop that cannot work.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        database: Database,
        vpc: ec2.IVpc,
        database_name: str | Sequence[str],
        settings: Mapping[str, SettingValue],
        role_settings: Mapping[str, Mapping[str, SettingValue]] | None = None,
        on_error: OnError = OnError.ROLLBACK,
        on_role_override: OnRoleOverride = OnRoleOverride.WARN,
        recycle: Recycle = Recycle.NEVER,
        drift_check: Duration | None = None,
        drift_repair: bool = False,
        secret: secretsmanager.ISecret | None = None,
        extensions: Sequence[str] = (),
        vpc_subnets: ec2.SubnetSelection | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
        encryption_key: kms.IKey | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        target = PostgresDatabase.from_database(database, secret=secret)
        target.check(self, "database")
        self._checks = SettingChecks(self, target, extensions)
        if target.secret is None:
            refuse(self, "'secret' should be the secret of the database's owner, got none and the database has none")
        self._check_names(database_name, extensions)
        check_offered(self, target, extensions)
        if removal_policy not in (RemovalPolicy.DESTROY, RemovalPolicy.RETAIN):
            refuse(self, f"'removal_policy' should be DESTROY or RETAIN, got {removal_policy.name}")
        texts = self._texts("settings", settings)
        role_texts = self._role_texts(role_settings or {})
        if not texts and not any(role_texts.values()) and not extensions:
            warn(
                self,
                "NothingToDo",
                "'settings' should name a parameter, got an empty dict, and 'role_settings' and 'extensions' are empty "
                "too: there is nothing to do in the database; pass settings, remove the construct, or acknowledge "
                "'annotation::cdk-pinsafe:NothingToDo'",
            )
        isolated = network.is_isolated(self, vpc, vpc_subnets)
        self._checks.warn()
        check_time_zones(self, texts, *role_texts.values())

        bundle = asset.ca_bundle(ca_bundle, f"{self.node.path}: 'ca_bundle'")
        region = Stack.of(self).region
        if not Token.is_unresolved(region) and asset.lacks_authority_of(region, bundle):
            warn(
                self,
                "RegionWithoutAuthority",
                f"the applier's certificate authorities are not those of region {region}, where it would refuse the "
                "database's certificate: download the region's bundle from "
                f"https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem and pass it as 'ca_bundle'",
            )

        applier = ApplierFunction.of(
            self, vpc=vpc, vpc_subnets=vpc_subnets, ca_bundle=bundle, encryption_key=encryption_key
        )
        rules = applier.reach(target)
        permission = self._may_read(target.secret, applier)
        owner = f"{self.node.path} (stack {_deployed_name(self)})"
        host, port = target.endpoint.hostname, port_text(target.endpoint)
        databases = [database_name] if isinstance(database_name, str) else [*database_name]
        names = [("", name) for name in texts] + [(role, name) for role in role_texts for name in role_texts[role]]
        Claims.add(self, host, port, [(one, role, name.lower()) for one in databases for role, name in names])
        identity: dict[str, object] = {
            Property.HOST: host,
            Property.PORT: port,
            **(
                {Property.DATABASE: database_name}
                if isinstance(database_name, str)
                else {Property.DATABASES: databases}
            ),
            Property.SECRET_ARN: target.secret.secret_arn,
            # With the stack's name, since two stacks of the same code may share a database.
            Property.OWNER: owner,
            Property.ADDRESS: f"{_deployed_name(self)}.{self.node.addr}",
        }
        properties = {
            **identity,
            # As JSON text, since CloudFormation turns numbers and booleans of properties into strings.
            Property.SETTINGS: Stack.of(self).to_json_string(texts),
            **({Property.ROLE_SETTINGS: Stack.of(self).to_json_string(role_texts)} if role_texts else {}),
            Property.EXTENSIONS: list(extensions),
            **RECYCLE.as_property(recycle.value),
            **ON_ERROR.as_property(on_error.value),
            **ON_ROLE_OVERRIDE.as_property(on_role_override.value),
            **({Property.DRIFT_CHECK: dimension_value(owner)} if drift_check is not None else {}),
        }
        self.resource = CustomResource(
            self,
            "Resource",
            resource_type=RESOURCE_TYPE,
            service_token=applier.service_token,
            service_timeout=TIMEOUT.plus(Duration.minutes(1)),
            removal_policy=removal_policy,
            properties=properties,
        )
        # Deletion is in reverse order: while the applier restores the database, it still has its permission and can
        # reach the database and Secrets Manager.
        self.resource.node.add_dependency(permission, *rules)
        if isolated:
            secrets_manager.wait_for_endpoint(self, self.resource, vpc)
        self._wait_for_members(target)
        if drift_repair and drift_check is None:
            refuse(self, "'drift_repair' should come with 'drift_check', got none")
        self.drift_guard: DriftGuard | None = None
        if drift_check is not None:
            self.drift_guard = DriftGuard(
                self,
                "DriftGuard",
                function=applier.function,
                identity=identity,
                settings=[(name, role) for role, name in names],
                name=owner,
                interval=drift_check,
                repairs=drift_repair,
            )
            # It checks settings that exist, and is deleted before the applier's permissions.
            self.drift_guard.node.add_dependency(self.resource)

    @property
    def overridden_by_role(self) -> str:
        """Token: names of settings, joined by commas, that some role's value overrode at deployment; usually empty.

        Values of ``role_settings``, here or in another ``DatabaseSettings``, and those of RDS's own roles do not count.
        """
        return self.resource.get_att_string(Attribute.OVERRIDDEN_BY_ROLE)

    @property
    def failed(self) -> str:
        """Token: comma-separated names of databases that failed with ``OnError.CONTINUE``; usually empty."""
        return self.resource.get_att_string(Attribute.FAILED)

    def _may_read(self, secret: secretsmanager.ISecret, applier: ApplierFunction) -> iam.Policy:
        """A policy for this construct only, which is deleted after the settings.

        A statement in a shared policy would be removed before CloudFormation deletes the resource. The secret's own
        grant would also change the policy of a customer's key, which can be in another stack.
        """
        # The ARN of a secret that was imported by name lacks its last six characters.
        arn = secret.secret_arn if secret.secret_full_arn else f"{secret.secret_arn}-??????"
        policy = iam.Policy(self, "ReadSecret", roles=[applier.role])
        nag.acknowledge(policy, nag.INLINE_POLICY)
        policy.add_statements(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn]))
        if key := secret.encryption_key:
            policy.add_statements(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key.key_arn]))
        return policy

    def _role_texts(
        self, role_settings: Mapping[str, Mapping[str, SettingValue]]
    ) -> dict[str, dict[str, str | list[str]]]:
        for role in role_settings:
            if Token.is_unresolved(role):
                refuse(self, f"'role_settings' should name roles that are known at synth, got the token {role!r}")
            if "\0" in role or not 1 <= len(role.encode()) <= 63:
                refuse(self, f"'role_settings' should name roles of 1 to 63 bytes, got {role!r}")
        return {role: self._texts(f"role_settings[{role}]", role_settings[role]) for role in sorted(role_settings)}

    def _texts(self, prop: str, settings: Mapping[str, SettingValue]) -> dict[str, str | list[str]]:
        texts: dict[str, str | list[str]] = {}
        seen: dict[str, str] = {}
        try:
            for name, value in settings.items():
                lower = check_name(name)
                if lower in seen:
                    refuse(self, f"{prop!r} should name a parameter once, got {seen[lower]!r} and {name!r}")
                seen[lower] = name
                texts[name] = self._text(prop, name, value)
                self._checks.check(prop, name, texts[name])
        except SettingError as error:
            raise SettingError(f"{self.node.path}: {error}") from None
        # Sorted, so that their order in the program does not change the template.
        return dict(sorted(texts.items()))

    def _text(self, prop: str, name: str, value: SettingValue) -> str | list[str]:
        if isinstance(value, Duration | Size) and value.is_unresolved():
            refuse(
                self,
                f"{prop!r} should give {name!r} an amount that is known at synth, got a {type(value).__name__} of a "
                "token; pass the number and its unit as text, as in f'{seconds}s'",
            )
        # Only these can be or contain tokens.
        if not isinstance(value, str | int | float | list | tuple) or not Token.is_unresolved(value):
            return to_text(name, value)
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return Token.as_string(value)
        if name.lower() in LIST_PARAMETERS:
            refuse(
                self,
                f"{prop!r} should give {name!r} a list whose length is known at synth, got a list token; "
                "pass a list of tokens, as in [Fn.select(0, names), Fn.select(1, names)]",
            )
        return to_text(name, value)

    def _check_names(self, database_name: str | Sequence[str], extensions: Sequence[str]) -> None:
        names = [database_name] if isinstance(database_name, str) else database_name
        if isinstance(names, list) and names is database_name and Token.is_unresolved(names):
            refuse(
                self,
                "'database_name' should be a list whose length is known at synth, got a list token; "
                "pass a list of tokens, as in [Fn.select(0, names), Fn.select(1, names)]",
            )
        if not names:
            refuse(self, "'database_name' should be one name or more, got an empty list")
        for name in names:
            fits = "\0" not in name and 1 <= len(name.encode()) <= 63
            if not fits and not Token.is_unresolved(name):
                refuse(self, f"'database_name' should be 1 to 63 bytes long, got {name!r}")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            refuse(self, f"'database_name' should name a database once, got {twice[0]!r} more than once")
        for extension in extensions:
            if not extension or "\0" in extension:
                refuse(self, f"'extensions' should be names such as 'vector', got {extension!r}")
            if right := meant(extension):
                refuse(self, f"'extensions' should hold the names of extensions, got {extension!r}: it is {right!r}")
            if extension in LIBRARIES:
                refuse(
                    self,
                    f"'extensions' should hold the names of extensions, got {extension!r}, which is a library without "
                    "an extension: add it to shared_preload_libraries in a parameter group",
                )

    def _wait_for_members(self, target: PostgresDatabase) -> None:
        """Depend on the instances of a cluster, which its endpoint does not refer to."""
        if cluster := target.cluster:
            for child in cluster.node.children:
                if any(isinstance(node, rds.CfnDBInstance) for node in child.node.find_all()):
                    self.resource.node.add_dependency(child)


def _deployed_name(construct: Construct) -> str:
    """The name of the stack; of the outermost stack for a nested one, whose name is known only at deployment."""
    stack = Stack.of(construct)
    while stack.nested_stack_parent:
        stack = stack.nested_stack_parent
    return stack.stack_name
