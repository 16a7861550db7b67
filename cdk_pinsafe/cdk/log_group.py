"""Log groups with an expiry, under a customer's key if there is one."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct


def log_group(
    scope: Construct,
    id: str,
    *,
    key: kms.IKey | None,
    name: str | None = None,
    retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
) -> logs.LogGroup:
    """A log group that is deleted with its stack.

    The key's policy gets the statement for CloudWatch Logs that AWS documents and CDK does not add ("Encrypt log
    data in CloudWatch Logs using AWS KMS"; not tried on AWS). The policy of an imported key cannot be changed here.
    """
    if key is not None:
        stack = Stack.of(scope)
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                # AWS's has kms:Describe* too, which the condition denies: kms:DescribeKey has no encryption context.
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": (
                            # Not only this log group's, which would be a reference cycle with the key.
                            f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:*"
                        )
                    }
                },
            )
        )
    return logs.LogGroup(
        scope,
        id,
        log_group_name=name,
        encryption_key=key,
        retention=retention,
        removal_policy=RemovalPolicy.DESTROY,
    )
