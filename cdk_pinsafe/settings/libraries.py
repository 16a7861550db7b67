"""PL/pgSQL that loads the libraries of extensions in any user's session.

PostgreSQL knows an extension's parameters only after its library is loaded; ``LOAD`` is for superusers. Two ways were
measured on PostgreSQL 15.18, 16.14 and 18.4 as a non-superuser; neither was tried on RDS:

1. ``pg_catalog.fmgr_c_validator`` on a C function of the library, which any user may call unless that was revoked.
2. ``SELECT f(...) WHERE false``: the executor looks up the function, which loads the library, but does not call it. It
   needs a function that SQL can call: in PostgreSQL's contrib, ``bloom``, ``dict_int``, ``dict_xsyn`` and
   ``tsm_system_*`` have neither such a function nor parameters.
"""

from typing import Final

LOADING_BLOCK: Final = """
  DECLARE
    v_library record;
    v_statement text;
  BEGIN
    FOR v_library IN
      SELECT DISTINCT ON (p.probin) p.probin AS file, p.oid AS function
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
        AND EXISTS (
          SELECT FROM pg_catalog.jsonb_array_elements_text(v_extensions) AS n(value)
          WHERE CAST(e.extname AS pg_catalog.text) OPERATOR(pg_catalog.=) n.value
             OR pg_catalog.starts_with(CAST(e.extname AS pg_catalog.text), pg_catalog.concat(n.value, '_')))
      ORDER BY p.probin, p.oid
    LOOP
      BEGIN
        PERFORM pg_catalog.fmgr_c_validator(v_library.function);
      EXCEPTION WHEN OTHERS THEN
        BEGIN
          -- With arguments that the planner does not know, it does not call an immutable function in advance.
          SELECT pg_catalog.format('SELECT %I.%I(%s) WHERE false', n.nspname, p.proname, (
                   SELECT pg_catalog.string_agg(
                            pg_catalog.format('(SELECT CAST(NULL AS %I.%I))', tn.nspname, t.typname), ', '
                            ORDER BY a.at)
                   FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a(type, at)
                   JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.type
                   JOIN pg_catalog.pg_namespace AS tn ON tn.oid OPERATOR(pg_catalog.=) t.typnamespace))
          INTO v_statement
          FROM pg_catalog.pg_proc AS p
          JOIN pg_catalog.pg_language AS l ON l.oid OPERATOR(pg_catalog.=) p.prolang
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
          WHERE p.probin OPERATOR(pg_catalog.=) v_library.file
            AND l.lanname OPERATOR(pg_catalog.=) CAST('c' AS pg_catalog.name)
            AND p.prokind OPERATOR(pg_catalog.=) CAST('f' AS pg_catalog."char")
            AND p.provariadic OPERATOR(pg_catalog.=) CAST('0' AS pg_catalog.oid)
            AND (p.pronargs OPERATOR(pg_catalog.>) CAST(0 AS pg_catalog.int2)
                 OR p.provolatile OPERATOR(pg_catalog.<>) CAST('i' AS pg_catalog."char"))
            AND NOT EXISTS (
              SELECT FROM pg_catalog.unnest(p.proargtypes) AS a(type)
              JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.type
              WHERE t.typtype OPERATOR(pg_catalog.=) ANY (CAST('{d,p}' AS pg_catalog."char"[]))
                AND t.oid OPERATOR(pg_catalog.<>) CAST('pg_catalog.cstring' AS pg_catalog.regtype))
            AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
            AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
          ORDER BY p.oid
          LIMIT 1;
          EXECUTE v_statement;
        EXCEPTION WHEN OTHERS THEN
          NULL; -- if the library cannot be loaded, setting its parameter fails
        END;
      END;
    END LOOP;
  END;
"""
"""A block for a ``DO`` with the variable ``v_extensions``, a JSON array of names.

It loads the libraries of the extensions with these names, or with one of them and ``_`` as a prefix: the library of
``postgis_raster`` defines the parameters ``postgis.*``. It qualifies all names and operators, because another user may
have created objects with the same names."""

LOAD_ALL_LIBRARIES: Final = (
    """
DO $pinsafe$
DECLARE
  v_extensions pg_catalog.jsonb := (SELECT pg_catalog.jsonb_agg(e.extname) FROM pg_catalog.pg_extension AS e);
BEGIN
"""  # noqa: S608 - both are constants
    + LOADING_BLOCK
    + """
END
$pinsafe$
"""
)
"""One statement that loads the libraries of all extensions of the database."""
