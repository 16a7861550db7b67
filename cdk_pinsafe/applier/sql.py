"""Every statement that the applier sends, as constant text; the DO blocks are in :mod:`.do_blocks`.

Python never formats a name or a value into a statement: values are bound, and DDL, which takes no parameters, is built
on the server with ``format`` and ``quote_literal``. A DO block takes no parameters either, so its input and output are
JSON in two transaction-local parameters, ``cdk_pinsafe.request`` and ``cdk_pinsafe.result``.

Each block handles all settings at once: the number of round trips does not depend on them.

An error about one parameter or extension has its name, after :data:`ABOUT`, in the column field, and the role in the
table field.

All but ``LOAD_LIBRARIES`` and ``FRESH_SESSION`` run with ``search_path = pg_catalog, pg_temp``. These two run in a
session as an application gets it, where a function or operator without a schema may be another one of the same name.
"""

from typing import Final

from .do_blocks import APPLY_CHANGES as APPLY_CHANGES
from .do_blocks import CANONICALIZE as CANONICALIZE
from .do_blocks import CREATE_EXTENSIONS as CREATE_EXTENSIONS
from .do_blocks import LOAD_LIBRARIES as LOAD_LIBRARIES
from .do_blocks import RECYCLE as RECYCLE
from .do_blocks import STORED

ABOUT: Final = "pinsafe:"
"""Prefix of the column field of an error, if a block set it. PostgreSQL's own errors use the field, too."""

ROLE_LOCK: Final = "pinsafe-role-"
"""Prefix of the constraint field of such an error, if the user may not alter the role at all.

The reason follows: ``superuser``, ``createrole`` or ``admin``; see :class:`.messages.ServerMessage`."""

IDENTITY: Final = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_database()"

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE"
"""With all modes: the database's defaults could be serializable and read-only."""

BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY NOT DEFERRABLE"
"""One snapshot for all reads, without the advisory lock."""

NO_TRANSACTION_TIMEOUT: Final = "SET LOCAL transaction_timeout = 0"
"""For PostgreSQL 17 and later. 16 does not know the parameter, so it cannot be a start-up option."""

LOCK: Final = "SELECT pg_catalog.pg_advisory_xact_lock(7227442026)"
"""One applier at a time in a database. A separate statement: the next one's snapshot must be newer than the lock.

Advisory locks are per database. The number is arbitrary; all versions of this library must use the same."""

COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"

SEARCH_PATH: Final = "SELECT pg_catalog.set_config('search_path', :path, false)"
"""For a session that began with another path, which stays its default."""

STATEMENT_TIMEOUT: Final = "SELECT pg_catalog.set_config('statement_timeout', :milliseconds, true)"

REQUEST: Final = "SELECT pg_catalog.set_config('cdk_pinsafe.request', :request, true)"
RESULT: Final = "SELECT CAST(pg_catalog.current_setting('cdk_pinsafe.result') AS pg_catalog.jsonb)"

STATE: Final = (
    """
SELECT
  CAST(current_user AS text),
  CAST(pg_catalog.pg_get_userbyid(d.datdba) AS text),
  pg_catalog.pg_has_role(d.datdba, 'USAGE'),
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(s.name, s.role, s.value)) FROM ("""  # noqa: S608 - constants
    + STORED
    + """) AS s),
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
)
"""One row: the session's user, the database's owner, whether the user has the owner's privileges, the values stored for
the database and for roles in it (name in lower case, role or empty, text), the values that roles have for ``names`` in
every database (name, role), those of ``roles`` that exist, the extensions."""

LEDGER_STATE: Final = """
SELECT
  CAST(pg_catalog.pg_get_userbyid(n.nspowner) AS text),
  n.nspowner IN (w.user_oid, w.owner) AND pg_catalog.pg_has_role(n.nspowner, 'USAGE'),
  c.oid IS NOT NULL,
  c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relrowsecurity AND NOT c.relispartition
    AND c.relowner IN (w.user_oid, w.owner) AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
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
CROSS JOIN (SELECT d.datdba AS owner, r.oid AS user_oid FROM pg_catalog.pg_database AS d, pg_catalog.pg_roles AS r
             WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user) AS w
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'setting'
WHERE n.nspname = 'cdk_pinsafe'
"""
"""No row without the schema; else: its owner, whether that is the session's user or the database's owner, whether there
is a table, whether that is the table of ``APPLY_CHANGES``. Triggers, rules, defaults and policies of others would run
with the session's privileges, and a writer of the ledger decides what a removal sets."""

LEDGER: Final = """
SELECT l.name, l.role, l.owner, l.resource, l.desired, l.applied, l.previous, l.adopted
FROM cdk_pinsafe.setting AS l
"""

AVAILABLE: Final = (
    "SELECT a.name FROM pg_catalog.pg_available_extensions() AS a WHERE a.name = CAST(:name AS pg_catalog.name)"
)

CLOCK: Final = "SELECT CAST(EXTRACT(epoch FROM pg_catalog.clock_timestamp()) AS text)"
"""A number: DateStyle and time zone cannot change its meaning."""

BEGIN_READ_ONLY: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE"

FRESH_SESSION: Final = """
SELECT n.value, s.source,
       CASE WHEN s.name IS NULL AND pg_catalog.strpos(n.value, '.') OPERATOR(pg_catalog.>) 0
            THEN pg_catalog.current_setting(n.value, true) END,
       o.stored, o.of_role, pg_catalog.current_setting(n.value, true)
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
"""For each of ``names``: the source of the session's value (NULL if ``pg_settings`` does not show it); the value of a
placeholder, which ``pg_settings`` never shows; the text stored for the database; whether the session's user has an own
value; the session's value."""
