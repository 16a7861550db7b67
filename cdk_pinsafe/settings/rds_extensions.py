"""The extensions that RDS for PostgreSQL offers, by PostgreSQL's major version.

Source: the tables of "Extension versions for Amazon RDS for PostgreSQL" in the Amazon RDS for PostgreSQL release notes,
read in full as of versions 18.3, 17.9, 16.13, 15.17 and 14.22
(https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-extensions.html; documented, not tried
on AWS). An extension counts for a major version if its latest minor version has it.

The names here are those of ``CREATE EXTENSION``, which for a few differ from the tables': ``vector`` is in the row
pgvector, ``h3`` and ``h3_postgis`` in h3-pg, ``collection`` in pgcollection, ``postgis`` in PostGIS, ``pgaudit`` in
pgAudit, ``pgtap`` in pgTAP. The tables' rows auto_explain, decoder_raw, wal2json and "ICU module" are no extensions.
``collection`` is in the table of 18 only; the release notes of 15.15, 16.11 and 17.7 add it there.

Aurora PostgreSQL offers other extensions and is not covered. A server can have more: AWS adds some now and then, and
``pg_tle`` registers a user's own.
"""

from collections.abc import Mapping
from typing import Final

MAJORS: Final = range(14, 19)
"""The major versions that are covered."""

_IN_ALL: Final = """
    address_standardizer address_standardizer_data_us amcheck autoinc aws_commons aws_lambda aws_s3 bloom bool_plperl
    btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance flow_control fuzzystrmatch h3 h3_postgis
    hll hstore hstore_plperl hypopg insert_username intagg intarray ip4r isn jsonb_plperl lo log_fdw ltree moddatetime
    mysql_fdw oracle_fdw orafce pageinspect pg_bigm pg_buffercache pg_cron pg_freespacemap pg_hint_plan pg_partman
    pg_prewarm pg_proctab pg_repack pg_similarity pg_stat_statements pg_tle pg_transport pg_trgm pg_visibility pgactive
    pgaudit pgcrypto pglogical pgrouting pgrowlocks pgstattuple pgtap plperl plpgsql plprofiler pltcl plv8 postgis
    postgis_raster postgis_tiger_geocoder postgres_fdw prefix rdkit rds_tools refint seg sslinfo tablefunc tcn tds_fdw
    tsm_system_rows tsm_system_time unaccent uuid-ossp vector
"""

EXTENSIONS: Final[Mapping[str, range]] = {
    **dict.fromkeys(_IN_ALL.split(), MAJORS),
    "collection": range(15, 19),
    "old_snapshot": range(14, 18),
    "pg_logicalinspect": range(18, 19),
    "pg_stat_monitor": range(18, 19),
    "pg_walinspect": range(15, 19),
    "plcoffee": range(14, 17),
    "plls": range(14, 17),
    "plrust": range(14, 18),
    "postgis_topology": range(14, 18),
    "roaringbitmap": range(18, 19),
}
"""Name, as ``CREATE EXTENSION`` takes it, to the major versions that have it."""

PRELOADED: Final = frozenset({"pg_cron", "pg_tle", "pgaudit", "pglogical", "plrust"})
"""Extensions that can only be created where ``shared_preload_libraries`` has their library, which has the same name.

Source: their pages in the Amazon RDS user guide, each of which begins with that parameter (documented); of ``pg_cron``
and ``pgaudit`` their own source, which raises an error where they are loaded otherwise.
"""


def is_offered(name: str, major: int) -> bool | None:
    """Whether RDS for PostgreSQL offers an extension; None for a major version that is not covered.

    Args:
        name: as ``CREATE EXTENSION`` takes it; case matters.
        major: PostgreSQL's major version.
    """
    if major not in MAJORS:
        return None
    return major in EXTENSIONS.get(name, ())
