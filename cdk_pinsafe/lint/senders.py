"""What kind of program sends the SQL of a file, as its name and text tell."""

import re
from pathlib import PurePath
from typing import Final

from ..pinning.clients import Sender
from .kinds import Kind, kind_of

__all__ = ["sender_of"]

_FOLDERS: Final = frozenset({"migrate", "migration", "migrations", "flyway", "liquibase", "changelog", "changelogs"})
_MIGRATION: Final = re.compile(
    r"migrat(?:e|es|ion|ions|or|ors)(?:[._-].*)? | [VUR]\d[\w.]*__.* | R__.* | .*\.(?:up|down)\.sql",
    re.VERBOSE | re.IGNORECASE,
)
"""File names: ``migrate.py``, Flyway's ``V1__orders.sql``, golang-migrate's ``1_orders.up.sql``."""
_DUMP_TITLE: Final = re.compile(r"--\s*PostgreSQL database (?:cluster )?dump", re.IGNORECASE)
_DUMP_HEADER: Final = re.compile(
    r"""^ (?: SET \s+ (?P<name> check_function_bodies | row_security | xmloption | default_table_access_method
                             | idle_in_transaction_session_timeout | default_tablespace ) \s* =
            | SELECT \s+ pg_catalog\.set_config\('(?P<path> search_path )' , )""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_HEADER_LINES: Final = 3


def sender_of(path: PurePath, text: str) -> Sender | None:
    """The kind of program, or None if neither tells: then each statement may.

    A dump begins with a title, or has several of the SETs that pg_dump writes; the folders and names of migrations are
    those that their tools ask for.
    """
    if kind_of(path) is Kind.SQL:
        if _DUMP_TITLE.search(text, 0, 500):
            return Sender.DUMP
        names = {(found["name"] or found["path"]).lower() for found in _DUMP_HEADER.finditer(text, 0, 10_000)}
        if len(names) >= _HEADER_LINES:
            return Sender.DUMP
    folders = [part.lower() for part in path.parts[:-1]]
    if _FOLDERS & set(folders) or folders[-2:] == ["alembic", "versions"] or _MIGRATION.fullmatch(path.name):
        return Sender.MIGRATION
    return None
