"""Finds the files to read: those given, and in the folders given those that can contain SQL or client configuration.

As with git and ruff, files in a folder are skipped if a .gitignore matches them, in it or in a parent up to the
repository's root. Links in folders are not followed, so there are no loops. A path that is given itself is read even if
a .gitignore matches it.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

from ..errors import LintError
from .configuration import Configurations
from .file_types import is_known

__all__ = ["discover"]

_NEVER: Final = frozenset(
    """
    .bzr .direnv .eggs .git .hg .hypothesis .ipynb_checkpoints .mypy_cache .nox .pytest_cache .ruff_cache .svn .tox
    .venv __pycache__ __pypackages__ node_modules site-packages venv
    """.split()  # noqa: SIM905 # words read better
)
"""Folders without code of the project."""


class _Ignored:
    """The .gitignore files from a repository's root down to a folder."""

    def __init__(self, specs: tuple[tuple[Path, GitIgnoreSpec], ...] = ()) -> None:
        self._specs = specs

    def down(self, folder: Path, *names: str) -> "_Ignored":
        """Return this with the patterns of a folder added."""
        specs = tuple((folder, spec) for name in names if (spec := _patterns(folder / name)) is not None)
        return _Ignored(self._specs + specs) if specs else self

    def matches(self, path: Path, *, folder: bool) -> bool:
        """Whether a file or folder is ignored: the deepest .gitignore with a matching pattern decides."""
        for root, spec in reversed(self._specs):
            result = spec.check_file(path.relative_to(root).as_posix() + ("/" if folder else ""))
            if result.include is not None:
                return result.include
        return False


def discover(paths: list[Path], configurations: Configurations) -> Iterator[Path]:
    """The files to read, each once, in the order of the paths and of names.

    Raises:
        LintError: a path does not exist, or is neither file nor folder.
    """
    seen: set[Path] = set()
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise LintError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if stat.S_ISDIR(mode):
            above = _above(path.resolve())
            if above.matches(path.resolve(), folder=True):
                above = _Ignored()
            found: Iterator[Path] = _walk(path, above, configurations)
        elif stat.S_ISREG(mode):
            absolute = Path(os.path.abspath(path))  # noqa: PTH100 # a link's own name decides, not its target's
            found = iter(() if configurations.of(absolute.parent).excludes(absolute) else (path,))
        else:
            raise LintError(f"{path} is neither a file nor a folder; to read a pipe, pass it as -")
        for file in found:
            identity = file.absolute()
            if identity not in seen:
                seen.add(identity)
                yield file


def _walk(folder: Path, ignored: _Ignored, configurations: Configurations) -> Iterator[Path]:
    """The files below a folder; a folder that cannot be opened is skipped."""
    todo = [(folder, folder.resolve(), ignored)]
    while todo:
        shown, real, ignored = todo.pop()
        ignored = ignored.down(real, ".gitignore")
        configuration = configurations.of(real)
        try:
            with os.scandir(shown) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError:
            continue
        folders = []
        for entry in entries:
            path = real / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder:
                if entry.name in _NEVER:
                    continue
            elif not entry.is_file(follow_symlinks=False) or not is_known(path):
                continue
            if ignored.matches(path, folder=is_folder) or configuration.excludes(path, folder=is_folder):
                continue
            if is_folder:
                folders.append((shown / entry.name, path, ignored))
            else:
                yield shown / entry.name
        todo.extend(reversed(folders))


def _above(folder: Path) -> _Ignored:
    """The patterns of the .gitignore files above a folder, if it is in a repository."""
    root = next((at for at in (folder, *folder.parents) if os.path.exists(at / ".git")), None)  # noqa: PTH110 # raises nothing
    if root is None:
        return _Ignored()
    ignored = _Ignored().down(root, ".git/info/exclude")
    for at in reversed(folder.parents):
        if at.is_relative_to(root):
            ignored = ignored.down(at, ".gitignore")
    return ignored


def _patterns(path: Path) -> GitIgnoreSpec | None:
    if not os.path.isfile(path):  # noqa: PTH113 # raises nothing
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return None
    patterns = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue  # like git, skip an invalid pattern
        patterns.append(line)
    return GitIgnoreSpec.from_lines(patterns)
