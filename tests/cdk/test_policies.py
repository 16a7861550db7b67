"""Which policies let CloudWatch publish to a topic, or use its key."""

import json
from typing import Any

import pytest

from cdk_pinsafe.cdk.policies import allows_key_use, allows_publish

ACCOUNT = "111122223333"
OTHER = "999988887777"
SERVICE = {"Service": "cloudwatch.amazonaws.com"}
ONLY_TLS = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sns:Publish",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
"""What CDK's ``enforce_ssl`` makes."""


def text(value: Any) -> str:
    return value if isinstance(value, str) else f"\0{json.dumps(value)}\0"


def publish(**changes: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": SERVICE, "Action": "sns:Publish", "Resource": "*", **changes}
    return {key: value for key, value in statement.items() if value is not None}


def equal(key: str, value: Any, operator: str = "StringEquals") -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


@pytest.mark.parametrize(
    "statement",
    [
        publish(),
        publish(Action=["sns:Subscribe", "SNS:Publish"]),
        publish(Action="sns:*"),
        publish(Action="*"),
        publish(Action=None, NotAction="sns:DeleteTopic"),
        publish(Principal="*"),
        publish(Principal={"AWS": "*"}),
        publish(Principal={"Service": ["s3.amazonaws.com", "cloudwatch.amazonaws.com"]}),
        publish(Principal={"Service": "cloudwatch.eu-west-1.amazonaws.com"}),
        publish(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
        publish(Principal={"AWS": ACCOUNT}),
        # SNS's own policy.
        publish(Principal={"AWS": "*"}, Action=["SNS:Publish", "SNS:Subscribe"], **equal("AWS:SourceOwner", ACCOUNT)),
        publish(**equal("aws:SourceAccount", ACCOUNT)),
        publish(**equal("aws:SourceAccount", [OTHER, ACCOUNT])),
        publish(**equal("aws:SourceAccount", "1111*", "StringLike")),
        publish(**equal("aws:SourceArn", f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:*", "ArnLike")),
        publish(**equal("aws:SourceArn", f"arn:*:*:*:{ACCOUNT}:*", "ArnLike")),
        publish(**equal("aws:SecureTransport", "true", "Bool")),
        publish(**equal("aws:PrincipalOrgID", "o-1", "StringEqualsIfExists")),
        publish(**equal("aws:PrincipalTag/team", "x")),
        publish(**equal("aws:SourceAccount", OTHER, "StringNotEquals")),
        # What CloudFormation decides.
        publish(Effect={"Ref": "Effect"}),
        publish(Action={"Ref": "Action"}),
        publish(Principal={"Ref": "Principal"}),
        publish(Principal={"Fn::If": ["Yes", "*", "*"]}),
        publish(Principal={"Service": {"Ref": "Service"}}),
        publish(Principal={"AWS": {"Ref": "Account"}}),
        publish(**equal("aws:SourceAccount", {"Ref": "AWS::AccountId"})),
        publish(Condition={"Ref": "Condition"}),
        {"Fn::If": ["Yes", {}, {}]},
    ],
    ids=str,
)
def test_statement_that_allows_publish(statement: dict[str, Any]) -> None:
    """Next to a denial that does not concern CloudWatch."""
    assert allows_publish({"Statement": [ONLY_TLS, statement]}, ACCOUNT, text)


@pytest.mark.parametrize(
    "statement",
    [
        ONLY_TLS,
        publish(Action="sns:Subscribe"),
        publish(Action=None, NotAction="sns:*"),
        publish(Principal={"Service": "events.amazonaws.com"}),
        publish(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/publisher"}),
        publish(Principal={"AWS": {"Fn::GetAtt": ["Role", "Arn"]}}) | {"Principal": {"AWS": "\0Role.Arn\0"}},
        publish(Principal={"Federated": "cognito-identity.amazonaws.com"}),
        publish(**equal("aws:SourceAccount", OTHER)),
        publish(**equal("AWS:SourceOwner", [OTHER])),
        publish(Principal="*", **equal("aws:PrincipalOrgID", "o-1")),
        publish(**equal("aws:SourceArn", "arn:aws:s3:::bucket", "ArnLike")),
        publish(**equal("aws:SourceArn", "arn:\0AWS::Partition\0:s3:::bucket", "ArnLike")),
        publish(**equal("aws:SecureTransport", "false", "Bool")),
    ],
    ids=str,
)
def test_statement_that_does_not_allow_it(statement: dict[str, Any]) -> None:
    """As the only statement of the policy."""
    assert not allows_publish({"Statement": [statement]}, ACCOUNT, text)
    assert not allows_publish({"Statement": statement}, ACCOUNT, text)


@pytest.mark.parametrize(
    "denial",
    [
        {"Effect": "Deny", "Principal": "*", "Action": "sns:*"},
        {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["sns:Publish"]},
        {"Effect": "Deny", "Principal": SERVICE, "Action": "sns:Publish"},
    ],
    ids=str,
)
def test_denial_overrides_a_permission(denial: dict[str, Any]) -> None:
    assert not allows_publish({"Statement": [publish(), denial]}, ACCOUNT, text)


def test_whole_policy() -> None:
    """An empty one allows nothing; one that only the deployment knows counts as allowing it."""
    assert not allows_publish({"Statement": []}, ACCOUNT, text)
    assert allows_publish({"Ref": "Policy"}, ACCOUNT, text)
    assert allows_publish('{"Statement": []}', ACCOUNT, text)
    assert allows_publish({"Statement": [publish(**equal("aws:SourceAccount", OTHER))]}, None, text)


KEY = {"Effect": "Allow", "Principal": SERVICE, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*"}
ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("statements", "lets"),
    [
        ([ROOT, KEY], True),
        ([ROOT, {**KEY, "Action": "kms:*"}], True),
        ([ROOT, {**KEY, "Action": ["kms:Decrypt", "kms:GenerateDataKey"]}], True),
        ([{**KEY, "Action": "kms:Decrypt"}, {**KEY, "Action": "kms:GenerateDataKey*"}], True),
        ([{**KEY, "Principal": {"AWS": "*"}}], True),
        # The policy of SNS's own key.
        ([{**KEY, "Principal": {"AWS": "*"}, **equal("kms:CallerAccount", ACCOUNT)}], False),
        # An account stands for its roles and users, not for a service.
        ([ROOT], False),
        ([{**ROOT, "Principal": {"AWS": "arn:\0AWS::Partition\0:iam::\0AWS::AccountId\0:root"}}], False),
        ([ROOT, {**KEY, "Action": "kms:Decrypt"}], False),
        ([ROOT, {**KEY, "Action": "kms:GenerateDataKey*"}], False),
        ([ROOT, {**KEY, "Principal": {"Service": "sns.amazonaws.com"}}], False),
        ([ROOT, {**KEY, **equal("aws:SourceAccount", OTHER)}], False),
    ],
)
def test_key_policy(statements: list[dict[str, Any]], lets: bool) -> None:
    """CloudWatch needs both actions."""
    assert allows_key_use({"Statement": statements}, ACCOUNT, text) is lets
