"""An instance, its proxy, what watches it, and five settings, so that no connection ever needs a SET.

Deploy it with `cdk deploy`, or watch it work on this machine with `pinsafe rehearse`.
"""

from aws_cdk import Acknowledgment, App, CfnOutput, Duration, Stack, Validations
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_pinsafe import PinSafePostgres


class ChatStack(Stack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
        )
        # The policy that enforces SSL would allow nobody to publish; the alarms add CloudWatch to it.
        topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        database = PinSafePostgres(
            self,
            "Database",
            vpc=vpc,
            database_name="chat",
            extensions=["vector"],
            settings={
                "hnsw.iterative_scan": "relaxed_order",
                "search_path": ["chat", "public"],
                "timezone": "UTC",
                "statement_timeout": Duration.seconds(30),
                "standard_conforming_strings": True,
            },
            alarm_actions=[actions.SnsAction(topic)],
        )
        Validations.of(database.proxy).acknowledge(
            Acknowledgment(
                id="annotation::cdk-pinsafe:SqlInProxyLogs",
                reason="only the database's team may read the proxy's log group",
            )
        )
        CfnOutput(self, "Endpoint", value=database.endpoint)


if __name__ == "__main__":
    app = App()
    ChatStack(app, "Chat")
    app.synth()
