"""Rules on Python clients."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import tree_sitter

from ..languages import SourceTree
from ..source_file import SourceFile, Span
from .rule import ClientRule, client_rule
from .syntax import SPREADS, arguments, calls, members, span, string, text

__all__ = ["RULES"]

_PYTHON: Final = frozenset({"Python"})
_ASYNCPG: Final = re.compile(r"""(?<!(?i:startswith)\(["'])(?<!==[ ]["'])postgresql\+asyncpg(?=://|["'])""")
"""The name of the dialect, unless it is only compared to something."""


def _django_cursors(source: SourceFile) -> Iterator[Span]:
    if "DISABLE_SERVER_SIDE_CURSORS" not in source.text:
        for tree, database in _django_databases(source):
            if "*" not in database:
                yield span(tree, database["ENGINE"])


def _django_assume_role(source: SourceFile) -> Iterator[Span]:
    for tree, database in _django_databases(source):
        if (options := database.get("OPTIONS")) is not None and options.type == "dictionary":
            role = members(tree, options).get("assume_role")
            if role is not None and text(tree, role) != "None":
                yield span(tree, role.parent or role)


def _django_databases(source: SourceFile) -> Iterator[tuple[SourceTree, Mapping[str, tree_sitter.Node]]]:
    """The dictionaries of ``DATABASES`` with a PostgreSQL backend."""
    if source.tree is not None and "ENGINE" in source.text and source.tree.language.name in _PYTHON:
        for literal in source.tree.calls:
            if literal.type == "dictionary":
                database = members(source.tree, literal)
                engine = string(source.tree, database.get("ENGINE")) or ""
                if re.fullmatch(r"django\.(?:contrib\.gis\.)?db\.backends\.(?:postgresql\w*|postgis)", engine):
                    yield source.tree, database


def _sqlalchemy_asyncpg(source: SourceFile) -> Iterator[Span]:
    return source.found(_ASYNCPG)


def _sqlalchemy_sequence(source: SourceFile) -> Iterator[Span]:
    if re.search(r"\b(?:import|from) sqlalchemy\b", source.text):
        for tree, call in calls(source, _PYTHON, "Sequence"):
            given = arguments(call)
            if given and given[0].type == "string":
                yield span(tree, call)


def _asyncpg_pool(source: SourceFile) -> Iterator[Span]:
    if re.search(r"\bimport\b[^\n]*\basyncpg\b|\bfrom asyncpg\b", source.text):
        yield from _without_keyword(source, "create_pool", "reset", r"(?:asyncpg\.)?create_pool")


def _psycopg(source: SourceFile) -> Iterator[Span]:
    if "prepare_threshold" not in source.text and "psycopg" in source.text:
        callee = r"psycopg\.(?:(?:Async)?Connection\.)?connect|(?:psycopg\.)?AsyncConnection\.connect"
        yield from _without_keyword(source, "connect", "prepare_threshold", callee)


def _without_keyword(source: SourceFile, name: str, keyword: str, callee: str) -> Iterator[Span]:
    """Calls that do not pass a keyword, and do not unpack a mapping that may contain it."""
    for tree, call in calls(source, _PYTHON, name):
        function = call.child_by_field_name("function")
        if function is None or not re.fullmatch(callee, text(tree, function) or ""):
            continue
        given = arguments(call)
        names = {text(tree, one.child_by_field_name("name")) for one in given}
        if keyword not in names and not any(one.type in SPREADS for one in given):
            yield span(tree, function)


RULES: Final[tuple[ClientRule, ...]] = (
    client_rule(
        "Django",
        _django_cursors,
        id="django-cursors",
        title="Django's server-side cursors",
        files="`DATABASES` in Django's settings",
        why="QuerySet.iterator() declares a cursor, WITH HOLD outside a transaction, which pins the session",
        remedy='add "DISABLE_SERVER_SIDE_CURSORS": True beside "ENGINE"',
        found=(("settings.py", 'DATABASES = {"default": {"ENGINE": «"django.db.backends.postgresql"»}}\n'),),
        clean=(
            (
                "settings.py",
                'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", '
                '"DISABLE_SERVER_SIDE_CURSORS": True}}\n',
            ),
            ("settings.py", 'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}\n'),
            ("settings.py", 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", **more}}\n'),
        ),
    ),
    client_rule(
        "Django",
        _django_assume_role,
        id="django-assume-role",
        title="Django's assume_role",
        files="`DATABASES` in Django's settings",
        why="Django sends SET ROLE on every new connection, which pins the session",
        remedy='connect as that role, and drop "assume_role"',
        found=(
            (
                "settings.py",
                'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", '
                '"OPTIONS": {«"assume_role": "app"»}}}\n',
            ),
        ),
        clean=(
            (
                "settings.py",
                'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", '
                '"OPTIONS": {"assume_role": None}}}\n',
            ),
        ),
    ),
    client_rule(
        "SQLAlchemy with asyncpg",
        _sqlalchemy_asyncpg,
        id="sqlalchemy-asyncpg",
        title="SQLAlchemy on asyncpg",
        files="`postgresql+asyncpg` in URLs in Python and configuration",
        why="SQLAlchemy makes asyncpg call set_config('jit', 'off', false) before it looks up a type that it does not "
        "know, such as an enum, which pins the session",
        found=(
            ("alembic.ini", "sqlalchemy.url = «postgresql+asyncpg»://a:b@c/d\n"),
            ("db.py", 'url = URL.create("«postgresql+asyncpg»", host=host)'),
        ),
        clean=(
            ("db.py", "# postgresql+asyncpg://a\nurl = 'postgresql+psycopg://a'"),
            ("db.py", "url.startswith('postgresql+asyncpg://') or name == 'postgresql+asyncpg'"),
        ),
    ),
    client_rule(
        "SQLAlchemy Sequence",
        _sqlalchemy_sequence,
        id="sqlalchemy-sequence",
        title="SQLAlchemy's Sequence",
        files="Python that imports SQLAlchemy",
        why="SQLAlchemy calls nextval in the INSERT of a column with a Sequence, which pins the session",
        found=(("models.py", 'import sqlalchemy as sa\nid = sa.Column(sa.Integer, «sa.Sequence("ids")»)'),),
        clean=(
            (
                "models.py",
                "from collections.abc import Sequence\nfrom sqlalchemy import Identity\nx: Sequence[str]",
            ),
        ),
    ),
    client_rule(
        "asyncpg pool",
        _asyncpg_pool,
        id="asyncpg-pool-reset",
        title="asyncpg's pool resets connections",
        files="`asyncpg.create_pool(…)`",
        why="asyncpg's pool sends pg_advisory_unlock_all(), RESET ALL and more when a connection is given back, which "
        "pins the session",
        found=(("db.py", "import asyncpg\npool = await «asyncpg.create_pool»(dsn, min_size=1)"),),
        clean=(
            ("db.py", "import asyncpg\nasyncpg.create_pool(dsn, reset=no_reset)\nasyncpg.create_pool(**options)"),
            ("db.py", "import aiomysql\naiomysql.create_pool(dsn)"),
        ),
    ),
    client_rule(
        "psycopg",
        _psycopg,
        id="psycopg-deallocate",
        title="psycopg's prepared statements",
        files="`psycopg.connect(…)`",
        why="once it has prepared a statement, psycopg sends DEALLOCATE ALL after a ROLLBACK, DROP or ALTER, which "
        "pins the session",
        found=(
            ("db.py", "import psycopg\nwith «psycopg.connect»(dsn) as c: ..."),
            ("db.py", "import psycopg\nc = await «psycopg.AsyncConnection.connect»(dsn)"),
        ),
        clean=(
            ("db.py", "import psycopg\npsycopg.connect(dsn, prepare_threshold=None)"),
            ("db.py", "import psycopg2, psycopg\npsycopg2.connect(dsn)\npsycopg.connect(**options)"),
        ),
    ),
)
