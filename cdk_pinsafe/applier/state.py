"""Reads the state of a database, and compares it with desired settings. Changes nothing."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..errors import ApplyError
from ..settings import extension_of
from . import messages, sql
from .equivalence import is_equivalent, split_list
from .messages import ServerMessage, Target
from .plan import Key, LedgerRow, Value

_CHECKED_IN_FRESH_SESSION: Final = "default_text_search_config"
"""PostgreSQL looks its value up along the search_path. The applier's is not an application's."""
AWS_ROLES: Final = frozenset({"rdsadmin", "rdsproxyadmin", "rdsrepladmin", "rdstopmgr"})
"""Roles that RDS makes for itself. ``rdsadmin`` has its own ``TimeZone``, ``search_path``, ``statement_timeout`` and
more on every instance (from published dumps of ``pg_dumpall``; not tried on AWS)."""


class SupportsRun(Protocol):
    """A session that runs statements."""

    def run(self, statement: str, **values: str) -> list[list[Any]]:
        """Run a statement; ``values`` are bound to its ``:name`` placeholders."""
        ...


@dataclass(frozen=True)
class State:
    """The state of a database; see ``sql.STATE``.

    Attributes:
        user: the session's user.
        owner: the database's owner.
        may_alter: whether the user has the owner's privileges.
        stored: the texts that are stored for the database and for roles in it.
        in_all_databases: pairs of name and role: values that roles have in every database.
        roles: those of the given roles that exist.
        installed: the extensions in the database.
    """

    user: str
    owner: str
    may_alter: bool
    stored: Mapping[Key, str]
    in_all_databases: frozenset[tuple[str, str]]
    roles: frozenset[str]
    installed: frozenset[str]


def read_state(session: SupportsRun, names: Iterable[str], roles: Iterable[str]) -> State:
    """Read the state, with what roles have for these names, and which of these roles exist."""
    row = session.run(sql.STATE, names=json.dumps(list(names)), roles=json.dumps(list(roles)))[0]
    user, owner, may_alter, stored, in_all_databases, existing, installed = row
    return State(
        user,
        owner,
        may_alter,
        by_key(stored),
        frozenset((name, role) for name, role in in_all_databases or ()),
        frozenset(existing or ()),
        frozenset(installed or ()),
    )


def read_ledger(session: SupportsRun, target: Target) -> dict[Key, LedgerRow]:
    """Read the ledger; empty if there is none.

    Raises:
        ApplyError: the ledger cannot be trusted.
    """
    states = session.run(sql.LEDGER_STATE)
    if not states:
        return {}
    schema_owner, is_owned, has_table, is_genuine = states[0]
    if not is_owned or (has_table and not is_genuine):
        what = (
            "table cdk_pinsafe.setting is not the one that this library makes"
            if is_owned
            else (f'schema cdk_pinsafe belongs to "{messages.truncate(schema_owner, 63)}"')
        )
        raise ApplyError(
            f"{target}: {what}, so nothing is read from or written to it; nothing was changed; "
            "rename or drop it, or, if it is this library's, make the secret's user its owner and revoke the write "
            "privileges of all others"
        )
    if not has_table:
        return {}
    return {
        Key(name, role): LedgerRow(owner, resource, _value(desired), applied, previous, adopted)
        for name, role, owner, resource, desired, applied, previous, adopted in session.run(sql.LEDGER)
    }


def compare_with_stored(
    session: SupportsRun,
    desired: Mapping[Key, Value],
    ledger: Mapping[Key, LedgerRow],
    owned: Collection[Key],
    stored: Mapping[Key, str],
) -> tuple[set[Key], list[ServerMessage]]:
    """Let the server canonicalize the desired values and the stored texts, and compare them.

    Loads the libraries of the extensions that ``desired`` and ``owned`` need.

    Returns:
        Those of ``desired`` that have an equivalent value stored, and the errors of values that PostgreSQL refuses.
    """
    # An unchanged value is not checked again: the server may refuse it today, and a rollback must not fail for that.
    in_place = {key for key in desired.keys() & set(owned) if _is_unchanged(ledger[key], desired[key], stored, key)}
    unchecked = {key: value for key, value in desired.items() if key not in in_place}
    values: list[tuple[str, Value]] = []
    for key, value in unchecked.items():
        values.append((key.name, value))
        if (text := stored.get(key)) is not None:
            values.append((key.name, split_list(key.name, text) if isinstance(value, tuple) else text))
    request = {
        "extensions": sorted(extensions_of(key.name for key in {*desired, *owned})),
        "values": [{"name": name, "value": value} for name, value in values],
    }
    answers = iter(run_block(session, sql.CANONICALIZE, request))
    refused: list[ServerMessage] = []
    for key, value in unchecked.items():
        answer = next(answers)
        # 42501 is not final: RDS lets its master user store some parameters that it may not set in a session.
        if answer.get("sqlstate", "42501") != "42501" and key.name != _CHECKED_IN_FRESH_SESSION:
            refused.append(ServerMessage(**answer, about=key.name, role=key.role))
        if key in stored:
            canonical = (answer.get("value"), next(answers).get("value"))
            if is_equivalent(key.name, value, stored[key], canonical):
                in_place.add(key)
    return in_place, refused


def load_libraries(session: SupportsRun, extensions: Iterable[str]) -> None:
    """Load the libraries of these extensions into a session, which is in a transaction."""
    set_request(session, sorted(extensions))
    session.run(sql.LOAD_LIBRARIES)


def run_block(session: SupportsRun, block: str, request: object) -> Any:
    """Run a DO block with its request, and return its result."""
    set_request(session, request)
    session.run(block)
    return session.run(sql.RESULT)[0][0]


def set_request(session: SupportsRun, request: object) -> None:
    """Set the request of the DO block that is run next."""
    session.run(sql.REQUEST, request=json.dumps(request, ensure_ascii=False))


def by_key(rows: Iterable[tuple[str, str, str]] | None) -> dict[Key, str]:
    """Texts by setting, from rows of name, role, text."""
    return {Key(name, role): text for name, role, text in rows or ()}


def find_role_overrides(
    names: Iterable[str],
    stored: Iterable[Key],
    in_all_databases: Iterable[tuple[str, str]],
    managed: Collection[Key],
) -> tuple[tuple[str, str], ...]:
    """Pairs of name and role: unmanaged values of roles, in this database or in all, that override the database's."""
    wanted = set(names)
    found = {(key.name, key.role) for key in stored if key.role and key.name in wanted} | set(in_all_databases)
    return tuple(
        sorted((name, role) for name, role in found if role not in AWS_ROLES and Key(name, role) not in managed)
    )


def extensions_of(names: Iterable[str]) -> set[str]:
    """The extensions that these parameters belong to."""
    return {extension for name in names if (extension := extension_of(name))}


def _is_unchanged(row: LedgerRow, value: Value, stored: Mapping[Key, str], key: Key) -> bool:
    text = stored.get(key)
    if text is None:
        return False
    return (row.desired, row.applied) == (value, text) or value == (
        split_list(key.name, text) if isinstance(value, tuple) else text
    )


def _value(desired: Any) -> Value:
    return tuple(desired) if isinstance(desired, list) else str(desired)
