"""Shows the effect of `hnsw.iterative_scan` in the database's settings: a filtered query finds its rows without a SET.

An HNSW index returns the `hnsw.ef_search` (40) nearest rows, which are filtered afterwards. If the rows that pass the
filter are elsewhere, like the documents of one tenant, none of the 40 is left unless the scan continues.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .database_client import Login

__all__ = ["FilteredQuery", "filtered_query"]

_ROWS: Final = 2_000
_DIMENSIONS: Final = 16
_TENANTS: Final = 5
_LIMIT: Final = 10
_SCHEMA: Final = "pinsafe_rehearsal"


@dataclass(frozen=True)
class FilteredQuery:
    """The result of the query.

    Attributes:
        rows: the number of rows that it returned.
        limit: its LIMIT; the table has many more rows that pass the filter.
        uses_index: whether its plan uses the HNSW index.
    """

    rows: int
    limit: int
    uses_index: bool


def filtered_query(login: Login) -> FilteredQuery:
    """Load vectors into a temporary schema, and run the query as the first statement of a fresh connection."""
    with login.connect(preparing=True) as connection:
        found = connection.run(
            "SELECT extnamespace::pg_catalog.regnamespace::text FROM pg_catalog.pg_extension WHERE extname = 'vector'"
        )
        schema = found[0][0] if found else "public"
        connection.run(f"CREATE SCHEMA {_SCHEMA}")
        connection.run(
            f"CREATE TABLE {_SCHEMA}.chunk (id int, tenant int, content text, embedding {schema}.vector({_DIMENSIONS}))"
        )
        # The padding makes rows so wide that the planner prefers the index to a sequential scan.
        connection.run(
            f"INSERT INTO {_SCHEMA}.chunk "  # noqa: S608 - names of this module and of the server
            f"SELECT n, n % {_TENANTS}, repeat('lorem ipsum ', 120), v::{schema}.vector "
            "FROM unnest(CAST(:vectors AS text[])) WITH ORDINALITY AS given (v, n)",
            vectors=_vectors(),
        )
        connection.run(f"CREATE INDEX ON {_SCHEMA}.chunk USING hnsw (embedding {schema}.vector_l2_ops)")
        connection.run(f"ANALYZE {_SCHEMA}.chunk")
    # The nearest rows belong to tenant 0; the filter wants tenant 1.
    query = (
        f"SELECT id FROM {_SCHEMA}.chunk WHERE tenant = 1 "  # noqa: S608 - as above
        f"ORDER BY embedding OPERATOR({schema}.<->) '{_corner(0)}'::{schema}.vector LIMIT {_LIMIT}"
    )
    with login.connect() as connection:
        rows = connection.run(query) or []
        plan = connection.run(f"EXPLAIN {query}") or []
    with login.connect(preparing=True) as connection:
        connection.run(f"DROP SCHEMA {_SCHEMA} CASCADE")
    return FilteredQuery(len(rows), _LIMIT, any("Index Scan using chunk_embedding_idx" in line for (line,) in plan))


def _vectors() -> list[str]:
    """Row n, from 1, belongs to tenant n % _TENANTS and is near that tenant's corner."""
    source = random.Random(20)  # noqa: S311 - a fixed seed, for the same rows every time
    return [_near(number % _TENANTS, source) for number in range(1, _ROWS + 1)]


def _near(tenant: int, source: random.Random) -> str:
    return _vector((axis == tenant) + source.uniform(-0.2, 0.2) for axis in range(_DIMENSIONS))


def _corner(tenant: int) -> str:
    return _vector(float(axis == tenant) for axis in range(_DIMENSIONS))


def _vector(values: Iterable[float]) -> str:
    return "[" + ",".join(f"{value:.3f}" for value in values) + "]"
