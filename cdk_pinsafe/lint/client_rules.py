"""What in a configuration makes a client pin, or be refused: a row for each, with what finds it in a file.

What a client sends, how well that is known and how it is told to stop comes from :mod:`cdk_pinsafe.pinning.clients`.
A row matches only what leaves no doubt: where a value comes from elsewhere (a variable, a spread), nothing is said.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ..pinning.clients import client
from ..pinning.conditions import Evidence
from . import code_matches as code
from . import text_matches as text
from .subject import Span, Subject

__all__ = ["CLIENT_RULES", "ClientRule"]


@dataclass(frozen=True, slots=True)
class ClientRule:
    """One row.

    Attributes:
        id: Stable name, as in ``# pinsafe: ignore[npgsql-reset]``.
        title: A few words, in sentence case.
        files: Where it is looked for, in words.
        why: What happens, in one sentence.
        remedy: What to write instead.
        evidence: How well it is known, best first.
        source: Links to what says so.
        find: The places in a file that it is about.
    """

    id: str
    title: str
    files: str
    why: str
    remedy: str
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]
    find: Callable[[Subject], Iterator[Span]]


def _of(
    name: str,
    find: Callable[[Subject], Iterator[Span]],
    *,
    id: str,
    title: str,
    files: str,
    why: str,
    remedy: str | None = None,
) -> ClientRule:
    """A row on a client of the catalogue; its own remedy where the client's switch is about more than this."""
    known = client(name)
    held = f"; the database can hold {', '.join(known.settings)} (DatabaseSettings)" if known.settings else ""
    remedy = known.switch + held if remedy is None else remedy
    return ClientRule(id, title, files, why, remedy, known.evidence, known.source, find)


CLIENT_RULES: Final[tuple[ClientRule, ...]] = (
    _of(
        "node-postgres",
        text.startup_options,
        id="startup-options",
        title="Start-up options",
        files="connection strings and parameters in programs and configuration, PGOPTIONS in environment files",
        why="RDS Proxy refuses options=-c … in the startup packet (SQLSTATE 0A000): nobody can connect",
        remedy="move the parameter into the database (DatabaseSettings), into a role's settings if not every session "
        "wants it, and drop the options",
    ),
    _of(
        "node-postgres",
        code.node_postgres_startup,
        id="node-postgres-startup",
        title="Start-up parameters of node-postgres",
        files="`new Pool({…})` and `new Client({…})` of pg",
        why="RDS Proxy refuses this parameter in the startup packet (SQLSTATE 0A000): nobody can connect",
    ),
    _of(
        "Prisma Rust engine",
        text.prisma_pgbouncer,
        id="prisma-pgbouncer",
        title="Prisma's pgbouncer=true",
        files="connection URLs in programs and configuration",
        why="pgbouncer=true makes Prisma send DEALLOCATE ALL, which pins the session",
        remedy="take pgbouncer=true out of the URL: the proxy multiplexes the protocol's prepared statements",
    ),
    _of(
        "Npgsql",
        text.npgsql,
        id="npgsql-reset",
        title="Npgsql resets connections",
        files="connection strings in `appsettings.json` and other configuration, and in C#",
        why="Npgsql sends DISCARD ALL when a pooled connection is closed, which pins the session",
    ),
    _of(
        "pgjdbc 42.7.5 and later",
        text.pgjdbc,
        id="pgjdbc-set",
        title="pgjdbc's first statements",
        files="`jdbc:postgresql:` URLs in Java and configuration",
        why="pgjdbc sends SET application_name on every new connection, before 42.7.5 also SET extra_float_digits, "
        "which pins the session",
    ),
    _of(
        "JDBC setTransactionIsolation, setSchema",
        code.jdbc_session,
        id="jdbc-session",
        title="JDBC calls that SET",
        files="Java",
        why="pgjdbc makes a SET SESSION of this call, which pins the session",
    ),
    _of(
        "HikariCP",
        text.hikaricp,
        id="hikaricp-session",
        title="HikariCP's schema and isolation level",
        files="Spring's `*.properties` and `*.yml`",
        why="HikariCP makes every new connection SET this, which pins the session",
    ),
    _of(
        "Sequelize",
        code.sequelize,
        id="sequelize-session",
        title="Sequelize's first statements",
        files="`new Sequelize(…)`, and `config.json` of its command line",
        why="Sequelize sends SET client_min_messages and SET TIME ZONE on every new connection, which pins the session",
    ),
    _of(
        "Knex",
        code.knex_search_path,
        id="knex-search-path",
        title="Knex's searchPath",
        files="JavaScript and TypeScript objects with `client: 'pg'`",
        why="Knex sends SET search_path on every new connection, which pins the session",
    ),
    _of(
        "Rails",
        text.rails_session,
        id="rails-session",
        title="Rails' first statements",
        files="`config/database.yml`",
        why="Active Record before 8.2 sends SET client_min_messages and more on every new connection, which pins the "
        "session",
    ),
    _of(
        "Rails",
        text.rails_variables,
        id="rails-variables",
        title="Rails' variables and search path",
        files="`config/database.yml`",
        why="Active Record makes SETs of this on every new connection, which pins the session",
        remedy="move it into the database (DatabaseSettings), into a role's settings if not all sessions want it, "
        "and drop it here",
    ),
    _of(
        "Laravel",
        text.laravel_search_path,
        id="laravel-search-path",
        title="Laravel's search_path",
        files="`config/database.php`",
        why="Laravel sends SET search_path on every new connection, which pins the session",
    ),
    _of(
        "Django",
        code.django_cursors,
        id="django-cursors",
        title="Django's server-side cursors",
        files="`DATABASES` in Django's settings",
        why="QuerySet.iterator() declares a cursor, WITH HOLD outside a transaction, which pins the session",
        remedy='add "DISABLE_SERVER_SIDE_CURSORS": True beside "ENGINE"',
    ),
    _of(
        "Django",
        code.django_assume_role,
        id="django-assume-role",
        title="Django's assume_role",
        files="`DATABASES` in Django's settings",
        why="Django sends SET ROLE on every new connection, which pins the session",
        remedy='connect as that role, and drop "assume_role"',
    ),
    _of(
        "SQLAlchemy with asyncpg",
        text.sqlalchemy_asyncpg,
        id="sqlalchemy-asyncpg",
        title="SQLAlchemy on asyncpg",
        files="`postgresql+asyncpg` in URLs in Python and configuration",
        why="SQLAlchemy makes asyncpg call set_config('jit', 'off', false) before it looks up a type that it does not "
        "know, an enum say, which pins the session",
    ),
    _of(
        "SQLAlchemy Sequence",
        code.sqlalchemy_sequence,
        id="sqlalchemy-sequence",
        title="SQLAlchemy's Sequence",
        files="Python that imports SQLAlchemy",
        why="SQLAlchemy calls nextval in the INSERT of a column with a Sequence, which pins the session",
    ),
    _of(
        "asyncpg pool",
        code.asyncpg_pool,
        id="asyncpg-pool-reset",
        title="asyncpg's pool resets connections",
        files="`asyncpg.create_pool(…)`",
        why="asyncpg's pool sends pg_advisory_unlock_all(), RESET ALL and more when a connection is given back, which "
        "pins the session",
    ),
    _of(
        "psycopg",
        code.psycopg,
        id="psycopg-deallocate",
        title="psycopg's prepared statements",
        files="`psycopg.connect(…)`",
        why="once it has prepared a statement, psycopg sends DEALLOCATE ALL after a ROLLBACK, DROP or ALTER, which "
        "pins the session",
    ),
)
