"""Decides whether a string in a program is SQL for PostgreSQL.

PostgreSQL's parser accepts much English: it parses ``Reset password``, ``listen here`` and ``set x to y``. So the place
decides (:class:`.fragments.CodeContext`): in a call that runs SQL, or under a name such as ``reset_query``, any text
that parses is SQL; in a log message, an exception or a docstring none is. Elsewhere the text must be unmistakable. A
short statement (SET, RESET, DISCARD, LISTEN, LOAD, EXECUTE, DEALLOCATE) is if it ends with a semicolon, or if its
keyword is in capitals and it names a parameter of PostgreSQL or contains a quoted value. A longer statement is if it
parses.
"""

import re
from typing import Final

from ..pinning.conditions import COMMANDS
from ..pinning.statements import StatementFinding
from ..settings.catalogue import versions_of
from .fragments import Part

__all__ = ["STATEMENT_STARTS", "begins_as_sql", "is_postgres", "is_unmistakable"]

STATEMENT_STARTS: Final = frozenset(
    """abort alter analyse analyze begin call checkpoint close cluster comment commit copy create deallocate declare
    delete discard do drop end execute explain fetch grant import insert listen load lock merge move notify prepare
    reassign refresh reindex release reset revoke rollback savepoint security select set show start table truncate
    unlisten update vacuum values with""".split()  # noqa: SIM905 # a line for each would be longer
)
"""The first words of PostgreSQL's statements."""

_BEGINS: Final = re.compile(
    rf"(?> \s | ; | --[^\n]*(?:\n|\Z) | /\*.*?\*/ | \( )*+ (?: {' | '.join(sorted(STATEMENT_STARTS))} ) \b",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# PREPARE and DECLARE need more words than an English sentence has after them.
_SHORT: Final = re.compile("|".join(sorted(COMMANDS - {"prepare", "declare"})), re.IGNORECASE)
_DYNAMIC: Final = re.compile(r"execute\s+immediate\b", re.IGNORECASE)
_WORD: Final = re.compile(r"(?>\s|--[^\n]*\n|/\*.*?\*/)*+(\w+)", re.DOTALL)

_NOT_LISTED: Final = frozenset({"is_superuser", "role", "seed", "session_authorization"})
"""Parameters that the catalogue lacks because ``pg_settings`` does not show them."""


def begins_as_sql(parts: list[Part]) -> bool:
    """Whether a text begins with the first word of a statement."""
    start = ""
    for part in parts:
        start += "$1" if part.text is None else part.text
        if len(start) > 1000:
            break
    return _BEGINS.match(start) is not None


def is_postgres(sql: str, finding: StatementFinding) -> bool:
    """Whether a statement is for PostgreSQL, not for another database.

    PostgreSQL's parser accepts MySQL's ``SET foreign_key_checks = 0`` and Oracle's ``EXECUTE IMMEDIATE``; its server
    accepts neither.
    """
    if finding.condition.id in ("set", "set-local") and finding.parameter is not None:
        return _is_parameter(finding.parameter)
    return not _DYNAMIC.match(sql, finding.statement_start)


def is_unmistakable(sql: str, finding: StatementFinding) -> bool:
    """Whether a statement is SQL in any context."""
    if finding.condition.id == "oversized":
        return False  # a long text need not be SQL
    statement = sql[finding.statement_start : finding.statement_end]
    found = _WORD.match(statement)
    word = found[1] if found else ""
    if not _SHORT.fullmatch(word):
        return True
    if sql[finding.statement_end :].lstrip().startswith(";"):
        return word.isupper() or word.islower()
    # A placeholder is not a parameter's name: SET {column} = … is a part of an UPDATE.
    named = not finding.parameter.startswith("_") if finding.parameter is not None else "'" in statement
    return word.isupper() and named


def _is_parameter(name: str) -> bool:
    # A placeholder can be any parameter, and a name with a dot belongs to an extension or the application.
    return name.startswith("_") or "." in name or name in _NOT_LISTED or bool(versions_of(name))
