"""Rules on JavaScript and TypeScript clients."""

import re
from collections.abc import Iterator
from typing import Final

from ..source_file import SourceFile, Span
from .rule import ClientRule, client_rule
from .syntax import arguments, calls, complete_members, members, span, string, text

__all__ = ["RULES"]

_SCRIPTS: Final = frozenset({"JavaScript", "TypeScript", "TSX"})
_POSTGRES_CLIENT: Final = frozenset({"pg", "postgres", "postgresql", "pg-native"})
_SENT_AT_STARTUP: Final = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
_CONFIG_JSON: Final = re.compile(r'(?P<at>"dialect"\s*:\s*"postgres")')
_PGBOUNCER: Final = re.compile(r"""postgres(?:ql)?://[^\s"'`<>|,;]{0,2000}[?&](?P<at>pgbouncer=true)\b""")


def _node_postgres_startup(source: SourceFile) -> Iterator[Span]:
    if not re.search(r"""["']pg["']""", source.text):
        return
    for name in ("Pool", "Client"):
        for tree, call in calls(source, _SCRIPTS, name, kind="new_expression"):
            for argument in arguments(call):
                if argument.type == "object":
                    options = members(tree, argument)
                    for key in _SENT_AT_STARTUP:
                        if key in options and text(tree, options[key]) not in ("undefined", "false", "0"):
                            yield span(tree, options[key].parent or argument)


def _prisma_pgbouncer(source: SourceFile) -> Iterator[Span]:
    return source.found(_PGBOUNCER)


def _sequelize(source: SourceFile) -> Iterator[Span]:
    """Calls with all options in place, and the dialect postgres, that leave a SET on."""
    if source.tree is None:
        if source.path.name == "config.json" and "clientMinMessages" not in source.text:
            yield from source.found(_CONFIG_JSON)
        return
    for tree, call in calls(source, _SCRIPTS, "Sequelize", kind="new_expression"):
        given = arguments(call)
        if not given or given[-1].type not in ("object", "string", "template_string"):
            continue
        options = complete_members(tree, given[-1]) if given[-1].type == "object" else {}
        if options is None:
            continue
        is_postgres = string(tree, options.get("dialect")) == "postgres" or (
            "dialect" not in options and re.match(r"postgres(?:ql)?://", string(tree, given[0]) or "") is not None
        )
        dialect = options.get("dialectOptions")
        dialect_options = {} if dialect is None else complete_members(tree, dialect)
        if not is_postgres or dialect_options is None:
            continue
        quiet = (string(tree, dialect_options.get("clientMinMessages")) or "").lower() == "ignore"
        if not quiet or text(tree, options.get("keepDefaultTimezone")) != "true":
            yield span(tree, call.child_by_field_name("constructor") or call)


def _knex_search_path(source: SourceFile) -> Iterator[Span]:
    tree = source.tree
    if tree is None or tree.language.name not in _SCRIPTS or "searchPath" not in source.text:
        return
    for literal in tree.calls:
        if literal.type == "object":
            options = members(tree, literal)
            if string(tree, options.get("client")) in _POSTGRES_CLIENT and "searchPath" in options:
                yield span(tree, options["searchPath"].parent or literal)


RULES: Final[tuple[ClientRule, ...]] = (
    client_rule(
        "node-postgres",
        _node_postgres_startup,
        id="node-postgres-startup",
        title="Start-up parameters of node-postgres",
        files="`new Pool({…})` and `new Client({…})` of pg",
        why="RDS Proxy refuses this parameter in the startup packet (SQLSTATE 0A000): nobody can connect",
        found=(
            ("db.ts", "import {Pool} from 'pg';\nnew Pool({host, «statement_timeout: 5000»});"),
            ("db.js", "const pg = require('pg');\nnew pg.Client({«lock_timeout: 1», ...more});"),
        ),
        clean=(
            ("db.ts", "import {Pool} from 'pg';\nnew Pool({query_timeout: 1, statement_timeout: undefined});"),
            ("db.ts", "import {Pool} from 'generic-pool';\nnew Pool({statement_timeout: 1});"),
        ),
    ),
    client_rule(
        "Prisma Rust engine",
        _prisma_pgbouncer,
        id="prisma-pgbouncer",
        title="Prisma's pgbouncer=true",
        files="connection URLs in programs and configuration",
        why="pgbouncer=true makes Prisma send DEALLOCATE ALL, which pins the session",
        remedy="take pgbouncer=true out of the URL: the proxy multiplexes the protocol's prepared statements",
        found=(
            ("schema.prisma", 'url = "postgresql://a:b@c:5432/d?schema=public&«pgbouncer=true»"'),
            (".env", "DATABASE_URL=postgres://a:b@c/d?«pgbouncer=true»&connection_limit=1\n"),
        ),
        clean=((".env", "URL=postgresql://a@b/c?pgbouncer=false\nX=pgbouncer=true\n"),),
    ),
    client_rule(
        "Sequelize",
        _sequelize,
        id="sequelize-session",
        title="Sequelize's first statements",
        files="`new Sequelize(…)`, and `config.json` of its command line",
        why="Sequelize sends SET client_min_messages and SET TIME ZONE on every new connection, which pins the session",
        found=(
            ("db.js", "new «Sequelize»(process.env.DATABASE_URL, {dialect: 'postgres', logging: false});\n"),
            ("db.ts", "new «Sequelize»('postgres://a:b@c/d');"),
            ("config.json", '{"production": {«"dialect": "postgres"»}}'),
        ),
        clean=(
            (
                "db.ts",
                "new Sequelize(url, {dialect: 'postgres', dialectOptions: {clientMinMessages: 'ignore'}, "
                "standardConformingStrings: false, keepDefaultTimezone: true});\n",
            ),
            ("db.ts", "new Sequelize(url, {dialect: 'mysql'});\n"),
            ("db.ts", "new Sequelize(url, options);\n"),
        ),
    ),
    client_rule(
        "Knex",
        _knex_search_path,
        id="knex-search-path",
        title="Knex's searchPath",
        files="JavaScript and TypeScript objects with `client: 'pg'`",
        why="Knex sends SET search_path on every new connection, which pins the session",
        found=(("knexfile.js", "module.exports = {client: 'pg', «searchPath: ['app']»};"),),
        clean=(("db.ts", "knex({client: 'mysql', searchPath: ['a']}); knex({client: 'pg'}); f({searchPath: 'a'});"),),
    ),
)
