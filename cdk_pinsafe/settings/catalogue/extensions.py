"""Names of extensions: what users write in their place, and what RDS does not offer."""

import re
from typing import Final

# PostgreSQL's own, those in rds.extensions of a published parameter group of RDS, and those that the user guides of RDS
# and Aurora create.
_KNOWN: Final = """
address_standardizer address_standardizer_data_us amcheck apg_plan_mgmt aurora_stat_utils autoinc aws_commons aws_lambda
aws_ml aws_s3 bloom bool_plperl btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance fuzzystrmatch
hll hstore hstore_plperl insert_username intagg intarray ip4r isn jsonb_plperl lo log_fdw ltree moddatetime mysql_fdw
old_snapshot oracle_fdw orafce pageinspect pg_bigm pg_buffercache pg_cron pg_freespacemap pg_hint_plan pg_partman
pg_prewarm pg_proctab pg_repack pg_similarity pg_stat_statements pg_tle pg_transport pg_trgm pg_visibility
pg_walinspect pgaudit pgcrypto pglogical pgrouting pgrowlocks pgstattuple pgtap plcoffee plls plperl plpgsql plprofiler
pltcl plv8 postgis postgis_raster postgis_tiger_geocoder postgis_topology postgres_fdw prefix rdkit rds_tools refint seg
sslinfo tablefunc tcn tds_fdw test_parser tsm_system_rows tsm_system_time unaccent uuid-ossp vector xml2
"""
KNOWN: Final = frozenset(_KNOWN.split())
"""Names of extensions that a mistaken name is held against. Not all of them are offered by every release of RDS."""

_OTHER_NAMES: Final = {
    "geocoder": "postgis_tiger_geocoder",
    "hnsw": "vector",
    "ivfflat": "vector",
    "postgistiger": "postgis_tiger_geocoder",
    "raster": "postgis_raster",
    "tiger": "postgis_tiger_geocoder",
    "tigergeocoder": "postgis_tiger_geocoder",
    "topology": "postgis_topology",
    "uuid": "uuid-ossp",
}
"""Beside those that differ only in case, punctuation or a ``pg`` in front."""

LIBRARIES: Final = frozenset({"auto_explain"})
"""Libraries of RDS that have parameters and no extension."""

_MISSED: Final = """
age citus file_fdw http pg_duckdb pg_graphql pg_ivm pg_net pg_search pgjwt pgml pgsodium pgvectorscale plpython3u
supabase_vault timescaledb vectorscale
"""
NOT_ON_RDS: Final = frozenset(_MISSED.split())
"""Well-known extensions that no list of RDS's extensions has that was read; a newer release may offer one."""


def meant(name: str) -> str | None:
    """The extension that a name stands for, ``vector`` for ``pgvector``; None for a right or an unknown name.

    The applier quotes names, so PostgreSQL takes ``PostGIS`` for another name than ``postgis``.
    """
    key = _key(name)
    return None if name in KNOWN else _BY_KEY.get(key) or _OTHER_NAMES.get(key)


def _key(name: str) -> str:
    """The name in lower case, without punctuation, and without pg in front."""
    return re.sub("[^a-z0-9]", "", name.lower()).removeprefix("pg")


_BY_KEY: Final = {_key(name): name for name in KNOWN}
