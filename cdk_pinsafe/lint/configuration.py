"""``[tool.pinsafe]`` of the nearest pyproject.toml, for each folder."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pathspec import GitIgnoreSpec

from ..errors import LintError, SettingError
from ..settings import to_text
from .rules import check_ids

__all__ = ["Configuration", "Configurations"]

_KEYS: Final = ("exclude", "ignore", "per-file-ignores", "select", "settings")


@dataclass(frozen=True)
class Configuration:
    """The linter's options for the files of a folder.

    Attributes:
        root: The folder of the pyproject.toml, which the patterns are relative to; None without one.
        select: Rules to check; None for all.
        ignore: Rules not to check.
        exclude: Files and folders not to read, in .gitignore's syntax.
        per_file_ignores: Patterns, each with the rules not to check in the files that match.
        settings: The database's settings, parameter to text: a SET that repeats one is reported as redundant.
    """

    root: Path | None = None
    select: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    exclude: GitIgnoreSpec = field(default_factory=lambda: GitIgnoreSpec.from_lines(()))
    per_file_ignores: tuple[tuple[GitIgnoreSpec, frozenset[str]], ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def excludes(self, path: Path, *, folder: bool = False) -> bool:
        """Whether a file or folder (an absolute path) or a parent of it is excluded."""
        if self.root is None or not path.is_relative_to(self.root):
            return False
        return self.exclude.match_file(self._relative(path) + ("/" if folder else ""))

    def checks(self, path: Path | None, rule: str) -> bool:
        """Whether a rule is checked in a file; None means standard input."""
        if rule in self.ignore or (self.select is not None and rule not in self.select):
            return False
        if path is None or self.root is None or not path.is_relative_to(self.root):
            return True
        relative = self._relative(path)
        return not any(rule in rules and spec.match_file(relative) for spec, rules in self.per_file_ignores)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root or path).as_posix()


class Configurations:
    """The configuration of each folder, with the options of the command line applied."""

    def __init__(self, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> None:
        self._select = check_ids(select, "--select")
        self._ignore = check_ids(ignore, "--ignore")
        self._known: dict[Path, Configuration] = {}

    def of(self, folder: Path) -> Configuration:
        """The configuration for the files of a folder, an absolute path.

        Raises:
            LintError: a pyproject.toml is invalid.
        """
        inheriting: list[Path] = []
        at = folder
        while at not in self._known:
            own = _read(at)
            if own is not None or at == at.parent:
                self._known[at] = self._with_options(own or Configuration())
                break
            inheriting.append(at)
            at = at.parent
        for below in inheriting:
            self._known[below] = self._known[at]
        return self._known[at]

    def _with_options(self, found: Configuration) -> Configuration:
        return replace(found, select=self._select or found.select, ignore=found.ignore | self._ignore)


def _read(folder: Path) -> Configuration | None:
    """The configuration in a folder's own pyproject.toml, if any."""
    path = folder / "pyproject.toml"
    if not os.path.isfile(path):  # noqa: PTH113 # raises nothing
        return None
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None
    if "pinsafe" not in text:
        return None  # even if it is not valid TOML
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LintError(f"{path} is not TOML: {error}; correct it") from None
    tools = document.get("tool")
    table = tools.get("pinsafe") if isinstance(tools, dict) else None
    return None if table is None else _parsed(path, table)


def _parsed(path: Path, table: Any) -> Configuration:
    where = f"{path}, [tool.pinsafe]"
    if not isinstance(table, dict):
        raise LintError(f"{where}: expected a table, got {table!r:.80}")
    if unknown := sorted(set(table) - set(_KEYS)):
        raise LintError(f"{where}: {unknown[0]!r} is not known; expected {', '.join(_KEYS)}")
    per_file = table.get("per-file-ignores", {})
    if not isinstance(per_file, dict):
        raise LintError(f"{where}: per-file-ignores expects a table of pattern to rules, got {per_file!r:.80}")
    select = _texts(where, table, "select") if "select" in table else None
    return Configuration(
        root=path.parent,
        select=None if select is None else check_ids(select, f"{where}: select"),
        ignore=check_ids(_texts(where, table, "ignore"), f"{where}: ignore"),
        exclude=_spec(_texts(where, table, "exclude"), f"{where}: exclude"),
        per_file_ignores=tuple(
            (
                _spec([pattern], f"{where}: per-file-ignores"),
                check_ids(_texts(where, per_file, pattern), f"{where}: per-file-ignores"),
            )
            for pattern in per_file
        ),
        settings=_settings(where, table.get("settings", {})),
    )


def _texts(where: str, table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise LintError(f"{where}: {key} expects a list of strings, got {value!r:.80}")
    return value


def _spec(patterns: list[str], where: str) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(str(PurePosixPath(one)) if one.startswith("./") else one for one in patterns)
    except ValueError as error:
        raise LintError(f"{where}: {error}; expected patterns as in .gitignore") from None


def _settings(where: str, settings: Any) -> dict[str, str]:
    """The database's settings as texts; TOML values are converted like the Python values of ``DatabaseSettings``."""
    if not isinstance(settings, dict):
        raise LintError(f"{where}: settings expects a table of parameter to value, got {settings!r:.80}")
    texts: dict[str, str] = {}
    for name, value in _dotted(settings).items():
        try:
            text = to_text(name, value)
        except SettingError as error:
            raise LintError(f"{where}: {error}") from None
        texts[name.lower()] = ", ".join(map(_quoted, text)) if isinstance(text, list) else text
    return texts


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten parameters with dots in their names, which TOML reads as tables unless they are quoted."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _quoted(name: str) -> str:
    plain = name.isascii() and name.islower() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'
