"""What CloudFormation will ask the services for fits the services' own models, as botocore ships them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import botocore.session
import jsonschema
import pytest
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from .apps import APPS
from .dashboard_body import DASHBOARD_BODY
from .synthesis import Synthesized
from .templates import Resource

EVERY_APP = pytest.mark.parametrize("name", APPS)
MODELS: Final = botocore.session.get_session()


class Request(NamedTuple):
    """An API call and its parameters."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


def same_names(service: str, operation: str, **more: Any) -> Callable[[Resource], Sequence[Request]]:
    """The call that takes a resource's properties by their own names, but for the case of the first letter."""
    return lambda resource: [Request(service, operation, {**more, **resource.properties})]


def instance(resource: Resource) -> Sequence[Request]:
    given = {"VPCSecurityGroups": "VpcSecurityGroupIds"}
    parameters = {given.get(name, name): value for name, value in resource.properties.items()}
    return [Request("rds", "CreateDBInstance", {"DBInstanceIdentifier": "name", **parameters})]


def target_group(resource: Resource) -> Sequence[Request]:
    targets = {"DBInstanceIdentifiers", "DBClusterIdentifiers"}
    pool = {"ConnectionPoolConfig": resource.properties.get("ConnectionPoolConfigurationInfo", {})}
    whose = {name: resource.properties[name] for name in ("DBProxyName", "TargetGroupName")}
    others = resource.properties.keys() - targets - whose.keys() - {"ConnectionPoolConfigurationInfo"}
    assert not others
    return [
        Request("rds", "ModifyDBProxyTargetGroup", {**whose, **pool}),
        Request(
            "rds", "RegisterDBProxyTargets", {**whose, **{name: resource.properties.get(name, []) for name in targets}}
        ),
    ]


def parameter_group(resource: Resource) -> Sequence[Request]:
    properties = dict(resource.properties)
    parameters = properties.pop("Parameters")
    family = {"DBParameterGroupFamily": properties.pop("Family")}
    changes = [
        {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        for name, value in parameters.items()
    ]
    name = {"DBParameterGroupName": "name"}
    return [
        Request("rds", "CreateDBParameterGroup", {**name, **family, **properties}),
        Request("rds", "ModifyDBParameterGroup", {**name, "Parameters": changes}),
    ]


def log_group(resource: Resource) -> Sequence[Request]:
    properties = {"LogGroupName": "name", **resource.properties}
    name = {"logGroupName": properties["LogGroupName"]}
    retention = {"retentionInDays": properties.pop("RetentionInDays")}
    return [
        Request("logs", "CreateLogGroup", properties),
        Request("logs", "PutRetentionPolicy", {**name, **retention}),
    ]


def rule(resource: Resource) -> Sequence[Request]:
    properties = {"Name": "name", **resource.properties}
    targets = properties.pop("Targets")
    pattern = {"EventPattern": json.dumps(properties.pop("EventPattern"))}
    return [
        Request("events", "PutRule", {**properties, **pattern}),
        Request("events", "PutTargets", {"Rule": "name", "Targets": targets}),
    ]


def state_machine(resource: Resource) -> Sequence[Request]:
    properties = dict(resource.properties)
    definition = properties.pop("DefinitionString")
    kind = {"type": properties.pop("StateMachineType")}
    calls = [
        universal_call(state["Resource"], ":aws-sdk:", state["Parameters"])
        for state in json.loads(definition)["States"].values()
        if state["Type"] == "Task"
    ]
    return [
        Request(
            "stepfunctions", "CreateStateMachine", {"name": "name", "definition": definition, **kind, **properties}
        ),
        *calls,
    ]


def schedule(resource: Resource) -> Sequence[Request]:
    created = Request("scheduler", "CreateSchedule", {"Name": "name", **resource.properties})
    target = resource.properties["Target"]
    given = json.loads(target["Input"])
    if ":aws-sdk:" in target["Arn"]:
        return [created, universal_call(target["Arn"], ":aws-sdk:", given)]
    return [created, Request("lambda", "Invoke", {"FunctionName": target["Arn"], "Payload": target["Input"]})]


def universal_call(arn: str, mark: str, parameters: Mapping[str, Any]) -> Request:
    """What Scheduler's and Step Functions' SDK integrations call: ``…:aws-sdk:rds:modifyDBProxy``.

    They name parameters as the SDK for Java does: ``DbProxyName`` is the API's ``DBProxyName``.
    """
    service, _, action = arn.partition(mark)[2].partition(":")
    operations = {name[:1].lower() + name[1:]: name for name in model(service).operation_names}
    names = {member.lower(): member for member in input_shape(service, operations[action]).members}
    return Request(service, operations[action], {names[name.lower()]: value for name, value in parameters.items()})


def function(resource: Resource) -> Sequence[Request]:
    return [Request("lambda", "CreateFunction", {"FunctionName": "name", **resource.properties})]


def secret(resource: Resource) -> Sequence[Request]:
    properties = dict(resource.properties)
    generated = properties.pop("GenerateSecretString")
    template = json.loads(generated.pop("SecretStringTemplate"))
    assert template["username"]
    assert generated.pop("GenerateStringKey") == "password"
    return [
        Request("secretsmanager", "CreateSecret", {"Name": "name", **properties}),
        Request("secretsmanager", "GetRandomPassword", generated),
    ]


CALLS: Final[Mapping[str, Callable[[Resource], Sequence[Request]]]] = {
    "AWS::CloudWatch::Alarm": same_names("cloudwatch", "PutMetricAlarm", AlarmName="name"),
    "AWS::CloudWatch::CompositeAlarm": same_names("cloudwatch", "PutCompositeAlarm", AlarmName="name"),
    "AWS::CloudWatch::Dashboard": same_names("cloudwatch", "PutDashboard", DashboardName="name"),
    "AWS::Events::Rule": rule,
    "AWS::Lambda::Function": function,
    "AWS::Logs::LogGroup": log_group,
    "AWS::Logs::MetricFilter": same_names("logs", "PutMetricFilter", FilterName="name"),
    "AWS::Logs::QueryDefinition": same_names("logs", "PutQueryDefinition"),
    "AWS::RDS::DBInstance": instance,
    "AWS::RDS::DBParameterGroup": parameter_group,
    "AWS::RDS::DBProxy": same_names("rds", "CreateDBProxy"),
    "AWS::RDS::DBProxyTargetGroup": target_group,
    "AWS::RDS::DBSubnetGroup": same_names("rds", "CreateDBSubnetGroup", DBSubnetGroupName="name"),
    "AWS::Scheduler::Schedule": schedule,
    "AWS::SecretsManager::Secret": secret,
    "AWS::StepFunctions::StateMachine": state_machine,
}
NOT_CALLED: Final[Mapping[str, str]] = {
    "AWS::EC2::": "CDK's own VPC, and rules of security groups, which cfn-lint knows",
    "AWS::IAM::": "policies are judged by test_iam.py",
    "AWS::KMS::Key": "the app's",
    "AWS::RDS::DBCluster": "the app's",
    "AWS::SNS::": "the app's",
    "AWS::SecretsManager::SecretTargetAttachment": "CloudFormation's own",
    "Custom::": "the applier's",
}
"""Types without a call, by the beginning of their names."""


@cache
def model(service: str) -> ServiceModel:
    return MODELS.get_service_model(service)


@cache
def input_shape(service: str, operation: str) -> StructureShape:
    shape = model(service).operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)
    return shape


def as_api(shape: Shape, value: Any) -> Any:
    """Properties as parameters: the API's names, and numbers and booleans where CloudFormation takes text as well."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = {name[:1].upper() + name[1:]: name for name in shape.members}
        named = {members.get(name[:1].upper() + name[1:], name): one for name, one in value.items()}
        return {name: as_api(shape.members[name], one) if name in shape.members else one for name, one in named.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [as_api(shape.member, one) for one in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {name: as_api(shape.value, one) for name, one in value.items()}
    if shape.type_name in ("integer", "long") and isinstance(value, str) and value.isdecimal():
        return int(value)
    if shape.type_name == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def complaints(request: Request) -> Sequence[str]:
    """What botocore's validator and the model's enums, patterns and limits say against a call."""
    shape = input_shape(request.service, request.operation)
    parameters = as_api(shape, request.parameters)
    report = ParamValidator().validate(parameters, shape).generate_report()
    return [*report.splitlines(), *beyond(shape, parameters, request.operation)]


def beyond(shape: Shape, value: Any, where: str) -> Iterator[str]:
    """What botocore's validator leaves out."""
    limits = shape.metadata
    size = len(value) if isinstance(value, str | list | dict) else value
    if isinstance(size, int | float) and not isinstance(size, bool):
        if size < limits.get("min", size):
            yield f"{where}: {value!r} is less than {limits['min']}"
        if size > limits.get("max", size):
            yield f"{where}: {value!r} is more than {limits['max']}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"{where}: {value!r} is none of {limits['enum']}"
    if "pattern" in limits and isinstance(value, str) and not matches(limits["pattern"], value):
        yield f"{where}: {value!r} does not match {limits['pattern']}"
    if isinstance(shape, StructureShape):
        for name, one in value.items():
            if name not in shape.members:
                yield f"{where}: unknown {name}"
            else:
                yield from beyond(shape.members[name], one, f"{where}.{name}")
    elif isinstance(shape, ListShape):
        for index, one in enumerate(value):
            yield from beyond(shape.member, one, f"{where}[{index}]")
    elif isinstance(shape, MapShape):
        for name, one in value.items():
            yield from beyond(shape.value, one, f"{where}.{name}")


def matches(pattern: str, text: str) -> bool:
    # The models are written for Java's regular expressions: [\p{L}…] is Python's [^\W\d_…], near enough for a name.
    return re.fullmatch(re.sub(r"\\p\{L\}", r"a-zA-Z", pattern.removeprefix("^").removesuffix("$")), text) is not None


@EVERY_APP
def test_resources_fit_their_services(name: str, synthesized: Mapping[str, Synthesized]) -> None:
    """By the parameters of the call that creates each."""
    found = [
        f"{resource.logical_id}: {complaint}"
        for resource in synthesized[name].cloud.resources(*CALLS)
        for request in CALLS[resource.type](resource)
        for complaint in complaints(request)
    ]
    assert found == []


@EVERY_APP
def test_each_type_is_judged(name: str, synthesized: Mapping[str, Synthesized]) -> None:
    """A new type of resource gets its call, or a reason."""
    types = {resource.type for resource in synthesized[name].cloud.resources()}
    assert {type_ for type_ in types - set(CALLS) if not type_.startswith(tuple(NOT_CALLED))} == set()


def test_each_call_is_made(synthesized: Mapping[str, Synthesized]) -> None:
    """The table has no type that no app makes."""
    types = {resource.type for app in synthesized.values() for resource in app.cloud.resources()}
    assert set(CALLS) <= types
    assert all(any(type_.startswith(prefix) for type_ in types) for prefix in NOT_CALLED)


@EVERY_APP
def test_dashboards_fit_the_documented_structure(name: str, synthesized: Mapping[str, Synthesized]) -> None:
    """PutDashboard's model knows the body as text only."""
    for dashboard in synthesized[name].cloud.resources("AWS::CloudWatch::Dashboard"):
        body = json.loads(dashboard.properties["DashboardBody"])
        jsonschema.validate(body, DASHBOARD_BODY)
        assert all(widget["x"] + widget["width"] <= 24 for widget in body["widgets"])


@EVERY_APP
def test_composite_alarms_name_alarms_of_the_app(name: str, synthesized: Mapping[str, Synthesized]) -> None:
    """PutCompositeAlarm's model knows the rule as text only."""
    cloud = synthesized[name].cloud
    alarms = {
        f"arn:aws:cloudwatch:eu-west-1:111122223333:alarm:{alarm.logical_id}"
        for alarm in cloud.resources("AWS::CloudWatch::Alarm")
    }
    for composite in cloud.resources("AWS::CloudWatch::CompositeAlarm"):
        rule_text = composite.properties["AlarmRule"]
        named = re.findall(r'\b(?:ALARM|OK|INSUFFICIENT_DATA)\("([^"]*)"\)', rule_text)
        assert len(named) >= 2
        assert set(named) <= alarms
        rest = re.sub(r'\b(?:ALARM|OK|INSUFFICIENT_DATA)\("[^"]*"\)', "x", rule_text)
        assert re.fullmatch(r"\(*x\)*( (AND|OR) (NOT )?\(*x\)*)*", rest), rest


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (Request("scheduler", "CreateSchedule", {"Name": "a b"}), "does not match"),
        (Request("scheduler", "CreateSchedule", {"Description": "x" * 513}), "is more than 512"),
        (Request("cloudwatch", "PutMetricAlarm", {"Statistic": "Summe"}), "is none of"),
        (Request("cloudwatch", "PutMetricAlarm", {"Sum": 1}), "unknown Sum"),
        (Request("cloudwatch", "PutMetricAlarm", {"Period": "a minute"}), "Invalid type for parameter Period"),
        (Request("rds", "ModifyDBProxy", {"DebugLogging": True}), 'Missing required parameter in input: "DBProxyName"'),
        (Request("rds", "CreateDBProxy", {"DBProxyName": "bad--name"}), "does not match"),
    ],
)
def test_wrong_parameters_are_found(request_: Request, complaint: str) -> None:
    """The checks above can fail."""
    assert any(complaint in one for one in complaints(request_))


def test_wrong_dashboard_is_found() -> None:
    widget = {"type": "metric", "x": 0, "y": 0, "width": 25, "height": 6, "properties": {"region": "eu-west-1"}}
    with pytest.raises(jsonschema.ValidationError, match="25 is greater than the maximum"):
        jsonschema.validate({"widgets": [widget]}, DASHBOARD_BODY)
