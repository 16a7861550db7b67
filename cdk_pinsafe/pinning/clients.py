"""What clients send by default and how to make them stop: one row for each driver, framework or pooler.

The rows come from the clients' own sources at the versions named, unless a row's evidence says otherwise; this project
tried none against a real proxy. Where the evidence is `measured without AWS`, the client was run through the emulator.
A database default prevents a pin only if the client then stops sending its SET.

Some rows depend on the parameters that the server reports when a client connects: see :data:`PARAMETER_STATUS_CAVEAT`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..errors import UnknownNameError
from .conditions import Caveat, Evidence


class Pins(StrEnum):
    """Whether a client pins by what it sends by default."""

    YES = "yes"
    """On each connection or in everyday use."""
    SOMETIMES = "sometimes"
    """If it is configured so, or depending on what the server reports."""
    NO = "no"
    REFUSED = "refused"
    """If it is configured so, RDS Proxy refuses the connection (SQLSTATE 0A000)."""


class Sender(StrEnum):
    """The kind of program that sends a statement, which decides what to do about a pin."""

    APPLICATION = "application"
    """It connects through the proxy, so it must not send the statement."""
    MIGRATION = "migration"
    """A migration tool, which should connect directly, because its locks and settings span transactions."""
    DUMP = "dump"
    """A dump while it is made or loaded, which should connect directly."""
    PERSON = "person"
    """An interactive tool such as psql, which should connect directly."""


@dataclass(frozen=True)
class Client:
    """A client, at the versions that were read.

    Attributes:
        name: Its common name.
        aliases: Other names for :func:`client`, in lower case.
        language: Its programming language.
        package: Its name in its language's registry; empty if it is a program.
        versions: The versions that were read.
        sends: What it sends, and when.
        conditions: Ids of the conditions that this meets.
        pins: Whether that pins.
        evidence: How well that is known, best first.
        source: Links to the sources.
        settings: Parameters that the database can set in place of what the client sends; empty if that does not help.
        opt_out: How to make the client not send it.
        statements: What it sends, as SQL.
        digest_prefixes: Prefixes of these statements in the proxy's log, in the form of :func:`canonical`; empty if
            other clients send the same.
        depends_on_parameter_status: Whether it sends some of it only if the server reports another value at connect:
            see :data:`PARAMETER_STATUS_CAVEAT`.
        sender: The kind of program.
    """

    name: str
    aliases: tuple[str, ...]
    language: str
    package: str
    versions: str
    sends: str
    conditions: tuple[str, ...]
    pins: Pins
    evidence: tuple[Evidence, ...]
    source: tuple[str, ...]
    settings: tuple[str, ...]
    opt_out: str
    statements: tuple[str, ...] = ()
    digest_prefixes: tuple[str, ...] = ()
    depends_on_parameter_status: bool = False
    sender: Sender = Sender.APPLICATION


_DOC: Final = (Evidence.DOCUMENTED,)
_MEAS: Final = (Evidence.MEASURED,)
_INF: Final = (Evidence.INFERRED,)
_LOCAL: Final = (Evidence.LOCAL,)
_DOC_LOCAL: Final = (*_DOC, Evidence.LOCAL)
_MEAS_LOCAL: Final = (*_MEAS, Evidence.LOCAL)

PARAMETER_STATUS_CAVEAT: Final = Caveat(
    id="parameter-reports",
    title="The server's reports of its parameters at connect (ParameterStatus)",
    text="decide whether some clients send a SET; whether RDS Proxy passes on every report is not established. Without "
    "any, psycopg2, asyncpg, Django and pgjdbc do not even connect; with those of server_version and client_encoding "
    "alone, psycopg2 and Django SET whatever the database says, and Sequelize has one SET more",
    evidence=(Evidence.UNVERIFIED, Evidence.LOCAL),
    source=("https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC",),
)
"""What is not known of the server's ParameterStatus messages."""

CLIENTS: Final[tuple[Client, ...]] = (
    Client(
        name="Rails",
        aliases=("activerecord", "active record", "ruby on rails"),
        language="Ruby",
        package="activerecord",
        versions="7.1 to 8.1.3",
        sends="at connect: SET client_min_messages, standard_conforming_strings, intervalstyle and SESSION timezone; "
        "search_path and what variables: lists, if configured",
        conditions=("set",),
        pins=Pins.YES,
        evidence=_MEAS,
        source=("https://github.com/getlago/lago-api/pull/5979",),
        settings=("client_min_messages", "standard_conforming_strings", "intervalstyle", "timezone", "search_path"),
        opt_out="none built in: patch configure_connection, or wait for 8.2",
        statements=(
            "SET client_min_messages TO 'warning'",
            "SET standard_conforming_strings = on",
            "SET intervalstyle = iso_8601",
            "SET SESSION timezone TO 'UTC'",
        ),
        digest_prefixes=("set client_min_messages=$", "set intervalstyle=$", "set session timezone=$"),
    ),
    Client(
        name="Rails 8.2",
        aliases=("rails main", "rails edge"),
        language="Ruby",
        package="activerecord",
        versions="main (8.2 alpha, pull request 57070)",
        sends="as Rails 8.1, but skips each SET whose value the server reported at connect",
        conditions=("set",),
        pins=Pins.SOMETIMES,
        evidence=_INF,
        source=("https://github.com/rails/rails/pull/57070",),
        settings=("timezone", "intervalstyle", "standard_conforming_strings"),
        opt_out="min_messages: false, intervalstyle: false, standard_conforming_strings: false, "
        "schema_search_path: false in database.yml",
        statements=("SET client_min_messages TO 'warning'",),
        depends_on_parameter_status=True,
    ),
    Client(
        name="ruby-pg",
        aliases=("pg gem", "ruby pg"),
        language="Ruby",
        package="pg",
        versions="1.5.4 and later",
        sends="SET client_encoding at connect, if Encoding.default_internal differs",
        conditions=("set",),
        pins=Pins.SOMETIMES,
        evidence=_MEAS,
        source=("https://github.com/ged/ruby-pg",),
        settings=("client_encoding",),
        opt_out="Encoding.default_internal = nil",
        statements=("SET client_encoding TO 'UTF8'",),
    ),
    Client(
        name="Django",
        aliases=("django orm",),
        language="Python",
        package="Django",
        versions="5.2.19",
        sends="set_config('TimeZone', …, false) at connect if the reported TimeZone differs; .iterator() declares a "
        "cursor, WITH HOLD in autocommit",
        conditions=("set-config", "cursor"),
        pins=Pins.SOMETIMES,
        evidence=_MEAS_LOCAL,
        source=("https://github.com/dimagi/open-chat-studio/issues/4176",),
        settings=("timezone",),
        opt_out="DISABLE_SERVER_SIDE_CURSORS = True; neither assume_role nor options in DATABASES",
        statements=(
            "SELECT set_config('TimeZone', 'UTC', false)",
            'DECLARE "_django_curs_140042145613568_sync_7" NO SCROLL CURSOR WITH HOLD FOR SELECT 1',
        ),
        digest_prefixes=('declare "_django_curs_',),
        depends_on_parameter_status=True,
    ),
    Client(
        name="psycopg",
        aliases=("psycopg 3", "psycopg3"),
        language="Python",
        package="psycopg",
        versions="3.3.9",
        sends="DEALLOCATE ALL after ROLLBACK, DROP or ALTER, once it has prepared a statement: one that ran more than "
        "five times since the last of these",
        conditions=("sql-prepare",),
        pins=Pins.SOMETIMES,
        evidence=_MEAS_LOCAL,
        source=("https://github.com/psycopg/psycopg/issues/1105",),
        settings=(),
        opt_out="prepare_threshold=None",
        statements=("DEALLOCATE ALL",),
        digest_prefixes=("deallocate all",),
    ),
    Client(
        name="psycopg2",
        aliases=("psycopg 2",),
        language="Python",
        package="psycopg2",
        versions="2.9",
        sends="SET datestyle at connect if the server does not report ISO; DISCARD ALL by reset()",
        conditions=("set", "discard"),
        pins=Pins.SOMETIMES,
        evidence=_DOC_LOCAL,
        source=("https://www.psycopg.org/docs/connection.html",),
        settings=("datestyle",),
        opt_out="do not call reset()",
        statements=("SET datestyle TO 'ISO'", "DISCARD ALL"),
        digest_prefixes=("set datestyle=$",),
        depends_on_parameter_status=True,
    ),
    Client(
        name="pg8000",
        aliases=(),
        language="Python",
        package="pg8000",
        versions="1.31.6",
        sends="nothing that pins, unless more start-up parameters are configured, which the proxy refuses",
        conditions=(),
        pins=Pins.NO,
        evidence=_LOCAL,
        source=("https://codeberg.org/tlocke/pg8000",),
        settings=(),
        opt_out="no extra start-up parameters",
    ),
    Client(
        name="asyncpg pool",
        aliases=("asyncpg",),
        language="Python",
        package="asyncpg",
        versions="0.30 to 0.32",
        sends="when a connection is released to its pool: pg_advisory_unlock_all(), CLOSE ALL, UNLISTEN *, RESET ALL",
        conditions=("advisory-lock", "set"),
        pins=Pins.YES,
        evidence=_MEAS_LOCAL,
        source=("https://github.com/MagicStack/asyncpg/issues/1153",),
        settings=(),
        opt_out="create_pool(reset=…), from 0.30 on, with a coroutine function that does nothing",
        statements=("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",),
        digest_prefixes=("select pg_advisory_unlock_all();close all;",),
    ),
    Client(
        name="asyncpg type introspection",
        aliases=("asyncpg introspection", "asyncpg jit"),
        language="Python",
        package="asyncpg",
        versions="0.32.0",
        sends="set_config('jit', 'off', false) before it looks up a type it does not know (an enum, a domain, a "
        "composite, an array of these), whatever the database says; another set_config after it, if jit was on",
        conditions=("set-config",),
        pins=Pins.SOMETIMES,
        evidence=_MEAS_LOCAL,
        source=("https://richyen.com/postgres/2026/03/12/rds_proxy_pinning.html",),
        settings=(),
        opt_out="none that is public: a hook at connect that clears the connection's _server_caps.jit",
        statements=(
            "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
            "SELECT set_config('jit', $1, false)",
        ),
        digest_prefixes=("select current_setting($)as cur,set_config($,$,$)as new",),
    ),
    Client(
        name="SQLAlchemy with psycopg",
        aliases=("sqlalchemy", "sqlalchemy psycopg", "postgresql+psycopg"),
        language="Python",
        package="SQLAlchemy",
        versions="2.1.9",
        sends="psycopg's DEALLOCATE ALL, as its pool rolls back what comes back uncommitted, reads included",
        conditions=("sql-prepare",),
        pins=Pins.SOMETIMES,
        evidence=_LOCAL,
        source=("https://docs.sqlalchemy.org/en/20/core/pooling.html",),
        settings=(),
        opt_out='connect_args={"prepare_threshold": None}',
        statements=("DEALLOCATE ALL",),
    ),
    Client(
        name="SQLAlchemy with asyncpg",
        aliases=("sqlalchemy asyncpg", "postgresql+asyncpg"),
        language="Python",
        package="SQLAlchemy",
        versions="2.0.36 to 2.1.9, with asyncpg 0.29 to 0.32",
        sends="what asyncpg sends before it looks up a type, an Enum's say; the JSON codecs that it registers at "
        "connect were reported to make it do so, too, but do not at these versions",
        conditions=("set-config",),
        pins=Pins.SOMETIMES,
        evidence=_MEAS_LOCAL,
        source=("https://richyen.com/postgres/2026/03/12/rds_proxy_pinning.html",),
        settings=(),
        opt_out="a connect listener that clears asyncpg's _server_caps.jit",
        statements=(
            "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
            "SELECT set_config('jit', $1, false)",
        ),
        digest_prefixes=("select current_setting($)as cur,set_config($,$,$)as new",),
    ),
    Client(
        name="SQLAlchemy Sequence",
        aliases=("sqlalchemy sequence", "celery"),
        language="Python",
        package="SQLAlchemy",
        versions="2.1.9",
        sends="nextval in the INSERT of a column with a Sequence, as Celery's database result backend has",
        conditions=("sequence",),
        pins=Pins.SOMETIMES,
        evidence=_DOC_LOCAL,
        source=("https://github.com/celery/celery/issues/10472",),
        settings=(),
        opt_out="Identity() in place of Sequence()",
        statements=("INSERT INTO celery_taskmeta (id, task_id) VALUES (nextval('task_id_sequence'), $1)",),
    ),
    Client(
        name="django-pghistory",
        aliases=("pghistory",),
        language="Python",
        package="django-pghistory",
        versions="up to 3.6; from 3.7 on",
        sends="set_config(…, true) with every statement; from 3.7 on with writes only",
        conditions=("set-config",),
        pins=Pins.YES,
        evidence=_MEAS,
        source=("https://github.com/AmbitionEng/django-pghistory/issues/245",),
        settings=(),
        opt_out="upgrade to 3.7",
        statements=(
            "SELECT set_config('pghistory.context_id', '1', true), "
            "set_config('pghistory.context_metadata', '{}', true); SELECT 1",
        ),
        digest_prefixes=("select set_config($,$,$),set_config($,$,$);",),
    ),
    Client(
        name="pgjdbc before 42.7.5",
        aliases=("pgjdbc", "postgresql jdbc", "jdbc"),
        language="Java",
        package="org.postgresql:postgresql",
        versions="up to 42.7.4",
        sends="SET extra_float_digits and SET application_name at connect; the JVM's TimeZone as a start-up parameter, "
        "which beats the database's",
        conditions=("set",),
        pins=Pins.YES,
        evidence=_DOC_LOCAL,
        source=(
            "https://xiaoz.work/2024/02/01/AvoidPinningInAWSRDSProxyForPostgres.html",
            "https://jdbc.postgresql.org",
        ),
        settings=(),
        opt_out="assumeMinServerVersion=9.0 in the URL",
        statements=("SET extra_float_digits = 3", "SET application_name = 'PostgreSQL JDBC Driver'"),
        digest_prefixes=("set extra_float_digits=$", "set application_name=$"),
    ),
    Client(
        name="pgjdbc 42.7.5 and later",
        aliases=("pgjdbc 42.7.5",),
        language="Java",
        package="org.postgresql:postgresql",
        versions="42.7.5 to 42.7.13",
        sends="SET application_name after connecting; the JVM's TimeZone as a start-up parameter, which beats the "
        "database's",
        conditions=("set",),
        pins=Pins.YES,
        evidence=_DOC,
        source=("https://jdbc.postgresql.org",),
        settings=(),
        opt_out="assumeMinServerVersion=9.0 in the URL",
        statements=("SET application_name = 'PostgreSQL JDBC Driver'",),
        digest_prefixes=("set application_name=$",),
    ),
    Client(
        name="JDBC setTransactionIsolation, setSchema",
        aliases=("settransactionisolation", "setschema", "aws glue"),
        language="Java",
        package="org.postgresql:postgresql",
        versions="all",
        sends="SET SESSION CHARACTERISTICS AS TRANSACTION … and SET SESSION search_path, if the application calls them",
        conditions=("set",),
        pins=Pins.SOMETIMES,
        evidence=_MEAS_LOCAL,
        source=("https://github.com/prisma/orm/issues/5866",),
        settings=("default_transaction_isolation", "search_path"),
        opt_out="do not call them; currentSchema in the URL",
        statements=(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET SESSION search_path TO 'app'",
        ),
        digest_prefixes=("set session characteristics as transaction ", "set session search_path=$"),
    ),
    Client(
        name="HikariCP",
        aliases=("hikari",),
        language="Java",
        package="com.zaxxer:HikariCP",
        versions="all",
        sends="what JDBC sends for transactionIsolation, schema, readOnly and connectionInitSql, if one is configured",
        conditions=("set",),
        pins=Pins.SOMETIMES,
        evidence=_DOC,
        source=("https://github.com/brettwooldridge/HikariCP",),
        settings=("default_transaction_isolation", "default_transaction_read_only", "search_path"),
        opt_out="leave transactionIsolation, schema, readOnly and connectionInitSql unset",
        statements=("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",),
    ),
    Client(
        name="Npgsql",
        aliases=("entity framework core", "ef core"),
        language="C#",
        package="Npgsql",
        versions="10",
        sends="DISCARD ALL when a pooled connection is closed, put before what the connection sends next",
        conditions=("discard",),
        pins=Pins.YES,
        evidence=_MEAS,
        source=("https://github.com/npgsql/npgsql/issues/3731",),
        settings=(),
        opt_out="No Reset On Close=true in the connection string",
        statements=("DISCARD ALL",),
        digest_prefixes=("discard all",),
    ),
    Client(
        name="node-postgres",
        aliases=("pg", "node pg"),
        language="JavaScript",
        package="pg",
        versions="8.23.1",
        sends="no SET; statement_timeout, lock_timeout and idle_in_transaction_session_timeout travel in the start-up "
        "packet if configured, which the proxy refuses",
        conditions=(),
        pins=Pins.REFUSED,
        evidence=_MEAS_LOCAL,
        source=("https://github.com/n8n-io/n8n/issues/25705",),
        settings=("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
        opt_out="remove the options; query_timeout is the client's own",
    ),
    Client(
        name="Knex",
        aliases=("knex.js",),
        language="JavaScript",
        package="knex",
        versions="3.3.0",
        sends="set search_path at connect, if searchPath is configured",
        conditions=("set",),
        pins=Pins.SOMETIMES,
        evidence=_DOC_LOCAL,
        source=("https://medium.com/@andre.decamargo/rds-proxy-and-connection-pinning-d26efcadb53c",),
        settings=("search_path",),
        opt_out="drop searchPath",
        statements=('set search_path to "app","public"',),
        digest_prefixes=("set search_path=$",),
    ),
    Client(
        name="Sequelize",
        aliases=("sequelize.js",),
        language="JavaScript",
        package="sequelize",
        versions="6.37.8",
        sends="at connect: SET client_min_messages and SET TIME ZONE; standard_conforming_strings unless the server "
        "reports it on",
        conditions=("set",),
        pins=Pins.YES,
        evidence=_MEAS_LOCAL,
        source=("https://medium.com/@andre.decamargo/rds-proxy-and-connection-pinning-d26efcadb53c",),
        settings=("client_min_messages", "timezone", "standard_conforming_strings"),
        opt_out="dialectOptions.clientMinMessages: 'ignore', keepDefaultTimezone: true, "
        "standardConformingStrings: false",
        statements=(
            "SET client_min_messages TO warning;SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE",
            "SET standard_conforming_strings=on;SET client_min_messages TO warning;"
            "SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE",
        ),
        digest_prefixes=(
            "set client_min_messages=$;set time zone",
            "set standard_conforming_strings=$;set client_min_messages=$",
        ),
        depends_on_parameter_status=True,
    ),
    Client(
        name="TypeORM, Drizzle, Prisma adapter-pg",
        aliases=("typeorm", "drizzle", "drizzle orm", "prisma", "@prisma/adapter-pg"),
        language="JavaScript",
        package="typeorm, drizzle-orm, @prisma/adapter-pg",
        versions="1.1.1, 0.45.4, 7.10.1",
        sends="nothing at connect; SET TRANSACTION if a transaction is given an isolation level",
        conditions=("set-transaction",),
        pins=Pins.SOMETIMES,
        evidence=_INF,
        source=("https://typeorm.io", "https://orm.drizzle.team", "https://www.prisma.io/docs"),
        settings=("default_transaction_isolation",),
        opt_out="give transactions no isolation level",
        statements=("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",),
        digest_prefixes=("set transaction isolation level",),
    ),
    Client(
        name="Prisma Rust engine",
        aliases=("prisma engine", "prisma engines", "pgbouncer=true"),
        language="JavaScript",
        package="prisma",
        versions="before 7",
        sends="search_path as a start-up parameter, which the proxy accepts; DEALLOCATE ALL with pgbouncer=true",
        conditions=("sql-prepare",),
        pins=Pins.SOMETIMES,
        evidence=_MEAS,
        source=("https://github.com/prisma/prisma-engines/pull/5016",),
        settings=("search_path",),
        opt_out="no pgbouncer=true in the URL",
        statements=("DEALLOCATE ALL",),
        digest_prefixes=("deallocate all",),
    ),
    Client(
        name="Prisma Migrate",
        aliases=("prisma migrate", "prisma db push"),
        language="JavaScript",
        package="prisma",
        versions="5 to 7",
        sends="SELECT pg_advisory_lock(72707369), held until it disconnects",
        conditions=("advisory-lock",),
        pins=Pins.YES,
        evidence=_DOC,
        source=("https://www.prisma.io/docs/orm/prisma-migrate/workflows/development-and-production#advisory-locking",),
        settings=(),
        opt_out="directUrl with the database's own address, or PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK=1",
        statements=("SELECT pg_advisory_lock(72707369)",),
        digest_prefixes=("select pg_advisory_lock(72707369)",),
        sender=Sender.MIGRATION,
    ),
    Client(
        name="Kysely Migrator",
        aliases=("kysely", "kysely's migrator"),
        language="JavaScript",
        package="kysely",
        versions="current",
        sends="pg_advisory_lock(3853314791062309107) around its migrations; older versions take "
        "pg_advisory_xact_lock, which does not pin",
        conditions=("advisory-lock",),
        pins=Pins.SOMETIMES,
        evidence=_LOCAL,
        source=("https://github.com/kysely-org/kysely",),
        settings=(),
        opt_out="connect it to the database itself",
        statements=("select pg_advisory_lock(3853314791062309107)",),
        digest_prefixes=("select pg_advisory_lock(3853314791062309107)",),
        sender=Sender.MIGRATION,
    ),
    Client(
        name="node-pg-migrate",
        aliases=(),
        language="JavaScript",
        package="node-pg-migrate",
        versions="9.0.0",
        sends="SELECT pg_try_advisory_lock(7241865325823964) before it migrates",
        conditions=("advisory-lock",),
        pins=Pins.YES,
        evidence=_LOCAL,
        source=("https://github.com/salsita/node-pg-migrate",),
        settings=(),
        opt_out="connect it to the database itself, or --no-lock where one migrates alone",
        statements=('SELECT pg_try_advisory_lock(7241865325823964) AS "lockObtained"',),
        digest_prefixes=(
            "select pg_try_advisory_lock(7241865325823964)",
            'select pg_try_advisory_lock($)as "lockobtained"',
        ),
        sender=Sender.MIGRATION,
    ),
    Client(
        name="postgres.js",
        aliases=(),
        language="JavaScript",
        package="postgres",
        versions="3.4.9",
        sends="nothing that pins, unless `connection` has more start-up parameters, which the proxy refuses",
        conditions=(),
        pins=Pins.NO,
        evidence=_LOCAL,
        source=("https://github.com/porsager/postgres",),
        settings=(),
        opt_out="no extra start-up parameters",
    ),
    Client(
        name="pgx, Postgrex",
        aliases=("pgx", "postgrex", "ecto"),
        language="Go, Elixir",
        package="github.com/jackc/pgx, postgrex",
        versions="5.10, current",
        sends="nothing that pins, unless more start-up parameters are configured, which the proxy refuses",
        conditions=(),
        pins=Pins.NO,
        evidence=_INF,
        source=("https://github.com/jackc/pgx/issues/1792",),
        settings=(),
        opt_out="no extra start-up parameters",
    ),
    Client(
        name="sqlx",
        aliases=("rust sqlx",),
        language="Rust",
        package="sqlx",
        versions="current",
        sends="DateStyle, TimeZone and extra_float_digits as start-up parameters, which the proxy accepts",
        conditions=(),
        pins=Pins.NO,
        evidence=_DOC,
        source=("https://docs.rs/sqlx",),
        settings=(),
        opt_out="no options(), which the proxy refuses",
    ),
    Client(
        name="psql",
        aliases=("psql before 17",),
        language="C",
        package="",
        versions="up to 16",
        sends="DECLARE _psql_cursor around each SELECT, if FETCH_COUNT is set; from 17 on it needs no cursor (psql 18 "
        "measured)",
        conditions=("cursor",),
        pins=Pins.SOMETIMES,
        evidence=_DOC_LOCAL,
        source=("https://www.postgresql.org/docs/16/app-psql.html",),
        settings=(),
        opt_out="no FETCH_COUNT in ~/.psqlrc, or psql 17",
        statements=("DECLARE _psql_cursor NO SCROLL CURSOR FOR\nSELECT 1",),
        digest_prefixes=("declare _psql_cursor ",),
        sender=Sender.PERSON,
    ),
    Client(
        name="pg_dump, pg_restore",
        aliases=("pg_dump", "pg_restore", "dump"),
        language="C",
        package="",
        versions="15",
        sends="SET row_security, synchronize_seqscans, xmloption, statement_timeout and more, and an empty search_path "
        "by set_config; a dump begins with some of them, whatever loads it",
        conditions=("set", "set-config", "set-transaction"),
        pins=Pins.YES,
        evidence=_DOC_LOCAL,
        source=("https://www.postgresql.org/docs/current/app-pgdump.html",),
        settings=(),
        opt_out="connect it to the database itself",
        statements=(
            "SELECT pg_catalog.set_config('search_path', '', false);",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "SET synchronize_seqscans TO off",
            "SET xmloption = content",
        ),
        digest_prefixes=("set synchronize_seqscans=$", "set xmloption=$"),
        sender=Sender.DUMP,
    ),
    Client(
        name="pgbench",
        aliases=(),
        language="C",
        package="",
        versions="15",
        sends="nothing that pins in any --protocol, its --initialize included",
        conditions=(),
        pins=Pins.NO,
        evidence=_LOCAL,
        source=("https://www.postgresql.org/docs/current/pgbench.html",),
        settings=(),
        opt_out="no PGOPTIONS, which the proxy refuses",
    ),
    Client(
        name="psqlODBC",
        aliases=("psqlodbc", "odbc"),
        language="C",
        package="psqlodbc",
        versions="before 17.00.0007; later",
        sends="SET DateStyle and SET extra_float_digits at connect; later versions only if the server does not report "
        "ISO",
        conditions=("set",),
        pins=Pins.YES,
        evidence=_MEAS,
        source=("https://github.com/postgresql-interfaces/psqlodbc/issues/143",),
        settings=("datestyle",),
        opt_out="upgrade to 17.00.0007",
        statements=("SET DateStyle = 'ISO';SET extra_float_digits = 2;SHOW transaction_isolation",),
        digest_prefixes=("set datestyle=$;set extra_float_digits=$",),
        depends_on_parameter_status=True,
    ),
    Client(
        name="Laravel",
        aliases=("eloquent",),
        language="PHP",
        package="laravel/framework",
        versions="current",
        sends='set search_path to "public" at connect, from its default configuration',
        conditions=("set",),
        pins=Pins.YES,
        evidence=_DOC,
        source=("https://laravel.com/docs/database",),
        settings=("search_path",),
        opt_out="remove the key search_path from config/database.php",
        statements=('set search_path to "public"',),
        digest_prefixes=("set search_path=$",),
    ),
    Client(
        name="PostgREST",
        aliases=("supabase",),
        language="Haskell",
        package="",
        versions="current",
        sends="set_config(…, true) with each request; LISTEN",
        conditions=("set-config", "listen"),
        pins=Pins.YES,
        evidence=_INF,
        source=("https://docs.postgrest.org/en/stable/references/transactions.html",),
        settings=(),
        opt_out="connect it to the database itself; db-channel-enabled=false stops LISTEN only",
        statements=("SELECT set_config('search_path', $1, true), set_config('role', $2, true)", 'LISTEN "pgrst"'),
        digest_prefixes=('listen "pgrst"',),
    ),
)


def client(name: str) -> Client:
    """The client with this name, alias or package, in any case.

    Raises:
        UnknownNameError: there is none; the message names similar ones.
    """
    wanted = name[:80].strip().lower()
    for one in CLIENTS:
        if wanted == one.name.lower() or wanted in one.aliases:
            return one
    for one in CLIENTS:
        if wanted in one.package.lower().split(", "):
            return one
    import difflib  # slow, and needed for the error only

    names = {spelt.lower(): one.name for one in CLIENTS for spelt in (one.name, *one.aliases)}
    near = difflib.get_close_matches(wanted, names, n=3) or [spelt for spelt in names if wanted and wanted in spelt][:3]
    found = list(dict.fromkeys(names[spelt] for spelt in near))
    hint = f"did you mean {' or '.join(found)}?" if found else "`pinsafe clients` lists those that are known"
    raise UnknownNameError(f"there is no client {name[:80]!r}: {hint}")


def senders(parameter: str) -> tuple[Client, ...]:
    """The clients that are known to send a value for a parameter, which overrides the database's.

    Args:
        parameter: Its name, in any case.
    """
    return tuple(one for one in CLIENTS if parameter.lower() in one.settings)


def recognise(digest: str, *, each: bool = False) -> tuple[Client, ...]:
    """The clients that are known to send a statement.

    These are the clients with the longest matching prefix; there can be several, or none.

    Args:
        digest: The text, as in the proxy's log or ``pg_stat_statements``.
        each: Whether statements that a client sends as one text are recorded one by one, as in ``pg_stat_statements``;
            the proxy's log has them as one.
    """
    text = canonical(digest)
    best: list[Client] = []
    length = 0
    for one in CLIENTS:
        prefixes = one.digest_prefixes
        if each:
            prefixes = tuple(part for prefix in prefixes for part in prefix.split(";") if part)
        longest = max((len(prefix) for prefix in prefixes if text.startswith(prefix)), default=0)
        if longest > length:
            best, length = [], longest
        if longest and longest == length:
            best.append(one)
    return tuple(best)


_SPACES: Final = re.compile(r"\s+")
_NO_SPACE_AROUND: Final = re.compile(r" ?([,;=()]) ?")
_CONSTANT: Final = re.compile(r"\$\d+|'(?:[^']|'')*'")
_VALUE: Final = re.compile(r"=[^;]*")


def canonical(digest: str) -> str:
    """A digest's text in one spelling: lower case, single spaces, ``=`` for TO, ``$`` for constants and SET values."""
    text = _SPACES.sub(" ", digest[:4096].strip().lower())
    text = _NO_SPACE_AROUND.sub(r"\1", _CONSTANT.sub("$", text))
    if text.startswith("set "):
        text = _VALUE.sub("=$", text.replace(" to ", "="))
    return text
