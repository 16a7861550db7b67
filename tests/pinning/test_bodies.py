"""Session state that routines leave."""

import pytest

from cdk_pinsafe.pinning.statements import analyse


def function(body: str, language: str = "plpgsql") -> str:
    return f"CREATE OR REPLACE FUNCTION f(id text) RETURNS void LANGUAGE {language} AS $$ {body} $$;"


@pytest.mark.parametrize(
    ("body", "part", "what"),
    [
        (
            "BEGIN PERFORM set_config('app.tenant', id, false); END",
            "set_config('app.tenant', id, false)",
            "app.tenant set",
        ),
        ("BEGIN PERFORM pg_catalog.set_config('a.b', id, 'f'); END", "set_config('a.b', id, 'f')", "a.b set"),
        (
            "BEGIN PERFORM set_config(is_local => false, setting_name => 'a.b', new_value => coalesce(id, 'x')); END",
            "set_config(is_local => false, setting_name => 'a.b', new_value => coalesce(id, 'x'))",
            "a.b set",
        ),
        ("BEGIN PERFORM set_config(id, id, false); END", "set_config(id, id, false)", "a parameter set"),
        ("BEGIN IF true THEN SET app.tenant TO '7'; END IF; END", "SET app.tenant TO '7'", "app.tenant set"),
        ("BEGIN SET SESSION work_mem = '1GB'; END", "SET SESSION work_mem = '1GB'", "work_mem set"),
        ("BEGIN SET TIME ZONE 'UTC'; END", "SET TIME ZONE 'UTC'", "timezone set"),
        ("BEGIN SET ROLE joe; END", "SET ROLE joe", "role set"),
        (
            "BEGIN EXECUTE format('SET app.tenant = %L', id); END",
            "EXECUTE format('SET app.tenant = %L', id)",
            "app.tenant set",
        ),
        ("BEGIN PERFORM pg_advisory_lock(1); END", "pg_advisory_lock(1)", "pg_advisory_lock held"),
        (
            "BEGIN CREATE TEMP TABLE IF NOT EXISTS t (i int); END",
            "CREATE TEMP TABLE IF NOT EXISTS t",
            "temporary table t",
        ),
        ("BEGIN LISTEN jobs; END", "LISTEN jobs", "LISTEN"),
    ],
)
def test_leak_is_found(body: str, part: str, what: str) -> None:
    """It does not pin, so it is not a finding."""
    sql = f"SELECT 'é';\n{function(body)}"
    analysis = analyse(sql)
    (leak,) = analysis.leaks
    assert sql[leak.start : leak.end] == part
    assert what in leak.what
    assert sql[leak.statement_start :].startswith("CREATE")
    assert analysis.findings == ()


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN PERFORM set_config('app.tenant', id, true); END",
        "BEGIN PERFORM set_config('app.tenant', id, how); END",
        "BEGIN PERFORM set_config('app.tenant', '', false); END",
        "BEGIN PERFORM set_config('app.tenant', NULL, false); END",
        "BEGIN PERFORM mine.set_config('app.tenant', id, false); END",
        "BEGIN SET LOCAL app.tenant = '7'; END",
        "BEGIN SET CONSTRAINTS ALL DEFERRED; END",
        "BEGIN SET work_mem = '1GB'; PERFORM slow(); RESET work_mem; END",
        "BEGIN SET work_mem = '1GB'; PERFORM slow(); SET work_mem TO DEFAULT; END",
        "DECLARE old text := current_setting('work_mem'); BEGIN PERFORM set_config('work_mem', '1GB', false); "
        "PERFORM set_config('work_mem', old, false); END",
        "BEGIN UPDATE t SET app = 1; RAISE NOTICE 'SET app.tenant = 1'; END",
        "BEGIN EXECUTE 'SET LOCAL app.tenant = 1'; END",
        "BEGIN PERFORM pg_advisory_xact_lock(1); END",
        "BEGIN PERFORM pg_advisory_lock(1); PERFORM slow(); PERFORM pg_advisory_unlock(1); END",
        "BEGIN CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1; END",
        "BEGIN CREATE TEMP TABLE t (i int); DROP TABLE t; END",
        "-- PERFORM set_config('app.tenant', id, false);\nBEGIN END",
        "BEGIN 'an open string",
    ],
)
def test_state_of_the_transaction_is_no_leak(body: str) -> None:
    """Also without state that the body restores."""
    assert analyse(function(body)).leaks == ()


def test_leaks_in_other_bodies() -> None:
    """A quoted body is located as a whole, an SQL body by its statement; other languages are not read."""
    sql = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT set_config(''a.b'', ''c'', false)'"
    (leak,) = analyse(sql).leaks
    assert sql[leak.start : leak.end] == sql
    sql = "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT set_config('a.b', 'c', false); END"
    (leak,) = analyse(sql).leaks
    assert sql[leak.start : leak.end] == "set_config('a.b', 'c', false)"
    assert analyse(function("plpy.execute('x'); set_config('a.b', 'c', false)", "plpython3u")).leaks == ()
    assert analyse("DO $$ BEGIN PERFORM set_config('a.b', 'c', false); END $$").leaks == ()
