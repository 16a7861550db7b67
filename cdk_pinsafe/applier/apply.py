"""Bring one database to its settings: one transaction, then a look from outside.

The transaction reads, plans, changes and notes in the ledger; any error undoes all of it, and an error that may pass is
answered by the whole transaction again. So the database holds all of the old or all of the new at any time, and the
same event may be repeated at will.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..errors import ApplyError, PinSafeError, UnreachableError
from ..settings import extension_of
from . import log, messages, sql
from .compare import elements, same
from .connection import (
    AuthenticationError,
    DatabaseMissingError,
    ServerError,
    Session,
    connect,
    immune_options,
)
from .deadline import Deadline, TransientError, persist
from .messages import ServerMessage
from .plan import LedgerRow, OwnedByAnotherError, Plan, Value, plan
from .properties import NOTHING, Identity, Wish
from .secret import Credentials, SecretMissingError
from .verify import Verified, verify

_ROTATION_PAUSE: Final = 2.0
_LOOKING: Final = 0.6
"""The part of the time that is left which verification may use; the rest is for undoing."""
_JUDGED_LATER: Final = "default_text_search_config"
"""Its value is looked up along the session's search_path, which is not an application's: only a fresh session knows."""
_WAY_OUT: Final = (
    "if it is gone for good, delete the stack with --retain-resources for this resource, or set removal_policy=RETAIN "
    "and deploy that first"
)


@dataclass(frozen=True)
class Outcome:
    """What an apply did; names in lower case.

    Attributes:
        applied: settings asked for, which all stand now.
        changed: those whose stored value was replaced.
        adopted: those that stood so already and are managed from now on.
        reset: settings no longer asked for that were taken back: removed, or replaced by what stood before.
        left: settings no longer asked for that somebody else had changed; they stay as they are.
        repaired: those of ``changed`` that somebody else had changed.
        refused: settings that could not be taken back, with the SQLSTATE; they stay in the database, unmanaged.
        shadows: role-level values that beat the database's for their role, as pairs of name and role.
    """

    applied: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    shadows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Done:
    """What a committed transaction leaves to verify, and to undo."""

    outcome: Outcome
    stored: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, Value] = field(default_factory=dict)


class Door:
    """Opens sessions on a database, and reads the secret again, once, if the password was rotated meanwhile."""

    def __init__(self, identity: Identity, read_secret: Callable[[str], Credentials]) -> None:
        self.target = identity.target
        self._arn = identity.secret_arn
        self._read = read_secret
        self._credentials: Credentials | None = None
        self._may_reread = True

    def open(self, deadline: Deadline, options: Mapping[str, str]) -> Session:
        """Connect; see :func:`~.connection.connect` for what is raised."""
        if self._credentials is None:
            self._credentials = self._read(self._arn)
        try:
            return connect(self.target, self._credentials, deadline, options)
        except AuthenticationError as error:
            refused = str(error)
        if self._may_reread:
            self._may_reread = False
            # A rotation changes the password in the database a moment before it changes the secret.
            time.sleep(min(_ROTATION_PAUSE, deadline.left))
            tried, self._credentials = self._credentials, self._read(self._arn)
            if self._credentials != tried:
                log.info("secret_rotated")
                return self.open(deadline, options)
        raise ApplyError(
            f"{self.target}: {refused}; the secret {self._arn} does not open it: correct or rotate the secret"
        )


def apply(
    identity: Identity,
    wish: Wish,
    predecessors: Iterable[str],
    read_secret: Callable[[str], Credentials],
    deadline: Deadline,
    *,
    undo: bool,
) -> Outcome:
    """Bring the database to what is wished for, and see that a fresh session gets it.

    Args:
        identity: which database, for whom.
        wish: settings and extensions.
        predecessors: owners whose settings the owner takes over.
        read_secret: reads credentials by ARN.
        deadline: when the answer must be ready.
        undo: whether to go back to what the owner had asked for before if fresh sessions do not get the settings:
            CloudFormation does not roll a failed creation back by another event.

    Raises:
        PinSafeError: why not, and what to do. Nothing of the change was kept, unless the message says so.
    """
    door = Door(identity, read_secret)
    owners = {identity.owner, *predecessors}
    done = _transact(door, identity, wish, lambda row: row.owner in owners, deadline)
    try:
        verified = _verify(door, wish, done, deadline)
    except PinSafeError as error:
        if not undo:
            raise
        failure = error
    else:
        shadowed = {name for name, _ in done.outcome.shadows}
        log.info("verified", names=len(wish.settings), shadowed=verified.shadowed, drifted=verified.drifted)
        more = tuple((name, "") for name in verified.shadowed if name not in shadowed)
        return replace(done.outcome, shadows=done.outcome.shadows + more)
    raise _undone(door, identity, done, failure, deadline)


def remove(identity: Identity, resource: str, read_secret: Callable[[str], Credentials], deadline: Deadline) -> Outcome:
    """Give up all settings of a resource. A database that is gone needs nothing. Extensions are never dropped.

    Only what bears the resource's physical id is given up. After a replacement CloudFormation deletes the old resource,
    and both may be one database (a host's alias, a construct that was moved), managed by the new resource by then.
    """
    door = Door(identity, read_secret)
    try:
        return _transact(door, identity, NOTHING, lambda row: row.resource == resource, deadline, in_time=False).outcome
    except DatabaseMissingError:
        log.warning("database_missing", database=identity.target.database)
        return Outcome()
    except (UnreachableError, SecretMissingError) as error:
        failure = type(error)(f"{messages.clip(str(error), 750)}; {_WAY_OUT}")
    raise failure


def _verify(door: Door, wish: Wish, done: _Done, deadline: Deadline) -> Verified:
    asked = tuple(wish.settings)
    touched = {*done.outcome.changed, *done.outcome.adopted}
    return verify(door.target, door.open, asked, touched, done.stored, _extensions_of(asked), deadline.share(_LOOKING))


def _undone(door: Door, identity: Identity, done: _Done, failure: PinSafeError, deadline: Deadline) -> PinSafeError:
    try:
        _transact(door, identity, Wish(done.before), lambda row: row.owner == identity.owner, deadline, in_time=False)
    except PinSafeError as error:
        log.error("undo_failed", kind=type(error).__name__)
        how = (
            f"undoing it failed too ({messages.clip(str(error), 200)}): the new values stand until the next deployment"
        )
    else:
        log.warning("undone", names=len(done.outcome.changed))
        how = "it was undone"
    return type(failure)(f"{messages.clip(str(failure), 700)}; {how}")


def _transact(
    door: Door,
    identity: Identity,
    wish: Wish,
    is_ours: Callable[[LedgerRow], bool],
    deadline: Deadline,
    *,
    in_time: bool = True,
) -> _Done:
    """Run the transaction until it is committed; with ``in_time`` only while what follows a commit still fits."""
    first: _Done | None = None

    def attempt() -> _Done:
        nonlocal first
        with door.open(deadline, immune_options(deadline)) as session:
            transaction = _Transaction(session, identity, is_ours)
            done = transaction.run(wish)
            if in_time and not session.has_time_after_commit:
                raise UnreachableError(
                    f"{door.target}: the server answers so slowly that no time is left to verify a change; nothing "
                    "was changed; see what the server is busy with, then deploy again"
                )
            # A COMMIT whose answer is lost may have been done: then the next attempt meets rows of its own making.
            first = first or done
            transaction.commit()
        return replace(first, stored=done.stored)

    try:
        return persist(attempt, deadline, str(door.target))
    except UnreachableError as error:
        failure = error
    if first:
        failure = UnreachableError(f"{messages.clip(str(failure), 850)}; the change may have been committed")
    raise failure


class _Transaction:
    """The steps of one transaction, each one statement or block however many settings there are."""

    def __init__(self, session: Session, identity: Identity, is_ours: Callable[[LedgerRow], bool]) -> None:
        self._session = session
        self._target = identity.target
        self._identity = identity
        self._is_ours = is_ours
        self._installed: frozenset[str] = frozenset()

    def run(self, wish: Wish) -> _Done:
        """Do everything but the COMMIT."""
        try:
            self._begin()
            (user, database_owner, may_alter, stored, shadows, installed) = self._state(wish)
            self._installed = frozenset(installed)
            ledger = self._ledger()
            self._create(wish.extensions)
            todo = self._plan(wish, ledger, stored)
            if todo.is_empty:
                result: dict[str, Any] = {"refused": [], "stored": stored}
            else:
                if not may_alter:
                    raise ApplyError(messages.not_owner(self._target, user, database_owner))
                result = self._act(todo, stored)
        except ServerError as error:
            failure = self._in_words(error.answer)
        except OwnedByAnotherError as error:
            failure = ApplyError(messages.owned_by_another(self._target, error.conflicts))
        else:
            return self._done(wish, todo, ledger, shadows, result)
        raise failure

    def commit(self) -> None:
        try:
            self._session.run(sql.COMMIT)
        except ServerError as error:
            failure = self._in_words(error.answer)
        else:
            return
        raise failure

    def _begin(self) -> None:
        (in_recovery, database) = self._session.run(sql.IDENTITY)[0]
        if database != self._target.database:
            raise ApplyError(
                f'{self._target}: names have at most 63 bytes, PostgreSQL took "{messages.clip(database, 63)}" for it; '
                "give the name that the database has"
            )
        if in_recovery:
            raise ApplyError(
                f"{self._target}: it is a read replica, nothing can be set there; give the writer's host: "
                "replicas get the settings by replication"
            )
        self._session.run(sql.BEGIN)
        if self._session.major_version >= 17:
            self._session.run(sql.NO_TRANSACTION_TIMEOUT)
        self._session.run(sql.LOCK)

    def _state(self, wish: Wish) -> tuple[str, str, bool, dict[str, str], list[list[str]], list[str]]:
        row = self._session.run(sql.STATE, names=json.dumps(list(wish.settings)))[0]
        user, owner, may_alter, stored, shadows, installed = row
        return user, owner, may_alter, stored or {}, sorted(shadows or []), installed or []

    def _ledger(self) -> dict[str, LedgerRow]:
        states = self._session.run(sql.LEDGER_STATE)
        if not states:
            return {}
        schema_owner, ours, has_table, genuine = states[0]
        if not ours or (has_table and not genuine):
            what = (
                "table cdk_pinsafe.setting is not the one that this library makes"
                if ours
                else (f'schema cdk_pinsafe belongs to "{messages.clip(schema_owner, 63)}"')
            )
            raise ApplyError(
                f"{self._target}: {what}, so nothing is read from or written to it; nothing was changed; "
                "rename or drop it, or, if it is this library's, make the secret's user its owner and let nobody else "
                "write to it"
            )
        if not has_table:
            return {}
        return {
            name: LedgerRow(owner, resource, _value(desired), applied, previous, adopted)
            for name, owner, resource, desired, applied, previous, adopted in self._session.run(sql.LEDGER)
        }

    def _create(self, extensions: tuple[str, ...]) -> None:
        missing = [name for name in dict.fromkeys(extensions) if name not in self._installed]
        if not missing:
            return
        self._request(missing)
        try:
            self._session.take_all_time()
            self._session.run(sql.CREATE_EXTENSIONS)
        except ServerError as error:
            answer = replace(error.answer, about=error.answer.about or messages.names(missing, 100))
            failure = ApplyError(messages.extension_refused(self._target, answer))
        else:
            log.info("extensions_created", extensions=missing)
            self._installed |= set(missing)
            return
        raise failure

    def _plan(self, wish: Wish, ledger: Mapping[str, LedgerRow], stored: Mapping[str, str]) -> Plan:
        """Let the server check and canonicalise what is desired and what stands, then plan."""
        ours = {name for name, row in ledger.items() if self._is_ours(row)}
        # What stands as it was left is not asked for again: the server may have come to refuse it, and a rollback must
        # not fail for that.
        standing = {
            name for name in ours & wish.settings.keys() if _is_as_left(ledger[name], wish.settings[name], stored, name)
        }
        asked = {name: value for name, value in wish.settings.items() if name not in standing}
        questions: list[tuple[str, Value]] = []
        for name, value in asked.items():
            questions.append((name, value))
            if name in stored:
                questions.append((name, elements(name, stored[name]) if isinstance(value, tuple) else stored[name]))
        self._request(
            {
                "extensions": sorted(_extensions_of({*wish.settings, *ours})),
                "values": [{"name": name, "value": value} for name, value in questions],
            }
        )
        self._session.run(sql.CANONICALISE)
        answers = iter(self._result())
        refused: list[ServerMessage] = []
        for name, value in asked.items():
            answer = next(answers)
            # 42501 is not the last word: RDS lets its master user store some parameters that it may not set.
            if answer.get("sqlstate", "42501") != "42501" and name != _JUDGED_LATER:
                refused.append(ServerMessage(**answer, about=name))
            if name in stored:
                canonical = (answer.get("value"), next(answers).get("value"))
                if same(name, value, stored[name], canonical):
                    standing.add(name)
        if refused:
            others = [error.about for error in refused[1:]]
            raise ApplyError(
                messages.setting_refused(self._target, refused[0], installed=self._installed, others=others)
            )
        return plan(
            self._identity.owner,
            self._identity.physical_id,
            wish.settings,
            ledger=ledger,
            ours=ours,
            stored=stored,
            standing=standing,
        )

    def _act(self, todo: Plan, stored: Mapping[str, str]) -> dict[str, Any]:
        concerned = {action.name for action in todo.actions} | {row.name for row in todo.writes} | set(todo.forgets)
        self._request(
            {
                "expected": {name: stored.get(name) for name in concerned},
                "actions": [
                    {
                        "name": action.name,
                        "elements": _elements(action.name, action.value, is_stored=action.is_stored),
                        "tolerated": action.tolerated,
                    }
                    for action in todo.actions
                ],
                "writes": [
                    {"name": row.name, "desired": row.desired, "previous": row.previous, "adopted": row.adopted}
                    for row in todo.writes
                ],
                "forgets": todo.forgets,
                "owner": self._identity.owner,
                "resource": self._identity.physical_id,
            }
        )
        self._session.run(sql.ACT)
        result: dict[str, Any] = self._result()
        return result

    def _done(
        self,
        wish: Wish,
        todo: Plan,
        ledger: Mapping[str, LedgerRow],
        shadows: list[list[str]],
        result: Mapping[str, Any],
    ) -> _Done:
        refused = tuple((name, state) for name, state in result["refused"])
        unable = {name for name, _ in refused}
        outcome = Outcome(
            applied=tuple(wish.settings),
            changed=todo.changed,
            adopted=todo.adopted,
            reset=tuple(name for name in todo.reset if name not in unable),
            left=todo.left,
            repaired=todo.repaired,
            refused=refused,
            shadows=tuple((name, role) for name, role in shadows),
        )
        return _Done(
            outcome,
            result["stored"] or {},
            {name: row.desired for name, row in ledger.items() if self._is_ours(row)},
        )

    def _request(self, request: object) -> None:
        self._session.run(sql.REQUEST, request=json.dumps(request, ensure_ascii=False))

    def _result(self) -> Any:
        return self._session.run(sql.RESULT)[0][0]

    def _in_words(self, answer: ServerMessage) -> ApplyError:
        if answer.about:
            return ApplyError(
                messages.setting_refused(
                    self._target, answer, installed=self._installed, is_known=self._is_known(answer.about)
                )
            )
        return ApplyError(messages.other_error(self._target, answer))

    def _is_known(self, name: str) -> bool:
        """Whether a refused parameter is of an extension that this package or the server knows; it ends the work."""
        extension = extension_of(name)
        if extension is None or not name.startswith(f"{extension}."):
            return True
        try:
            self._session.run(sql.ROLLBACK)
            return bool(self._session.run(sql.AVAILABLE, name=extension))
        except (ServerError, TransientError):
            return True


def _is_as_left(row: LedgerRow, value: Value, stored: Mapping[str, str], name: str) -> bool:
    text = stored.get(name)
    if text is None:
        return False
    return (row.desired, row.applied) == (value, text) or value == (
        elements(name, text) if isinstance(value, tuple) else text
    )


def _elements(name: str, value: Value | None, *, is_stored: bool) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        return list(value)
    return list(elements(name, value)) if is_stored else [value]


def _value(desired: Any) -> Value:
    return tuple(desired) if isinstance(desired, list) else str(desired)


def _extensions_of(names: Iterable[str]) -> set[str]:
    return {extension for name in names if (extension := extension_of(name))}
