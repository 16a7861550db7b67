"""Every statement that the applier sends, as constant text.

No name and no value is ever put into a statement here or elsewhere in Python: values are bound, and what PostgreSQL
takes no parameters for (DDL) is built on the server with ``format`` and ``quote_literal``. A DO block takes no
parameters either, so its input and its output are JSON in two transaction-local parameters, ``cdk_pinsafe.request``
and ``cdk_pinsafe.result``.

Each block does its work for all settings at once: round trips do not grow with them.

An error that is about one parameter or extension has its name, after :data:`ABOUT`, in its column field, and the role
that it was for in its table field.

All but ``LOAD_LIBRARIES`` and ``FRESH_SESSION`` run with ``search_path = pg_catalog, pg_temp``. These two run in a
session as an application gets it, where any name without a schema, and any operator, may be a look-alike.
"""

from typing import Final

ABOUT: Final = "pinsafe:"
"""What the column field of an error begins with where these blocks filled it; PostgreSQL's own errors use it too."""

ROLE_LOCKED: Final = "pinsafe-role-locked"
"""The constraint field of such an error where it is the role that our user may not alter, whatever the parameter."""

IDENTITY: Final = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_database()"

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE"
"""Said in full: the database's own defaults could be serializable and read-only."""

NO_TRANSACTION_TIMEOUT: Final = "SET LOCAL transaction_timeout = 0"
"""For 17 and later only: 16 does not know the parameter, so it cannot be a start-up option."""

LOCK: Final = "SELECT pg_catalog.pg_advisory_xact_lock(7227442026)"
"""One applier at a time in a database. A statement of its own: the next one's snapshot must be younger than the lock.

Advisory locks are per database. The number is arbitrary; all versions of this library must use the same."""

COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"

STATEMENT_TIMEOUT: Final = "SELECT pg_catalog.set_config('statement_timeout', :milliseconds, true)"

REQUEST: Final = "SELECT pg_catalog.set_config('cdk_pinsafe.request', :request, true)"
RESULT: Final = "SELECT CAST(pg_catalog.current_setting('cdk_pinsafe.result') AS pg_catalog.jsonb)"

STATE: Final = """
SELECT
  CAST(current_user AS text),
  CAST(pg_catalog.pg_get_userbyid(d.datdba) AS text),
  pg_catalog.pg_has_role(d.datdba, 'USAGE'),
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(pg_catalog.lower(o.option_name),
            CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole) END, o.option_value))
     FROM pg_catalog.pg_db_role_setting AS s
     CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
    WHERE s.setdatabase = d.oid),
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
            pg_catalog.lower(o.option_name), pg_catalog.pg_get_userbyid(s.setrole)))
     FROM pg_catalog.pg_db_role_setting AS s
     CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
    WHERE s.setdatabase = 0 AND s.setrole <> 0
      AND pg_catalog.jsonb_exists(CAST(:names AS pg_catalog.jsonb), pg_catalog.lower(o.option_name))),
  (SELECT pg_catalog.jsonb_agg(r.rolname) FROM pg_catalog.pg_roles AS r
    WHERE pg_catalog.jsonb_exists(CAST(:roles AS pg_catalog.jsonb), CAST(r.rolname AS text))),
  (SELECT pg_catalog.jsonb_agg(e.extname) FROM pg_catalog.pg_extension AS e)
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
"""
"""One row: our user, the database's owner, whether we have the owner's rights, the values stored for the database and
for roles in it (name in lower case, role or empty, text), the values that roles have for ``names`` in every database
(name, role), those of ``roles`` that there are, the extensions."""

LEDGER_STATE: Final = """
SELECT
  CAST(pg_catalog.pg_get_userbyid(n.nspowner) AS text),
  n.nspowner IN (w.ours, w.owner) AND pg_catalog.pg_has_role(n.nspowner, 'USAGE'),
  c.oid IS NOT NULL,
  c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relrowsecurity AND NOT c.relispartition
    AND c.relowner IN (w.ours, w.owner) AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) AS g
                     WHERE g.grantee <> c.relowner
                       AND g.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
                     WHERE a.attrelid = c.oid AND g.grantee <> c.relowner
                       AND g.privilege_type IN ('INSERT', 'UPDATE'))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_attrdef AS f WHERE f.adrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'n'))
    AND EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                 WHERE k.conrelid = c.oid AND k.contype = 'p' AND k.conkey = '{1,2}')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS x WHERE x.indrelid = c.oid AND NOT x.indisprimary)
    AND (SELECT pg_catalog.string_agg(pg_catalog.format('%s %s', a.attname,
                  pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
           FROM pg_catalog.pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
      = 'name text, role text, owner text, resource text, desired jsonb, applied text, previous text, adopted boolean, '
        'at timestamp with time zone'
FROM pg_catalog.pg_namespace AS n
CROSS JOIN (SELECT d.datdba AS owner, r.oid AS ours FROM pg_catalog.pg_database AS d, pg_catalog.pg_roles AS r
             WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user) AS w
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'setting'
WHERE n.nspname = 'cdk_pinsafe'
"""
"""No row without the schema; else: its owner, whether that is our user or the database's owner, whether there is a
table, whether that is the table of ``ACT``. Triggers, rules, defaults and policies of somebody else would run with our
rights, and whoever may write to the ledger decides what a removal sets."""

LEDGER: Final = """
SELECT l.name, l.role, l.owner, l.resource, l.desired, l.applied, l.previous, l.adopted
FROM cdk_pinsafe.setting AS l
"""

_LIBRARY_FUNCTIONS: Final = """
    SELECT DISTINCT ON (p.probin) p.oid
    FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_depend AS d
      ON d.refclassid OPERATOR(pg_catalog.=) CAST('pg_catalog.pg_extension' AS pg_catalog.regclass)
     AND d.refobjid OPERATOR(pg_catalog.=) e.oid
     AND d.classid OPERATOR(pg_catalog.=) CAST('pg_catalog.pg_proc' AS pg_catalog.regclass)
     AND d.deptype OPERATOR(pg_catalog.=) CAST('e' AS pg_catalog."char")
    JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid
    JOIN pg_catalog.pg_language AS l ON l.oid OPERATOR(pg_catalog.=) p.prolang
    WHERE l.lanname OPERATOR(pg_catalog.=) CAST('c' AS pg_catalog.name)
      AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
"""
"""A C function from each library of an extension. Validating one loads the library, which any user may do; ``LOAD``
is for superusers. A parameter of an extension can be set, reset and checked only where its library is loaded."""

LOAD_LIBRARIES: Final = (
    "SELECT pg_catalog.fmgr_c_validator(f.oid) FROM ("  # noqa: S608 - both are constants
    + _LIBRARY_FUNCTIONS
    + """
      AND pg_catalog.jsonb_exists(CAST(:extensions AS pg_catalog.jsonb), CAST(e.extname AS pg_catalog.text))
    ORDER BY p.probin, p.oid) AS f
"""
)

CREATE_EXTENSIONS: Final = """
DO $pinsafe$
DECLARE
  v_path text := pg_catalog.current_setting('search_path');
  v_name text;
  v_statement text;
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  FOR v_name IN
    SELECT r.value
    FROM pg_catalog.jsonb_array_elements_text(
           CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb)) WITH ORDINALITY AS r(value, at)
    ORDER BY r.at
  LOOP
    v_statement := pg_catalog.format('CREATE EXTENSION IF NOT EXISTS %I', v_name);
    BEGIN
      -- It goes where a person's CREATE EXTENSION puts it, not into pg_catalog. A SCHEMA clause would not do: some
      -- extensions fix their own. Nothing is looked up while the path is open.
      PERFORM pg_catalog.set_config('search_path', 'public', true);
      EXECUTE v_statement;
      PERFORM pg_catalog.set_config('search_path', v_path, true);
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT,
        v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
      RAISE EXCEPTION USING ERRCODE = v_state, MESSAGE = v_message, DETAIL = v_detail, HINT = v_hint,
        COLUMN = 'pinsafe:' || v_name;
    END;
  END LOOP;
END
$pinsafe$
"""
"""Request: names. Without schema ``public`` it fails with 3F000."""

AVAILABLE: Final = (
    "SELECT a.name FROM pg_catalog.pg_available_extensions() AS a WHERE a.name = CAST(:name AS pg_catalog.name)"
)

CANONICALISE: Final = (
    """
DO $pinsafe$
DECLARE
  v_request jsonb := CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb);
  v_function oid;
  v_item jsonb;
  v_text text;
  v_canonical text;
  v_results jsonb[] := ARRAY[]::jsonb[];
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  FOR v_function IN """  # noqa: S608 - both are constants
    + _LIBRARY_FUNCTIONS
    + """
      AND pg_catalog.jsonb_exists(v_request -> 'extensions', CAST(e.extname AS pg_catalog.text))
    ORDER BY p.probin, p.oid
  LOOP
    BEGIN
      PERFORM pg_catalog.fmgr_c_validator(v_function);
    EXCEPTION WHEN OTHERS THEN
      NULL; -- a library that cannot be loaded shows when its parameter is set
    END;
  END LOOP;
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
      -- Always undone: this session must not run with what it only wanted to see.
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

ACT: Final = """
DO $pinsafe$
DECLARE
  v_request jsonb := CAST(pg_catalog.current_setting('cdk_pinsafe.request') AS pg_catalog.jsonb);
  v_database text := CAST(pg_catalog.current_database() AS text);
  v_action jsonb;
  v_name text;
  v_role text;
  v_whose text;
  v_literals text;
  v_is_locked boolean;
  v_refused jsonb[] := ARRAY[]::jsonb[];
  v_state text; v_message text; v_detail text; v_hint text;
BEGIN
  IF EXISTS (
    SELECT
    FROM pg_catalog.jsonb_to_recordset(v_request -> 'expected') AS e(name text, role text, value text)
    LEFT JOIN (
      pg_catalog.pg_db_role_setting AS s
      JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = pg_catalog.current_database()
      CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
    ) ON pg_catalog.lower(o.option_name) = e.name
     AND CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole) END = e.role
    WHERE o.option_value IS DISTINCT FROM e.value
  ) THEN
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'somebody changed a setting meanwhile';
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
      v_is_locked := v_state = '42501' AND EXISTS (
        SELECT FROM pg_catalog.pg_roles AS r, pg_catalog.pg_roles AS us
        WHERE r.rolname = v_role AND us.rolname = current_user AND us.oid <> r.oid AND NOT us.rolsuper
          AND (r.rolsuper OR NOT us.rolcreaterole
               OR (CAST(pg_catalog.current_setting('server_version_num') AS integer) >= 160000
                   AND NOT pg_catalog.pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION'))));
      -- A role that we lost must not pass for an extension that was dropped.
      IF v_is_locked OR NOT pg_catalog.jsonb_exists(v_action -> 'tolerated', v_state) THEN
        RAISE EXCEPTION USING
          ERRCODE = v_state, MESSAGE = v_message, DETAIL = v_detail, HINT = v_hint,
          COLUMN = 'pinsafe:' || v_name, TABLE = v_role,
          CONSTRAINT = CASE WHEN v_is_locked THEN 'pinsafe-role-locked' ELSE '' END;
      END IF;
      v_refused := pg_catalog.array_append(v_refused, pg_catalog.jsonb_build_array(v_name, v_role, v_state));
    END;
  END LOOP;

  IF pg_catalog.to_regclass('cdk_pinsafe.setting') IS NULL AND v_request -> 'writes' <> '[]' THEN
    CREATE SCHEMA IF NOT EXISTS cdk_pinsafe;
    COMMENT ON SCHEMA cdk_pinsafe IS
      'Belongs to cdk_pinsafe (Python AWS CDK library). Dropped with the last of its settings. See table setting.';
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
    -- Default privileges may have given it to others, and only its owner may write to it.
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
    COMMENT ON COLUMN cdk_pinsafe.setting.desired IS 'What the construct asked for.';
    COMMENT ON COLUMN cdk_pinsafe.setting.applied IS
      'What PostgreSQL stored for it. Once something else stands there, removal leaves that alone.';
    COMMENT ON COLUMN cdk_pinsafe.setting.previous IS
      'What stood there before the construct, and is restored on removal.';
    COMMENT ON COLUMN cdk_pinsafe.setting.adopted IS
      'Whether it already stood so before the construct.';
  END IF;

  IF v_request -> 'writes' <> '[]' THEN
    INSERT INTO cdk_pinsafe.setting AS l (name, role, owner, resource, desired, applied, previous, adopted, at)
    SELECT w.value ->> 'name', w.value ->> 'role', v_request ->> 'owner', v_request ->> 'resource',
           w.value -> 'desired', o.option_value, w.value ->> 'previous', CAST(w.value ->> 'adopted' AS boolean),
           pg_catalog.now()
    FROM pg_catalog.jsonb_array_elements(v_request -> 'writes') AS w(value)
    LEFT JOIN (
      pg_catalog.pg_db_role_setting AS s
      JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = pg_catalog.current_database()
      CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
    ) ON pg_catalog.lower(o.option_name) = w.value ->> 'name'
     AND CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole) END = w.value ->> 'role'
    ON CONFLICT (name, role) DO UPDATE SET
      owner = EXCLUDED.owner, resource = EXCLUDED.resource, desired = EXCLUDED.desired, applied = EXCLUDED.applied,
      previous = EXCLUDED.previous, adopted = EXCLUDED.adopted, at = EXCLUDED.at;
  END IF;

  IF v_request -> 'forgets' <> '[]' THEN
    DELETE FROM cdk_pinsafe.setting AS l
    USING pg_catalog.jsonb_to_recordset(v_request -> 'forgets') AS f(name text, role text)
    WHERE l.name = f.name AND l.role = f.role;
    IF NOT EXISTS (SELECT FROM cdk_pinsafe.setting) THEN
      BEGIN
        DROP TABLE cdk_pinsafe.setting;
        DROP SCHEMA cdk_pinsafe;
      EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        NULL; -- somebody put objects of their own there; an empty ledger harms nobody
      END;
    END IF;
  END IF;

  PERFORM pg_catalog.set_config('cdk_pinsafe.result', CAST(pg_catalog.jsonb_build_object(
    'refused', pg_catalog.to_jsonb(v_refused),
    'stored', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(pg_catalog.lower(o.option_name),
                        CASE WHEN s.setrole = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(s.setrole) END, o.option_value))
                 FROM pg_catalog.pg_db_role_setting AS s
                 JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
                 CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) AS o
                WHERE d.datname = pg_catalog.current_database())) AS text), true);
END
$pinsafe$
"""
"""Request: ``expected`` (what the plan was made from: objects of name, role, and stored text or null), ``actions``
(objects of name, role, elements or null for a RESET, tolerated SQLSTATEs), then the ledger's ``writes``, ``forgets``,
``owner`` and ``resource``. The role is empty for a setting of the database. The advisory lock does not bind hands:
where something else is stored by now, the block ends with 40001, and the plan must be made anew. Any SQLSTATE that is
not tolerated ends the block with that error, the parameter's name and the role. Who may alter a role is PostgreSQL's to
say; the block only tells such a refusal from one of the parameter. Result: ``refused`` (name, role, SQLSTATE), and all
that is now ``stored``, as in ``STATE``."""

BEGIN_LOOKING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE"

FRESH_SESSION: Final = """
SELECT n.value, s.source,
       CASE WHEN s.name IS NULL AND pg_catalog.strpos(n.value, '.') OPERATOR(pg_catalog.>) 0
            THEN pg_catalog.current_setting(n.value, true) END,
       o.stored, o.of_role
FROM pg_catalog.jsonb_array_elements_text(CAST(:names AS pg_catalog.jsonb)) AS n(value)
LEFT JOIN pg_catalog.pg_settings AS s ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) n.value
LEFT JOIN (
  SELECT pg_catalog.lower(t.option_name) AS name,
         pg_catalog.max(t.option_value) FILTER (WHERE r.setrole OPERATOR(pg_catalog.=) '0') AS stored,
         pg_catalog.bool_or(r.setrole OPERATOR(pg_catalog.<>) '0') AS of_role
  FROM pg_catalog.pg_db_role_setting AS r
  CROSS JOIN LATERAL pg_catalog.pg_options_to_table(r.setconfig) AS t
  WHERE (r.setdatabase OPERATOR(pg_catalog.=)
          (SELECT d.oid FROM pg_catalog.pg_database AS d
            WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
         AND (r.setrole OPERATOR(pg_catalog.=) '0'
              OR pg_catalog.pg_get_userbyid(r.setrole) OPERATOR(pg_catalog.=) session_user))
     OR (r.setdatabase OPERATOR(pg_catalog.=) '0'
         AND pg_catalog.pg_get_userbyid(r.setrole) OPERATOR(pg_catalog.=) session_user)
  GROUP BY pg_catalog.lower(t.option_name)
) AS o ON o.name OPERATOR(pg_catalog.=) n.value
"""
"""Of each of ``names``: where this session's value comes from (NULL where ``pg_settings`` does not show it); the value
of a placeholder, which ``pg_settings`` never shows; what is stored for the database; whether this session's user has a
value of its own."""
