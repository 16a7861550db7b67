"""Rules on clients of the JVM."""

import re
from collections.abc import Iterator
from typing import Final

from ..source_file import SourceFile, Span
from .rule import ClientRule, client_rule
from .syntax import calls, span

__all__ = ["RULES"]

_JDBC: Final = re.compile(r"""(?<!(?i:startswith)\(["'])(?<!==[ ]["'])(?P<at>jdbc:postgresql:[^\s"'`<>|,;]{1,2000})""")
"""A JDBC URL that is not only compared to something."""
_HIKARI: Final = re.compile(
    r"^[ \t]*(?P<at>[\w.-]*hikari\.(?:schema|transaction-?isolation))[ \t]*[=:][ \t]*\S", re.MULTILINE | re.IGNORECASE
)
_HIKARI_YAML: Final = re.compile(r"^(?P<indent>[ \t]*+)[\w.-]*hikari:[ \t\r]*$", re.MULTILINE)
_YAML_KEY: Final = re.compile(r"(?P<indent>[ \t]*+)(?:(?P<key>[\w.-]++):[ \t]*(?P<value>\S?))?[^\n]*(?:\n|\Z)")
_HIKARI_KEY: Final = re.compile(r"schema|transaction-?isolation", re.IGNORECASE)


def _pgjdbc(source: SourceFile) -> Iterator[Span]:
    if "assumeMinServerVersion" not in source.text:
        yield from source.found(_JDBC)


def _jdbc_session(source: SourceFile) -> Iterator[Span]:
    if "java.sql" in source.text:
        for name in ("setTransactionIsolation", "setSchema"):
            for tree, call in calls(source, frozenset({"Java"}), name):
                if at := call.child_by_field_name("name"):
                    yield span(tree, at)


def _hikaricp(source: SourceFile) -> Iterator[Span]:
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


RULES: Final[tuple[ClientRule, ...]] = (
    client_rule(
        "pgjdbc 42.7.5 and later",
        _pgjdbc,
        id="pgjdbc-set",
        title="pgjdbc's first statements",
        files="`jdbc:postgresql:` URLs in Java and configuration",
        why="pgjdbc sends SET application_name on every new connection, before 42.7.5 also SET extra_float_digits, "
        "which pins the session",
        found=(
            ("application.properties", "spring.datasource.url=«jdbc:postgresql://proxy/app»\n"),
            ("Db.java", 'class Db { String url = "«jdbc:postgresql://proxy/app?ssl=true»"; }'),
        ),
        clean=(
            ("application.yml", "url: jdbc:postgresql://proxy/app?assumeMinServerVersion=9.0\n"),
            ("application.yml", "url: jdbc:mysql://proxy/app\n# jdbc:postgresql://p/a\n"),
            ("Db.java", 'class Db { boolean f() { return url.startsWith("jdbc:postgresql://"); } }'),
        ),
    ),
    client_rule(
        "JDBC setTransactionIsolation, setSchema",
        _jdbc_session,
        id="jdbc-session",
        title="JDBC calls that SET",
        files="Java",
        why="pgjdbc makes a SET SESSION of this call, which pins the session",
        found=(("Db.java", "import java.sql.*;\nclass Db { void f() { c.«setSchema»(s); } }"),),
        clean=(("Xml.java", "import javax.xml.validation.*;\nclass Xml { void f() { x.setSchema(s); } }"),),
    ),
    client_rule(
        "HikariCP",
        _hikaricp,
        id="hikaricp-session",
        title="HikariCP's schema and isolation level",
        files="Spring's `*.properties` and `*.yml`",
        why="HikariCP makes every new connection SET this, which pins the session",
        found=(
            ("application.properties", "«spring.datasource.hikari.schema»=app\n"),
            ("application.yml", "hikari:\n  «transaction-isolation»: TRANSACTION_SERIALIZABLE\n"),
        ),
        clean=(
            (
                "application.yml",
                "hikari:\n  maximum-pool-size: 5\nspring.jpa.properties.hibernate.default_schema: app\n",
            ),
            ("other.yml", "  transaction-isolation: TRANSACTION_SERIALIZABLE\n"),
        ),
    ),
)
