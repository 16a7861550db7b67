"""Configuration that makes a client pin: each rule with what it finds, and with what looks alike and is right."""

import pytest

from cdk_pinsafe.lint.client_rules import CLIENT_RULES
from cdk_pinsafe.lint.linter import lint_text

DJANGO = 'DATABASES = {"default": {"ENGINE": "django.db.backends.%s", "NAME": "x", %s}}\n'
SEQUELIZE = "new Sequelize(process.env.DATABASE_URL, {dialect: '%s', %s});\n"
QUIET = "dialectOptions: {ssl: true, clientMinMessages: 'ignore'}, standardConformingStrings: false"
NPGSQL = '{"ConnectionStrings": {"Orders": "Host=proxy;Port=5432;Database=orders;Username=app;Password=x%s"}}'

# Rule, file, text, and the text that is marked.
FOUND = [
    ("startup-options", ".env", "DATABASE_URL=postgresql://a:b@c/d?options=-c%20jit%3Doff\n", "options=-c%20jit%3D"),
    (
        "startup-options",
        ".env.production",
        "export PGOPTIONS='-c statement_timeout=5s'\n",
        "PGOPTIONS='-c statement_timeout=",
    ),
    (
        "startup-options",
        "db.py",
        'psycopg.connect(dsn, prepare_threshold=None, options="-c jit=off")',
        'options="-c jit=',
    ),
    (
        "startup-options",
        "db.py",
        'create_engine(url, connect_args={"options": "-csearch_path=app"})',
        'options": "-csearch_path=',
    ),
    (
        "startup-options",
        "docker-compose.yml",
        "services:\n  app:\n    environment:\n      PGOPTIONS: -c jit=off\n",
        "PGOPTIONS: -c jit=",
    ),
    ("startup-options", "db.ini", "dsn = host=proxy options='-c geqo=off'\n", "options='-c geqo="),
    ("startup-options", ".env", "PGOPTIONS='--statement-timeout=5s'\n", "PGOPTIONS='--statement-timeout="),
    ("startup-options", "Dockerfile", 'ENV PGOPTIONS "-c jit=off"\n', 'PGOPTIONS "-c jit='),
    ("startup-options", "db.py", "os.environ['PGOPTIONS'] = '-c jit=off'", "PGOPTIONS'] = '-c jit="),
    ("startup-options", "db.py", "os.environ.setdefault('PGOPTIONS', '-c jit=off')", "PGOPTIONS', '-c jit="),
    (
        "startup-options",
        "task.json",
        '{"environment": [{"name": "PGOPTIONS", "value": "-c jit=off"}]}',
        'PGOPTIONS", "value": "-c jit=',
    ),
    ("startup-options", ".env", "U=postgres://a/b?options=--jit%3Doff\n", "options=--jit%3D"),
    ("startup-options", ".env", "PGOPTIONS=-c app.tenant=1\n", "PGOPTIONS=-c app.tenant="),
    (
        "node-postgres-startup",
        "db.ts",
        "import {Pool} from 'pg';\nnew Pool({host, statement_timeout: 5000});",
        "statement_timeout: 5000",
    ),
    (
        "node-postgres-startup",
        "db.js",
        "const pg = require('pg');\nnew pg.Client({lock_timeout: 1, ...more});",
        "lock_timeout: 1",
    ),
    (
        "prisma-pgbouncer",
        "schema.prisma",
        'url = "postgresql://a:b@c:5432/d?schema=public&pgbouncer=true"',
        "pgbouncer=true",
    ),
    (
        "prisma-pgbouncer",
        ".env",
        "DATABASE_URL=postgres://a:b@c/d?pgbouncer=true&connection_limit=1\n",
        "pgbouncer=true",
    ),
    ("npgsql-reset", "appsettings.json", NPGSQL % "", "Host=proxy;Port=5432;Database=orders;Username=app;Password=x"),
    ("npgsql-reset", ".env", "DB=Host=p;Database=d;User ID=u;Password=x\n", "Host=p;Database=d;User ID=u;Password=x"),
    (
        "npgsql-reset",
        "Db.cs",
        'var s = "User ID=u;Host=p;Database=d;Timeout=5";',
        "User ID=u;Host=p;Database=d;Timeout=5",
    ),
    (
        "npgsql-reset",
        "appsettings.json",
        '{"A": "Server=p;Port=5432;Database=d;User Id=u;Password=x;"}',
        "Server=p;Port=5432;Database=d;User Id=u;Password=x;",
    ),
    (
        "pgjdbc-set",
        "application.properties",
        "spring.datasource.url=jdbc:postgresql://proxy/app\n",
        "jdbc:postgresql://proxy/app",
    ),
    (
        "pgjdbc-set",
        "Db.java",
        'class Db { String url = "jdbc:postgresql://proxy/app?ssl=true"; }',
        "jdbc:postgresql://proxy/app?ssl=true",
    ),
    ("jdbc-session", "Db.java", "import java.sql.*;\nclass Db { void f() { c.setSchema(s); } }", "setSchema"),
    (
        "jdbc-session",
        "Db.java",
        "import java.sql.Connection;\nclass Db { void f() { c.setTransactionIsolation(8); } }",
        "setTransactionIsolation",
    ),
    (
        "hikaricp-session",
        "application.properties",
        "spring.datasource.hikari.schema=app\n",
        "spring.datasource.hikari.schema",
    ),
    (
        "hikaricp-session",
        "application.yml",
        "hikari:\n  transaction-isolation: TRANSACTION_SERIALIZABLE\n",
        "transaction-isolation",
    ),
    (
        "hikaricp-session",
        "application.yml",
        "spring:\r\n  datasource:\r\n    hikari:\r\n\r\n      pool-name: a\n      x:\n        y: 1\n      schema: b\n",
        "schema",
    ),
    (
        "hikaricp-session",
        "application.yml",
        "spring.datasource.hikari.schema: app\n",
        "spring.datasource.hikari.schema",
    ),
    ("set", "application.yml", "hikari:\n  connection-init-sql: SET search_path TO app\n", "SET search_path TO app"),
    ("set", "a.json", '{\n  "connection-init-sql": "SET jit = off" ,\n}', "SET jit = off"),
    ("set", "application.properties", "quarkus.datasource.jdbc.new-connection-sql=SET jit = off\n", "SET jit = off"),
    ("sequelize-session", "db.js", SEQUELIZE % ("postgres", "logging: false"), "Sequelize"),
    ("sequelize-session", "db.ts", SEQUELIZE % ("postgres", QUIET), "Sequelize"),
    ("sequelize-session", "db.ts", "new Sequelize('postgres://a:b@c/d');", "Sequelize"),
    ("sequelize-session", "config.json", '{"production": {"dialect": "postgres"}}', '"dialect": "postgres"'),
    ("knex-search-path", "knexfile.js", "module.exports = {client: 'pg', searchPath: ['app']};", "searchPath: ['app']"),
    (
        "knex-search-path",
        "db.ts",
        "const db = knex({client: \"postgres\", connection, 'searchPath': 'app'});",
        "'searchPath': 'app'",
    ),
    ("rails-session", "database.yml", "default: &default\n  adapter: postgresql\n  pool: 5\n", "adapter: postgresql"),
    (
        "rails-session",
        "database.yml.erb",
        "production:\n  adapter: <%= x %>\nother:\n  adapter: 'postgis'\n",
        "adapter: 'postgis'",
    ),
    (
        "rails-variables",
        "database.yml",
        "a:\n  adapter: postgresql\n  min_messages: false\n  variables:\n    jit: off\n",
        "variables:",
    ),
    (
        "rails-variables",
        "database.yml",
        "a:\n  adapter: postgresql\n  min_messages: false\n  schema_search_path: app\n",
        "schema_search_path:",
    ),
    (
        "laravel-search-path",
        "config/database.php",
        "<?php return ['pgsql' => ['search_path' => 'public']];",
        "'search_path'",
    ),
    ("django-cursors", "settings.py", DJANGO % ("postgresql", '"OPTIONS": {}'), '"django.db.backends.postgresql"'),
    (
        "django-assume-role",
        "settings.py",
        DJANGO % ("postgresql", '"OPTIONS": {"assume_role": "app"}, "DISABLE_SERVER_SIDE_CURSORS": True'),
        '"assume_role": "app"',
    ),
    ("sqlalchemy-asyncpg", "alembic.ini", "sqlalchemy.url = postgresql+asyncpg://a:b@c/d\n", "postgresql+asyncpg"),
    ("sqlalchemy-asyncpg", "db.py", 'url = URL.create("postgresql+asyncpg", host=host)', "postgresql+asyncpg"),
    (
        "sqlalchemy-sequence",
        "models.py",
        'import sqlalchemy as sa\nid = sa.Column(sa.Integer, sa.Sequence("ids"))',
        'sa.Sequence("ids")',
    ),
    (
        "asyncpg-pool-reset",
        "db.py",
        "import asyncpg\npool = await asyncpg.create_pool(dsn, min_size=1)",
        "asyncpg.create_pool",
    ),
    ("asyncpg-pool-reset", "db.py", "import os, asyncpg\np = asyncpg.create_pool(dsn)", "asyncpg.create_pool"),
    ("psycopg-deallocate", "db.py", "import psycopg\nwith psycopg.connect(dsn) as c: ...", "psycopg.connect"),
    (
        "psycopg-deallocate",
        "db.py",
        "import psycopg\nc = await psycopg.AsyncConnection.connect(dsn)",
        "psycopg.AsyncConnection.connect",
    ),
]

CLEAN = [
    ("startup-options", "ci.yml", "services:\n  postgres:\n    options: >-\n      --health-cmd pg_isready -c 512\n"),
    ("startup-options", ".env", "# PGOPTIONS='-c jit=off'\nOPTIONS=-cool\n"),
    ("startup-options", "db.py", 'subprocess.run(options=["-c", "x=y"])  # options="-c jit=off"'),
    ("startup-options", "db.py", 'run(options="-c key=value")  # no parameter of PostgreSQL'),
    ("startup-options", "compose.yml", "options: -c max_connections=500\n"),
    ("startup-options", "ci.yml", "options: --health-cmd=pg_isready --cpus=1\n"),
    ("startup-options", ".env", "U=postgres://a/b?options=endpoint%3Dx\n"),
    (
        "node-postgres-startup",
        "db.ts",
        "import {Pool} from 'pg';\nnew Pool({query_timeout: 1, statement_timeout: undefined});",
    ),
    ("node-postgres-startup", "db.ts", "import {Pool} from 'generic-pool';\nnew Pool({statement_timeout: 1});"),
    (
        "prisma-pgbouncer",
        ".env",
        "# postgresql://a@b/c?pgbouncer=true\nURL=postgresql://a@b/c?pgbouncer=false\nX=pgbouncer=true\n",
    ),
    ("npgsql-reset", "appsettings.json", NPGSQL % ";No Reset On Close=true"),
    ("npgsql-reset", "appsettings.json", NPGSQL % ";Pooling=false"),
    ("npgsql-reset", "appsettings.json", '{"A": "Server=x;Database=y;User Id=z;Password=w"}'),
    ("npgsql-reset", "appsettings.json", '{"A": "Server=tcp:x,1433;Database=y;User Id=z;Password=w;Port=3306"}'),
    ("npgsql-reset", "db.php", "new PDO('pgsql:host=a;port=5432;dbname=b')"),
    ("pgjdbc-set", "application.yml", "url: jdbc:postgresql://proxy/app?assumeMinServerVersion=9.0\n"),
    (
        "pgjdbc-set",
        "application.yml",
        "url: jdbc:postgresql://p/a\nhikari:\n  data-source-properties:\n    assumeMinServerVersion: 9.0\n",
    ),
    ("pgjdbc-set", "application.yml", "url: jdbc:mysql://proxy/app\n# jdbc:postgresql://p/a\n"),
    ("pgjdbc-set", "Db.java", 'class Db { boolean f() { return url.startsWith("jdbc:postgresql://"); } }'),
    ("jdbc-session", "Xml.java", "import javax.xml.validation.*;\nclass Xml { void f() { x.setSchema(s); } }"),
    (
        "hikaricp-session",
        "application.yml",
        "hikari:\n  maximum-pool-size: 5\nspring.jpa.properties.hibernate.default_schema: app\n",
    ),
    (
        "hikaricp-session",
        "application.yml",
        "hikari:\n  schema:\n  data-source-properties:\n    schema: a\nother:\n  schema: a\n",
    ),
    ("hikaricp-session", "other.yml", "  transaction-isolation: TRANSACTION_SERIALIZABLE\n"),
    ("set", "application.yml", "hikari:\n  connection-init-sql: SELECT 1\n"),
    ("sequelize-session", "db.ts", SEQUELIZE % ("postgres", QUIET + ", keepDefaultTimezone: true")),
    ("sequelize-session", "db.ts", SEQUELIZE % ("mysql", "logging: false")),
    ("sequelize-session", "db.ts", SEQUELIZE % ("postgres", "...options")),
    ("sequelize-session", "db.ts", "new Sequelize(url, options); new Sequelize('sqlite::memory:');"),
    (
        "knex-search-path",
        "db.ts",
        "knex({client: 'mysql', searchPath: ['a']}); knex({client: 'pg'}); f({searchPath: 'a'});",
    ),
    ("rails-session", "database.yml", "a:\n  adapter: mysql2\n  # adapter: postgresql\n"),
    ("rails-session", "database.yml", "a:\n  adapter: postgresql\n  min_messages: false\n"),
    ("rails-session", "other.yml", "a:\n  adapter: postgresql\n"),
    ("rails-variables", "database.yml", "a:\n  adapter: mysql2\n  variables:\n    sql_mode: x\n"),
    ("rails-variables", "database.yml", "a:\n  adapter: postgresql\n  schema_search_path: false\n"),
    (
        "laravel-search-path",
        "config/database.php",
        "<?php\n// 'search_path' => 'public'\nreturn ['search_path' => null];",
    ),
    ("laravel-search-path", "config/app.php", "<?php return ['search_path' => 'public'];"),
    ("django-cursors", "settings.py", DJANGO % ("postgresql", '"DISABLE_SERVER_SIDE_CURSORS": True')),
    ("django-cursors", "settings.py", DJANGO % ("sqlite3", '"OPTIONS": {}')),
    ("django-cursors", "settings.py", DJANGO % ("postgresql", "**more")),
    ("django-assume-role", "settings.py", DJANGO % ("postgresql", '"OPTIONS": {"assume_role": None}')),
    ("sqlalchemy-asyncpg", "db.py", "# postgresql+asyncpg://a\nurl = 'postgresql+psycopg://a'"),
    ("sqlalchemy-asyncpg", "db.py", '"""Use postgresql+asyncpg://…"""\ndef f():\n    """As postgresql+asyncpg://a"""'),
    ("sqlalchemy-asyncpg", "db.py", "url.startswith('postgresql+asyncpg://') or name == 'postgresql+asyncpg'"),
    (
        "sqlalchemy-sequence",
        "models.py",
        "from collections.abc import Sequence\nfrom sqlalchemy import Identity\nx: Sequence[str]",
    ),
    (
        "asyncpg-pool-reset",
        "db.py",
        "import asyncpg\nasyncpg.create_pool(dsn, reset=no_reset)\nasyncpg.create_pool(**options)",
    ),
    ("asyncpg-pool-reset", "db.py", "import aiomysql\naiomysql.create_pool(dsn)"),
    ("psycopg-deallocate", "db.py", "import psycopg\npsycopg.connect(dsn, prepare_threshold=None)"),
    ("psycopg-deallocate", "db.py", "import psycopg2, psycopg\npsycopg2.connect(dsn)\npsycopg.connect(**options)"),
]


@pytest.mark.parametrize(("rule", "path", "text", "marked"), FOUND)
def test_configuration_that_pins_is_found(rule: str, path: str, text: str, marked: str) -> None:
    """Each rule finds what it is about, where it stands."""
    findings = [one for one in lint_text(path, text, {}).findings if one.rule.id == rule]
    assert len(findings) == 1
    [finding] = findings
    lines = text.splitlines()
    assert finding.start[0] == finding.end[0]
    assert lines[finding.start[0] - 1][finding.start[1] - 1 : finding.end[1] - 1] == marked


@pytest.mark.parametrize(("rule", "path", "text"), CLEAN)
def test_configuration_that_is_right_is_left_alone(rule: str, path: str, text: str) -> None:
    """What looks alike and does not pin, or cannot be told, is not flagged."""
    assert [one for one in lint_text(path, text, {}).findings if one.rule.id == rule] == []


def test_options_of_kubernetes_are_found() -> None:
    """A name and a value may stand on lines of their own."""
    text = "env:\n  - name: PGOPTIONS\n    value: '-c statement_timeout=5s'\n"
    [finding] = lint_text("pod.yaml", text, {}).findings
    assert (finding.rule.id, finding.start, finding.end[0]) == ("startup-options", (2, 11), 3)


def test_every_rule_has_both_cases() -> None:
    """No rule is without a text that it finds, and one that it leaves alone."""
    ids = {rule.id for rule in CLIENT_RULES}
    assert ids == {rule for rule, *_ in FOUND} - {"set"} == {rule for rule, *_ in CLEAN} - {"set"}


@pytest.mark.parametrize("rule", CLIENT_RULES, ids=lambda rule: rule.id)
def test_rule_explains_itself(rule: object) -> None:
    """A rule says what happens, what to do, how well that is known and where it stands."""
    for name in ("title", "files", "why", "remedy", "evidence", "source"):
        assert getattr(rule, name)
