"""What a database has, and whether it is what is asked for: the reading part of a transaction, which changes nothing.

Whoever only wants to compare needs no more than this.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..errors import ApplyError
from ..settings import extension_of
from . import messages, sql
from .equivalence import elements, same
from .messages import ServerMessage, Target
from .plan import Key, LedgerRow, Value

_JUDGED_LATER: Final = "default_text_search_config"
"""Its value is looked up along the session's search_path, which is not an application's: only a fresh session knows."""
AWS_ROLES: Final = frozenset({"rdsadmin", "rdsproxyadmin", "rdsrepladmin", "rdstopmgr"})
"""Roles that RDS makes for itself. ``rdsadmin`` has its own ``TimeZone``, ``search_path``, ``statement_timeout`` and
more on every instance (read in dumps of ``pg_dumpall`` that others published; not tried on AWS): it is no concern of
anybody else's."""


class SupportsRun(Protocol):
    """A session, as far as it is used here."""

    def run(self, statement: str, **values: str) -> list[list[Any]]:
        """Run a statement; ``values`` are bound to its ``:name`` placeholders."""
        ...


@dataclass(frozen=True)
class State:
    """What a database has; see ``sql.STATE``."""

    user: str
    owner: str
    may_alter: bool
    stored: Mapping[Key, str]
    everywhere: frozenset[tuple[str, str]]
    roles: frozenset[str]
    installed: frozenset[str]


def read_state(session: SupportsRun, names: Iterable[str], roles: Iterable[str]) -> State:
    """Read what the database has, and which of the roles there are."""
    row = session.run(sql.STATE, names=json.dumps(list(names)), roles=json.dumps(list(roles)))[0]
    user, owner, may_alter, stored, everywhere, existing, installed = row
    return State(
        user,
        owner,
        may_alter,
        by_key(stored),
        frozenset((name, role) for name, role in everywhere or ()),
        frozenset(existing or ()),
        frozenset(installed or ()),
    )


def read_ledger(session: SupportsRun, target: Target) -> dict[Key, LedgerRow]:
    """Read what is managed; nothing where there is no ledger.

    Raises:
        ApplyError: the ledger cannot be trusted.
    """
    states = session.run(sql.LEDGER_STATE)
    if not states:
        return {}
    schema_owner, ours, has_table, genuine = states[0]
    if not ours or (has_table and not genuine):
        what = (
            "table cdk_pinsafe.setting is not the one that this library makes"
            if ours
            else (f'schema cdk_pinsafe belongs to "{messages.truncate(schema_owner, 63)}"')
        )
        raise ApplyError(
            f"{target}: {what}, so nothing is read from or written to it; nothing was changed; "
            "rename or drop it, or, if it is this library's, make the secret's user its owner and let nobody else "
            "write to it"
        )
    if not has_table:
        return {}
    return {
        Key(name, role): LedgerRow(owner, resource, _value(desired), applied, previous, adopted)
        for name, role, owner, resource, desired, applied, previous, adopted in session.run(sql.LEDGER)
    }


def judge(
    session: SupportsRun,
    settings: Mapping[Key, Value],
    ledger: Mapping[Key, LedgerRow],
    ours: Collection[Key],
    stored: Mapping[Key, str],
) -> tuple[set[Key], list[ServerMessage]]:
    """Let the server canonicalise what is desired and what stands. Changes nothing.

    Answers with those of ``settings`` that stand already, compared by meaning, and with refusals of values.
    """
    # What stands as it was left is not asked for again: the server may have come to refuse it, and a rollback must
    # not fail for that.
    standing = {key for key in settings.keys() & set(ours) if _is_as_left(ledger[key], settings[key], stored, key)}
    asked = {key: value for key, value in settings.items() if key not in standing}
    questions: list[tuple[str, Value]] = []
    for key, value in asked.items():
        questions.append((key.name, value))
        if (text := stored.get(key)) is not None:
            questions.append((key.name, elements(key.name, text) if isinstance(value, tuple) else text))
    extensions = extensions_of(key.name for key in {*settings, *ours})
    request(
        session,
        {
            "extensions": sorted(extensions),
            "values": [{"name": name, "value": value} for name, value in questions],
        },
    )
    session.run(sql.CANONICALIZE)
    answers = iter(result(session))
    refused: list[ServerMessage] = []
    for key, value in asked.items():
        answer = next(answers)
        # 42501 is not the last word: RDS lets its master user store some parameters that it may not set.
        if answer.get("sqlstate", "42501") != "42501" and key.name != _JUDGED_LATER:
            refused.append(ServerMessage(**answer, about=key.name, role=key.role))
        if key in stored:
            canonical = (answer.get("value"), next(answers).get("value"))
            if same(key.name, value, stored[key], canonical):
                standing.add(key)
    return standing, refused


def load_libraries(session: SupportsRun, extensions: Iterable[str]) -> None:
    """Load the libraries of these extensions into a session, which is in a transaction."""
    request(session, sorted(extensions))
    session.run(sql.LOAD_LIBRARIES)


def request(session: SupportsRun, what: object) -> None:
    """Leave a block its request."""
    session.run(sql.REQUEST, request=json.dumps(what, ensure_ascii=False))


def result(session: SupportsRun) -> Any:
    """Take a block's result."""
    return session.run(sql.RESULT)[0][0]


def by_key(rows: Iterable[tuple[str, str, str]] | None) -> dict[Key, str]:
    return {Key(name, role): text for name, role, text in rows or ()}


def find_role_overrides(
    names: Iterable[str],
    stored: Iterable[Key],
    everywhere: Iterable[tuple[str, str]],
    managed: Collection[Key],
) -> tuple[tuple[str, str], ...]:
    """Values of roles that beat the database's: in this database or, unless it has one of those, in every database."""
    wanted = set(names)
    found = {(key.name, key.role) for key in stored if key.role and key.name in wanted} | set(everywhere)
    return tuple(
        sorted((name, role) for name, role in found if role not in AWS_ROLES and Key(name, role) not in managed)
    )


def extensions_of(names: Iterable[str]) -> set[str]:
    """The extensions whose parameters these are."""
    return {extension for name in names if (extension := extension_of(name))}


def _is_as_left(row: LedgerRow, value: Value, stored: Mapping[Key, str], key: Key) -> bool:
    text = stored.get(key)
    if text is None:
        return False
    return (row.desired, row.applied) == (value, text) or value == (
        elements(key.name, text) if isinstance(value, tuple) else text
    )


def _value(desired: Any) -> Value:
    return tuple(desired) if isinstance(desired, list) else str(desired)
