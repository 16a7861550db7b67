"""The DO blocks of :mod:`.sql`, which has the rules for all statements.

A block reads its request from the transaction-local parameter ``cdk_pinsafe.request`` and sets its result in
``cdk_pinsafe.result``; both are JSON.
"""

from typing import Final

from ..settings.libraries import LOADING_BLOCK as _LOADING

STORED: Final = """
  SELECT pg_catalog.lower(o.option_name) AS name,
         CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole) END AS role,
         o.option_value AS value
  FROM pg_catalog.pg_db_role_setting AS s
  JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = pg_catalog.current_database()
  CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
"""
"""What is stored for the database and for roles in it: name in lower case, role or empty, text. A subquery."""

CREATE_EXTENSIONS: Final = """
DO $pinsafe$
DECLARE
  v_path text := pg_catalog.current_setting('search_path');
  v_name text;
  v_state text; v_message text; v_detail text; v_hint text; v_schema text;
BEGIN
  FOR v_name IN
    SELECT r.value
    FROM pg_catalog.jsonb_array_elements_text(
           CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb)) WITH ORDINALITY AS r(value, at)
    ORDER BY r.at
  LOOP
    BEGIN
      -- Otherwise the extension would go into pg_catalog. A SCHEMA clause fails for extensions with a fixed schema.
      -- This block looks nothing up while the path is open.
      PERFORM pg_catalog.set_config('search_path', 'public', true);
      EXECUTE pg_catalog.format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', v_name);
      -- For the session, not the transaction: a SET of an extension's script would outlive it.
      PERFORM pg_catalog.set_config('search_path', v_path, false);
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT,
        v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT, v_schema = SCHEMA_NAME;
      -- Another session wrote the same row of a catalog. A script may also fail with these SQLSTATEs every time.
      IF (v_state = '23505' AND v_schema = 'pg_catalog')
          OR (v_state = 'XX000' AND pg_catalog.starts_with(v_message, 'tuple concurrently ')) THEN
        v_state := '40001';
      END IF;
      RAISE EXCEPTION USING ERRCODE = v_state, MESSAGE = v_message, DETAIL = v_detail, HINT = v_hint,
        COLUMN = 'pinsafe:' || v_name;
    END;
  END LOOP;
END
$pinsafe$
"""
"""Request: names of extensions. What they require is created, too. Without schema ``public`` it fails with 3F000.

The session must have begun with the user's default ``search_path``: scripts of extensions, as PostGIS's, read the
session's default, look up their own objects along it, and store it with ALTER DATABASE. The error is 40001 if another
session was faster, and any other SQLSTATE if another attempt would not help."""

CANONICALIZE: Final = (
    """
DO $pinsafe$
DECLARE
  v_request jsonb := CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb);
  v_extensions jsonb := v_request -> 'extensions';
  v_item jsonb;
  v_text text;
  v_canonical text;
  v_results jsonb[] := ARRAY[]::jsonb[];
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
"""  # noqa: S608 - both are constants
    + _LOADING
    + """
  FOR v_item IN
    SELECT r.value FROM pg_catalog.jsonb_array_elements(v_request -> 'values') WITH ORDINALITY AS r(value, at)
    ORDER BY r.at
  LOOP
    BEGIN
      IF pg_catalog.jsonb_typeof(v_item -> 'value') = 'array' THEN
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(e.value), ', ' ORDER BY e.at) INTO v_text
        FROM pg_catalog.jsonb_array_elements_text(v_item -> 'value') WITH ORDINALITY AS e(value, at);
      ELSE
        v_text := v_item ->> 'value';
      END IF;
      v_canonical := pg_catalog.set_config(v_item ->> 'name', v_text, true);
      -- Always undone: this session must not run with the value.
      RAISE EXCEPTION USING ERRCODE = 'PSAFE', MESSAGE = 'undo';
    EXCEPTION
      WHEN SQLSTATE 'PSAFE' THEN
        v_results := pg_catalog.array_append(v_results, pg_catalog.jsonb_build_object('value', v_canonical));
      WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT,
          v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
        v_results := pg_catalog.array_append(v_results, pg_catalog.jsonb_build_object(
          'sqlstate', v_state, 'message', v_message, 'detail', v_detail, 'hint', v_hint));
    END;
  END LOOP;
  PERFORM pg_catalog.set_config('cdk_pinsafe.result', CAST(pg_catalog.to_jsonb(v_results) AS text), true);
END
$pinsafe$
"""
)
"""Request: ``extensions`` to load, and ``values``: objects of name and value (text, or a list of names).
Result: an array in the order of the values: ``{"value": canonical text}``, or the error."""

LOAD_LIBRARIES: Final = (
    """
DO $pinsafe$
DECLARE
  v_extensions pg_catalog.jsonb := CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb);
BEGIN
"""
    + _LOADING
    + """
END
$pinsafe$
"""
)
"""Request: names of extensions; see :mod:`..settings.libraries`. No result."""

APPLY_CHANGES: Final = (
    """
DO $pinsafe$
DECLARE
  v_request jsonb := CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb);
  v_database text := CAST(pg_catalog.current_database() AS text);
  v_action jsonb;
  v_name text;
  v_role text;
  v_whose text;
  v_literals text;
  v_lock text;
  v_refused jsonb[] := ARRAY[]::jsonb[];
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  IF EXISTS (
    SELECT
    FROM pg_catalog.jsonb_to_recordset(v_request -> 'expected') AS e(name text, role text, value text)
    LEFT JOIN ("""  # noqa: S608 - all are constants
    + STORED
    + """) AS s ON s.name = e.name AND s.role = e.role
    WHERE s.value IS DISTINCT FROM e.value
  ) THEN
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'another session changed a setting meanwhile';
  END IF;

  FOR v_action IN
    SELECT r.value FROM pg_catalog.jsonb_array_elements(v_request -> 'actions') WITH ORDINALITY AS r(value, at)
    ORDER BY r.at
  LOOP
    v_name := v_action ->> 'name';
    v_role := v_action ->> 'role';
    v_whose := CASE v_role WHEN '' THEN pg_catalog.format('ALTER DATABASE %I', v_database)
               ELSE pg_catalog.format('ALTER ROLE %I IN DATABASE %I', v_role, v_database) END;
    SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.value), ', ' ORDER BY e.at) INTO v_literals
    FROM pg_catalog.jsonb_array_elements_text(
           CASE pg_catalog.jsonb_typeof(v_action -> 'elements') WHEN 'array' THEN v_action -> 'elements' END
         ) WITH ORDINALITY AS e(value, at);
    BEGIN
      IF v_literals IS NULL THEN
        EXECUTE pg_catalog.format('%s RESET %I', v_whose, v_name);
      ELSE
        EXECUTE pg_catalog.format('%s SET %I TO %s', v_whose, v_name, v_literals);
      END IF;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT,
        v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
      SELECT CASE
          WHEN r.rolsuper THEN 'superuser'
          WHEN NOT us.rolcreaterole THEN 'createrole'
          WHEN CAST(pg_catalog.current_setting('server_version_num') AS integer) >= 160000
            AND NOT pg_catalog.pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION') THEN 'admin'
        END INTO v_lock
      FROM pg_catalog.pg_roles AS r, pg_catalog.pg_roles AS us
      WHERE v_state = '42501' AND r.rolname = v_role AND us.rolname = current_user
        AND us.oid <> r.oid AND NOT us.rolsuper;
      -- A missing privilege on the role must not be taken for a dropped extension.
      IF v_lock IS NOT NULL OR NOT pg_catalog.jsonb_exists(v_action -> 'ignorable', v_state) THEN
        RAISE EXCEPTION USING
          ERRCODE = v_state, MESSAGE = v_message, DETAIL = v_detail, HINT = v_hint,
          COLUMN = 'pinsafe:' || v_name, TABLE = v_role,
          CONSTRAINT = coalesce('pinsafe-role-' || v_lock, ''), DATATYPE = current_user;
      END IF;
      v_refused := pg_catalog.array_append(v_refused, pg_catalog.jsonb_build_array(v_name, v_role, v_state));
    END;
  END LOOP;

  IF pg_catalog.to_regclass('cdk_pinsafe.setting') IS NULL AND v_request -> 'ledger_writes' <> '[]' THEN
    CREATE SCHEMA IF NOT EXISTS cdk_pinsafe;
    COMMENT ON SCHEMA cdk_pinsafe IS
      'Belongs to cdk_pinsafe (Python AWS CDK library). Dropped with the last managed setting. See table setting.';
    CREATE TABLE cdk_pinsafe.setting (
      name text NOT NULL,
      role text NOT NULL,
      owner text NOT NULL,
      resource text NOT NULL,
      desired jsonb NOT NULL,
      applied text NOT NULL,
      previous text,
      adopted boolean NOT NULL,
      at timestamp with time zone NOT NULL,
      PRIMARY KEY (name, role)
    );
    -- Default privileges may have granted it to others, and only its owner may write to it.
    SELECT pg_catalog.string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, ', ') INTO v_literals
    FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
    WHERE c.oid = CAST('cdk_pinsafe.setting' AS pg_catalog.regclass) AND a.grantee <> c.relowner;
    IF v_literals IS NOT NULL THEN
      EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON cdk_pinsafe.setting FROM ' || v_literals;
    END IF;
    COMMENT ON TABLE cdk_pinsafe.setting IS
      'Which settings of this database (ALTER DATABASE ... SET) are managed by which CDK construct. '
      'Without it, removing the construct no longer restores what was set before.';
    COMMENT ON COLUMN cdk_pinsafe.setting.role IS
      'The role whose sessions in this database have the setting (ALTER ROLE ... IN DATABASE); empty for all sessions.';
    COMMENT ON COLUMN cdk_pinsafe.setting.owner IS 'Path of the CDK construct.';
    COMMENT ON COLUMN cdk_pinsafe.setting.resource IS 'Physical id of its CloudFormation resource.';
    COMMENT ON COLUMN cdk_pinsafe.setting.desired IS 'The desired value.';
    COMMENT ON COLUMN cdk_pinsafe.setting.applied IS
      'The text that PostgreSQL stored for it. If another text is stored at removal, that one is kept.';
    COMMENT ON COLUMN cdk_pinsafe.setting.previous IS
      'The text that was stored before the construct; it is restored at removal.';
    COMMENT ON COLUMN cdk_pinsafe.setting.adopted IS
      'Whether an equivalent value was stored before the construct.';
  END IF;

  IF v_request -> 'ledger_writes' <> '[]' THEN
    INSERT INTO cdk_pinsafe.setting AS l (name, role, owner, resource, desired, applied, previous, adopted, at)
    SELECT w.value ->> 'name', w.value ->> 'role', w.value ->> 'owner', w.value ->> 'resource', w.value -> 'desired',
           COALESCE(w.value ->> 'applied', s.value), w.value ->> 'previous',
           CAST(w.value ->> 'adopted' AS boolean), pg_catalog.now()
    FROM pg_catalog.jsonb_array_elements(v_request -> 'ledger_writes') AS w(value)
    LEFT JOIN ("""
    + STORED
    + """) AS s ON s.name = w.value ->> 'name' AND s.role = w.value ->> 'role'
    ON CONFLICT (name, role) DO UPDATE SET
      owner = EXCLUDED.owner, resource = EXCLUDED.resource, desired = EXCLUDED.desired, applied = EXCLUDED.applied,
      previous = EXCLUDED.previous, adopted = EXCLUDED.adopted, at = EXCLUDED.at;
  END IF;

  IF v_request -> 'ledger_deletes' <> '[]' THEN
    DELETE FROM cdk_pinsafe.setting AS l
    USING pg_catalog.jsonb_to_recordset(v_request -> 'ledger_deletes') AS x(name text, role text)
    WHERE l.name = x.name AND l.role = x.role;
    IF NOT EXISTS (SELECT FROM cdk_pinsafe.setting) THEN
      BEGIN
        DROP TABLE cdk_pinsafe.setting;
        DROP SCHEMA cdk_pinsafe;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        NULL; -- there are other objects in the schema; an empty ledger does no harm
      END;
    END IF;
  END IF;

  PERFORM pg_catalog.set_config('cdk_pinsafe.result', CAST(pg_catalog.jsonb_build_object(
    'refused', pg_catalog.to_jsonb(v_refused),
    'stored', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.name, s.role, s.value)) FROM ("""
    + STORED
    + """) AS s)) AS text), true);
END
$pinsafe$
"""
)
"""Runs the ALTERs of a plan, and writes the ledger.

Request: ``expected`` (what the plan was made from: objects of name, role, and stored text or null), ``actions``
(objects of name, role, elements or null for a RESET, ignorable SQLSTATEs), then ``ledger_writes`` (the ledger's
columns; if ``applied`` is null, the text that is stored after the actions) and ``ledger_deletes``. The role is empty
for a setting of the database. Result: ``refused`` (name, role, SQLSTATE), and all that is now ``stored``, as in
``STATE``.

Other clients do not take the advisory lock: if another text than expected is stored, the block fails with 40001, and a
new plan is needed. A SQLSTATE that is not ignorable fails the block with that error, the parameter's name and the role.
PostgreSQL decides who may alter a role; the block only tells such an error from one of the parameter."""

RECYCLE: Final = """
DO $pinsafe$
DECLARE
  v_request jsonb := CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb);
  v_session record;
  v_is_ended boolean;
  v_ended integer[] := ARRAY[]::integer[];
  v_denied integer := 0;
BEGIN
  FOR v_session IN
    SELECT a.pid, a.backend_start
    FROM pg_catalog.jsonb_to_recordset(v_request -> 'changes')
           AS c(database text, began_before numeric, began_since numeric, all_roles boolean, roles jsonb)
    JOIN pg_catalog.pg_stat_activity AS a ON a.datname = c.database
    WHERE EXTRACT(epoch FROM a.backend_start) >= c.began_since AND EXTRACT(epoch FROM a.backend_start) < c.began_before
      AND a.backend_type = 'client backend' AND a.state = 'idle' AND a.xact_start IS NULL
      AND a.pid <> pg_catalog.pg_backend_pid()
      AND NOT pg_catalog.jsonb_exists(v_request -> 'excluded_roles', CAST(a.usename AS text))
      AND (c.all_roles OR pg_catalog.jsonb_exists(c.roles, CAST(a.usename AS text)))
  LOOP
    BEGIN
      -- Otherwise all reads in a transaction show the first snapshot.
      PERFORM pg_catalog.pg_stat_clear_snapshot();
      SELECT pg_catalog.pg_terminate_backend(a.pid) INTO v_is_ended
      FROM pg_catalog.pg_stat_activity AS a
      WHERE a.pid = v_session.pid AND a.backend_start = v_session.backend_start
        AND a.state = 'idle' AND a.xact_start IS NULL;
      IF v_is_ended THEN
        v_ended := pg_catalog.array_append(v_ended, v_session.pid);
      END IF;
    EXCEPTION WHEN insufficient_privilege THEN
      v_denied := v_denied + 1;
    END;
  END LOOP;
  PERFORM pg_catalog.pg_stat_clear_snapshot();
  PERFORM pg_catalog.set_config('cdk_pinsafe.result', CAST((
    SELECT pg_catalog.jsonb_build_object('ended', pg_catalog.cardinality(v_ended), 'denied', v_denied,
             'stale', pg_catalog.count(*), 'unseen', pg_catalog.count(*) FILTER (WHERE a.backend_start IS NULL))
    FROM pg_catalog.jsonb_to_recordset(v_request -> 'changes')
           AS c(database text, began_before numeric, began_since numeric, all_roles boolean, roles jsonb)
    JOIN pg_catalog.pg_stat_activity AS a ON a.datname = c.database
    WHERE (a.backend_start IS NULL
           OR (EXTRACT(epoch FROM a.backend_start) >= c.began_since
               AND EXTRACT(epoch FROM a.backend_start) < c.began_before AND a.backend_type = 'client backend'))
      AND a.usename IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid() AND a.pid <> ALL (v_ended)
      AND NOT pg_catalog.jsonb_exists(v_request -> 'excluded_roles', CAST(a.usename AS text))
      AND (c.all_roles OR pg_catalog.jsonb_exists(c.roles, CAST(a.usename AS text)))
  ) AS text), true);
END
$pinsafe$
"""
"""Ends idle sessions.

Request: ``changes`` (objects of database; ``began_since`` and ``began_before``, between which the sessions began;
``all_roles``, or ``roles``) and ``excluded_roles``. Result: how many sessions were ``ended``, how many PostgreSQL
``denied``, how many that predate the changes are left (``stale``), and how many of these show neither start nor state
(``unseen``)."""
