"""Whether a string in a program is SQL, and PostgreSQL's.

PostgreSQL's parser accepts more English than one would think: ``Reset password``, ``listen here`` and ``set x to y``
are statements to it. So the place decides (:class:`.snippets.Context`): in a call that runs SQL, or under a name such
as ``reset_query``, whatever parses is SQL; in a log message, an exception or a docstring nothing is. Anywhere else the
text alone has to leave no doubt. A short statement (SET, RESET, DISCARD, LISTEN, LOAD, EXECUTE, DEALLOCATE) does so if
it ends with a semicolon, or if its keyword is in capitals and it names a parameter of PostgreSQL or holds a quoted
value. What begins as a longer statement is SQL if it parses.
"""

import re
from typing import Final

from ..pinning.conditions import COMMANDS
from ..pinning.statements import Finding
from ..settings.catalogue import versions_of
from .snippets import Part

__all__ = ["STATEMENT_STARTS", "begins_as_sql", "is_postgres", "is_unmistakable"]

STATEMENT_STARTS: Final = frozenset(
    """abort alter analyse analyze begin call checkpoint close cluster comment commit copy create deallocate declare
    delete discard do drop end execute explain fetch grant import insert listen load lock merge move notify prepare
    reassign refresh reindex release reset revoke rollback savepoint security select set show start table truncate
    unlisten update vacuum values with""".split()  # noqa: SIM905 # a line for each would be longer
)
"""Words that begin PostgreSQL's statements."""

_BEGINS: Final = re.compile(
    rf"(?> \s | ; | --[^\n]*(?:\n|\Z) | /\*.*?\*/ | \( )*+ (?: {' | '.join(sorted(STATEMENT_STARTS))} ) \b",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
# PREPARE and DECLARE take more words than English puts behind them.
_SHORT: Final = re.compile("|".join(sorted(COMMANDS - {"prepare", "declare"})), re.IGNORECASE)
_DYNAMIC: Final = re.compile(r"execute\s+immediate\b", re.IGNORECASE)
_WORD: Final = re.compile(r"(?>\s|--[^\n]*\n|/\*.*?\*/)*+(\w+)", re.DOTALL)

_NOT_LISTED: Final = frozenset({"is_superuser", "role", "seed", "session_authorization"})
"""Parameters that ``pg_settings``, from which the catalogue was made, does not show."""


def begins_as_sql(parts: list[Part]) -> bool:
    """Whether a text begins with a word that begins statements."""
    start = ""
    for part in parts:
        start += "$1" if part.text is None else part.text
        if len(start) > 1000:
            break
    return _BEGINS.match(start) is not None


def is_postgres(sql: str, finding: Finding) -> bool:
    """Whether it is not rather the SQL of another database, as in a program for several.

    PostgreSQL's parser accepts MySQL's ``SET foreign_key_checks = 0`` and Oracle's ``EXECUTE IMMEDIATE``; no server of
    it would.
    """
    if finding.condition.id in ("set", "set-local") and finding.parameter is not None:
        return _is_parameter(finding.parameter)
    return not _DYNAMIC.match(sql, finding.statement_start)


def is_unmistakable(sql: str, finding: Finding) -> bool:
    """Whether a statement is SQL wherever it stands."""
    if finding.condition.id == "oversized":
        return False  # the size alone makes no SQL of a long text
    statement = sql[finding.statement_start : finding.statement_end]
    found = _WORD.match(statement)
    word = found[1] if found else ""
    if not _SHORT.fullmatch(word):
        return True
    if sql[finding.statement_end :].lstrip().startswith(";"):
        return word.isupper() or word.islower()
    # A hole is no parameter's name: SET {column} = … is a piece of an UPDATE.
    named = not finding.parameter.startswith("_") if finding.parameter is not None else "'" in statement
    return word.isupper() and named


def _is_parameter(name: str) -> bool:
    # A hole may be any parameter, and one with a dot is an extension's or the application's own.
    return name.startswith("_") or "." in name or name in _NOT_LISTED or bool(versions_of(name))
