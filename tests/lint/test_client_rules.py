"""Rules on client configuration."""

import pytest

from cdk_pinsafe.lint.client_rules import CLIENT_RULES, ClientRule
from cdk_pinsafe.lint.findings import LintFinding
from cdk_pinsafe.lint.linter import lint_text

# Variants of the rules' own examples, and SQL in configuration: rule, file name, text with «…» around the finding.
MORE_FOUND = [
    ("startup-options", "db.py", 'psycopg.connect(dsn, prepare_threshold=None, «options="-c jit=»off")'),
    ("startup-options", "docker-compose.yml", "services:\n  app:\n    environment:\n      «PGOPTIONS: -c jit=»off\n"),
    ("startup-options", "db.ini", "dsn = host=proxy «options='-c geqo=»off'\n"),
    ("startup-options", ".env", "«PGOPTIONS='--statement-timeout=»5s'\n"),
    ("startup-options", "Dockerfile", 'ENV «PGOPTIONS "-c jit=»off"\n'),
    ("startup-options", "db.py", "os.environ['«PGOPTIONS'] = '-c jit=»off'"),
    ("startup-options", "db.py", "os.environ.setdefault('«PGOPTIONS', '-c jit=»off')"),
    ("startup-options", "task.json", '{"environment": [{"name": "«PGOPTIONS", "value": "-c jit=»off"}]}'),
    ("startup-options", ".env", "U=postgres://a/b?«options=--jit%3D»off\n"),
    ("startup-options", ".env", "«PGOPTIONS=-c app.tenant=»1\n"),
    ("npgsql-reset", ".env", "DB=«Host=p;Database=d;User ID=u;Password=x»\n"),
    ("npgsql-reset", "appsettings.json", '{"A": "«Server=p;Port=5432;Database=d;User Id=u;Password=x;»"}'),
    (
        "jdbc-session",
        "Db.java",
        "import java.sql.*;\nclass Db { void f() { c.«setTransactionIsolation»(8); } }",
    ),
    (
        "hikaricp-session",
        "application.yml",
        "spring:\r\n  datasource:\r\n    hikari:\r\n\r\n      name: a\n      x:\n        y: 1\n      «schema»: b\n",
    ),
    ("hikaricp-session", "application.yml", "«spring.datasource.hikari.schema»: app\n"),
    ("set", "application.yml", "hikari:\n  connection-init-sql: «SET search_path TO app»\n"),
    ("set", "a.json", '{\n  "connection-init-sql": "«SET jit = off»" ,\n}'),
    ("set", "application.properties", "quarkus.datasource.jdbc.new-connection-sql=«SET jit = off»\n"),
    (
        "sequelize-session",
        "db.ts",
        "new «Sequelize»(url, {dialect: 'postgres', dialectOptions: {ssl: true, clientMinMessages: 'ignore'}, "
        "standardConformingStrings: false});\n",
    ),
    ("knex-search-path", "db.ts", "const db = knex({client: \"postgres\", connection, «'searchPath': 'app'»});"),
    ("rails-session", "database.yml.erb", "production:\n  adapter: <%= x %>\nother:\n  «adapter: 'postgis'»\n"),
    ("asyncpg-pool-reset", "db.py", "import os, asyncpg\np = «asyncpg.create_pool»(dsn)"),
]

MORE_CLEAN = [
    ("startup-options", "db.py", 'subprocess.run(options=["-c", "x=y"])  # options="-c jit=off"'),
    ("startup-options", "db.py", 'run(options="-c key=value")  # no parameter of PostgreSQL'),
    ("startup-options", "ci.yml", "options: --health-cmd=pg_isready --cpus=1\n"),
    ("startup-options", ".env", "U=postgres://a/b?options=endpoint%3Dx\n"),
    (
        "prisma-pgbouncer",
        ".env",
        "# postgresql://a@b/c?pgbouncer=true\nURL=postgresql://a@b/c?pgbouncer=false\nX=pgbouncer=true\n",
    ),
    (
        "npgsql-reset",
        "appsettings.json",
        '{"A": {"B": "Host=proxy;Port=5432;Database=orders;Username=app;Password=x;Pooling=false"}}',
    ),
    ("npgsql-reset", "appsettings.json", '{"A": "Server=tcp:x,1433;Database=y;User Id=z;Password=w;Port=3306"}'),
    ("npgsql-reset", "db.php", "new PDO('pgsql:host=a;port=5432;dbname=b')"),
    (
        "pgjdbc-set",
        "application.yml",
        "url: jdbc:postgresql://p/a\nhikari:\n  data-source-properties:\n    assumeMinServerVersion: 9.0\n",
    ),
    (
        "hikaricp-session",
        "application.yml",
        "hikari:\n  schema:\n  data-source-properties:\n    schema: a\nother:\n  schema: a\n",
    ),
    ("set", "application.yml", "hikari:\n  connection-init-sql: SELECT 1\n"),
    ("sequelize-session", "db.ts", "new Sequelize(process.env.DATABASE_URL, {dialect: 'postgres', ...options});\n"),
    ("sequelize-session", "db.ts", "new Sequelize(url, options); new Sequelize('sqlite::memory:');"),
    ("sqlalchemy-asyncpg", "db.py", '"""Use postgresql+asyncpg://…"""\ndef f():\n    """postgresql+asyncpg://a"""'),
]

FOUND = [(rule.id, *example) for rule in CLIENT_RULES for example in rule.found] + MORE_FOUND
CLEAN = [(rule.id, *example) for rule in CLIENT_RULES for example in rule.clean] + MORE_CLEAN


def found(rule: str, path: str, text: str) -> list[LintFinding]:
    return [one for one in lint_text(path, text, {}).findings if one.rule.id == rule]


@pytest.mark.parametrize(("rule", "path", "text"), FOUND)
def test_configuration_that_pins_is_found(rule: str, path: str, text: str) -> None:
    before, marked, after = text.replace("»", "«").split("«")
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    [finding] = found(rule, path, before + marked + after)
    assert (finding.start, finding.end) == ((line, column), (line, column + len(marked)))


@pytest.mark.parametrize(("rule", "path", "text"), CLEAN)
def test_similar_configuration_is_not_found(rule: str, path: str, text: str) -> None:
    assert found(rule, path, text) == []


def test_kubernetes_environment_spans_two_lines() -> None:
    text = "env:\n  - name: PGOPTIONS\n    value: '-c statement_timeout=5s'\n"
    [finding] = lint_text("pod.yaml", text, {}).findings
    assert (finding.rule.id, finding.start, finding.end[0]) == ("startup-options", (2, 11), 3)


@pytest.mark.parametrize("rule", CLIENT_RULES, ids=lambda rule: rule.id)
def test_rule_is_complete(rule: ClientRule) -> None:
    for name in ("title", "files", "why", "remedy", "evidence", "source", "found", "clean"):
        assert getattr(rule, name)


def test_rule_ids_are_unique() -> None:
    assert len({rule.id for rule in CLIENT_RULES}) == len(CLIENT_RULES)
