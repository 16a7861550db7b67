"""Copies of Debian's PostgreSQL whose extensions the owner of a database may create, as on RDS."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from cdk_pinsafe.localpg.server import Installation, installations

from .harness import Database

_DEBIAN: Final = Path("/usr/lib/postgresql")
_OF_ALL_EXTENSIONS: Final = """
SELECT name FROM pg_available_extensions WHERE name <> 'plpgsql' AND name !~ '-[0-9]+$' ORDER BY name
"""
"""Debian has each of PostGIS's extensions a second time, with a version in its name."""


def debian_installations() -> list[Any]:
    """Debian's installations as parameters, or one that is skipped."""
    found = [one for one in installations() if one.bin.is_relative_to(_DEBIAN)]
    missing = Installation(0, _DEBIAN, has_ssl=False, has_vector=False, copyable=False)
    return found or [pytest.param(missing, marks=pytest.mark.skip(reason=f"no PostgreSQL of Debian's in {_DEBIAN}"))]


@contextlib.contextmanager
def trusting_copy(installation: Installation) -> Iterator[Installation]:
    """A copy whose control files say ``trusted``. PostgreSQL finds its files relative to its programs."""
    root = Path(tempfile.mkdtemp(prefix="pinsafe-trusting-", dir="/tmp"))
    try:
        root.chmod(0o755)  # the server's user must read it
        programs = installation.bin.parent
        share = Path("/usr/share/postgresql") / str(installation.major)
        for folder in (programs, share):
            shutil.copytree(folder, root / folder.relative_to("/usr"), ignore=shutil.ignore_patterns("bitcode"))
        for control in (root / share.relative_to("/usr")).glob("extension/*.control"):
            lines = [line for line in control.read_text().splitlines() if not line.startswith("trusted")]
            control.write_text("\n".join([*lines, "trusted = true", ""]))
        yield replace(installation, bin=root / programs.relative_to("/usr") / "bin")
    finally:
        shutil.rmtree(root)


def offered(database: Database) -> list[str]:
    """The extensions that its server has."""
    return [row[0] for row in database.rows(_OF_ALL_EXTENSIONS)]
