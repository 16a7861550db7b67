"""Customer keys for storage, secret and log groups, and who may use them."""

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Template

from cdk_pinsafe import DatabaseSettings, PinSafePostgres, PinSafeProxy
from cdk_pinsafe.errors import ConfigurationError

KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/0123abcd-0123-0123-0123-0123456789ab"


def logs_statements(template: Template) -> list[dict[str, Any]]:
    """Statements of key policies for CloudWatch Logs."""
    return [
        statement
        for key in template.find_resources("AWS::KMS::Key").values()
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        if "logs." in str(statement["Principal"].get("Service"))
    ]


def keys_of(template: Template, type_: str, prop: str) -> list[Any]:
    return [one["Properties"].get(prop) for one in template.find_resources(type_).values()]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same stack", "another stack"])
def test_one_key_for_all(app: App, elsewhere: bool) -> None:
    """For what holds data or SQL, with the permission that CDK does not give, once."""
    stack = Stack(app, "Database")
    keys = Stack(app, "Keys") if elsewhere else stack
    key = kms.Key(keys, "Key")
    PinSafePostgres(stack, "Database", vpc=ec2.Vpc(stack, "Vpc"), encryption_key=key)
    template = Template.from_stack(stack)
    used = [
        *keys_of(template, "AWS::RDS::DBInstance", "KmsKeyId"),
        *keys_of(template, "AWS::SecretsManager::Secret", "KmsKeyId"),
        *keys_of(template, "AWS::Logs::LogGroup", "KmsKeyId"),
    ]
    assert len(used) == 5
    assert used == [stack.resolve(key.key_arn)] * 5
    [statement] = logs_statements(Template.from_stack(keys))
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": {"Fn::Join": ["", ["logs.", {"Ref": "AWS::Region"}, ".amazonaws.com"]]}},
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
        "Resource": "*",
        "Condition": {
            "ArnLike": {
                "kms:EncryptionContext:aws:logs:arn": {
                    "Fn::Join": [
                        "",
                        [
                            "arn:",
                            {"Ref": "AWS::Partition"},
                            ":logs:",
                            {"Ref": "AWS::Region"},
                            ":",
                            {"Ref": "AWS::AccountId"},
                            ":*",
                        ],
                    ]
                }
            }
        },
    }


def test_readers_of_the_secret_may_use_its_key(stack: Stack, vpc: ec2.Vpc) -> None:
    """The applier's and the proxy's roles."""
    key = kms.Key(stack, "Key")
    PinSafePostgres(stack, "Database", vpc=vpc, encryption_key=key)
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").items()
    decrypting = [
        logical_id
        for logical_id, policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "kms:Decrypt" and statement["Resource"] == stack.resolve(key.key_arn)
    ]
    assert len(decrypting) == 2


def test_imported_key(stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance) -> None:
    """It is used as it is."""
    key = kms.Key.from_key_arn(stack, "Key", KEY_ARN)
    PinSafeProxy(stack, "Proxy", target=instance, vpc=vpc, encryption_key=key)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::Logs::LogGroup", {"KmsKeyId": KEY_ARN})
    template.resource_count_is("AWS::KMS::Key", 0)


@pytest.mark.parametrize(("first", "second"), [(None, "B"), ("A", "B"), ("A", None)])
def test_functions_have_one_key(
    stack: Stack, vpc: ec2.Vpc, instance: rds.DatabaseInstance, first: str | None, second: str | None
) -> None:
    """Two DatabaseSettings that share them cannot ask for two."""
    keys = {"A": kms.Key(stack, "A"), "B": kms.Key(stack, "B"), None: None}

    def settings(id: str, key: str | None) -> None:
        DatabaseSettings(
            stack,
            id,
            database=instance,
            vpc=vpc,
            database_name=id,
            settings={"timezone": "UTC"},
            encryption_key=keys[key],
        )

    settings("one", first)
    settings("two", first)
    paths = [f"Test/{key}" if key else "None" for key in (second, first)]
    with pytest.raises(
        ConfigurationError, match=f"'encryption_key' should be the same .*, got {' after '.join(paths)}"
    ):
        settings("three", second)
