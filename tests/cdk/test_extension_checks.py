"""Extensions and time zones that the server would refuse."""

from collections.abc import Sequence

import pytest
from aws_cdk import Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Annotations, Match

from cdk_pinsafe import DatabaseSettings

VERSIONS = {17: rds.PostgresEngineVersion.VER_17, 18: rds.PostgresEngineVersion.VER_18, None: None}


def warnings(stack: Stack, kind: str) -> list[str]:
    found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp(kind))
    return [str(one.entry.data) for one in found]


def add(stack: Stack, vpc: ec2.Vpc, extensions: Sequence[str], major: int | None = 17, **settings: str) -> None:
    version = VERSIONS[major]
    postgres = rds.DatabaseInstanceEngine
    engine = postgres.postgres(version=version) if version else postgres.POSTGRES
    instance = rds.DatabaseInstance(stack, "Instance", engine=engine, vpc=vpc)
    DatabaseSettings(
        stack, "Settings", database=instance, vpc=vpc, database_name="app", settings=settings, extensions=extensions
    )


@pytest.mark.parametrize(
    ("extensions", "major", "message"),
    [
        (
            ["postgres_fwd"],
            17,
            r"'postgres_fwd' is not offered by RDS for PostgreSQL \(did you mean 'postgres_fdw'\?\)",
        ),
        (["timescaledb"], None, "'timescaledb' is not offered by RDS for PostgreSQL:"),
        (["pg_stat_monitor"], 17, "'pg_stat_monitor' is offered by RDS for PostgreSQL 18, not 17"),
        (["postgis", "postgis_topology"], 18, "'postgis_topology' is offered by RDS for PostgreSQL 14 to 17, not 18"),
    ],
)
def test_extension_that_rds_lacks(
    stack: Stack, vpc: ec2.Vpc, extensions: list[str], major: int | None, message: str
) -> None:
    """One warning, with the name that may be meant; it can be acknowledged, since the server may have more."""
    add(stack, vpc, extensions, major)
    (warning,) = warnings(stack, "ExtensionNotOnRds")
    assert Match.string_like_regexp(message).test(warning).is_success
    assert "acknowledge 'annotation::cdk-pinsafe:ExtensionNotOnRds'" in warning


@pytest.mark.parametrize(
    ("extensions", "major"),
    [(["vector", "uuid-ossp", "h3_postgis"], 17), (["postgis_topology"], None), ([Token.as_string({"Ref": "X"})], 17)],
)
def test_extensions_without_a_warning(stack: Stack, vpc: ec2.Vpc, extensions: list[str], major: int | None) -> None:
    """An engine without a version may have all versions' extensions; tokens are unknown."""
    add(stack, vpc, extensions, major)
    assert warnings(stack, "ExtensionNotOnRds") == []


def test_aurora_has_other_extensions(stack: Stack, vpc: ec2.Vpc) -> None:
    """The list is RDS for PostgreSQL's."""
    engine = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_6)
    cluster = rds.DatabaseCluster(stack, "C", engine=engine, vpc=vpc, writer=rds.ClusterInstance.serverless_v2("W"))
    DatabaseSettings(
        stack, "Settings", database=cluster, vpc=vpc, database_name="app", settings={}, extensions=["apg_plan_mgmt"]
    )
    assert warnings(stack, "ExtensionNotOnRds") == []


@pytest.mark.parametrize(
    ("zone", "meant"),
    [
        ("Europe/Pariss", "Europe/Paris"),
        ("america/new york", None),
        ("europe/paris", None),
        ("UTC", None),
        ("EST5EDT", None),
        ("<+02>-02", None),
        ("EST5EDT,M3.2.0/2,M11.1.0/2", None),
        ("Mars/Olympus", ""),
    ],
)
def test_time_zones(stack: Stack, vpc: ec2.Vpc, zone: str, meant: str | None) -> None:
    """A name that the time zone database lacks gets a warning; offsets, rules and other spellings do not."""
    add(stack, vpc, [], TimeZone=zone)
    found = warnings(stack, "UnknownTimeZone")
    assert len(found) == (meant is not None)
    assert all((meant or "is not in the time zone database") in warning for warning in found)
