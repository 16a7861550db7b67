"""Instance, proxy, settings, alarms and dashboard in one construct."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import jsii
from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Token, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from ..settings import SettingValue
from . import network, secrets_manager
from .alarms import PinningAlarms
from .checks import check_range, is_token, refuse
from .dashboard import PinningDashboard
from .database import PostgresDatabase
from .database_settings import DatabaseSettings
from .enhanced_logging import EnhancedLogging
from .extension_checks import check_preloaded
from .on_role_override import OnRoleOverride
from .props import checked
from .proxy import PinSafeProxy
from .recycle import Recycle

_MASTER: Final = "postgres"
_LARGEST_GP3: Final = 65_536
"""GiB. Source of this and the other limits: Amazon RDS user guide (documented; not tried on AWS)."""


@jsii.implements(ec2.IConnectable)
class PinSafePostgres(Construct):
    """An RDS PostgreSQL instance behind an RDS Proxy, with settings in the database, alarms and a dashboard.

    The instance has encrypted gp3 storage, a generated master password, IAM authentication, required TLS, a standby in
    another availability zone, seven days of backups, deletion protection, and its logs in CloudWatch (in a log group
    that RDS creates, without an expiry).

    Deploy for the first time with ``cdk deploy --no-rollback``: if the server refuses a setting, a rollback would have
    to delete the protected instance, and the stack would be ``ROLLBACK_FAILED``.

    Attributes:
        instance: CDK's own construct.
        proxy: the :class:`PinSafeProxy`.
        settings: the :class:`DatabaseSettings`. The proxy's pool depends on them, so its first connections have them.
        alarms: the :class:`PinningAlarms`.
        dashboard: the :class:`PinningDashboard`; None with ``dashboard=False``.
        secret: the master user's secret.
        endpoint: DNS name of the proxy, which applications connect to.

    Args:
        scope: parent.
        id: construct id.
        vpc: the VPC of all parts; at least two availability zones.
        database_name: the database that is created with the instance. Default: ``app``.
        settings: session settings of the database; see :class:`DatabaseSettings`. Default: none.
        role_settings: settings of single roles; see :class:`DatabaseSettings`. The roles must exist, so add these in a
            later deployment than the instance. Default: none.
        on_role_override: what to do if a role's own value overrides a setting; see :class:`DatabaseSettings`. Default:
            ``warn``.
        recycle: which connections are terminated after a change; see :class:`Recycle`. Default: ``Recycle.NEVER``.
        drift_check: how often to check whether settings drifted; see :class:`DatabaseSettings`. Its alarms have
            ``alarm_actions``. Default: never.
        drift_repair: whether a check restores settings that drifted. Default: False.
        extensions: extensions to create; see :class:`DatabaseSettings`. Default: none.
        engine: the engine with its version. Default: PostgreSQL 17.9; RDS upgrades minor versions automatically.
        instance_type: Default: ``t4g.medium``.
        vpc_subnets: subnets of instance, proxy and applier. Default: the VPC's isolated subnets, else its private ones;
            for the applier, the default of :class:`DatabaseSettings`, so that they share the functions.
        parameters: parameters of the instance's parameter group, for what a database cannot set, such as
            ``shared_preload_libraries``. ``rds.force_ssl`` is always on. Default: none.
        allocated_storage: 20 to 65,536 GiB. Default: 20.
        max_allocated_storage: GiB up to which the storage grows automatically, not less than ``allocated_storage``.
            Default: it does not grow.
        multi_az: whether there is a standby in another availability zone. Default: True.
        backup_retention: 0 to 35 whole days. Default: 7 days.
        encryption_key: KMS key of the storage, of the master user's secret and of the log groups. CloudWatch Logs is
            allowed to use it; the policy of an imported key has to allow that already. It is settled by the first
            deployment: another key for the storage means another instance. Default: AWS's own keys.
        deletion_protection: whether RDS refuses to delete the instance. Default: True.
        removal_policy: what happens to the instance when it is removed from the stack. Default:
            ``RemovalPolicy.SNAPSHOT``.
        iam_auth: whether clients of the proxy log in with IAM tokens; otherwise with passwords. Default: True.
        enhanced_logging: see :class:`PinSafeProxy`; with ``EnhancedLogging.ON_ALARM`` the alarm is ``alarms.pinned``.
            Default: ``EnhancedLogging.ALWAYS``.
        log_retention: how long the proxy's logs are kept. Default: one month.
        max_connections_percent: see :class:`PinSafeProxy`. Default: RDS's, 100.
        borrow_timeout: see :class:`PinSafeProxy`. Default: RDS's, 120 seconds.
        idle_client_timeout: see :class:`PinSafeProxy`. Default: RDS's, 1,800 seconds.
        alarm_actions: actions of all alarms. Default: none.
        dashboard: whether to create a dashboard, which costs 3 USD a month beyond an account's first three. Default:
            True.
        secrets_manager_endpoint: whether to add an interface endpoint for Secrets Manager to the VPC, where the
            applier's subnets are isolated. It is taken back at synth if the app turns out to have one with private DNS
            in that VPC, wherever in its tree. An imported VPC may have one that synth cannot see, so there it has to be
            said, unless the app makes one: True adds one, False says that the VPC has one or another way to Secrets
            Manager. Default: True for a VPC that is made in this app.
        ca_bundle: see :class:`DatabaseSettings`. Default: RDS's authorities of 27 commercial regions.

    Raises:
        SettingError: a setting that cannot be set in a database.
        ConfigurationError: a prop that cannot work.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        database_name: str = "app",
        settings: Mapping[str, SettingValue] | None = None,
        role_settings: Mapping[str, Mapping[str, SettingValue]] | None = None,
        on_role_override: OnRoleOverride = OnRoleOverride.WARN,
        recycle: Recycle = Recycle.NEVER,
        drift_check: Duration | None = None,
        drift_repair: bool = False,
        extensions: Sequence[str] = (),
        engine: rds.IInstanceEngine | None = None,
        instance_type: ec2.InstanceType | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        parameters: Mapping[str, str] | None = None,
        allocated_storage: int = 20,
        max_allocated_storage: int | None = None,
        multi_az: bool = True,
        backup_retention: Duration | None = None,
        encryption_key: kms.IKey | None = None,
        deletion_protection: bool = True,
        removal_policy: RemovalPolicy = RemovalPolicy.SNAPSHOT,
        iam_auth: bool = True,
        enhanced_logging: EnhancedLogging = EnhancedLogging.ALWAYS,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
        max_connections_percent: int | None = None,
        borrow_timeout: Duration | None = None,
        idle_client_timeout: Duration | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
        dashboard: bool = True,
        secrets_manager_endpoint: bool | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        database_subnets = vpc_subnets or network.database_subnets(self, vpc)
        self._check_numbers(allocated_storage, max_allocated_storage, backup_retention)
        fits = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", database_name)
        if not fits and not Token.is_unresolved(database_name):
            refuse(
                self,
                "'database_name' should be up to 63 letters, digits and underscores that begin with a letter, "
                f"got {database_name!r}",
            )
        if engine and engine.engine_family != "POSTGRESQL":
            refuse(self, f"'engine' should be of family POSTGRESQL, got {engine.engine_family or engine.engine_type}")
        if engine and not engine.engine_version:
            refuse(self, "'engine' should have a version, got none; pass DatabaseInstanceEngine.postgres(version=...)")
        self.instance = rds.DatabaseInstance(
            self,
            "Instance",
            engine=engine or rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9),
            instance_type=instance_type
            or ec2.InstanceType.of(ec2.InstanceClass.BURSTABLE4_GRAVITON, ec2.InstanceSize.MEDIUM),
            vpc=vpc,
            vpc_subnets=database_subnets,
            database_name=database_name,
            credentials=rds.Credentials.from_generated_secret(_MASTER, encryption_key=encryption_key),
            parameters={**(parameters or {}), "rds.force_ssl": "1"},
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            storage_encryption_key=encryption_key,
            allocated_storage=allocated_storage,
            max_allocated_storage=max_allocated_storage,
            multi_az=multi_az,
            iam_authentication=True,
            backup_retention=backup_retention or Duration.days(7),
            copy_tags_to_snapshot=True,
            deletion_protection=deletion_protection,
            removal_policy=removal_policy,
            cloudwatch_logs_exports=["postgresql", "upgrade"],
        )
        database = PostgresDatabase.from_database(self.instance)
        self._open_way_to_secrets_manager(vpc, vpc_subnets, secrets_manager_endpoint)
        check_preloaded(self, parameters or {}, extensions)
        self.settings = DatabaseSettings(
            self,
            "Settings",
            database=database,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            database_name=database_name,
            settings=settings or {},
            role_settings=role_settings,
            on_role_override=on_role_override,
            recycle=recycle,
            drift_check=drift_check,
            drift_repair=drift_repair,
            extensions=extensions,
            encryption_key=encryption_key,
            ca_bundle=ca_bundle,
        )
        if settings is None:
            Validations.of(self.settings).acknowledge(
                Acknowledgment(id="annotation::cdk-pinsafe:NothingToDo", reason="'settings' was left out")
            )
        if self.settings.drift_guard:
            self.settings.drift_guard.add_alarm_actions(alarm_actions)
        self.proxy = PinSafeProxy(
            self,
            "Proxy",
            target=database,
            vpc=vpc,
            vpc_subnets=database_subnets,
            iam_auth=iam_auth,
            enhanced_logging=enhanced_logging,
            log_retention=log_retention,
            encryption_key=encryption_key,
            max_connections_percent=max_connections_percent,
            borrow_timeout=borrow_timeout,
            idle_client_timeout=idle_client_timeout,
        )
        self.proxy.target_group.node.add_dependency(self.settings)
        self.alarms = PinningAlarms(self, "Alarms", proxy=self.proxy, actions=alarm_actions)
        if enhanced_logging is EnhancedLogging.ON_ALARM:
            self.proxy.log_on_alarm(self.alarms.pinned)
        self.dashboard = PinningDashboard(self, "Dashboard", proxy=self.proxy) if dashboard else None
        self.endpoint = self.proxy.endpoint

    @property
    def secret(self) -> secretsmanager.ISecret:
        """The master user's secret."""
        secret = self.instance.secret
        assert secret is not None, "generated credentials come with a secret"  # noqa: S101 (for the type checker)
        return secret

    @property
    def connections(self) -> ec2.Connections:
        """The proxy's security groups, which applications connect to."""
        return self.proxy.connections

    @checked
    def grant_connect(self, grantee: iam.IGrantable, db_user: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to connect to the proxy; see :meth:`PinSafeProxy.grant_connect`.

        Args:
            grantee: the principal, or a construct that has one.
            db_user: the database user. Default: the master user.
        """
        return self.proxy.grant_connect(grantee, db_user)

    def _check_numbers(self, allocated: int, most: int | None, backup_retention: Duration | None) -> None:
        check_range(self, "allocated_storage", allocated, 20, _LARGEST_GP3, unit="GiB", whole=True)
        # A token is a number far below 20.
        check_range(self, "max_allocated_storage", most, max(20, allocated), _LARGEST_GP3, unit="GiB", whole=True)
        if backup_retention and not is_token(self, "backup_retention", backup_retention, "days"):
            days = backup_retention.to_days(integral=False)
            check_range(self, "backup_retention", days, 0, 35, unit="days", whole=True)

    def _open_way_to_secrets_manager(
        self, vpc: ec2.IVpc, vpc_subnets: ec2.SubnetSelection | None, is_wanted: bool | None
    ) -> None:
        if not network.is_isolated(self, vpc, vpc_subnets):
            return
        is_imported = not isinstance(vpc, ec2.Vpc)
        if is_wanted or (is_wanted is None and not is_imported):
            secrets_manager.add_endpoint(vpc, vpc_subnets)
        elif is_wanted is None:
            secrets_manager.require_endpoint(self, vpc)
        elif is_imported:
            Validations.of(self).acknowledge(
                Acknowledgment(
                    id="annotation::cdk-pinsafe:NoWayToSecretsManager",
                    reason="secrets_manager_endpoint=False: the imported VPC has a way to Secrets Manager",
                )
            )
