"""The scenario of a rehearsal: deploy an app, check its settings, use its proxy, change a setting, try an invalid one,
destroy the app.

Each part compares the results with the expected ones; a difference ends the scenario with RehearsalError. The reporter
presents them.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..contract import RESOURCE_TYPE, Property
from ..errors import RehearsalError
from ..localcloud.client import Account, CustomResourceRequest, LocalCloud
from ..localcloud.databases import scoped
from ..localcloud.proxies import recording_of
from ..localpg.installations import wheel_installation
from ..localpg.tls import CertificateAuthority
from .assembly import Assembly, SettingsResource
from .cdk_cli import App, CdkCli
from .database_client import Login, SettingValue, check_settings, read, text_of
from .environments import Environments, check_deployed, label
from .proxy_demo import ProxyDemo, UsableProxy, find_proxies
from .report_items import ConnectInfo, FailedDeployment, Note, Reporter, SettingRow, SettingsTable, VectorQuery
from .stack_resources import deployed_resources
from .steps import step
from .timeline import draw
from .vector_query import filtered_query

__all__ = ["Scenario"]

_PARAMETER: Final = "statement_timeout"
_OTHER_VALUES: Final = ("45s", "60s")
_INVALID_VALUE: Final = "45 parsecs"
_POSTGRES: Final = 18


@dataclass(frozen=True)
class _Target:
    """A database and the settings that a `DatabaseSettings` keeps in it.

    Attributes:
        address: the address of the construct.
        owner: its path and stack.
        account: where it is deployed.
        login: to the database.
        plain: to a database of the same server, without settings.
        settings: the settings.
        defaults: the values of these parameters in the database without settings.
    """

    address: str
    owner: str
    account: Account
    login: Login
    plain: Login
    settings: Mapping[str, SettingValue]
    defaults: Mapping[str, str]


class Scenario:
    """One rehearsal of one app, in its own directory.

    Attributes:
        has_started: whether the app was run.
        is_waiting: whether it has succeeded and waits to be interrupted.
    """

    def __init__(self, app: App, directory: Path, reporter: Reporter) -> None:
        self._app = app
        self._directory = directory
        self._reporter = reporter
        self._authority = CertificateAuthority(directory / "authority")
        self._environments = Environments((), {})
        self._demo: ProxyDemo | None = None
        self._recording_key = ""
        self.has_started = False
        self.is_waiting = False
        (directory / "cli").mkdir()
        self._cli = CdkCli(directory / "cli", self._authority.certificate)

    @property
    def cli_output(self) -> list[str]:
        """The last command of the CDK CLI and its output."""
        return self._cli.output

    def run(self, *, keep: bool, timeline: Path | None = None) -> None:
        """Run the scenario.

        Args:
            keep: do not destroy the app, and wait to be interrupted.
            timeline: an SVG file for the timeline of the proxy's database connections. With `keep`, it includes the
                clients that connected while waiting.

        Raises:
            RehearsalError: a step failed or had an unexpected result.
        """
        if timeline is not None and not os.access(timeline.parent, os.W_OK):
            raise RehearsalError(f"cannot write the timeline {timeline}: {timeline.parent} is not a writable folder")
        try:
            with contextlib.ExitStack() as running:
                with step(self._reporter, "start the local cloud"):
                    cloud = running.enter_context(LocalCloud(self._directory / "cloud", self._authority))
                try:
                    self._run(cloud, keep=keep)
                except RehearsalError:
                    cloud.check()  # if the local cloud has ended, that is the cause
                    raise
        finally:
            if timeline is not None and self._demo is not None:
                self._draw(self._demo, timeline)

    def _run(self, cloud: LocalCloud, *, keep: bool) -> None:
        with step(self._reporter, "get the CDK CLI"):
            self._cli.install()
        self.has_started = True
        assembly = self._synth(cloud)
        with step(self._reporter, "cdk bootstrap"):
            for account in self._environments.accounts:
                self._cli.bootstrap(account, cloud.endpoint)
        with step(self._reporter, "cdk deploy"):
            self._deploy(cloud, assembly)
            stacks = check_deployed(cloud, self._environments)
        with step(self._reporter, "check what was deployed"):
            targets = self._targets(cloud)
            values_of_targets = [self._checked_values(target, target.settings) for target in targets]
            queries = [query for target in targets if (query := self._vector_query(target))]
            resources = deployed_resources(cloud, self._environments.accounts, stacks, assembly)
            proxies, skipped = self._proxies(cloud, targets)
        for target, values in zip(targets, values_of_targets, strict=True):
            self._show_settings("without the settings -> after cdk deploy", target, target.defaults, values)
        for query in queries:
            self._reporter.show(query)
        self._reporter.show(resources)
        self._run_proxy_demo(cloud, proxies, skipped)
        self._change_settings(cloud, assembly, targets)
        if keep:
            with step(self._reporter, "cdk deploy of the original app"):
                self._deploy(cloud, assembly)
            self._wait_for_interrupt(cloud, targets, [proxy for _, proxy in proxies])
            return
        self._destroy(cloud, assembly, targets)

    # --- Parts -----------------------------------------------------------------------------------

    def _destroy(self, cloud: LocalCloud, assembly: Assembly, targets: list[_Target]) -> None:
        """Destroy the app, and check that its settings are gone. The databases keep running."""
        retained = {resource.address for resource in assembly.settings() if resource.retained}
        before_destroy = [read(target.login, list(target.defaults)) for target in targets]
        with step(self._reporter, "cdk destroy"):
            for account in self._environments.accounts:
                _switch_off_deletion_protection(cloud, account)
            for run in reversed(self._environments.deployments):
                self._cli.destroy(assembly.folder, run.account, cloud.endpoint, run.stacks)
            after_destroy = [self._after_destroy(target, retained=target.address in retained) for target in targets]
        for target, before, after in zip(targets, before_destroy, after_destroy, strict=True):
            shown = {name: value for name, value in after.items() if name in target.settings or value != before[name]}
            self._show_settings("before -> after cdk destroy", target, before, shown)

    def _synth(self, cloud: LocalCloud) -> Assembly:
        """Synthesize the app. Extensions that cannot be rehearsed are removed and reported."""
        assembly = Assembly(self._directory / "synth")
        with step(self._reporter, "cdk synth"):
            self._cli.synth(self._app, assembly.folder, Account(), cloud.endpoint)
        resources = assembly.settings()
        if not resources:
            raise RehearsalError("the app has no DatabaseSettings: there is nothing to rehearse")
        for resource in resources:
            if resource.host is not None:
                raise RehearsalError(
                    f"{resource.owner} is for the database at {resource.host}, which the app does not create: "
                    "a rehearsal has local databases only, so rehearse an app that creates the database as well"
                )
        self._environments = Environments.from_stacks(assembly.stacks())
        for stack in self._environments.by_stack:
            if not stack.has_resources:
                self._reporter.show(Note(f"not deployed: stack {label(stack)} has no resources"))
        if len(self._environments.deployments) > 1:
            text = "stacks of several Stages have the same names: each Stage is deployed to its own account"
            self._reporter.show(Note(text))
        assembly = assembly.copy(self._directory / "assembly")
        available = wheel_installation(_POSTGRES).extensions()
        for number, resource in enumerate(resources):
            missing = [name for name in resource.extensions if name not in available]
            if missing:
                assembly = assembly.without_extensions(resource, missing, self._directory / f"assembly-{number}")
                text = f"left out of {resource.owner}: {', '.join(missing)}, which the embedded PostgreSQL lacks"
                self._reporter.show(Note(text))
        return assembly

    def _deploy(self, cloud: LocalCloud, assembly: Assembly) -> None:
        """Deploy all stacks of all Stages."""
        for run in self._environments.deployments:
            self._cli.deploy(assembly.folder, run.account, cloud.endpoint, run.stacks)

    def _proxies(
        self, cloud: LocalCloud, targets: list[_Target]
    ) -> tuple[list[tuple[Account, UsableProxy]], list[str]]:
        """The proxies that clients can use, and for the others the reason why not."""
        proxies, skipped = [], []
        for account in self._environments.accounts:
            databases = [(target.login, target.settings) for target in targets if target.account == account]
            found, reasons = find_proxies(cloud, account, databases)
            proxies += [(account, proxy) for proxy in found]
            skipped += reasons
        return proxies, skipped

    def _run_proxy_demo(
        self, cloud: LocalCloud, proxies: list[tuple[Account, UsableProxy]], skipped: list[str]
    ) -> None:
        """Run the demo on the first proxy, and report the skipped ones."""
        others = [f"proxy {proxy.name}: not used, because one proxy is enough" for _, proxy in proxies[1:]]
        none = [] if proxies or skipped else ["skipped: what a SET costs, because the app has no proxy"]
        for text in (*skipped, *others, *none):
            self._reporter.show(Note(text))
        if proxies:
            account, proxy = proxies[0]
            self._recording_key = scoped(proxy.name, account.number, account.region)
            self._demo = ProxyDemo(cloud, account, self._reporter, proxy)
            self._demo.run()

    def _change_settings(self, cloud: LocalCloud, assembly: Assembly, targets: list[_Target]) -> None:
        """Deploy another value, then one that PostgreSQL rejects."""
        by_address = {target.address: target for target in targets}
        editable = (one for one in assembly.settings() if one.settings is not None and one.address in by_address)
        resource = next(editable, None)
        if resource is None:
            self._reporter.show(Note("skipped: a changed and an invalid setting, because the settings contain tokens"))
            return
        target = by_address[resource.address]
        old = next((text_of(value) for name, value in target.settings.items() if name.lower() == _PARAMETER), None)
        value = next(value for value in _OTHER_VALUES if value != old)
        settings = {**{name: v for name, v in target.settings.items() if name.lower() != _PARAMETER}, _PARAMETER: value}
        before = read(target.login, [_PARAMETER])
        changed = assembly.with_setting(resource, _PARAMETER, value, self._directory / "changed")
        with step(self._reporter, f"cdk deploy with {_PARAMETER} = {value}"):
            self._deploy(cloud, changed)
            after = {_PARAMETER: self._checked_values(target, settings)[_PARAMETER]}
        self._show_settings("before -> after, the others unchanged", target, before, after)

        invalid = assembly.with_setting(resource, _PARAMETER, _INVALID_VALUE, self._directory / "invalid")
        with step(self._reporter, f"cdk deploy with {_PARAMETER} = {_INVALID_VALUE}, which must fail"):
            failure = self._fail_to_deploy(cloud, invalid, resource)
            rolled_back = {_PARAMETER: self._checked_values(target, settings)[_PARAMETER]}
        self._reporter.show(failure)
        self._show_settings("before -> after the failure, the others unchanged", target, after, rolled_back)

    def _fail_to_deploy(self, cloud: LocalCloud, invalid: Assembly, resource: SettingsResource) -> FailedDeployment:
        """Deploy an invalid setting, and check that CloudFormation reports it and rolls back."""
        try:
            self._deploy(cloud, invalid)
        except RehearsalError:
            pass
        else:
            raise RehearsalError(f"the deployment of {_PARAMETER} = {_INVALID_VALUE} succeeded, expected a failure")
        request = _latest(cloud.requests(RESOURCE_TYPE))[resource.address]
        stack, client = request.stack, cloud.client("cloudformation", request.environment)
        events = client.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [
            event.get("ResourceStatusReason", "")
            for event in events
            if event.get("LogicalResourceId") == resource.logical_id and event.get("ResourceStatus") == "UPDATE_FAILED"
        ]
        if not failed:
            raise RehearsalError(
                f"the deployment failed, but not because of {resource.owner}: see the CDK CLI's output"
            )
        status = client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        if status != "UPDATE_ROLLBACK_COMPLETE":
            raise RehearsalError(f"stack {stack} is {status} after the invalid setting, not UPDATE_ROLLBACK_COMPLETE")
        message = failed[0].strip().splitlines()[0]
        if _PARAMETER not in message:
            raise RehearsalError(f"the deployment failed with a message that does not name {_PARAMETER}: {message}")
        return FailedDeployment(_PARAMETER, _INVALID_VALUE, message, stack, status)

    def _after_destroy(self, target: _Target, *, retained: bool) -> dict[str, str]:
        """Check that the defaults are back; return the values."""
        after = read(target.login, list(target.defaults))
        if retained:
            self._reporter.show(Note(f"{target.owner}: its removal policy leaves the settings in place"))
            return after
        for name, value in after.items():
            if value != target.defaults[name]:
                raise RehearsalError(f"{name} is {value!r} after cdk destroy, not {target.defaults[name]!r} as before")
        return after

    def _wait_for_interrupt(self, cloud: LocalCloud, targets: list[_Target], proxies: list[UsableProxy]) -> None:
        logins = [(target.owner, target.login) for target in targets]
        logins += [(f"through the proxy {proxy.name}", proxy.login) for proxy in proxies]
        connections = tuple(
            {"owner": owner, "psql": f"psql '{login.dsn}'", "dsn": login.dsn} for owner, login in logins
        )
        environments = tuple(account.environment() for account in self._environments.accounts)
        self._reporter.show(ConnectInfo(connections, cloud.endpoint, environments))
        self.is_waiting = True
        while True:
            time.sleep(1)
            cloud.check()

    def _draw(self, demo: ProxyDemo, timeline: Path) -> None:
        recording = recording_of(self._directory / "cloud", self._recording_key)
        if recording is not None:
            try:
                timeline.write_text(draw(recording, demo.entries), encoding="utf-8")
            except OSError as error:
                raise RehearsalError(f"cannot write the timeline {timeline}: {error.strerror}") from None

    # --- Results ---------------------------------------------------------------------------------

    def _targets(self, cloud: LocalCloud) -> list[_Target]:
        """The databases that got settings from CloudFormation, with their values without settings."""
        requests = _latest(cloud.requests(RESOURCE_TYPE))
        plain: dict[int, Login] = {}
        extensions = list(
            dict.fromkeys(
                name for request in requests.values() for name in request.properties.get(Property.EXTENSIONS) or ()
            )
        )
        targets = []
        versions = self._versions(cloud)
        for address, request in requests.items():
            properties = request.properties
            secrets = cloud.client("secretsmanager", request.environment)
            secret = json.loads(secrets.get_secret_value(SecretId=properties[Property.SECRET_ARN])["SecretString"])
            port = int(properties[Property.PORT])
            login = Login(
                properties[Property.HOST],
                port,
                properties.get(Property.DATABASE) or properties[Property.DATABASES][0],
                secret["username"],
                secret["password"],
                self._authority.certificate,
            )
            if port not in plain:
                self._note_version(login, versions.get(port))
                plain[port] = login.create_empty_database("without_settings", extensions)
            settings = json.loads(properties[Property.SETTINGS])
            defaults = read(plain[port], list(dict.fromkeys([*settings, _PARAMETER])))
            owner = properties[Property.OWNER]
            targets.append(_Target(address, owner, request.environment, login, plain[port], settings, defaults))
        return targets

    def _versions(self, cloud: LocalCloud) -> dict[int, str]:
        """The engine versions in the templates, by the port of the database."""
        versions = {}
        for account in self._environments.accounts:
            client = cloud.client("rds", account)
            for instance in client.describe_db_instances()["DBInstances"]:
                versions[instance["Endpoint"]["Port"]] = instance["EngineVersion"]
            for cluster in client.describe_db_clusters()["DBClusters"]:
                versions[cluster["Port"]] = cluster["EngineVersion"]
        return versions

    def _note_version(self, login: Login, asked: str | None) -> None:
        with login.connect() as connection:
            ((running,),) = connection.run("SELECT pg_catalog.current_setting('server_version')") or [("",)]
        if asked and asked.partition(".")[0] != running.partition(".")[0]:
            self._reporter.show(Note(f"the app asks for PostgreSQL {asked}, the rehearsal runs {running}"))

    def _vector_query(self, target: _Target) -> VectorQuery | None:
        """Run the filtered query, if the database has `hnsw.iterative_scan`."""
        scan = target.settings.get("hnsw.iterative_scan")
        if scan in (None, "off") or _has_no_vector(target.login):
            return None
        with_settings = filtered_query(target.login)
        without = filtered_query(target.plain)
        uses_index = with_settings.uses_index and without.uses_index
        if uses_index and not without.rows < with_settings.rows == with_settings.limit:
            raise RehearsalError(
                f"the filtered HNSW query found {with_settings.rows} of {with_settings.limit} rows in "
                f"{target.login.database}, and {without.rows} without the settings"
            )
        return VectorQuery(target.login.database, with_settings.limit, with_settings.rows, without.rows, uses_index)

    def _checked_values(self, target: _Target, settings: Mapping[str, SettingValue]) -> dict[str, str]:
        got = read(target.login, list(settings))
        check_settings(target.plain, settings, got)
        return got

    def _show_settings(self, moment: str, target: _Target, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        rows = tuple(SettingRow(name, before[name], value) for name, value in after.items())
        self._reporter.show(SettingsTable(moment, target.login.database, target.owner, rows))


def _switch_off_deletion_protection(cloud: LocalCloud, account: Account) -> None:
    """Switch deletion protection off, as on AWS before a stack can be deleted."""
    client = cloud.client("rds", account)
    for instance in client.describe_db_instances()["DBInstances"]:
        if instance["DeletionProtection"]:
            client.modify_db_instance(
                DBInstanceIdentifier=instance["DBInstanceIdentifier"], DeletionProtection=False, ApplyImmediately=True
            )
    for cluster in client.describe_db_clusters()["DBClusters"]:
        if cluster["DeletionProtection"]:
            client.modify_db_cluster(
                DBClusterIdentifier=cluster["DBClusterIdentifier"], DeletionProtection=False, ApplyImmediately=True
            )


def _latest(requests: list[CustomResourceRequest]) -> dict[str, CustomResourceRequest]:
    """The last request to each `DatabaseSettings`, by its construct's address."""
    return {request.properties[Property.ADDRESS]: request for request in requests}


def _has_no_vector(login: Login) -> bool:
    with login.connect() as connection:
        return not connection.run("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'vector'")
