"""Remedies, and settings that must not be proposed."""

import re

import pytest

from cdk_pinsafe.pinning.clients import Sender
from cdk_pinsafe.pinning.remedies import movable
from cdk_pinsafe.pinning.statements import analyse, digest
from cdk_pinsafe.settings.catalogue.defaults import HAZARDS

PLACEHOLDER = re.compile(r"\$1|_1")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "SET session_replication_role = 'replica'",
            'role_settings={"<role>": {"session_replication_role": "replica"}}',
        ),
        ("SET session_replication_role = $1", "triggers and foreign keys"),
        ("SET session_replication_role = 'origin'", "with the SET that it undoes"),
        ("SET zero_damaged_pages = on", "connect what needs it to the database itself: it is no default for every"),
        ("SET ignore_checksum_failure = on", "hides corruption"),
        ("SET allow_system_table_mods = on", "destroy the system catalogs"),
        ("SET row_security = off", 'role_settings={"<role>": {"row_security": "off"}}'),
        ("SET statement_timeout = 0", 'role_settings={"<role>": {"statement_timeout": 0}}'),
        ("SET check_function_bodies = false", "mistakes in new functions"),
        ("SELECT set_config('search_path', '', false)", 'role_settings={"<role>": {"search_path": []}}'),
        ("SET enable_seqscan TO off", 'role_settings={"<role>": {"enable_seqscan": "off"}}'),
        ("SET synchronous_commit = off", "a crash would lose transactions"),
        ("SET work_mem = '1GB'", 'role_settings={"<role>": {"work_mem": "1GB"}}'),
        ("SET default_transaction_read_only = on", "as in BEGIN READ ONLY; give it to a role of its own"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "as in BEGIN ISOLATION LEVEL SERIALIZABLE; give it to a role of its own",
        ),
        ("SET datestyle = 'German'", "psycopg2 and psqlODBC would SET their own"),
        ("SET log_min_duration_statement = 250", "put it in a parameter group"),
        ("LOAD 'auto_explain'", "shared_preload_libraries in the parameter group"),
    ],
)
def test_harmful_default_is_not_advised(sql: str, words: str) -> None:
    """The remedy has another way and the reason."""
    (finding,) = analyse(sql).findings
    assert words in finding.remedy
    assert " settings={" not in f" {finding.remedy}"
    assert finding.settings == {}


@pytest.mark.parametrize(
    "sql",
    [
        "SET app.tenant = 7",
        "SET shop.bypass_rls = 'on'",
        "SET LOCAL my.tenant_id = $1",
        "SELECT set_config('request.jwt.claims', $1, true)",
    ],
)
def test_value_of_one_session_is_a_parameter(sql: str) -> None:
    """A tenant or a user is no default, also not a role's."""
    (finding,) = analyse(sql).findings
    assert finding.remedy.startswith("pass it as a parameter of the query")
    assert "settings=" not in finding.remedy
    assert finding.settings == {}


@pytest.mark.parametrize("name", sorted(HAZARDS))
def test_no_harmful_default_is_movable(name: str) -> None:
    if HAZARDS[name].usual:
        assert not movable(name)
        assert analyse(f"SET {name} = $1").findings[0].settings == {}


@pytest.mark.parametrize(
    ("sql", "sender"),
    [
        ("SELECT pg_advisory_lock(72707369)", Sender.MIGRATION),
        ("select pg_advisory_lock(3853314791062309107)", Sender.MIGRATION),
        ('SELECT pg_try_advisory_lock(7241865325823964) AS "lockObtained"', Sender.MIGRATION),
        ('select pg_try_advisory_lock($1) as "lockobtained"', Sender.MIGRATION),
        ("DECLARE _psql_cursor NO SCROLL CURSOR FOR\nSELECT 1", Sender.PERSON),
        ("SET synchronize_seqscans TO off", Sender.DUMP),
    ],
)
def test_statement_of_one_kind_of_sender(sql: str, sender: Sender) -> None:
    assert analyse(sql).findings == analyse(sql, sender=sender).findings
    assert "the database itself, not through the proxy" in analyse(sql).findings[0].remedy


@pytest.mark.parametrize("sender", [Sender.MIGRATION, Sender.DUMP, Sender.PERSON])
@pytest.mark.parametrize("sql", ["SET statement_timeout = 0", "SET lock_timeout = '5s'", "SELECT setval('s', 1)"])
def test_other_senders_should_connect_directly(sql: str, sender: Sender) -> None:
    (finding,) = analyse(sql, sender=sender).findings
    assert "database itself, not through the proxy" in finding.remedy
    assert "settings=" not in finding.remedy


def test_migration_lock_is_not_replaced() -> None:
    """pg_advisory_xact_lock cannot span transactions; without a sender both remedies are named."""
    (finding,) = analyse("SELECT pg_advisory_lock(1)", sender=Sender.MIGRATION).findings
    assert "pg_advisory_xact_lock cannot take its place" in finding.remedy
    (finding,) = analyse("SELECT pg_advisory_lock($1)").findings
    assert "within one transaction use pg_advisory_xact_lock" in finding.remedy
    assert "migration tools, connect to the database itself" in finding.remedy


@pytest.mark.parametrize(
    ("sql", "parameter"),
    [
        ("SET SESSION CHARACTERISTICS AS TRANSACTION $1", None),
        ("SET TRANSACTION $1", None),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL $1", "default_transaction_isolation"),
        ("SET TRANSACTION ISOLATION LEVEL $1", "transaction_isolation"),
    ],
)
def test_placeholder_is_neither_parameter_nor_value(sql: str, parameter: str | None) -> None:
    (finding,) = analyse(sql, placeholders=PLACEHOLDER).findings
    assert (finding.parameter, finding.value) == (parameter, None)
    assert not re.search(r"\bdeferrable\b|serializable|\"on\"", finding.remedy, re.IGNORECASE)


def test_normalised_mode_is_known() -> None:
    """In a log $1 replaced a constant, so it is the only word that fits."""
    sql = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    (finding,) = analyse(digest(sql)).findings
    assert (finding.parameter, finding.value) == ("default_transaction_read_only", "on")


def test_placeholder_in_a_name_is_no_name() -> None:
    (finding,) = analyse("SET _1 = 'x'", placeholders=PLACEHOLDER).findings
    assert "_1" not in finding.remedy
    assert finding.settings == {}


def test_undoing_set_is_not_redundant() -> None:
    """It repeats what sessions start with, after a harmful SET."""
    (finding,) = analyse("SET row_security = on", database_settings={"row_security": "on"}).findings
    assert not finding.redundant
    (finding,) = analyse("SET row_security = off", database_settings={"row_security": "off"}).findings
    assert finding.redundant
