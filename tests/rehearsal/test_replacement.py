"""A proxy with changed subnets, deployed by the CDK CLI before and after the change."""

import json
from pathlib import Path
from typing import Any

import pytest

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.localcloud.client import Account, LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority
from cdk_pinsafe.rehearsal.cdk_cli import App, CdkCli

ACCOUNT = Account("210987654321", "eu-central-1")
APP = """
import os
from aws_cdk import App, CfnOutput, Environment, RemovalPolicy, Stack, aws_ec2 as ec2, aws_rds as rds
from cdk_pinsafe import PinningAlarms, PinningDashboard, PinningLogs, PinSafeProxy

app = App()
name, zones = os.environ.get("PROXY_NAME"), int(os.environ["ZONES"])
stack = Stack(app, "Named" if name else "Default", env=Environment(account="210987654321", region="eu-central-1"))
vpc = ec2.Vpc(
    stack,
    "Vpc",
    availability_zones=["eu-central-1a", "eu-central-1b", "eu-central-1c"][:zones],
    reserved_azs=3 - zones,
    nat_gateways=1,
)
instance = rds.DatabaseInstance(
    stack,
    "Instance",
    engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_6),
    vpc=vpc,
    removal_policy=RemovalPolicy.DESTROY,
)
proxy = PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, db_proxy_name=name)
PinningAlarms(stack, "Alarms", proxy=proxy)
PinningDashboard(stack, "Dashboard", proxy=proxy)
PinningLogs(stack, "Logs", proxy=proxy, log_group=proxy.log_group)
CfnOutput(stack, "Endpoint", value=proxy.endpoint)
app.synth()
"""


class Deployments:
    """Deploys the app with different numbers of availability zones."""

    def __init__(self, folder: Path, cli: CdkCli, cloud: LocalCloud) -> None:
        (folder / "app").mkdir()
        (folder / "app" / "app.py").write_text(APP)
        (folder / "app" / "cdk.json").write_text('{"app": "python3 app.py"}')
        self._folder, self._cli, self._cloud = folder, cli, cloud
        cli.bootstrap(ACCOUNT, cloud.endpoint)

    def deploy(self, zones: int, **environment: str) -> None:
        self._cli._environment.update(environment, ZONES=str(zones))
        assembly = self._folder / f"zones-{zones}"
        self._cli.synth(App(self._folder / "app", None), assembly, ACCOUNT, self._cloud.endpoint)
        self._cli.deploy(assembly, ACCOUNT, self._cloud.endpoint)

    def resources(self, stack: str) -> dict[str, tuple[str, str]]:
        """Type and physical id by logical id."""
        client = self._cloud.client("cloudformation", ACCOUNT)
        found = client.describe_stack_resources(StackName=stack)["StackResources"]
        return {one["LogicalResourceId"]: (one["ResourceType"], one["PhysicalResourceId"]) for one in found}

    def client(self, service: Any) -> Any:
        return self._cloud.client(service, ACCOUNT)


@pytest.fixture
def deployments(tmp_path: Path, authority: CertificateAuthority, cloud: LocalCloud) -> Deployments:
    (tmp_path / "cli").mkdir()
    return Deployments(tmp_path, CdkCli(tmp_path / "cli", authority.certificate), cloud)


def test_new_zone_replaces_the_proxy(deployments: Deployments) -> None:
    """Also its targets and log group; all other resources are kept and refer to the new proxy."""
    deployments.deploy(2)
    before = deployments.resources("Default")
    [old] = [physical for type_, physical in before.values() if type_ == "AWS::RDS::DBProxy"]
    deployments.deploy(3)
    after = deployments.resources("Default")
    [new] = [physical for type_, physical in after.values() if type_ == "AWS::RDS::DBProxy"]
    assert old != new

    assert before.keys() < after.keys()
    assert {type_ for name, (type_, _) in after.items() if name not in before} <= {
        "AWS::EC2::Route",
        "AWS::EC2::RouteTable",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetRouteTableAssociation",
    }
    replaced = {name: type_ for name, (type_, physical) in before.items() if after[name][1] != physical}
    filters = {name for name, (type_, _) in before.items() if type_ == "AWS::Logs::MetricFilter"}
    assert sorted(type_ for name, type_ in replaced.items() if name not in filters) == [
        "AWS::Logs::LogGroup",
        "AWS::RDS::DBProxy",
        "AWS::RDS::DBProxyTargetGroup",
    ]

    [proxy] = deployments.client("rds").describe_db_proxies()["DBProxies"]
    assert proxy["DBProxyName"] == new
    assert len(proxy["VpcSubnetIds"]) == 3
    [target] = deployments.client("rds").describe_db_proxy_targets(DBProxyName=new)["Targets"]
    assert target["Type"] == "RDS_INSTANCE"
    groups = deployments.client("logs").describe_log_groups(logGroupNamePrefix="/aws/rds/proxy/")["logGroups"]
    assert [group["logGroupName"] for group in groups] == [f"/aws/rds/proxy/{new}"]
    alarms = deployments.client("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    watched = json.dumps(alarms, default=str)
    assert f'"{new}"' in watched
    [dashboard] = deployments.client("cloudwatch").list_dashboards()["DashboardEntries"]
    body = deployments.client("cloudwatch").get_dashboard(DashboardName=dashboard["DashboardName"])["DashboardBody"]
    scheduler = deployments.client("scheduler")
    [schedule] = scheduler.list_schedules()["Schedules"]
    call = scheduler.get_schedule(Name=schedule["Name"])["Target"]["Input"]
    assert json.loads(call) == {"DbProxyName": new, "DebugLogging": True}
    [role_name] = [one for name, (_, one) in after.items() if name.startswith("ProxyEnhancedLoggingRole")]
    iam = deployments.client("iam")
    [policy] = iam.list_role_policies(RoleName=role_name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role_name, PolicyName=policy)["PolicyDocument"]
    assert document["Statement"][0]["Resource"] == proxy["DBProxyArn"]
    for text in (watched, body, call):
        assert old not in text
    [stack] = deployments.client("cloudformation").describe_stacks(StackName="Default")["Stacks"]
    assert [output["OutputValue"] for output in stack["Outputs"]] == [proxy["Endpoint"]]


def test_proxy_with_fixed_name_is_not_replaced(deployments: Deployments) -> None:
    """The update fails without a change, as in CloudFormation, and succeeds with another name."""
    deployments.deploy(2, PROXY_NAME="orders")
    before = deployments.resources("Named")
    with pytest.raises(RehearsalError, match="cannot update a stack when a custom-named resource requires replacing"):
        deployments.deploy(3, PROXY_NAME="orders")
    after = deployments.resources("Named")
    assert {name: after[name] for name in before} == before
    [stack] = deployments.client("cloudformation").describe_stacks(StackName="Named")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"

    deployments.deploy(3, PROXY_NAME="orders-2")
    assert "orders-2" in {physical for _, physical in deployments.resources("Named").values()}
