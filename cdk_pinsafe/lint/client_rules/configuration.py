"""Rules on connection strings and configuration files, of any language."""

import re
from collections.abc import Iterator
from typing import Final

from ...settings.catalogue import versions_of
from ..source_file import SourceFile, Span
from .rule import ClientRule, client_rule

__all__ = ["RULES"]

_STARTUP_OPTIONS: Final = re.compile(
    r"""\b(?P<at>
        (?: (?:PG)?options ["']?+ \s*+ (?: => | [:=] )
          | PGOPTIONS ["']?+ \s*+ (?: \] \s*+ = | , \s*+ (?: ["']value["'] \s*+ : )? | value: )? )
        \s*+ [fr]?+ \\?+ ["']?+ \s*+
        (?: (?: -c | %2[dD]c ) (?: \s | \+ | %20 | \\\s )*+ | -- | %2[dD]%2[dD] )
        (?P<parameter> [A-Za-z_][\w.-]* ) (?: = | %3[dD] ) )""",
    re.VERBOSE | re.IGNORECASE,
)
_SERVER_CONTEXTS: Final = frozenset({"postmaster", "sighup", "internal"})
"""No client sets parameters of these contexts: such an option is for a server, or for another program."""
_NPGSQL: Final = re.compile(r"""(?<=["'=:\s])(?=[A-Za-z])(?P<at>[^;"'=\n]{2,20}=[^;"'\n]{0,500};[^"'\n]{1,2000})""")
_NPGSQL_KEYS: Final = tuple(
    re.compile(rf"(?:^|;)\s*(?:{names})\s*=", re.IGNORECASE)
    for names in ("host|server", "user ?name|user ?id|uid", "database|db")
)
_NPGSQL_OWN: Final = re.compile(r"(?:^|;)\s*(?:host\s*=|port\s*=\s*5432)", re.IGNORECASE)
"""Not in the connection strings of other databases, which also have Server, User Id and Database."""
_NPGSQL_SAFE: Final = re.compile(
    r"no\s*reset\s*on\s*close\s*=\s*true|pooling\s*=\s*false|port\s*=\s*3306", re.IGNORECASE
)
_LARAVEL: Final = re.compile(r"""(?P<at>['"]search_path['"])\s*=>\s*+(?!null\b|''|"")""")
_ADAPTER: Final = re.compile(
    r"^(?P<indent>[ \t]+)(?P<at>adapter:[ \t]*[\"']?(?:postgresql|postgis)\b[\"']?)", re.MULTILINE
)
_RAILS_KEYS: Final = re.compile(r"^[ \t]+(?P<at>schema_search_path:(?![ \t]*(?:false\b|$))|variables:)", re.MULTILINE)


def _startup_options(source: SourceFile) -> Iterator[Span]:
    for match in _STARTUP_OPTIONS.finditer(source.text):
        name = match["parameter"].replace("-", "_")
        if "." in name or any(row.context not in _SERVER_CONTEXTS for row in versions_of(name)):
            yield match.span("at")


def _npgsql(source: SourceFile) -> Iterator[Span]:
    for start, end in source.found(_NPGSQL):
        string = source.text[start:end]
        is_npgsql = all(key.search(string) for key in (_NPGSQL_OWN, *_NPGSQL_KEYS))
        if is_npgsql and not _NPGSQL_SAFE.search(string):
            yield start, start + len(string.rstrip())


def _laravel_search_path(source: SourceFile) -> Iterator[Span]:
    if source.path.name == "database.php":
        yield from source.found(_LARAVEL)


def _rails_session(source: SourceFile) -> Iterator[Span]:
    if _is_database_yml(source) and not re.search(r"^[ \t]+min_messages:[ \t]*false\b", source.text, re.MULTILINE):
        yield from source.found(_ADAPTER)


def _rails_variables(source: SourceFile) -> Iterator[Span]:
    if _is_database_yml(source) and _ADAPTER.search(source.text):
        yield from source.found(_RAILS_KEYS)


def _is_database_yml(source: SourceFile) -> bool:
    return re.fullmatch(r"database[\w.-]*\.ya?ml(?:\.erb)?", source.path.name) is not None


RULES: Final[tuple[ClientRule, ...]] = (
    client_rule(
        "node-postgres",
        _startup_options,
        id="startup-options",
        title="Start-up options",
        files="connection strings and parameters in programs and configuration, PGOPTIONS in environment files",
        why="RDS Proxy refuses options=-c … in the startup packet (SQLSTATE 0A000): nobody can connect",
        remedy="move the parameter into the database (DatabaseSettings), into a role's settings if not every session "
        "wants it, and drop the options",
        found=(
            (".env", "DATABASE_URL=postgresql://a:b@c/d?«options=-c%20jit%3D»off\n"),
            (".env.production", "export «PGOPTIONS='-c statement_timeout=»5s'\n"),
            ("db.py", 'create_engine(url, connect_args={"«options": "-csearch_path=»app"})'),
        ),
        clean=(
            ("ci.yml", "services:\n  postgres:\n    options: >-\n      --health-cmd pg_isready -c 512\n"),
            ("compose.yml", "options: -c max_connections=500\n"),
            (".env", "# PGOPTIONS='-c jit=off'\nOPTIONS=-cool\n"),
        ),
    ),
    client_rule(
        "Npgsql",
        _npgsql,
        id="npgsql-reset",
        title="Npgsql resets connections",
        files="connection strings in `appsettings.json` and other configuration, and in C#",
        why="Npgsql sends DISCARD ALL when a pooled connection is closed, which pins the session",
        found=(
            ("appsettings.json", '{"A": "«Host=proxy;Port=5432;Database=orders;Username=app;Password=x»"}'),
            ("Db.cs", 'var s = "«User ID=u;Host=p;Database=d;Timeout=5»";'),
        ),
        clean=(
            ("appsettings.json", '{"A": "Host=proxy;Database=orders;Username=app;No Reset On Close=true"}'),
            ("appsettings.json", '{"A": "Server=x;Database=y;User Id=z;Password=w"}'),
        ),
    ),
    client_rule(
        "Rails",
        _rails_session,
        id="rails-session",
        title="Rails' first statements",
        files="`config/database.yml`",
        why="Active Record before 8.2 sends SET client_min_messages and more on every new connection, which pins the "
        "session",
        found=(("database.yml", "default: &default\n  «adapter: postgresql»\n  pool: 5\n"),),
        clean=(
            ("database.yml", "a:\n  adapter: postgresql\n  min_messages: false\n"),
            ("database.yml", "a:\n  adapter: mysql2\n  # adapter: postgresql\n"),
            ("other.yml", "a:\n  adapter: postgresql\n"),
        ),
    ),
    client_rule(
        "Rails",
        _rails_variables,
        id="rails-variables",
        title="Rails' variables and search path",
        files="`config/database.yml`",
        why="Active Record makes SETs of this on every new connection, which pins the session",
        remedy="move it into the database (DatabaseSettings), into a role's settings if not all sessions want it, "
        "and drop it here",
        found=(
            ("database.yml", "a:\n  adapter: postgresql\n  min_messages: false\n  «variables:»\n    jit: off\n"),
            ("database.yml", "a:\n  adapter: postgresql\n  min_messages: false\n  «schema_search_path:» app\n"),
        ),
        clean=(
            ("database.yml", "a:\n  adapter: mysql2\n  variables:\n    sql_mode: x\n"),
            ("database.yml", "a:\n  adapter: postgresql\n  schema_search_path: false\n"),
        ),
    ),
    client_rule(
        "Laravel",
        _laravel_search_path,
        id="laravel-search-path",
        title="Laravel's search_path",
        files="`config/database.php`",
        why="Laravel sends SET search_path on every new connection, which pins the session",
        found=(("config/database.php", "<?php return ['pgsql' => [«'search_path'» => 'public']];"),),
        clean=(
            ("config/database.php", "<?php\n// 'search_path' => 'public'\nreturn ['search_path' => null];"),
            ("config/app.php", "<?php return ['search_path' => 'public'];"),
        ),
    ),
)
