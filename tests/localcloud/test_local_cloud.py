"""The local cloud, through the API of AWS."""

import http.client
import json
import socket
import ssl
import urllib.parse
from typing import Any

import boto3
import pg8000.native
import pytest
from botocore.exceptions import WaiterError

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.localcloud.client import Account, LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority

ACCOUNT = Account("123456789012", "eu-central-1")
NETWORK = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    "SubnetA": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "eu-central-1a"},
    },
    "SubnetB": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "eu-central-1b"},
    },
}
LOGIN = {"MasterUsername": "postgres", "MasterUserPassword": "It's-1"}


def get(resource: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [resource, attribute]}


def deploy(cloud: LocalCloud, name: str, resources: dict[str, Any], **outputs: object) -> dict[str, str]:
    """Create or update a stack and return its outputs."""
    template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
    client = cloud.client("cloudformation", ACCOUNT)
    there = client.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    waiter: Any = {"Delay": 1, "MaxAttempts": 30}
    if name in {stack["StackName"] for stack in there}:
        client.update_stack(StackName=name, TemplateBody=json.dumps(template))
        client.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=waiter)
    else:
        client.create_stack(StackName=name, TemplateBody=json.dumps(template))
        client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=waiter)
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def query(authority: CertificateAuthority, port: str, user: str, password: str, database: str, sql: str) -> list[Any]:
    connection = pg8000.native.Connection(
        user,
        host="localhost",
        port=int(port),
        database=database,
        password=password,
        ssl_context=ssl.create_default_context(cafile=authority.certificate),
    )
    try:
        return list(connection.run(sql) or [])
    finally:
        connection.close()


def test_listens_on_127_0_0_1_only(cloud: LocalCloud) -> None:
    port = urllib.parse.urlsplit(cloud.endpoint).port
    assert cloud.endpoint.startswith("http://127.0.0.1:")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


TOKEN = ACCOUNT.environment()["AWS_SESSION_TOKEN"]
HEALTH = "/_ministack/health"
RESPONSE = "/_ministack/cfn-response/no-such-request"
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (200, "GET", HEALTH, {"X-Amz-Security-Token": TOKEN}),
        (200, "GET", HEALTH, {"X-Amz-Security-Token": TOKEN, "Host": "localhost"}),
        pytest.param(200, "GET", f"{HEALTH}?X-Amz-Security-Token={TOKEN}", {}, id="in the URL"),
        (200, "PUT", RESPONSE, {}),
        (403, "GET", HEALTH, {}),
        (403, "GET", HEALTH, {"X-Amz-Security-Token": "another"}),
        (403, "GET", f"{HEALTH}?X-Amz-Security-Token=", {}),
        (403, "GET", HEALTH, {"X-Amz-Security-Token": TOKEN, "Host": "rebound.example"}),
        (403, "GET", HEALTH, {"X-Amz-Security-Token": TOKEN, "Host": "localhost.rebound.example"}),
        (403, "PUT", RESPONSE, {"Host": "rebound.example"}),
        (403, "GET", RESPONSE, {}),
        (403, "OPTIONS", "/", {"Origin": "https://rebound.example", "Access-Control-Request-Method": "POST"}),
        (403, "POST", "/?Action=ListFunctions", {"Authorization": "AWS4-HMAC-SHA256 Credential=123456789012/x"}),
        (403, "GET", "/", WEBSOCKET),
    ],
)
def test_requests_need_token_and_host(
    cloud: LocalCloud, status: int, method: str, path: str, headers: dict[str, str]
) -> None:
    """They keep out other users of the machine and web pages; a custom resource responds without a token."""
    connection = http.client.HTTPConnection("127.0.0.1", urllib.parse.urlsplit(cloud.endpoint).port, timeout=10)
    connection.request(method, path, headers=headers)
    assert connection.getresponse().status == status
    connection.close()


def test_credentials_of_an_assumed_role(cloud: LocalCloud) -> None:
    """The CDK CLI assumes roles."""
    mine = ACCOUNT.environment()
    session = boto3.session.Session(mine["AWS_ACCESS_KEY_ID"], mine["AWS_SECRET_ACCESS_KEY"], TOKEN, ACCOUNT.region)
    sts = session.client("sts", endpoint_url=cloud.endpoint)
    role = f"arn:aws:iam::{ACCOUNT.number}:role/any"
    given = sts.assume_role(RoleArn=role, RoleSessionName="any")["Credentials"]
    assumed = boto3.session.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    caller = assumed.client("sts", endpoint_url=cloud.endpoint, region_name=ACCOUNT.region).get_caller_identity()
    assert caller["Account"] == ACCOUNT.number


def test_instance_is_a_database(cloud: LocalCloud, authority: CertificateAuthority) -> None:
    """Log-in over TLS, a changed password, and a database that outlives its stack."""
    instance: dict[str, Any] = {
        "Type": "AWS::RDS::DBInstance",
        "Properties": {"Engine": "postgres", "EngineVersion": "18.1", "DBName": "app", **LOGIN},
    }
    outputs = {"Host": get("Db", "Endpoint.Address"), "Port": get("Db", "Endpoint.Port")}
    made = deploy(cloud, "instance", {"Db": instance}, **outputs)
    assert made["Host"] == "localhost"
    sql = "SELECT current_setting('server_version_num')::int / 10000, pg_get_userbyid(datdba), user FROM pg_database"
    sql += " WHERE datname = current_database()"
    assert query(authority, made["Port"], "postgres", "It's-1", "app", sql) == [[18, "postgres", "postgres"]]

    instance["Properties"]["MasterUserPassword"] = "another-1"
    assert deploy(cloud, "instance", {"Db": instance}, **outputs) == made
    assert query(authority, made["Port"], "postgres", "another-1", "app", "SELECT 1") == [[1]]

    cloud.client("cloudformation", ACCOUNT).delete_stack(StackName="instance")
    assert query(authority, made["Port"], "postgres", "another-1", "app", "SELECT 1") == [[1]]


def test_members_of_a_cluster_are_one_database(cloud: LocalCloud, authority: CertificateAuthority) -> None:
    """RDS's secret contains only a user name and a password."""
    made = deploy(
        cloud,
        "cluster",
        {
            "Cluster": {
                "Type": "AWS::RDS::DBCluster",
                "Properties": {
                    "Engine": "aurora-postgresql",
                    "EngineVersion": "16.6",
                    "DatabaseName": "app",
                    "MasterUsername": "clusteradmin",
                    "ManageMasterUserPassword": True,
                },
            },
            **{
                name: {
                    "Type": "AWS::RDS::DBInstance",
                    "Properties": {"Engine": "aurora-postgresql", "DBClusterIdentifier": {"Ref": "Cluster"}},
                }
                for name in ("Writer", "Reader")
            },
        },
        Port=get("Cluster", "Endpoint.Port"),
        Writer=get("Writer", "Endpoint.Port"),
        Reader=get("Reader", "Endpoint.Port"),
        Secret=get("Cluster", "MasterUserSecret.SecretArn"),
    )
    assert made["Port"] == made["Writer"] == made["Reader"]
    secrets = cloud.client("secretsmanager", ACCOUNT)
    secret = json.loads(secrets.get_secret_value(SecretId=made["Secret"])["SecretString"])
    assert sorted(secret) == ["password", "username"]
    version = "SELECT current_setting('server_version_num')::int / 10000"
    assert query(authority, made["Port"], secret["username"], secret["password"], "app", version) == [[16]]


def test_proxies_alarms_and_rules_are_made(cloud: LocalCloud) -> None:
    """They can be described as on AWS."""
    alarm = {"Threshold": 5, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
    metric = {"Metric": {"Namespace": "AWS/RDS", "MetricName": "X"}, "Period": 60, "Stat": "Sum"}
    resources: dict[str, Any] = {
        **NETWORK,
        "Db": {"Type": "AWS::RDS::DBInstance", "Properties": {"Engine": "postgres", **LOGIN}},
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "database", "VpcId": {"Ref": "Vpc"}},
        },
        "Rule": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": get("Group", "GroupId"),
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
                "CidrIp": "10.0.0.0/16",
            },
        },
        "Proxy": {
            "Type": "AWS::RDS::DBProxy",
            "Properties": {
                "DBProxyName": "chat",
                "EngineFamily": "POSTGRESQL",
                "RoleArn": "arn:aws:iam::123456789012:role/proxy",
                "VpcSubnetIds": [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}],
                "VpcSecurityGroupIds": [get("Group", "GroupId")],
                "Auth": [{"AuthScheme": "SECRETS", "IAMAuth": "REQUIRED", "SecretArn": "arn:aws:secretsmanager:x"}],
                "RequireTLS": True,
                "DebugLogging": True,
            },
        },
        "Targets": {
            "Type": "AWS::RDS::DBProxyTargetGroup",
            "Properties": {
                "DBProxyName": {"Ref": "Proxy"},
                "TargetGroupName": "default",
                "DBInstanceIdentifiers": [{"Ref": "Db"}],
                "ConnectionPoolConfigurationInfo": {"MaxConnectionsPercent": 70, "ConnectionBorrowTimeout": 30},
            },
        },
        "Ratio": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                **alarm,
                "Metrics": [{"Id": "m", "MetricStat": metric, "ReturnData": False}, {"Id": "e", "Expression": "m / 2"}],
            },
        },
        "Latency": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {**alarm, "Namespace": "AWS/RDS", "MetricName": "Y", "Statistic": "Average", "Period": 60},
        },
        "Both": {
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "Properties": {
                "AlarmName": "both",
                "AlarmRule": {
                    "Fn::Sub": 'ALARM("${Ratio.Arn}") AND ALARM("${Latency.Arn}")',
                },
            },
        },
    }
    made = deploy(cloud, "all", resources, Endpoint=get("Proxy", "Endpoint"), Vpc=get("Proxy", "VpcId"))
    assert made["Endpoint"].startswith("localhost:")
    rds = cloud.client("rds", ACCOUNT)
    (proxy,) = rds.describe_db_proxies()["DBProxies"]
    assert proxy["Endpoint"] == made["Endpoint"]
    assert (proxy["DBProxyName"], proxy["DebugLogging"], proxy["RequireTLS"]) == ("chat", True, True)
    (group,) = rds.describe_db_proxy_target_groups(DBProxyName="chat")["TargetGroups"]
    assert group["ConnectionPoolConfig"]["MaxConnectionsPercent"] == 70
    (target,) = rds.describe_db_proxy_targets(DBProxyName="chat")["Targets"]
    assert (target["Type"], target["Endpoint"]) == ("RDS_INSTANCE", "localhost")
    alarms = cloud.client("cloudwatch", ACCOUNT).describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    assert sorted("Metrics" in one for one in alarms["MetricAlarms"]) == [False, True]
    assert [one["AlarmName"] for one in alarms["CompositeAlarms"]] == ["both"]

    resources["Proxy"]["Properties"]["DebugLogging"] = False
    deploy(cloud, "all", resources)
    assert rds.describe_db_proxies()["DBProxies"][0]["DebugLogging"] is False
    cloud.client("cloudformation", ACCOUNT).delete_stack(StackName="all")
    cloud.client("cloudformation", ACCOUNT).get_waiter("stack_delete_complete").wait(
        StackName="all", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    assert rds.describe_db_proxies()["DBProxies"] == []


def test_other_types_are_recorded(cloud: LocalCloud) -> None:
    """They deploy, and every attribute has a value."""
    made = deploy(
        cloud,
        "recorded",
        {
            **NETWORK,
            "Address": {"Type": "AWS::EC2::EIP"},
            "Nat": {
                "Type": "AWS::EC2::NatGateway",
                "Properties": {"AllocationId": get("Address", "AllocationId"), "SubnetId": {"Ref": "SubnetA"}},
            },
        },
        Nat={"Ref": "Nat"},
        Allocation=get("Address", "AllocationId"),
        Cidr=get("Vpc", "CidrBlock"),
    )
    assert made["Cidr"] == "10.0.0.0/16"
    assert made["Nat"]
    assert made["Allocation"].endswith("-allocationid")
    assert not {"AWS::EC2::EIP", "AWS::EC2::NatGateway"} & cloud.types
    assert {"AWS::RDS::DBInstance", "AWS::RDS::DBProxy", "AWS::EC2::VPC"} <= cloud.types


def test_second_endpoint_with_private_dns_is_rejected(cloud: LocalCloud) -> None:
    """As on AWS, of the same service in the same VPC; one without private DNS is created."""
    service = {"VpcId": {"Ref": "Vpc"}, "ServiceName": "com.amazonaws.eu-central-1.secretsmanager"}
    first = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {**service, "PrivateDnsEnabled": True}}
    second = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {**service, "PrivateDnsEnabled": False}}
    deploy(cloud, "endpoints", {**NETWORK, "First": first, "Second": second})
    third = {**first, "DependsOn": "First"}
    client = cloud.client("cloudformation", ACCOUNT)
    template = {"Resources": {**NETWORK, "First": first, "Third": third}}
    client.create_stack(StackName="conflict", TemplateBody=json.dumps(template))
    with pytest.raises(WaiterError):
        client.get_waiter("stack_create_complete").wait(
            StackName="conflict", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
    events = client.describe_stack_events(StackName="conflict")["StackEvents"]
    [reason] = [event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert "private-dns-enabled cannot be set because there is already a conflicting DNS domain" in reason


def test_check_reports_an_ended_process(
    tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> None:
    with LocalCloud(tmp_path_factory.mktemp("gone"), authority) as cloud:
        assert cloud._process is not None
        cloud._process.kill()
        cloud._process.wait()
        with pytest.raises(RehearsalError, match="ended with status -9"):
            cloud.check()
