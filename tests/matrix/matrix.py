"""What is driven through the emulator: a row for each client, about which the catalogue of clients says the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from packaging.specifiers import SpecifierSet

from cdk_pinsafe.pinning import clients


@dataclass(frozen=True)
class Driven:
    """A client that is driven in its default form, which pins as the catalogue says, and as recommended.

    Attributes:
        client: its name in the catalogue.
        script: its application, in the folder `clients`.
        version: the version in the table of docs/pinning.md.
        versions: those for which what is expected holds, as `pip` writes ranges.
        before: settings of the database in the default form, where the client pins by what the database says.
        after: settings of the database in the recommended form, in place of what the client sent.
        ours: whether the tests install the client, so that another version is a failure and no reason to skip.
        older: packages, as `pip` takes them, with which the long run drives it, too.
    """

    client: str
    script: str
    version: str
    versions: str
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True
    older: tuple[str, ...] = ()

    def covers(self, version: str) -> bool:
        """Whether what is expected holds for this version."""
        return version in SpecifierSet(self.versions)

    @property
    def row(self) -> clients.Client:
        """What the catalogue says."""
        return clients.client(self.client)


MATRIX: Final = (
    Driven("psycopg", "psycopg.py", "3.3.9", "~=3.3"),
    Driven(
        "psycopg2", "psycopg2.py", "2.9.13", "~=2.9", before={"datestyle": "'German'"}, after={"datestyle": "'ISO'"}
    ),
    Driven("asyncpg pool", "asyncpg_pool.py", "0.32.0", "~=0.32.0", older=("asyncpg==0.30.0",)),
    Driven("asyncpg type introspection", "asyncpg_types.py", "0.32.0", "~=0.32.0", before={"jit": "off"}),
    Driven("pg8000", "pg8000.py", "1.31.6", "~=1.31"),
    Driven("SQLAlchemy with psycopg", "sqlalchemy_psycopg.py", "2.1.9", "~=2.1.9"),
    Driven(
        "SQLAlchemy with asyncpg",
        "sqlalchemy_asyncpg.py",
        "2.1.9",
        "~=2.1.9",
        older=("asyncpg==0.29.0", "asyncpg==0.30.0", "asyncpg==0.31.0", "SQLAlchemy==2.0.36", "SQLAlchemy==2.0.44"),
    ),
    Driven("SQLAlchemy Sequence", "sqlalchemy_sequence.py", "2.1.9", "~=2.1.9"),
    Driven(
        "Django", "django.py", "5.2.19", "~=5.2.19", before={"timezone": "'Europe/Rome'"}, after={"timezone": "'UTC'"}
    ),
    Driven("node-postgres", "node-postgres.mjs", "8.23.1", "==8.23.1"),
    Driven("postgres.js", "postgres-js.mjs", "3.4.9", "==3.4.9"),
    Driven("Knex", "knex.mjs", "3.3.0", "==3.3.0", after={"search_path": "app, public"}),
    Driven(
        "Sequelize",
        "sequelize.mjs",
        "6.37.8",
        "==6.37.8",
        after={"client_min_messages": "warning", "timezone": "'UTC'", "standard_conforming_strings": "on"},
    ),
    Driven("pgjdbc before 42.7.5", "PgJdbc.java", "42.5.5", "<42.7.5", ours=False),
    Driven(
        "JDBC setTransactionIsolation, setSchema",
        "JdbcSession.java",
        "42.5.5",
        ">=42.2",
        after={"default_transaction_isolation": "'serializable'"},
        ours=False,
    ),
    Driven("psql", "psql.sh", "15.18", "<17", ours=False),
    Driven("pgbench", "pgbench.sh", "15.18", ">=13", ours=False),
)
