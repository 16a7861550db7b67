"""What the client rules look for in any text: connection strings, and keys of configuration files."""

import re
from collections.abc import Iterator
from typing import Final

from ..settings.catalogue import versions_of
from .source_file import SourceFile, Span

_STARTUP_OPTIONS: Final = re.compile(
    r"""\b(?P<at>
        (?: (?:PG)?options ["']?+ \s*+ (?: => | [:=] )
          | PGOPTIONS ["']?+ \s*+ (?: \] \s*+ = | , \s*+ (?: ["']value["'] \s*+ : )? | value: )? )
        \s*+ [fr]?+ \\?+ ["']?+ \s*+
        (?: (?: -c | %2[dD]c ) (?: \s | \+ | %20 | \\\s )*+ | -- | %2[dD]%2[dD] )
        (?P<parameter> [A-Za-z_][\w.-]* ) (?: = | %3[dD] ) )""",
    re.VERBOSE | re.IGNORECASE,
)
_SERVERS: Final = frozenset({"postmaster", "sighup", "internal"})
"""Contexts of parameters that no client sets: an option of one is the server's own, or another program's."""
_NO_TEST: Final = r"""(?<!(?i:startswith)\(["'])(?<!==[ ]["'])"""
"""What is compared to a name is no use of it."""
_URL_END: Final = r"""[^\s"'`<>|,;]"""
_PGBOUNCER: Final = re.compile(rf"postgres(?:ql)?://{_URL_END}{{0,2000}}[?&](?P<at>pgbouncer=true)\b")
_NPGSQL: Final = re.compile(r"""(?<=["'=:\s])(?=[A-Za-z])(?P<at>[^;"'=\n]{2,20}=[^;"'\n]{0,500};[^"'\n]{1,2000})""")
_NPGSQL_KEYS: Final = tuple(
    re.compile(rf"(?:^|;)\s*(?:{names})\s*=", re.IGNORECASE)
    for names in ("host|server", "user ?name|user ?id|uid", "database|db")
)
_NPGSQL_OWN: Final = re.compile(r"(?:^|;)\s*(?:host\s*=|port\s*=\s*5432)", re.IGNORECASE)
"""What drivers of other databases do not have, whose connection strings begin with Server, too."""
_NPGSQL_SAFE: Final = re.compile(
    r"no\s*reset\s*on\s*close\s*=\s*true|pooling\s*=\s*false|port\s*=\s*3306", re.IGNORECASE
)
_JDBC: Final = re.compile(rf"{_NO_TEST}(?P<at>jdbc:postgresql:{_URL_END}{{1,2000}})")
_HIKARI: Final = re.compile(
    r"^[ \t]*(?P<at>[\w.-]*hikari\.(?:schema|transaction-?isolation))[ \t]*[=:][ \t]*\S", re.MULTILINE | re.IGNORECASE
)
_HIKARI_YAML: Final = re.compile(r"^(?P<indent>[ \t]*+)[\w.-]*hikari:[ \t\r]*$", re.MULTILINE)
_YAML_KEY: Final = re.compile(r"(?P<indent>[ \t]*+)(?:(?P<key>[\w.-]++):[ \t]*(?P<value>\S?))?[^\n]*(?:\n|\Z)")
_HIKARI_KEY: Final = re.compile(r"schema|transaction-?isolation", re.IGNORECASE)
_ASYNCPG: Final = re.compile(rf"{_NO_TEST}postgresql\+asyncpg(?=://|[\"'])")
_LARAVEL: Final = re.compile(r"""(?P<at>['"]search_path['"])\s*=>\s*+(?!null\b|''|"")""")
_ADAPTER: Final = re.compile(
    r"^(?P<indent>[ \t]+)(?P<at>adapter:[ \t]*[\"']?(?:postgresql|postgis)\b[\"']?)", re.MULTILINE
)
_RAILS_KEYS: Final = re.compile(r"^[ \t]+(?P<at>schema_search_path:(?![ \t]*(?:false\b|$))|variables:)", re.MULTILINE)


def startup_options(source: SourceFile) -> Iterator[Span]:
    """``options='-c …'`` in whatever form, where PostgreSQL could take it from a client."""
    for match in _STARTUP_OPTIONS.finditer(source.text):
        name = match["parameter"].replace("-", "_")
        if "." in name or any(row.context not in _SERVERS for row in versions_of(name)):
            yield match.span("at")


def prisma_pgbouncer(source: SourceFile) -> Iterator[Span]:
    """``pgbouncer=true`` in a URL."""
    return source.found(_PGBOUNCER)


def npgsql(source: SourceFile) -> Iterator[Span]:
    """An ADO.NET connection string of Npgsql: its keys are Host, Username and Database."""
    for start, end in source.found(_NPGSQL):
        string = source.text[start:end]
        named = all(key.search(string) for key in (_NPGSQL_OWN, *_NPGSQL_KEYS))
        if named and not _NPGSQL_SAFE.search(string):
            yield start, start + len(string.rstrip())


def pgjdbc(source: SourceFile) -> Iterator[Span]:
    """A JDBC URL, in a file that says assumeMinServerVersion nowhere."""
    if "assumeMinServerVersion" not in source.text:
        yield from source.found(_JDBC)


def hikaricp(source: SourceFile) -> Iterator[Span]:
    """HikariCP's schema and isolation level."""
    yield from source.found(_HIKARI)
    for block in _HIKARI_YAML.finditer(source.text):
        position, depth = block.end() + 1, 0
        while position < len(source.text) and (line := _YAML_KEY.match(source.text, position)):
            position = line.end()
            indent = len(line["indent"])
            if line[0].strip():
                if indent <= len(block["indent"]):
                    break
                depth = depth or indent
                if indent == depth and line["value"] and _HIKARI_KEY.fullmatch(line["key"]):
                    yield line.span("key")


def sqlalchemy_asyncpg(source: SourceFile) -> Iterator[Span]:
    """SQLAlchemy's name of the dialect."""
    return source.found(_ASYNCPG)


def laravel_search_path(source: SourceFile) -> Iterator[Span]:
    """The key of Laravel's configuration, with a value."""
    if source.path.name == "database.php":
        yield from source.found(_LARAVEL)


def rails_session(source: SourceFile) -> Iterator[Span]:
    """The PostgreSQL adapter in a configuration that does not switch its SETs off."""
    if _is_database_yml(source):
        for match in _ADAPTER.finditer(source.text):
            if not re.search(r"^[ \t]+min_messages:[ \t]*false\b", source.text, re.MULTILINE):
                yield match.span("at")


def rails_variables(source: SourceFile) -> Iterator[Span]:
    """Keys that become SETs, in a configuration for PostgreSQL."""
    if _is_database_yml(source) and _ADAPTER.search(source.text):
        yield from source.found(_RAILS_KEYS)


def _is_database_yml(source: SourceFile) -> bool:
    return re.fullmatch(r"database[\w.-]*\.ya?ml(?:\.erb)?", source.path.name) is not None
