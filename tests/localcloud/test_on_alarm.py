"""EnhancedLogging.ON_ALARM: its rule and state machine, deployed to the local cloud and run."""

import json
import time
from typing import Any

from aws_cdk import App, Environment, LegacyStackSynthesizer, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from cdk_pinsafe import PinSafeProxy
from cdk_pinsafe.localcloud.client import LocalCloud

from .test_local_cloud import ACCOUNT, NETWORK, deploy, get

ALARM = f"arn:aws:cloudwatch:{ACCOUNT.region}:{ACCOUNT.number}:alarm:orders-pinned"
PROXY = {
    "Type": "AWS::RDS::DBProxy",
    "Properties": {
        "DBProxyName": "orders",
        "EngineFamily": "POSTGRESQL",
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "VpcSubnetIds": [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}],
        "Auth": [{"AuthScheme": "SECRETS", "IAMAuth": "REQUIRED", "SecretArn": "arn:aws:secretsmanager:x"}],
        "DebugLogging": False,
    },
}


def switch_resources(proxy_arn: str) -> dict[str, Any]:
    """The resources of `log_on_alarm`, as CDK synthesizes them."""
    stack = Stack(
        App(),
        "Switch",
        env=Environment(account=ACCOUNT.number, region=ACCOUNT.region),
        synthesizer=LegacyStackSynthesizer(),
    )
    proxy = PinSafeProxy.from_database_proxy_attributes(
        stack,
        "Proxy",
        db_proxy_name="orders",
        db_proxy_arn=proxy_arn,
        endpoint="orders.example.com",
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-1")],
    )
    proxy.log_on_alarm(cloudwatch.Alarm.from_alarm_arn(stack, "Alarm", ALARM))
    resources: dict[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return resources


def test_alarm_switches_enhanced_logging_on(cloud: LocalCloud) -> None:
    """The rule matches only that alarm, only in ALARM; its state machine switches logging on.

    The local cloud emits no alarm events, so the test starts the state machine itself.
    """
    arn = deploy(cloud, "proxy", {**NETWORK, "Orders": PROXY}, Arn=get("Orders", "DBProxyArn"))["Arn"]
    deploy(cloud, "switch", switch_resources(arn))
    client: Any = cloud.client
    events, machines, rds = client("events", ACCOUNT), client("stepfunctions", ACCOUNT), cloud.client("rds", ACCOUNT)
    [rule] = events.list_rules()["Rules"]

    def matches(alarm: str, state: str) -> bool:
        event = {
            "version": "0",
            "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
            "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch",
            "account": ACCOUNT.number,
            "time": "2026-01-02T03:04:05Z",
            "region": ACCOUNT.region,
            "resources": [alarm],
            "detail": {"alarmName": "orders-pinned", "state": {"value": state}},
        }
        answer = events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))
        return bool(answer["Result"])

    assert matches(ALARM, "ALARM")
    assert not matches(ALARM, "OK")
    assert not matches(ALARM.replace("orders", "other"), "ALARM")

    [target] = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    [proxy] = rds.describe_db_proxies(DBProxyName="orders")["DBProxies"]
    assert proxy["DebugLogging"] is False
    execution = machines.start_execution(stateMachineArn=target["Arn"])["executionArn"]
    end = time.monotonic() + 30
    while (status := machines.describe_execution(executionArn=execution)["status"]) == "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert status == "SUCCEEDED"
    [proxy] = rds.describe_db_proxies(DBProxyName="orders")["DBProxies"]
    assert proxy["DebugLogging"] is True

    for name in ("switch", "proxy"):
        cloud.client("cloudformation", ACCOUNT).delete_stack(StackName=name)
