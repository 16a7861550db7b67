"""Hostile databases: settings are applied correctly, or refused with a clear message."""

import inspect
import re
from typing import Any, Final

import pytest

from cdk_pinsafe.applier import do_blocks, sql
from cdk_pinsafe.applier.connection import Session
from cdk_pinsafe.settings import libraries

from .harness import MASTER, Database, Settings, loader_revoked

DISTURBING: Final = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "idle_session_timeout": "1",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "client_min_messages": "error",
    "client_encoding": "LATIN1",
    "row_security": "off",
    "synchronous_commit": "off",
    "exit_on_error": "on",
}

STATEMENTS: Final = "".join(inspect.getsource(module) for module in (sql, do_blocks, libraries))
FUNCTIONS: Final = sorted(set(re.findall(r"pg_catalog\.(\w+)\(", STATEMENTS)))
RELATIONS: Final = sorted(set(re.findall(r"(?:FROM|JOIN|,) +pg_catalog\.(pg_\w+) ", STATEMENTS)))
LOOK_ALIKES: Final = """
DO $do$
DECLARE
  v_one record;
  v_made integer := 0;
BEGIN
  CREATE SCHEMA IF NOT EXISTS {schema};
  GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
  CREATE TABLE {schema}.crash_worker (what text);
  GRANT INSERT ON {schema}.crash_worker TO PUBLIC;
  CREATE FUNCTION {schema}.strike(pg_catalog.text) RETURNS pg_catalog.text SECURITY DEFINER LANGUAGE plpgsql AS
    'BEGIN INSERT INTO {schema}.crash_worker VALUES ($1); RETURN NULL; END';
  FOR v_one IN
    SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments, p.prorettype::regtype AS type
    FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ('{functions}')
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION {schema}.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', v_one.name,
        regexp_replace(v_one.arguments, 'OUT .*|ORDER BY .*', ''), v_one.type,
        format('BEGIN PERFORM {schema}.strike(%L); RETURN NULL; END', v_one.name));
      v_made := v_made + 1;
    EXCEPTION WHEN OTHERS THEN
      NULL; -- such as those of pseudo-types
    END;
  END LOOP;
  FOR v_one IN
    SELECT o.oprname AS name, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS type,
           row_number() OVER () AS number
    FROM pg_operator o
    WHERE o.oprname IN ('=', '<>', '<', '>', '~', '!~', '||', '->', '->>', '?') AND o.oprleft = ANY
      ('{{oid,name,text,"char",int2,int4,int8,bool,jsonb,regclass,_text,_oid,int2vector}}'::regtype[])
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION {schema}.of_operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
        v_one.number, v_one.l, v_one.r, v_one.type,
        format('BEGIN PERFORM {schema}.strike(%L); RETURN NULL; END', v_one.name));
      EXECUTE format('CREATE OPERATOR {schema}.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = {schema}.of_operator_%s)',
        v_one.name, v_one.l, v_one.r, v_one.number);
      v_made := v_made + 1;
    EXCEPTION WHEN OTHERS THEN
      NULL;
    END;
  END LOOP;
  FOR v_one IN SELECT unnest('{relations}'::text[]) AS name LOOP
    EXECUTE format('CREATE VIEW {schema}.%I AS SELECT {schema}.strike(%L) AS name', v_one.name, v_one.name);
    EXECUTE format('GRANT SELECT ON {schema}.%I TO PUBLIC', v_one.name);
  END LOOP;
  FOR v_one IN SELECT unnest('{{oid,name,text,jsonb,regclass,integer,boolean}}'::text[]) AS name LOOP
    EXECUTE format('CREATE TYPE {schema}.%I AS (a pg_catalog.int4)', v_one.name);
  END LOOP;
  IF v_made < 100 THEN
    RAISE 'only % look-alikes could be made', v_made;
  END IF;
END
$do$
"""
"""Functions, operators, views and types with the names in the applier's statements; a call of one leaves a row."""


def run_lifecycle(database: Database) -> None:
    """Create, update and delete a resource with settings of a role, and with an extension if the server has one."""
    has_vector = database.cluster.installation.has_vector
    desired: Settings = {"jit": "off", "timezone": "UTC", "work_mem": "8MB"}
    if has_vector:
        desired = {**desired, "hnsw.ef_search": "50"}
    more: dict[str, Any] = {
        "Extensions": ["vector"] if has_vector else [],
        "Recycle": "idle",
        "RoleSettings": f'{{"{MASTER}": {{"lock_timeout": "5s"}}}}',
    }
    assert database.create(desired, **more).counts[0] == len(desired) + 1
    database.update({"jit": "on", "lock_timeout": "1s"}, desired, **more)
    database.delete({"jit": "on"}, **more)
    assert database.ledger() == {}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("evil", "evil, pg_catalog"),
        ("public", "public, pg_catalog"),
        ("public", '"$user", public, pg_temp, pg_catalog'),
    ],
)
def test_look_alikes_are_never_called(database: Database, schema: str, path: str) -> None:
    """Wherever their schema is in the database's search_path."""
    assert {"current_setting", "set_config", "lower", "jsonb_agg", "format", "quote_literal"} <= set(FUNCTIONS)
    assert {"pg_settings", "pg_db_role_setting", "pg_database"} <= set(RELATIONS)
    functions, relations = ("{" + ",".join(names) + "}" for names in (FUNCTIONS, RELATIONS))
    database.rows(LOOK_ALIKES.format(schema=schema, functions=functions, relations=relations))
    database.alter(f"SET search_path = {path}")
    before = database.stored()
    with database.session() as session:
        session.run("SELECT lower('A') = 'b'")
        assert database.rows(f"SELECT count(*) > 0 FROM {schema}.crash_worker") == [[True]], (
            "the look-alikes do not bite"
        )
    database.rows(f"TRUNCATE {schema}.crash_worker")
    run_lifecycle(database)
    with loader_revoked(database):
        run_lifecycle(database)
    assert database.stored() == before
    assert database.rows(f"SELECT DISTINCT what FROM {schema}.crash_worker") == []


def test_look_alikes_in_the_session_redirect_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event trigger may create temporary tables, views and types in the applier's own session: they hide neither the
    catalog nor the ledger."""
    original = Session.run
    poisoned: list[str] = []

    def poison(self: Session, statement: str, **values: str) -> list[list[Any]]:
        if statement == sql.LOCK:
            for name in (*RELATIONS, "setting"):
                original(self, f"CREATE TEMP TABLE {name} (name text, role text, owner text)")
            for name in ("oid", "text", "jsonb"):
                original(self, f"CREATE TYPE pg_temp.{name} AS (a pg_catalog.int4)")
            poisoned.append(statement)
        return original(self, statement, **values)

    monkeypatch.setattr(Session, "run", poison)
    run_lifecycle(database)
    # A missing extension takes a second session.
    assert len(poisoned) == (4 if database.cluster.installation.has_vector else 3)
    assert database.stored() == {}


def test_all_hostile_settings_at_once(database: Database) -> None:
    """Each of them alone breaks a plain session. They are set for the database and for the applier's own role."""
    database.rows("CREATE SCHEMA evil")
    for whom in (f"DATABASE {database.name}", f"ROLE {MASTER} IN DATABASE {database.name}"):
        for name, value in DISTURBING.items():
            database.admin.run(f"ALTER {whom} SET {name} = '{value}'")
        database.admin.run(f"ALTER {whom} SET search_path = evil")
    before = database.stored()
    desired: Settings = {"jit": "off", "random_page_cost": "1.1"}
    assert database.create(desired).counts == (2, 2, 0, 0)
    assert database.update({"jit": "on"}, desired).counts == (1, 1, 0, 1)
    assert database.delete({"jit": "on"}).counts == (0, 0, 0, 1)
    assert database.stored() == before


@pytest.mark.parametrize(
    ("statement", "undo", "expected"),
    [
        ("ALTER DATABASE {name} ALLOW_CONNECTIONS false", "ALTER DATABASE {name} ALLOW_CONNECTIONS true", "55000"),
        (
            "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC, master",
            "GRANT CONNECT ON DATABASE {name} TO PUBLIC",
            "42501",
        ),
        (
            "ALTER DATABASE {name} SET session_preload_libraries = nosuch",
            "ALTER DATABASE {name} RESET session_preload_libraries",
            "could not access file",
        ),
    ],
)
def test_database_that_refuses_connections_is_reported(
    database: Database, statement: str, undo: str, expected: str
) -> None:
    """The message has PostgreSQL's text, and there is no retry."""
    database.admin.run(statement.format(name=database.name))
    try:
        message = database.refuses(lambda: database.create({"jit": "off"}))
    finally:
        database.admin.run(undo.format(name=database.name))
    assert message.startswith(f'database "{database.name}" at 127.0.0.1')
    assert expected in message
    assert database.stored() == {}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE SCHEMA cdk_pinsafe AUTHORIZATION {other}",
        "CREATE SCHEMA cdk_pinsafe AUTHORIZATION master; GRANT CREATE ON SCHEMA cdk_pinsafe TO PUBLIC; "
        "SET ROLE {other}; CREATE TABLE cdk_pinsafe.setting (name text)",
    ],
    ids=["schema", "table"],
)
def test_foreign_ledger_is_not_touched(database: Database, statement: str) -> None:
    """No event reads, writes or drops a ledger that someone else made."""
    other = f"squatter_of_{database.name}"
    database.admin.run(f"CREATE ROLE {other}")
    try:
        database.rows(statement.format(other=other))
        begin = database.rows("SELECT oid, relacl FROM pg_class WHERE relname = 'setting'")
        for deed in (
            lambda: database.create({"jit": "off"}),
            lambda: database.update({"jit": "off"}, {}),
            lambda: database.delete({"jit": "off"}),
        ):
            assert "nothing is read from or written to it" in database.refuses(deed)
        assert database.rows("SELECT oid, relacl FROM pg_class WHERE relname = 'setting'") == begin
        assert database.stored() == {}
    finally:
        database.rows(f"DROP SCHEMA cdk_pinsafe CASCADE; DROP OWNED BY {other}; DROP ROLE {other}")
