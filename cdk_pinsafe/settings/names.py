"""Checks names of parameters without the catalogue.

The reasons were measured on PostgreSQL 15.18, 16.14 and 18.4 as a non-superuser who owns the database, as an RDS master
user does; nothing here was tried on RDS.
"""

import re
from collections.abc import Mapping
from typing import Final

from ..errors import SettingError

LIST_PARAMETERS: Final = frozenset({"search_path", "session_preload_libraries", "temp_tablespaces"})
"""Parameters with a list of names that PostgreSQL quotes one by one.

``pg_settings`` does not show this: they are the ``GUC_LIST_QUOTE`` entries of PostgreSQL's ``guc_tables.c``, without
``local_preload_libraries``, which is denied.
"""

_NEVER_REMOVABLE: Final = (
    "PostgreSQL 16 and later let its owner set it in a database but never remove it (SQLSTATE 0A000)"
)
_PER_TRANSACTION: Final = "it belongs to one transaction (SQLSTATE 25001); the default is"
_SWITCHES_ROLE: Final = "it makes every new session switch to another role"

DENIED: Final[Mapping[str, str]] = {
    "exit_on_error": "every error would end the session",
    "local_preload_libraries": "a library that cannot be loaded locks everybody out of the database, superusers too",
    "role": f"{_SWITCHES_ROLE}, and RDS Proxy may lose it",
    "seed": _NEVER_REMOVABLE,
    "session_authorization": _SWITCHES_ROLE,
    "transaction_deferrable": f"{_PER_TRANSACTION} default_transaction_deferrable",
    "transaction_isolation": f"{_PER_TRANSACTION} default_transaction_isolation",
    "transaction_read_only": f"{_NEVER_REMOVABLE}; the default is default_transaction_read_only",
}
"""Parameters, in lower case, that are denied although PostgreSQL accepts most of them, with the reasons."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*")
_EXTENSION_OF_PREFIX: Final = {"hnsw": "vector", "ivfflat": "vector"}


def check_name(name: str) -> str:
    """Check a name, and return it in lower case.

    Raises:
        SettingError: the name is malformed, denied, or one of RDS's own.
    """
    lower = name.lower()
    # Some other letters become ASCII letters in lower case.
    if len(name) > 200 or not name.isascii() or not _NAME.fullmatch(lower):
        raise SettingError(
            f"setting {name[:80]!r} is not a parameter's name: "
            "expected letters, digits and underscores, as in 'work_mem' or 'hnsw.iterative_scan'"
        )
    if lower in DENIED:
        raise SettingError(f"setting {name!r} is refused: {DENIED[lower]}; remove it")
    if lower.startswith("rds."):
        raise SettingError(f"setting {name!r} is one of RDS's own: put it in a parameter group, not in the database")
    return lower


def extension_of(name: str) -> str | None:
    """The extension whose library defines a parameter, by the name's prefix; None for PostgreSQL's parameters.

    ``hnsw.*`` and ``ivfflat.*`` belong to pgvector (extension ``vector``); other prefixes are extensions' names.
    """
    prefix, dot, _ = name.lower().partition(".")
    return _EXTENSION_OF_PREFIX.get(prefix, prefix) if dot else None
