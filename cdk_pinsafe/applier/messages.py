"""Error messages of one line, short enough for CloudFormation, each with its remedy at the end.

This module knows SQLSTATEs and remedies. It knows nothing of connections or events.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ..settings import extension_of
from .plan import Key

LONGEST: Final = 990
"""Characters. CloudFormation shows about a thousand of a reason."""
_BYTES_PER_CHARACTER: Final = 2.5
"""Bytes of UTF-8 that a character may have on average: a whole message stays below 2,500."""
_MOST_REPORTED: Final = 400
_LEAST_REPORTED: Final = 200
"""Characters of the message of each database, if several databases failed."""
_NAMES_REPORTED: Final = 200
"""Characters for the names of the databases whose messages do not fit."""
_QUOTED: Final = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_LISTED: Final = re.compile(r"\[.*\]")
_TABLESPACES: Final = ("default_tablespace", "temp_tablespaces")
_PRELOADED: Final = (
    "its library must be loaded at the server's start: add it to shared_preload_libraries in the parameter group, and "
    "reboot"
)
_OBJECTS_EXIST: Final = (
    "the database has an object of that name already, which is not this extension's: drop it, or move it to another "
    "schema"
)
_EXTENSION_REMEDIES: Final = {
    "3F000": "create schema public, or create the extension manually in another schema",
    "42501": "the secret's user needs CREATE on the database; on RDS, an extension that is not trusted also needs "
    "membership in rds_superuser, and all of them a place in the parameter rds.allowed_extensions, where that is set",
    "42704": "check that what the message names exists; for a missing parameter, add the library to "
    "shared_preload_libraries in the parameter group",
    "42710": _OBJECTS_EXIST,
    "42723": _OBJECTS_EXIST,
    "42P06": _OBJECTS_EXIST,
    "42P07": _OBJECTS_EXIST,
    "55000": _PRELOADED,
    "57014": "it took longer than the applier has: create the extension manually, then deploy again",
}
_EXTENSION_REMEDY: Final = (
    "the extension's own script failed: see its documentation for what it needs; CREATE EXTENSION in psql as the same "
    "user fails with the same error"
)
_CRON_REMEDY: Final = (
    "pg_cron must be in shared_preload_libraries in the parameter group when the server starts, and can only be "
    "created in the database that cron.database_name names there, by default postgres"
)


@dataclass(frozen=True)
class Target:
    """A database and its server. ``str`` gives its name in messages."""

    host: str
    port: int
    database: str

    def __str__(self) -> str:
        return f'database "{truncate(self.database, 70)}" at {truncate(self.host, 100)}:{self.port}'


@dataclass(frozen=True)
class ServerMessage:
    """An ErrorResponse of PostgreSQL.

    Attributes:
        sqlstate: five characters.
        message: the primary message, in the server's language.
        detail: the detail, or empty.
        hint: the hint, or empty.
        about: the parameter or extension of the statement, or empty.
        role: the role of the parameter, or empty.
        role_lock: why the user may not alter that role at all. ``superuser``: the role is one; ``createrole``: the user
            lacks CREATEROLE; ``admin``: the user lacks the ADMIN option on the role, which PostgreSQL 16 and later
            require. Empty if the user may alter it.
        user: the user who ran the statement, or empty.
    """

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    about: str = ""
    role: str = ""
    role_lock: str = ""
    user: str = ""

    def __str__(self) -> str:
        parts = [truncate(self.message, 350)]
        if self.detail:
            parts.append(f"DETAIL: {truncate(self.detail, 150)}")
        if self.hint:
            parts.append(f"HINT: {truncate(self.hint, 200)}")
        return f"{'; '.join(part.rstrip('.') for part in parts)} (SQLSTATE {self.sqlstate})"


def truncate(text: str, length: int) -> str:
    """The text in one line of printable characters, of at most ``length`` characters and 2.5 times as many bytes."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if _size(line) <= length:
        return line
    return line[: length - 1].encode()[: int(length * _BYTES_PER_CHARACTER) - 3].decode(errors="ignore") + "…"


def truncate_quoted(text: str, length: int) -> str:
    """Like :func:`truncate`, but truncates quoted texts and lists first, to keep the remedy at the end."""
    for pattern in (_QUOTED, _LISTED):
        if _size(text) > length:
            text = pattern.sub(lambda match: _truncate_inside(match[0]), text)
    return truncate(text, length)


def list_names(items: Iterable[str], length: int = 200) -> str:
    """Names joined by commas, as many as fit into ``length`` bytes of JSON, and how many more there are."""
    all_items = list(items)
    shown: list[str] = []
    used = 0
    for item in all_items:
        used += len(json.dumps(item))
        if shown and used > length:
            break
        shown.append(truncate(item, length))
    rest = len(all_items) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def setting_refused(
    target: Target,
    error: ServerMessage,
    *,
    installed: Iterable[str],
    others: Iterable[str] = (),
    is_known: bool = True,
) -> str:
    """PostgreSQL refused a parameter.

    Args:
        target: the database.
        error: PostgreSQL's error, with the parameter's name.
        installed: the extensions in the database.
        others: further parameters that PostgreSQL refused in the same run.
        is_known: whether the server may have the extension of the parameter.
    """
    more = f"; also refused: {list_names(others, 120)}" if others else ""
    of_role = f' of role "{truncate(error.role, 63)}"' if error.role else ""
    return _message(
        f'setting "{truncate(error.about, 100)}"{of_role} in {target}',
        error,
        f"nothing was changed; {_remedy(error, set(installed), is_known)}{more}",
    )


def extension_refused(target: Target, error: ServerMessage, *, is_available: bool) -> str:
    """PostgreSQL refused to create an extension.

    Args:
        target: the database.
        error: PostgreSQL's error, with the extension's name.
        is_available: whether the server has such an extension.
    """
    return _message(
        f'extension "{truncate(error.about, 100)}" in {target}',
        error,
        f"nothing was changed; {_extension_remedy(error, is_available)}",
    )


def other_error(target: Target, error: ServerMessage) -> str:
    """PostgreSQL refused a statement that belongs to no parameter."""
    return _message(str(target), error, "nothing was changed")


def not_owner(target: Target, user: str, owner: str) -> str:
    """The user may not alter the database."""
    return (
        f'{target}: user "{truncate(user, 63)}" may not alter it, its owner is "{truncate(owner, 63)}"; nothing was '
        "changed; use the owner's secret, or make the user its owner with ALTER DATABASE ... OWNER TO"
    )


def role_missing(target: Target, role: str, others: Iterable[str]) -> str:
    """The server does not have the role of a desired setting."""
    more = f" (likewise {list_names(others, 120)})" if others else ""
    return (
        f'role "{truncate(role, 63)}"{more} in {target}: the server has no such role; nothing was changed; '
        "create it first, or correct its name, which is case-sensitive"
    )


def overridden_by_role(target: Target, overrides: Iterable[tuple[str, str]]) -> str:
    """Values of roles override desired settings of the database. ``overrides`` are pairs of name and role."""
    (name, role), *more = overrides
    others = f" (likewise {list_names((str(Key(*override)) for override in more), 200)})" if more else ""
    return (
        f'setting "{truncate(name, 100)}" in {target}: role "{truncate(role, 63)}" has a value of its own, which '
        f"overrides the database's{others}; nothing was changed; remove it with ALTER ROLE ... RESET or ALTER ROLE ... "
        "IN DATABASE ... RESET, or set it in role_settings, or pass on_role_override=OnRoleOverride.WARN"
    )


def batch_failed(server: str, failures: Mapping[str, str], number: int, others: str) -> str:
    """Some of several databases failed.

    Args:
        server: host and port.
        failures: database to message; as many messages as fit are reported, of the rest the names.
        number: how many databases there are.
        others: what happened to the other databases.
    """
    head = f"{len(failures)} of {number} databases at {truncate(server, 100)} failed"
    left = LONGEST - len(head) - len(others) - 4
    reported: list[str] = []
    rest = list(failures)
    while rest and (not reported or left > _LEAST_REPORTED + len(list_names(rest, _NAMES_REPORTED))):
        length = min(_MOST_REPORTED, max(_LEAST_REPORTED, left - _NAMES_REPORTED))
        message = truncate_quoted(failures[rest.pop(0)], length)
        left -= _size(message) + 4
        reported.append(message)
    names = f"; likewise failed: {list_names(rest, max(20, min(_NAMES_REPORTED, left - 40)))}" if rest else ""
    return f"{head}; {others}: {' | '.join(reported)}{names}"


def owned_by_another(target: Target, conflicts: Mapping[Key, str]) -> str:
    """Another construct manages desired settings. ``conflicts`` maps setting to owner."""
    key, owner = next(iter(conflicts.items()))
    others = [str(other) for other in conflicts if other != key]
    more = f" (likewise {list_names(others, 120)})" if others else ""
    of_role = f' of role "{truncate(key.role, 63)}"' if key.role else ""
    return (
        f'setting "{truncate(key.name, 100)}"{of_role}{more} in {target} is already managed by '
        f'"{truncate(owner, 200)}"; nothing was changed; keep it in one place: remove it there first, '
        "in a deployment of its own"
    )


def _message(head: str, error: ServerMessage, tail: str) -> str:
    """Head and tail in full, and as much of PostgreSQL's error as fits between them."""
    return f"{head}: {truncate(str(error), LONGEST - _size(head) - _size(tail) - 4)}; {tail}"


def _size(text: str) -> int:
    """The length in characters, each of which may have 2.5 bytes on average."""
    return max(len(text), math.ceil(len(text.encode(errors="replace")) / _BYTES_PER_CHARACTER))


def _truncate_inside(quoted: str) -> str:
    return f"{truncate(quoted[:-1], 99)}{quoted[-1]}" if _size(quoted) > 100 else quoted


def _extension_remedy(error: ServerMessage, is_available: bool) -> str:
    if not is_available:
        return "the server has no such extension: check its name (pgvector's is vector) and the engine's version"
    if error.about == "pg_cron" and error.sqlstate != "42501":
        return _CRON_REMEDY
    # The parameter's name is in the message in every language.
    if "shared_preload_libraries" in f"{error.message} {error.detail} {error.hint}":
        return _PRELOADED
    return _EXTENSION_REMEDIES.get(error.sqlstate, _EXTENSION_REMEDY)


def _remedy(error: ServerMessage, installed: set[str], is_known: bool) -> str:
    extension = extension_of(error.about)
    if error.role_lock:
        return _role_remedy(error)
    match error.sqlstate:
        case "42501" if extension and extension not in installed and not is_known:
            return (
                f"the server has no extension {extension!r}: a custom parameter needs GRANT SET ON PARAMETER by a "
                "superuser, and RDS has none; keep the value in a table, or in a function that returns it"
            )
        case "42501" if extension and extension not in installed:
            return (
                f"the extension {extension!r} is not in the database: add it to 'extensions', or, if it is not an "
                "extension, put the parameter in a parameter group"
            )
        case "42501":
            return "this user may not set it: put it in a parameter group"
        case "22023" | "42704" if error.about in _TABLESPACES:
            return "create the tablespace first, or correct the value"
        case "42704" if error.role and "role" in error.message:
            return "the role was dropped meanwhile: create it first"
        case "42704":
            return "check its spelling, and that this version of PostgreSQL has it"
        case "42602":
            return "check its spelling, and that the extension's version has it"
        case "55P02":
            return "put it in a parameter group"
        case _:
            return "correct the value"


def _role_remedy(error: ServerMessage) -> str:
    """How to let the user alter the role.

    A member of ``rds_iam`` logs in by IAM only, and the user could become one through the role. ``INHERIT FALSE`` was
    enough on RDS to keep the password login (https://github.com/crossplane-contrib/provider-sql/issues/359).
    """
    role, user = _quoted(error.role), _quoted(error.user)
    if error.role_lock == "superuser":
        return "the role is a superuser, which only superusers alter: remove it from role_settings"
    if error.role_lock == "createrole":
        return (
            f"the secret's user may not alter this role: run ALTER ROLE {user} CREATEROLE, and on PostgreSQL 16 and "
            f"later, as the role's creator, GRANT {role} TO {user} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )
    return (
        "the secret's user may not alter this role: run, as the role's creator, "
        f"GRANT {role} TO {user} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE; if the role is in rds_iam, INHERIT would "
        "end this user's password login"
    )


def _quoted(identifier: str) -> str:
    return '"' + truncate(identifier, 63).replace('"', '""') + '"'
