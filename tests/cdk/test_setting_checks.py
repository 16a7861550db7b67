"""Settings are held against the engine's version at synth."""

from typing import Any

import pytest
from aws_cdk import Acknowledgment, CfnParameter, Duration, Size, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Annotations, Match

from cdk_pinsafe import DatabaseSettings
from cdk_pinsafe.errors import ConfigurationError, SettingError

POSTGRES_14 = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_14)
POSTGRES_18 = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18)
AURORA_16 = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_4)
UNKNOWN = "annotation::cdk-pinsafe:"


def add(
    stack: Stack, vpc: ec2.IVpc, settings: dict[str, Any], engine: rds.IInstanceEngine = POSTGRES_18, **props: Any
) -> DatabaseSettings:
    database = rds.DatabaseInstance(stack, "Instance", engine=engine, vpc=vpc)
    return DatabaseSettings(
        stack, "Settings", database=database, vpc=vpc, database_name="app", settings=settings, **props
    )


def warnings(stack: Stack, text: str = UNKNOWN) -> list[str]:
    """The warnings that match."""
    found = Annotations.from_stack(stack).find_warning("/Test/Settings", Match.string_like_regexp(text))
    return [str(message.entry.data) for message in found]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"statment_timeout": "30s"}, "is not a parameter of PostgreSQL 18; did you mean 'statement_timeout'"),
        ({"force_parallel_mode": True}, "is not a parameter of PostgreSQL 18, but of 14 and 15"),
        ({"work_mem": "64mb"}, "did you mean '64MB'"),
        ({"work_mem": Size.bytes(10)}, "got '10B', which is 0kB: expected a whole number from 64kB"),
        ({"work_mem": Duration.seconds(1)}, "'s' is not a unit of it"),
        ({"hnsw.ef_search": 4000}, "expected a whole number from 1 to 1000"),
        ({"synchronous_commit": "remote"}, "expected one of local, remote_write"),
        ({"random_page_cost": True}, "got 'on': expected a number of at least 0"),
    ],
)
def test_setting_that_the_version_refuses(stack: Stack, vpc: ec2.Vpc, settings: dict[str, Any], message: str) -> None:
    """The error has the construct's path and the catalogue's reason."""
    with pytest.raises(SettingError, match=message) as caught:
        add(stack, vpc, settings)
    assert str(caught.value).startswith(f"Test/Settings: setting {next(iter(settings))!r} ")


def test_version_of_the_engine(stack: Stack, vpc: ec2.Vpc) -> None:
    settings = {"force_parallel_mode": "off"}
    add(stack, vpc, settings, POSTGRES_14)
    assert warnings(stack) == []


def test_version_of_a_cluster(stack: Stack, vpc: ec2.Vpc) -> None:
    """Aurora's own parameters pass with a warning."""
    cluster = rds.DatabaseCluster(
        stack, "Cluster", engine=AURORA_16, vpc=vpc, writer=rds.ClusterInstance.serverless_v2("Writer")
    )

    def settings(id: str, settings: dict[str, Any]) -> None:
        DatabaseSettings(stack, id, database=cluster, vpc=vpc, database_name="app", settings=settings)

    with pytest.raises(SettingError, match="is not a parameter of PostgreSQL 16, but of 17 and 18"):
        settings("Bad", {"transaction_timeout": "1min"})
    settings("Settings", {"apg_enable_function_migration": False})
    [message] = warnings(stack)
    assert "'apg_enable_function_migration' belongs to an extension or engine that the catalogue" in message


def test_tokens_pass(stack: Stack, vpc: ec2.Vpc) -> None:
    """The value is not checked; the name is."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    text = CfnParameter(stack, "Text").value_as_string
    add(
        stack,
        vpc,
        {"work_mem": text, "statement_timeout": f"{text}s", "hnsw.ef_search": number, "search_path": [text, "public"]},
        extensions=["vector"],
    )
    assert warnings(stack) == []
    with pytest.raises(SettingError, match="did you mean 'work_mem'"):
        DatabaseSettings(
            stack,
            "Bad",
            database=stack.node.find_child("Instance"),  # type: ignore[arg-type]
            vpc=vpc,
            database_name="app",
            settings={"wrok_mem": text},
        )


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (rds.PostgresEngineVersion.VER_13, "PostgreSQL 13"),
        (rds.PostgresEngineVersion.of("19.1", "19"), "PostgreSQL 19"),
        (rds.PostgresEngineVersion.of("sixteen", "sixteen"), "an unknown version"),
        (None, "an unknown version"),
    ],
)
def test_unknown_version_gets_one_warning(
    stack: Stack, vpc: ec2.Vpc, version: rds.PostgresEngineVersion | None, name: str
) -> None:
    engine = rds.DatabaseInstanceEngine.postgres(version=version) if version else rds.DatabaseInstanceEngine.POSTGRES
    add(stack, vpc, {"work_mem": "lots", "new_parameter": 1}, engine)
    [message] = warnings(stack)
    assert f"the database is of {name}" in message


def test_one_warning_for_each_kind_of_doubt(stack: Stack, vpc: ec2.Vpc) -> None:
    """With what to do."""
    settings = {"pgaudit.log": "ddl", "pg_hint_plan.debug_print": "on", "tcp_keepalives_idle": Duration.millis(1500)}
    add(stack, vpc, settings)
    rounded, unknown = sorted(warnings(stack), key=lambda message: "rounds" not in message)
    assert "'pgaudit.log'" in unknown
    assert "'pg_hint_plan.debug_print'" in unknown
    assert "annotation::cdk-pinsafe:UnknownParameter" in unknown
    assert "setting 'tcp_keepalives_idle' got '1500ms', which PostgreSQL rounds to 2s" in rounded
    assert "annotation::cdk-pinsafe:RoundedValue" in rounded


def test_warning_can_be_acknowledged(stack: Stack, vpc: ec2.Vpc) -> None:
    """By the id that it names."""
    settings = add(stack, vpc, {"app.tenant": "x"})
    Validations.of(settings).acknowledge(
        Acknowledgment(id="annotation::cdk-pinsafe:CustomParameter", reason="granted by the DBA")
    )
    assert warnings(stack) == []


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            {"statement_timeout": 30},
            "BareNumber",
            "'settings': setting 'statement_timeout' got '30' without a unit, which PostgreSQL reads as 30ms; write "
            "'30ms' or Duration.millis(30), or '30s' or Duration.seconds(30) if that was meant; acknowledge "
            "'annotation::cdk-pinsafe:BareNumber' if that is right",
        ),
        (
            {"log_min_messages": "error"},
            "SuperuserParameter",
            "'settings': setting 'log_min_messages': only superusers may set it, and RDS's master user is none (denied "
            "on RDS 17.2, https://github.com/supabase/realtime/issues/1326): put it in a parameter group; the "
            "deployment would fail; acknowledge 'annotation::cdk-pinsafe:SuperuserParameter' if your server lets the "
            "secret's user set it",
        ),
        (
            {"session_preload_libraries": ["auto_explain"]},
            "SuperuserParameter",
            "add the library to shared_preload_libraries in a parameter group",
        ),
        (
            {"hnsw.iterative_scan": "relaxed_order"},
            "MissingExtension",
            "'settings': setting 'hnsw.iterative_scan' belongs to the extension 'vector', which is not in "
            "'extensions': "
            'a database without it rejects the setting; pass extensions=["vector"], or acknowledge '
            "'annotation::cdk-pinsafe:MissingExtension' if the database has it",
        ),
        (
            {"app.jwt_secret": "x"},
            "CustomParameter",
            "(https://github.com/PostgREST/postgrest/issues/755): keep the value in a table, or in a function that "
            "returns it; the deployment would fail; acknowledge 'annotation::cdk-pinsafe:CustomParameter'",
        ),
    ],
    ids=["bare", "superuser", "preload", "extension", "custom"],
)
def test_doubt_can_be_acknowledged(
    stack: Stack, vpc: ec2.Vpc, settings: dict[str, Any], kind: str, message: str
) -> None:
    """The warning names the prop, the parameter, what to do, and the id."""
    added = add(stack, vpc, settings)
    [warning] = warnings(stack)
    assert message in warning
    Validations.of(added).acknowledge(Acknowledgment(id=f"annotation::cdk-pinsafe:{kind}", reason="known"))
    assert warnings(stack) == []


def test_doubts_of_role_settings(stack: Stack, vpc: ec2.Vpc) -> None:
    """The warning names the role."""
    add(
        stack,
        vpc,
        {"statement_timeout": "5"},
        role_settings={"reports": {"lock_timeout": 2, "idle_session_timeout": 0}},
    )
    [warning] = warnings(stack)
    assert "'settings': setting 'statement_timeout' got '5' without a unit" in warning
    assert "'role_settings[reports]': setting 'lock_timeout' got '2' without a unit" in warning
    assert "idle_session_timeout" not in warning


def test_values_that_get_no_warning(stack: Stack, vpc: ec2.Vpc) -> None:
    """Units, CDK's amounts, off, and numbers of parameters without a unit."""
    settings = {
        "statement_timeout": Duration.seconds(30),
        "lock_timeout": "2s",
        "idle_session_timeout": 0,
        "work_mem": Size.mebibytes(64),
        "hnsw.ef_search": 100,
        "random_page_cost": 1.1,
    }
    add(stack, vpc, settings, extensions=["vector"])
    assert warnings(stack) == []


@pytest.mark.parametrize(
    ("extension", "right"),
    [
        ("pgvector", "vector"),
        ("PGVector", "vector"),
        ("hnsw", "vector"),
        ("uuid", "uuid-ossp"),
        ("uuid_ossp", "uuid-ossp"),
        ("pgcron", "pg_cron"),
        ("postgis_tiger", "postgis_tiger_geocoder"),
        ("PostGIS", "postgis"),
        ("pg_crypto", "pgcrypto"),
        ("pgtrgm", "pg_trgm"),
    ],
)
def test_common_name_of_an_extension_is_refused(stack: Stack, vpc: ec2.Vpc, extension: str, right: str) -> None:
    """With the name that CREATE EXTENSION takes."""
    with pytest.raises(ConfigurationError) as caught:
        add(stack, vpc, {}, extensions=["citext", extension])
    assert str(caught.value) == (
        f"Test/Settings: 'extensions' should hold the names of extensions, got {extension!r}: it is {right!r}"
    )


def test_library_without_extension_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    with pytest.raises(ConfigurationError, match="'auto_explain', which is a library .* shared_preload_libraries in a"):
        add(stack, vpc, {}, extensions=["auto_explain"])


@pytest.mark.parametrize("props", [{}, {"role_settings": {"reports": {}}}], ids=str)
def test_nothing_to_do(stack: Stack, vpc: ec2.Vpc, props: dict[str, Any]) -> None:
    """No setting, no role setting and no extension."""
    add(stack, vpc, {}, **props)
    [warning] = warnings(stack)
    assert warning.startswith("'settings' should name a parameter, got an empty dict")
    assert "annotation::cdk-pinsafe:NothingToDo" in warning


@pytest.mark.parametrize("props", [{"extensions": ["vector"]}, {"role_settings": {"reports": {"jit": False}}}], ids=str)
def test_extensions_without_settings(stack: Stack, vpc: ec2.Vpc, props: dict[str, Any]) -> None:
    add(stack, vpc, {}, **props)
    assert warnings(stack) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"session_replication_role": "replica"}, "switches off triggers and foreign keys.*'role_settings'"),
        ({"zero_damaged_pages": True}, "destroys all rows of a page"),
        ({"ignore_checksum_failure": True}, "hides corruption"),
        ({"allow_system_table_mods": True}, "destroy the system catalogs"),
    ],
    ids=str,
)
def test_default_that_loses_data_is_refused(stack: Stack, vpc: ec2.Vpc, settings: dict[str, Any], message: str) -> None:
    """It cannot be acknowledged."""
    with pytest.raises(SettingError, match=f"^Test/Settings: setting .* is no default: .*{message}"):
        add(stack, vpc, settings)


def test_harmful_default_gets_a_warning(stack: Stack, vpc: ec2.Vpc) -> None:
    """One warning for all; none for a role's settings; it can be acknowledged."""
    database = rds.DatabaseInstance(stack, "Instance", engine=POSTGRES_18, vpc=vpc)
    harmful: dict[str, Any] = {
        "row_security": False,
        "statement_timeout": 0,
        "search_path": [""],
        "enable_seqscan": False,
    }
    settings = DatabaseSettings(
        stack,
        "Settings",
        database=database,
        vpc=vpc,
        database_name="app",
        settings=harmful,
        role_settings={"backup": harmful, "loader": {"session_replication_role": "replica"}},
    )
    [message] = warnings(stack, "HarmfulDefault")
    for name in harmful:
        assert message.count(f"setting '{name}'") == 1
    assert "role_settings[" not in message
    Validations.of(settings).acknowledge(
        Acknowledgment(id="annotation::cdk-pinsafe:HarmfulDefault", reason="an archive that nobody writes to")
    )
    assert warnings(stack, "HarmfulDefault") == []


def test_role_setting_that_loses_data_is_refused(stack: Stack, vpc: ec2.Vpc) -> None:
    database = rds.DatabaseInstance(stack, "Instance", engine=POSTGRES_18, vpc=vpc)
    with pytest.raises(SettingError, match="destroys all rows"):
        DatabaseSettings(
            stack,
            "Settings",
            database=database,
            vpc=vpc,
            database_name="app",
            settings={},
            role_settings={"rescue": {"zero_damaged_pages": True}},
        )
