"""Names of extensions, and common mistakes."""

import re
from typing import Final

from ..rds_extensions import EXTENSIONS

KNOWN: Final = frozenset(EXTENSIONS) | {"apg_plan_mgmt", "aurora_stat_utils", "aws_ml", "test_parser", "xml2"}
"""Valid names: RDS for PostgreSQL's, and some of Aurora and PostgreSQL."""

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
"""Mistakes other than in case, punctuation or the prefix ``pg``."""

LIBRARIES: Final = frozenset({"auto_explain"})
"""Libraries of RDS that have parameters and no extension."""


def meant(name: str) -> str | None:
    """The extension that a mistaken name means, ``vector`` for ``pgvector``; None for a valid or an unknown name.

    The applier quotes names, so ``PostGIS`` and ``postgis`` are different names.
    """
    key = _key(name)
    return None if name in KNOWN else _BY_KEY.get(key) or _OTHER_NAMES.get(key)


def _key(name: str) -> str:
    """The name in lower case, without punctuation and without the prefix pg."""
    return re.sub("[^a-z0-9]", "", name.lower()).removeprefix("pg")


_BY_KEY: Final = {_key(name): name for name in KNOWN}
