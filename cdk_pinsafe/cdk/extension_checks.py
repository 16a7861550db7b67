"""Checks extensions against those that RDS for PostgreSQL offers, at synth."""

import difflib
from collections.abc import Mapping, Sequence

from aws_cdk import Token
from constructs import IConstruct

from ..settings.rds_extensions import EXTENSIONS, PRELOADED, is_offered
from .checks import warn
from .database import PostgresDatabase


def check_offered(construct: IConstruct, target: PostgresDatabase, extensions: Sequence[str]) -> None:
    """Warn, by ``cdk-pinsafe:ExtensionNotOnRds``, of extensions that RDS for PostgreSQL does not offer.

    It is no error, since a server may have more than the list: what AWS added since, and what ``pg_tle`` registered.
    Aurora's extensions are others and are not checked.
    """
    if target.cluster is not None:
        return
    unknown = [
        _about(name, target.major_version)
        for name in extensions
        if not Token.is_unresolved(name) and _is_missing(name, target.major_version)
    ]
    if unknown:
        warn(
            construct,
            "ExtensionNotOnRds",
            f"{'; '.join(unknown)}: correct the name, or acknowledge 'annotation::cdk-pinsafe:ExtensionNotOnRds' if "
            "SHOW rds.extensions has it (AWS's list as of 18.3, 17.9, 16.13, 15.17 and 14.22)",
        )


def check_preloaded(construct: IConstruct, parameters: Mapping[str, str], extensions: Sequence[str]) -> None:
    """Warn, by ``cdk-pinsafe:LibraryNotPreloaded``, of extensions whose library the parameter group does not load."""
    libraries = parameters.get("shared_preload_libraries", "")
    if Token.is_unresolved(libraries):
        return
    loaded = {name.strip() for name in libraries.split(",")}
    missing = [name for name in extensions if name in PRELOADED and name not in loaded]
    if missing:
        wanted = ",".join(dict.fromkeys(["pg_stat_statements", *filter(None, sorted(loaded)), *missing]))
        warn(
            construct,
            "LibraryNotPreloaded",
            f"the extensions {', '.join(missing)} can be created only where their libraries are preloaded: pass "
            f"parameters={{'shared_preload_libraries': {wanted!r}}}, or acknowledge "
            "'annotation::cdk-pinsafe:LibraryNotPreloaded'",
        )


def _is_missing(name: str, major: int | None) -> bool:
    return name not in EXTENSIONS if major is None else is_offered(name, major) is False


def _about(name: str, major: int | None) -> str:
    if majors := EXTENSIONS.get(name):
        versions = f"{majors[0]} to {majors[-1]}" if len(majors) > 1 else f"{majors[0]}"
        return f"extension {name!r} is offered by RDS for PostgreSQL {versions}, not {major}"
    close = difflib.get_close_matches(name.lower(), EXTENSIONS, n=1, cutoff=0.75)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"extension {name!r} is not offered by RDS for PostgreSQL{hint}"
