"""One-line failure messages, short enough for CloudFormation, each ending with what to do.

Knows SQLSTATEs and remedies; knows nothing of connections or events.
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
"""Characters: CloudFormation shows about a thousand of a reason."""
_BYTES: Final = 2.5
"""Bytes of UTF-8 that a character may have on average: the whole message stays below 2,500."""
_MOST_TOLD: Final = 400
_LEAST_TOLD: Final = 200
_NAMES_TOLD: Final = 200
"""Characters: how much of one database's failure is told, and of the names of further ones, where several failed."""
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
    "3F000": "create schema public, or create the extension by hand in another schema",
    "42501": "the secret's user needs CREATE on the database; on RDS, an extension that is not trusted also needs "
    "membership in rds_superuser, and all of them a place in the parameter rds.allowed_extensions, where that is set",
    "42704": "see that what the message names exists; of a parameter that is missing, the library must be in "
    "shared_preload_libraries in the parameter group",
    "42710": _OBJECTS_EXIST,
    "42723": _OBJECTS_EXIST,
    "42P06": _OBJECTS_EXIST,
    "42P07": _OBJECTS_EXIST,
    "55000": _PRELOADED,
    "57014": "it took longer than the applier has: create the extension by hand, then deploy again",
}
_EXTENSION_REMEDY: Final = (
    "the extension's own script failed: its documentation says what it needs, and CREATE EXTENSION by hand, as the "
    "same user, fails alike"
)
_CRON_REMEDY: Final = (
    "pg_cron must be in shared_preload_libraries in the parameter group, from the server's start on, and can only be "
    "created in the database that cron.database_name names there, which is postgres unless set"
)


@dataclass(frozen=True)
class Target:
    """The database that is worked on. Its text form is how messages name it."""

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
        detail: more of it, or empty.
        hint: PostgreSQL's own advice, or empty.
        about: the parameter or extension that the statement was for, or empty.
        role: the role that the parameter was for, or empty.
        role_lock: why the user may not alter that role at all: ``superuser``: the role is one; ``createrole``: the user
            lacks CREATEROLE; ``admin``: the user lacks the ADMIN option on the role, which PostgreSQL 16 and later ask
            for. Empty if the user may.
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
    """The text in one line of printable characters, cut to a length, and to as many bytes as are its share."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if _weight(line) <= length:
        return line
    return line[: length - 1].encode()[: int(length * _BYTES) - 3].decode(errors="ignore") + "…"


def truncate_quoted(text: str, length: int) -> str:
    """The same, but cut first within what it quotes: what to do comes last, and must survive."""
    if _weight(text) > length:
        text = _QUOTED.sub(lambda match: _shortened(match[0]), text)
    if _weight(text) > length:
        text = _LISTED.sub(lambda match: _shortened(match[0]), text)
    return truncate(text, length)


def names(items: Iterable[str], length: int = 200) -> str:
    """Names joined by commas, as many as fit, and how many more there are; a byte of JSON counts as a character."""
    every = list(items)
    shown: list[str] = []
    used = 0
    for item in every:
        used += len(json.dumps(item))
        if shown and used > length:
            break
        shown.append(truncate(item, length))
    rest = len(every) - len(shown)
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
        error: what PostgreSQL said, with the parameter's name.
        installed: the extensions that the database has.
        others: further parameters that it refused in the same run.
        is_known: whether there is an extension that the parameter can be of.
    """
    more = f"; also refused: {names(others, 120)}" if others else ""
    of_role = f' of role "{truncate(error.role, 63)}"' if error.role else ""
    return _fitted(
        f'setting "{truncate(error.about, 100)}"{of_role} in {target}',
        error,
        f"nothing was changed; {_remedy(error, set(installed), is_known)}{more}",
    )


def extension_refused(target: Target, error: ServerMessage, *, is_offered: bool) -> str:
    """PostgreSQL refused to create an extension.

    Args:
        target: the database.
        error: what PostgreSQL said, with the extension's name.
        is_offered: whether the server has such an extension.
    """
    return _fitted(
        f'extension "{truncate(error.about, 100)}" in {target}',
        error,
        f"nothing was changed; {_extension_remedy(error, is_offered)}",
    )


def other_error(target: Target, error: ServerMessage) -> str:
    """PostgreSQL refused something that belongs to no parameter."""
    return _fitted(str(target), error, "nothing was changed")


def not_owner(target: Target, user: str, owner: str) -> str:
    """The user may not alter the database."""
    return (
        f'{target}: user "{truncate(user, 63)}" may not alter it, its owner is "{truncate(owner, 63)}"; nothing was changed; '
        "use the owner's secret, or make the user its owner with ALTER DATABASE ... OWNER TO"
    )


def role_missing(target: Target, role: str, others: Iterable[str]) -> str:
    """Settings were asked for a role that the server does not have."""
    more = f" (likewise {names(others, 120)})" if others else ""
    return (
        f'role "{truncate(role, 63)}"{more} in {target}: the server has no such role; nothing was changed; '
        "create it first, or correct its name, in which case counts"
    )


def shadowed(target: Target, shadows: Iterable[tuple[str, str]]) -> str:
    """Values of roles beat what was to be set for the database. ``shadows`` are pairs of name and role."""
    (name, role), *more = shadows
    others = f" (likewise {names((str(Key(*shadow)) for shadow in more), 200)})" if more else ""
    return (
        f'setting "{truncate(name, 100)}" in {target}: role "{truncate(role, 63)}" has a value of its own, which beats the '
        f"database's{others}; nothing was changed; take it away with ALTER ROLE ... RESET or ALTER ROLE ... IN "
        "DATABASE ... RESET, or say it in role_settings, or pass on_role_override='warn'"
    )


def batch_failed(where: str, failures: Mapping[str, str], number: int, what_of_others: str) -> str:
    """Some of several databases failed. ``failures`` maps each to its message; as many as fit are told in full."""
    head = f"{len(failures)} of {number} databases at {truncate(where, 100)} failed"
    room = LONGEST - len(head) - len(what_of_others) - 4
    told: list[str] = []
    rest = list(failures)
    while rest and (not told or room > _LEAST_TOLD + len(names(rest, _NAMES_TOLD))):
        message = truncate_quoted(failures[rest[0]], min(_MOST_TOLD, max(_LEAST_TOLD, room - _NAMES_TOLD)))
        room -= _weight(message) + 4
        told.append(message)
        rest.pop(0)
    others = f"; likewise failed: {names(rest, max(20, min(_NAMES_TOLD, room - 40)))}" if rest else ""
    return f"{head}; {what_of_others}: {' | '.join(told)}{others}"


def owned_by_another(target: Target, conflicts: Mapping[Key, str]) -> str:
    """Settings that another construct manages already. ``conflicts`` maps setting to owner."""
    key, owner = next(iter(conflicts.items()))
    others = [str(other) for other in conflicts if other != key]
    more = f" (likewise {names(others, 120)})" if others else ""
    of_role = f' of role "{truncate(key.role, 63)}"' if key.role else ""
    return (
        f'setting "{truncate(key.name, 100)}"{of_role}{more} in {target} is already managed by "{truncate(owner, 200)}"; '
        "nothing was changed; keep it in one place: remove it there first, in a deployment of its own"
    )


def _fitted(head: str, error: ServerMessage, tail: str) -> str:
    """What is wrong and what to do have their room; PostgreSQL's words get the rest."""
    return f"{head}: {truncate(str(error), LONGEST - _weight(head) - _weight(tail) - 4)}; {tail}"


def _weight(text: str) -> int:
    return max(len(text), math.ceil(len(text.encode(errors="replace")) / _BYTES))


def _shortened(quoted: str) -> str:
    return f"{truncate(quoted[:-1], 99)}{quoted[-1]}" if _weight(quoted) > 100 else quoted


def _extension_remedy(error: ServerMessage, is_offered: bool) -> str:
    if not is_offered:
        return "the server offers no such extension: check its name (pgvector's is vector) and the engine's version"
    if error.about == "pg_cron" and error.sqlstate != "42501":
        return _CRON_REMEDY
    # The parameter's name is in the message whatever the language.
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
                f"the server offers no extension {extension!r}: a parameter of one's own needs GRANT SET ON PARAMETER "
                "by a superuser, which RDS has none of; keep the value in a table, or in a function that returns it"
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
    """What lets the user alter the role.

    A member of ``rds_iam`` logs in by IAM only, and the user would become one through the role. ``INHERIT FALSE`` was
    enough on RDS to keep the password login (https://github.com/crossplane-contrib/provider-sql/issues/359).
    """
    role, user = _quoted(error.role), _quoted(error.user)
    if error.role_lock == "superuser":
        return "the role is a superuser, which only superusers alter: take it out of role_settings"
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
