"""Which names may be set in a database, as far as the names alone tell: the catalogue knows more of them.

The reasons were measured on PostgreSQL 15.18, 16.14 and 18.4 as a non-superuser who owns the database, the nearest
thing to an RDS master user; nothing here was tried on RDS.
"""

import re
from collections.abc import Mapping
from typing import Final

from ..errors import SettingError

LIST_PARAMETERS: Final = frozenset({"search_path", "session_preload_libraries", "temp_tablespaces"})
"""Parameters whose value is a list of names that PostgreSQL quotes one by one.

No catalogue flag tells them: these are the ``GUC_LIST_QUOTE`` entries of PostgreSQL's ``guc_tables.c``, without
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
"""Parameter name, in lower case, to the reason why it is refused although PostgreSQL would take it, or nearly so."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*")
_EXTENSION_OF_PREFIX: Final = {"hnsw": "vector", "ivfflat": "vector"}


def check_name(name: str) -> str:
    """The name in lower case, as names are compared, if its text alone does not forbid it.

    Raises:
        SettingError: the name is malformed, denied, or one of RDS's own.
    """
    lower = name.lower()
    # Some letters beyond ASCII are an ASCII one in lower case.
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
    """The extension whose library defines a parameter, judged by the name's prefix; None for PostgreSQL's own.

    ``hnsw.*`` and ``ivfflat.*`` are pgvector's (extension ``vector``); others usually bear the extension's name.
    """
    prefix, dot, _ = name.lower().partition(".")
    return _EXTENSION_OF_PREFIX.get(prefix, prefix) if dot else None
