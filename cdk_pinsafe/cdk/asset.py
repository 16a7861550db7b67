"""The applier's deployment package.

All files are copied from installed packages, without a network or Docker, so the package and its hash depend only on
the versions. It is pure Python, so one package works on both of Lambda's architectures.
"""

import atexit
import importlib.metadata
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from aws_cdk import aws_lambda as lambda_

from ..errors import ConfigurationError

CA_BUNDLE_VARIABLE: Final = "CDK_PINSAFE_CA_BUNDLE"
"""Environment variable: path of a PEM file to trust instead of RDS's certificate authorities."""

_PACKAGE: Final = Path(__file__).parent.parent
_OWN: Final = ("__init__.py", "contract.py", "errors.py", "settings/*.py", "applier/*.py", "applier/*.pem")
_DRIVER: Final = "pg8000"
_CA_BUNDLE: Final = PurePosixPath("cdk_pinsafe/applier/rds-global-bundle.pem")
# Time zones, which dateutil includes in one form or the other and the applier does not use.
_UNUSED_DISTRIBUTIONS: Final = frozenset({"tzdata"})
_UNUSED_FILES: Final = frozenset({"dateutil-zoneinfo.tar.gz"})
_UNIX: Final = 3
_READABLE_BY_ALL: Final = 0o100644 << 16
# Files that installers write, which differ between machines.
_INSTALLER_FILES: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})


def ca_bundle(path: str | None, prop: str) -> Path:
    """The PEM file to trust: ``path``, else what ``CDK_PINSAFE_CA_BUNDLE`` names, else this package's.

    Raises:
        ConfigurationError: the file cannot be read or has no certificate; the message names ``prop`` or the variable.
    """
    source = prop
    if path is None:
        path, source = os.environ.get(CA_BUNDLE_VARIABLE), f"environment variable {CA_BUNDLE_VARIABLE}"
    if path is None:
        return _PACKAGE.parent / _CA_BUNDLE
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{source} should be the path of a PEM file, got {path!r}: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ConfigurationError(f"{source} should be a PEM file with certificates, got {path!r} which has none")
    return Path(path)


def lacks_authority_of(region: str, bundle: Path) -> bool:
    """Whether this package's own bundle lacks a region; False for any other bundle."""
    if bundle != _PACKAGE.parent / _CA_BUNDLE:
        return False
    header = bundle.read_text(encoding="ascii").partition("-----BEGIN")[0]
    return region not in header.partition("# Regions:")[2].split()


def code(bundle: Path) -> lambda_.Code:
    """The package, with ``bundle`` as the certificate authorities to trust."""
    directory = Path(tempfile.mkdtemp(prefix="cdk-pinsafe-"))
    # CDK copies it when it creates the function, unless asset staging is disabled.
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    package = directory / "applier.zip"
    package.write_bytes(archive(bundle))
    return lambda_.Code.from_asset(str(package))


def archive(bundle: Path) -> bytes:
    """The package as a ZIP file, byte for byte the same for the same versions.

    CDK would copy a directory file by file at every synth. Files are neither compressed, since compressors differ, nor
    dated.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for target, source in sorted(_files()):
            entry = zipfile.ZipInfo(str(target))
            entry.create_system, entry.external_attr = _UNIX, _READABLE_BY_ALL
            package.writestr(entry, (bundle if target == _CA_BUNDLE else source).read_bytes())
    return buffer.getvalue()


def _files() -> Iterator[tuple[PurePosixPath, Path]]:
    for pattern in _OWN:
        for path in sorted(_PACKAGE.glob(pattern)):
            yield PurePosixPath("cdk_pinsafe", path.relative_to(_PACKAGE).as_posix()), path
    for distribution in _driver_and_dependencies():
        yield from _distribution_files(distribution)


def _driver_and_dependencies() -> Iterator[importlib.metadata.Distribution]:
    """As their installed metadata say: the dependencies of dateutil differ between its releases."""
    seen: set[str] = set()
    names = [_DRIVER]
    while names:
        name = names.pop()
        if name in seen | _UNUSED_DISTRIBUTIONS:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise ConfigurationError(
                f"the applier needs the package {name!r}, which is not installed: reinstall cdk-pinsafe"
            ) from None
        yield distribution
        # Conditional requirements, such as those of extras, are not needed on Lambda.
        required = (text for text in distribution.requires or () if ";" not in text)
        names += [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in required]


def _distribution_files(distribution: importlib.metadata.Distribution) -> Iterator[tuple[PurePosixPath, Path]]:
    if "Root-Is-Purelib: true" not in (distribution.read_text("WHEEL") or ""):
        raise ConfigurationError(
            f"the applier needs a pure Python build of {distribution.name!r}, got version {distribution.version} with "
            "compiled parts: install its pure wheel"
        )
    for path in sorted(distribution.files or ()):
        in_package = ".." not in path.parts and path.suffix not in {".pyc", ".pyi"}
        if in_package and path.name not in _INSTALLER_FILES | _UNUSED_FILES:
            yield PurePosixPath(path.as_posix()), Path(str(path.locate()))
