"""Settings, a proxy and what watches it, added to the database of another stack, which stays as it is."""

from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct

from cdk_pinsafe import (
    DatabaseSettings,
    EnhancedLogging,
    PinningAlarms,
    PinningDashboard,
    PinningLogs,
    PinSafeChecks,
    PinSafeProxy,
)


class DataStack(Stack):
    """Stands for what a team has already; nothing in it knows of cdk_pinsafe."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.vpc = ec2.Vpc(self, "Vpc", max_azs=2, nat_gateways=1)
        self.database = rds.DatabaseInstance(
            self,
            "Database",
            engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9),
            vpc=self.vpc,
            database_name="orders",
            storage_encrypted=True,
            deletion_protection=True,
        )


class PinSafeStack(Stack):
    def __init__(self, scope: Construct, id: str, *, data: DataStack) -> None:
        super().__init__(scope, id)
        settings = DatabaseSettings(
            self,
            "Settings",
            database=data.database,
            vpc=data.vpc,
            database_name="orders",
            settings={
                # What Sequelize and Rails set on every connection, so that it need not be sent.
                "client_min_messages": "warning",
                "intervalstyle": "iso_8601",
                "standard_conforming_strings": True,
                "timezone": "UTC",
            },
        )
        proxy = PinSafeProxy(
            self,
            "Proxy",
            target=data.database,
            vpc=data.vpc,
            max_connections_percent=70,
            # SQL is in the log only for a day after an alarm.
            enhanced_logging=EnhancedLogging.ON_ALARM,
        )
        proxy.target_group.node.add_dependency(settings)
        alarms = PinningAlarms(self, "Alarms", proxy=proxy, pinned_threshold=2)
        proxy.log_on_alarm(alarms.pinned)
        PinningDashboard(self, "Dashboard", proxy=proxy)
        PinningLogs(self, "Logs", proxy=proxy, log_group=proxy.log_group)
        Validations.of(proxy).acknowledge(
            Acknowledgment(
                id="annotation::cdk-pinsafe:SqlInProxyLogs",
                reason="only the database's team may read the proxy's log group",
            )
        )


if __name__ == "__main__":
    app = App()
    data = DataStack(app, "Data")
    PinSafeStack(app, "PinSafe", data=data)
    Validations.of(app).add_plugins(PinSafeChecks(app))
    app.synth()
