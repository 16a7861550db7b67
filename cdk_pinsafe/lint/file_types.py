"""File types by name: SQL, a program, or client configuration."""

from enum import Enum
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Final

__all__ = ["FileType", "file_type_of", "is_known"]


class FileType(Enum):
    """How a file is read."""

    SQL = "sql"
    PROGRAM = "program"
    CONFIGURATION = "configuration"


_SQL: Final = frozenset({".sql", ".psql", ".pgsql", ".ddl"})
PROGRAMS: Final = frozenset(
    {".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".java", ".go", ".rb", ".rake"}
)
"""The suffixes in :mod:`.languages`, repeated here because that module loads the parsers; a test compares them."""
_CONFIGURATION: Final = (
    "*.env",
    ".env.*",
    ".envrc",
    "*.yml",
    "*.yaml",
    "*.yml.erb",
    "*.json",
    "*.jsonc",
    "*.properties",
    "*.toml",
    "*.ini",
    "*.cfg",
    "*.conf",
    "*.config",
    "*.xml",
    "*.prisma",
    "*.cs",
    "*.php",
    "*.tf",
    "dockerfile*",
    "*.dockerfile",
)


def file_type_of(path: PurePath) -> FileType:
    """The type of a file to read; SQL if the name is unknown."""
    if path.suffix.lower() in PROGRAMS:
        return FileType.PROGRAM
    name = path.name.lower()
    return FileType.CONFIGURATION if any(fnmatchcase(name, pattern) for pattern in _CONFIGURATION) else FileType.SQL


def is_known(path: PurePath) -> bool:
    """Whether a file found in a folder is read."""
    return path.suffix.lower() in _SQL or file_type_of(path) is not FileType.SQL
