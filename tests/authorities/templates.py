"""The templates of an app with their references resolved, as far as a service's API or IAM needs values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ACCOUNT: Final = "111122223333"
REGION: Final = "eu-west-1"
PSEUDO: Final[Mapping[str, Any]] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "stack",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/stack/0",
}
# What follows the partition in the ARN of a resource that is named {name}.
ARNS: Final = {
    "AWS::CloudWatch::Alarm": f"cloudwatch:{REGION}:{ACCOUNT}:alarm:{{name}}",
    "AWS::CloudWatch::CompositeAlarm": f"cloudwatch:{REGION}:{ACCOUNT}:alarm:{{name}}",
    "AWS::IAM::Role": f"iam::{ACCOUNT}:role/{{name}}",
    "AWS::KMS::Key": f"kms:{REGION}:{ACCOUNT}:key/0123abcd-0123-0123-0123-0123456789ab",
    "AWS::Lambda::Function": f"lambda:{REGION}:{ACCOUNT}:function:{{name}}",
    # CloudFormation ends it so, for the group's streams.
    "AWS::Logs::LogGroup": f"logs:{REGION}:{ACCOUNT}:log-group:{{name}}:*",
    "AWS::RDS::DBProxy": f"rds:{REGION}:{ACCOUNT}:db-proxy:prx-0123456789abcdef0",
    "AWS::SNS::Topic": f"sns:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::SecretsManager::Secret": f"secretsmanager:{REGION}:{ACCOUNT}:secret:{{name}}-Ab12Cd",
    "AWS::SecretsManager::SecretTargetAttachment": f"secretsmanager:{REGION}:{ACCOUNT}:secret:{{name}}-Ab12Cd",
    "AWS::StepFunctions::StateMachine": f"states:{REGION}:{ACCOUNT}:stateMachine:{{name}}",
}
REF_IS_ARN: Final = {
    "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret",
    "AWS::SecretsManager::SecretTargetAttachment",
    "AWS::StepFunctions::StateMachine",
}
NAMES: Final = {"AWS::RDS::DBProxy": "DBProxyName", "AWS::Logs::LogGroup": "LogGroupName"}
"""Properties that hold what a ``Ref`` gives."""
IDS: Final = {
    "AWS::EC2::SecurityGroup": "sg-0123456789abcdef0",
    "AWS::EC2::Subnet": "subnet-0123456789abcdef0",
    "AWS::EC2::VPC": "vpc-0123456789abcdef0",
}
ATTRIBUTES: Final = {
    "Arn": None,
    "DBProxyArn": None,
    "TopicArn": None,
    "CidrBlock": "10.0.0.0/16",
    "DBClusterResourceId": "cluster-0123456789ABCDEF",
    "DefaultSecurityGroup": IDS["AWS::EC2::SecurityGroup"],
    "Endpoint": "name.proxy-0123456789ab.eu-west-1.rds.amazonaws.com",
    "Endpoint.Address": "name.c0123456789ab.eu-west-1.rds.amazonaws.com",
    "Endpoint.Port": "5432",
    "GroupId": IDS["AWS::EC2::SecurityGroup"],
    "VpcId": IDS["AWS::EC2::VPC"],
}
"""Values of attributes; None for the resource's ARN."""


@dataclass(frozen=True)
class Resource:
    """A resource with its references resolved."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Cloud:
    """All templates of an app; what one exports the others import."""

    templates: Sequence[Mapping[str, Any]]

    def resources(self, *types: str) -> Iterator[Resource]:
        """The resources of some types; of all without any."""
        for template in self.templates:
            for logical_id, resource in template["Resources"].items():
                if not types or resource["Type"] in types:
                    properties = self.resolve(template, resource.get("Properties", {}))
                    yield Resource(logical_id, resource["Type"], properties)

    def resolve(self, template: Mapping[str, Any], value: Any) -> Any:
        """A value with its intrinsic functions replaced by what a deployment might make of them.

        Raises:
            ValueError: an intrinsic function that this reader does not know.
        """
        if isinstance(value, list):
            return [self.resolve(template, one) for one in value]
        if not isinstance(value, dict):
            return value
        if set(value) not in ({"Ref"}, *({name} for name in value if name.startswith("Fn::"))):
            return {
                key: resolved for key, one in value.items() if (resolved := self.resolve(template, one)) is not None
            }
        ((function, argument),) = value.items()
        match function, argument:
            case "Ref", "AWS::NoValue":
                return None
            case "Ref", str(name):
                return PSEUDO[name] if name in PSEUDO else self._ref(template, name)
            case "Fn::GetAtt", [str(logical_id), str(attribute)]:
                return self._attribute(template, logical_id, attribute)
            case "Fn::Join", [str(separator), parts]:
                return separator.join(str(part) for part in self.resolve(template, parts))
            case "Fn::Sub", str(text):
                return re.sub(r"\$\{([^}]*)\}", lambda found: str(self.resolve(template, {"Ref": found[1]})), text)
            case "Fn::Select", [index, parts]:
                return self.resolve(template, parts)[int(index)]
            case "Fn::Split", [str(separator), text]:
                return self.resolve(template, text).split(separator)
            case "Fn::GetAZs", _:
                return [f"{REGION}{letter}" for letter in "abc"]
            case "Fn::Cidr", [_, count, *_]:
                return [f"10.0.{number}.0/24" for number in range(int(count))]
            case "Fn::ImportValue", str(name):
                return self._imported(name)
        raise ValueError(f"unknown intrinsic function: {value}")

    def _ref(self, template: Mapping[str, Any], name: str) -> Any:
        if name in template.get("Parameters", {}):
            return template["Parameters"][name]["Default"]
        resource = template["Resources"][name]
        if resource["Type"] in REF_IS_ARN:
            return self._arn(template, name)
        if resource["Type"] in IDS:
            return IDS[resource["Type"]]
        return self._name(template, name)

    def _name(self, template: Mapping[str, Any], logical_id: str) -> str:
        resource = template["Resources"][logical_id]
        named = resource.get("Properties", {}).get(NAMES.get(resource["Type"], ""))
        return logical_id if named is None else str(self.resolve(template, named))

    def _arn(self, template: Mapping[str, Any], logical_id: str) -> str:
        arn = ARNS[template["Resources"][logical_id]["Type"]]
        return f"arn:aws:{arn}".format(name=self._name(template, logical_id))

    def _attribute(self, template: Mapping[str, Any], logical_id: str, attribute: str) -> str:
        return ATTRIBUTES.get(attribute, f"{logical_id}.{attribute}") or self._arn(template, logical_id)

    def _imported(self, name: str) -> Any:
        for template in self.templates:
            for output in template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == name:
                    return self.resolve(template, output["Value"])
        raise KeyError(name)
