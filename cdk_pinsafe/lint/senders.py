"""Which kind of program sends the SQL in a file, by the file's name and text."""

import re
from pathlib import PurePath
from typing import Final

from ..pinning.clients import Sender
from .file_types import FileType, file_type_of

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
    """The kind of program; None if it is not known from the file.

    A dump begins with pg_dump's title or has several of its SETs. A migration is in a folder, or has a name, that
    migration tools require.
    """
    if file_type_of(path) is FileType.SQL:
        if _DUMP_TITLE.search(text, 0, 500):
            return Sender.DUMP
        names = {(found["name"] or found["path"]).lower() for found in _DUMP_HEADER.finditer(text, 0, 10_000)}
        if len(names) >= _HEADER_LINES:
            return Sender.DUMP
    folders = [part.lower() for part in path.parts[:-1]]
    if _FOLDERS & set(folders) or folders[-2:] == ["alembic", "versions"] or _MIGRATION.fullmatch(path.name):
        return Sender.MIGRATION
    return None
