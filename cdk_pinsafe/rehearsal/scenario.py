"""The story of a rehearsal: deploy an app, show its settings and its proxy at work, change one, break one, destroy it.

Each chapter compares what it sees with what it should be; a difference ends the story with RehearsalError. Who is told,
and how it looks, is the reporter's affair.
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
from .proxy_demo import Pool, Scene, find_pools, tell
from .report_items import Kept, Note, Query, Refusal, Reporter, SettingRow, Settings
from .stack_resources import deployed
from .steps import step
from .timeline import draw
from .vector_query import filtered_query

__all__ = ["Story"]

_PARAMETER: Final = "statement_timeout"
_OTHER_VALUES: Final = ("45s", "60s")
_BAD_VALUE: Final = "45 parsecs"
_POSTGRES: Final = 18


@dataclass(frozen=True)
class _Target:
    """A database and the settings that a construct keeps in it."""

    address: str
    owner: str
    account: Account
    login: Login
    plain: Login
    settings: Mapping[str, SettingValue]
    before: Mapping[str, str]


@dataclass(frozen=True)
class _Proxy:
    """A proxy that clients can connect to, and where it is deployed."""

    account: Account
    pool: Pool


class Story:
    """One rehearsal of one app, in a directory that is its own.

    Attributes:
        is_waiting: all is shown, and kept up until somebody interrupts.
    """

    def __init__(self, app: App, directory: Path, reporter: Reporter) -> None:
        self._app = app
        self._directory = directory
        self._reporter = reporter
        self._authority = CertificateAuthority(directory / "authority")
        self._environments = Environments((), {})
        self._shown: _Proxy | None = None
        self._scenes: list[Scene] = []
        self.has_begun = False
        self.is_waiting = False
        (directory / "cli").mkdir()
        self._cli = CdkCli(directory / "cli", self._authority.certificate)

    @property
    def cli_output(self) -> list[str]:
        """The last command given to the CDK CLI, and what it said."""
        return self._cli.output

    def tell(self, *, keep: bool, timeline: Path | None = None) -> None:
        """Tell it all; with `keep`, stop before the end and wait until somebody interrupts.

        Args:
            keep: whether to stop before the end.
            timeline: where to draw who had which of the proxy's database connections; what came by itself with `keep`
                is in it.

        Raises:
            RehearsalError: a step failed, or showed something else than it should.
        """
        if timeline is not None and not os.access(timeline.parent, os.W_OK):
            raise RehearsalError(f"cannot write the timeline {timeline}: {timeline.parent} is no folder to write in")
        try:
            with contextlib.ExitStack() as running:
                with step(self._reporter, "start the local cloud"):
                    cloud = running.enter_context(LocalCloud(self._directory / "cloud", self._authority))
                try:
                    self._tell(cloud, keep=keep)
                except RehearsalError:
                    cloud.check()  # if it is gone, then that is the cause
                    raise
        finally:
            if timeline is not None and self._shown is not None:
                self._draw(self._shown, timeline)

    def _tell(self, cloud: LocalCloud, *, keep: bool) -> None:
        with step(self._reporter, "get the CDK CLI"):
            self._cli.install()
        self.has_begun = True
        assembly = self._synth(cloud)
        with step(self._reporter, "cdk bootstrap"):
            for account in self._environments.accounts:
                self._cli.bootstrap(account, cloud.endpoint)
        with step(self._reporter, "cdk deploy"):
            self._deploy(cloud, assembly)
            stacks = check_deployed(cloud, self._environments)
        with step(self._reporter, "look at what was deployed"):
            targets = self._targets(cloud)
            values_then = [self._verified(target, target.settings) for target in targets]
            queries = [query for target in targets if (query := self._query(target))]
            resources = deployed(cloud, self._environments.accounts, stacks, assembly)
            proxies, skipped = self._proxies(cloud, targets)
        for target, values in zip(targets, values_then, strict=True):
            self._show_settings("without the settings -> after cdk deploy", target, target.before, values)
        for query in queries:
            self._reporter.show(query)
        self._reporter.show(resources)
        self._pool(cloud, proxies, skipped)
        self._change(cloud, assembly, targets)
        if keep:
            with step(self._reporter, "cdk deploy, back to what the app says"):
                self._deploy(cloud, assembly)
            self._wait(cloud, targets, proxies)
            return
        retained = {resource.address for resource in assembly.settings() if resource.retained}
        standing = [read(target.login, list(target.before)) for target in targets]
        with step(self._reporter, "cdk destroy"):
            for account in self._environments.accounts:
                _switch_off_deletion_protection(cloud, account)
            for run in reversed(self._environments.deployments):
                self._cli.destroy(assembly.folder, run.account, cloud.endpoint, run.stacks)
            gone = [self._destroyed(target, retained=target.address in retained) for target in targets]
        for target, before, after in zip(targets, standing, gone, strict=True):
            shown = {name: value for name, value in after.items() if name in target.settings or value != before[name]}
            self._show_settings("before -> after cdk destroy", target, before, shown)

    # --- Chapters --------------------------------------------------------------------------------

    def _synth(self, cloud: LocalCloud) -> Assembly:
        """Synthesise the app, and leave out what cannot be rehearsed, saying so."""
        assembly = Assembly(self._directory / "synth")
        with step(self._reporter, "cdk synth"):
            self._cli.synth(self._app, assembly.folder, Account(), cloud.endpoint)
        resources = assembly.settings()
        if not resources:
            raise RehearsalError("the app has no DatabaseSettings: there is nothing to rehearse")
        for resource in resources:
            if resource.host is not None:
                raise RehearsalError(
                    f"{resource.owner} is for the database at {resource.host}, which the app does not make: "
                    "a rehearsal stays on this machine, so rehearse an app that makes the database as well"
                )
        self._environments = Environments.of(assembly.stacks())
        for stack in self._environments.by_stack:
            if not stack.has_resources:
                self._reporter.show(Note(f"not deployed: stack {label(stack)} has no resources"))
        if len(self._environments.deployments) > 1:
            text = "stacks of several Stages have the same names: each Stage is deployed to an account of its own"
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
        """Deploy all stacks, of all Stages."""
        for run in self._environments.deployments:
            self._cli.deploy(assembly.folder, run.account, cloud.endpoint, run.stacks)

    def _proxies(self, cloud: LocalCloud, targets: list[_Target]) -> tuple[list[_Proxy], list[str]]:
        """The proxies that clients can connect to, and why they cannot connect to others."""
        proxies, skipped = [], []
        for account in self._environments.accounts:
            databases = [(target.login, target.settings) for target in targets if target.account == account]
            pools, reasons = find_pools(cloud, account, databases)
            proxies += [_Proxy(account, pool) for pool in pools]
            skipped += reasons
        return proxies, skipped

    def _pool(self, cloud: LocalCloud, proxies: list[_Proxy], skipped: list[str]) -> None:
        """Show one proxy at work, and say what becomes of the others."""
        others = [f"proxy {one.pool.proxy}: nobody comes, as one proxy is shown" for one in proxies[1:]]
        none = [] if proxies or skipped else ["skipped: what a SET costs, since the app has no proxy"]
        for text in (*skipped, *others, *none):
            self._reporter.show(Note(text))
        if proxies:
            self._shown = proxies[0]
            self._scenes = tell(cloud, proxies[0].account, self._reporter, proxies[0].pool)

    def _change(self, cloud: LocalCloud, assembly: Assembly, targets: list[_Target]) -> None:
        """Deploy another value, then one that PostgreSQL refuses."""
        by_address = {target.address: target for target in targets}
        editable = (one for one in assembly.settings() if one.settings is not None and one.address in by_address)
        resource = next(editable, None)
        if resource is None:
            self._reporter.show(
                Note("skipped: a changed and a bad setting, since the settings hold tokens and cannot be edited")
            )
            return
        target = by_address[resource.address]
        old = next((text_of(value) for name, value in target.settings.items() if name.lower() == _PARAMETER), None)
        value = next(value for value in _OTHER_VALUES if value != old)
        settings = {**{name: v for name, v in target.settings.items() if name.lower() != _PARAMETER}, _PARAMETER: value}
        before = read(target.login, [_PARAMETER])
        changed = assembly.with_setting(resource, _PARAMETER, value, self._directory / "changed")
        with step(self._reporter, f"cdk deploy with {_PARAMETER} = {value}"):
            self._deploy(cloud, changed)
            after = {_PARAMETER: self._verified(target, settings)[_PARAMETER]}
        self._show_settings("before -> after, the others as they were", target, before, after)

        bad = assembly.with_setting(resource, _PARAMETER, _BAD_VALUE, self._directory / "bad")
        with step(self._reporter, f"cdk deploy with {_PARAMETER} = {_BAD_VALUE}, which must fail"):
            refusal = self._refusal(cloud, bad, resource)
            still = {_PARAMETER: self._verified(target, settings)[_PARAMETER]}
        self._reporter.show(refusal)
        self._show_settings("before -> after the refusal, the others as they were", target, after, still)

    def _refusal(self, cloud: LocalCloud, bad: Assembly, resource: SettingsResource) -> Refusal:
        try:
            self._deploy(cloud, bad)
        except RehearsalError:
            pass
        else:
            raise RehearsalError(f"the deployment of {_PARAMETER} = {_BAD_VALUE} succeeded, it should have failed")
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
            raise RehearsalError(f"stack {stack} is {status} after the bad setting, not UPDATE_ROLLBACK_COMPLETE")
        message = failed[0].strip().splitlines()[0]
        if _PARAMETER not in message:
            raise RehearsalError(f"the deployment failed with a message that does not name {_PARAMETER}: {message}")
        return Refusal(_PARAMETER, _BAD_VALUE, message, stack, status)

    def _destroyed(self, target: _Target, *, retained: bool) -> dict[str, str]:
        """Compare with how the database was before; it still runs, as its final snapshot would keep it."""
        after = read(target.login, list(target.before))
        if retained:
            self._reporter.show(Note(f"{target.owner}: its removal policy leaves the settings in place"))
            return after
        for name, value in after.items():
            if value != target.before[name]:
                raise RehearsalError(f"{name} is {value!r} after cdk destroy, {target.before[name]!r} was there before")
        return after

    def _wait(self, cloud: LocalCloud, targets: list[_Target], proxies: list[_Proxy]) -> None:
        logins = [(target.owner, target.login) for target in targets]
        logins += [(f"through the proxy {one.pool.proxy}", one.pool.login) for one in proxies]
        connections = tuple(
            {"owner": owner, "psql": f"psql '{login.dsn}'", "dsn": login.dsn} for owner, login in logins
        )
        environments = tuple(account.environment() for account in self._environments.accounts)
        self._reporter.show(Kept(connections, cloud.endpoint, environments))
        self.is_waiting = True
        while True:
            time.sleep(1)
            cloud.check()

    def _draw(self, proxy: _Proxy, timeline: Path) -> None:
        key = scoped(proxy.pool.proxy, proxy.account.number, proxy.account.region)
        recording = recording_of(self._directory / "cloud", key)
        if recording is not None:
            try:
                timeline.write_text(draw(recording, self._scenes), encoding="utf-8")
            except OSError as error:
                raise RehearsalError(f"cannot write the timeline {timeline}: {error.strerror}") from None

    # --- What is seen ----------------------------------------------------------------------------

    def _targets(self, cloud: LocalCloud) -> list[_Target]:
        """The databases that CloudFormation sent settings to, and how they would be without."""
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
            before = read(plain[port], list(dict.fromkeys([*settings, _PARAMETER])))
            owner = properties[Property.OWNER]
            targets.append(_Target(address, owner, request.environment, login, plain[port], settings, before))
        return targets

    def _versions(self, cloud: LocalCloud) -> dict[int, str]:
        """The version that the templates ask for, by the port that stands for the database."""
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

    def _query(self, target: _Target) -> Query | None:
        """Run the filtered query, if the app is one that relies on it."""
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
        return Query(target.login.database, with_settings.limit, with_settings.rows, without.rows, uses_index)

    def _verified(self, target: _Target, settings: Mapping[str, SettingValue]) -> dict[str, str]:
        got = read(target.login, list(settings))
        check_settings(target.plain, settings, got)
        return got

    def _show_settings(self, moment: str, target: _Target, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        rows = tuple(SettingRow(name, before[name], value) for name, value in after.items())
        self._reporter.show(Settings(moment, target.login.database, target.owner, rows))


def _switch_off_deletion_protection(cloud: LocalCloud, account: Account) -> None:
    """Do what people have to do before they delete a stack with a protected database."""
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
