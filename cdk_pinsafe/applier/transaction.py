"""The transaction that brings a database to its settings: read, plan, alter, write the ledger.

Each step is one statement or block for all settings.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import ApplyError
from ..settings import extension_of
from . import log, messages, sql
from .connection import OVERRIDES, ServerError, Session
from .deadline import TransientError
from .equivalence import split_list
from .messages import ServerMessage
from .plan import Action, Change, Key, LedgerRow, OwnedByAnotherError, Plan, Value, plan, plan_rollback
from .properties import DesiredState, Identity
from .state import (
    State,
    by_key,
    compare_with_stored,
    find_role_overrides,
    read_ledger,
    read_state,
    run_block,
    set_request,
)


@dataclass(frozen=True)
class Outcome:
    """What a transaction did.

    Attributes:
        applied: the desired settings, all in place now.
        changed: those whose stored value was replaced.
        adopted: those that had an equivalent value and are managed from now on.
        reset: settings that are no longer desired and got their previous value back.
        kept_foreign: settings that are no longer desired and keep a value that someone else set.
        repaired: those of ``changed`` that someone else had changed.
        orphaned: unchanged desired settings of a role that was dropped since; they are not in ``applied``.
        refused: settings that PostgreSQL did not reset, with the SQLSTATE; they stay in the database, unmanaged.
        role_overrides: pairs of name and role: unmanaged values of roles that override the database's.
        committed_at: the server's time right after the commit, in seconds of Unix time, as text; empty if it is not
            needed.
    """

    applied: Sequence[Key] = ()
    changed: Sequence[Key] = ()
    adopted: Sequence[Key] = ()
    reset: Sequence[Key] = ()
    kept_foreign: Sequence[Key] = ()
    repaired: Sequence[Key] = ()
    orphaned: Sequence[Key] = ()
    refused: Sequence[tuple[Key, str]] = ()
    role_overrides: Sequence[tuple[str, str]] = ()
    committed_at: str = ""


@dataclass(frozen=True)
class Applied:
    """The result of a transaction: what verification and rollback need.

    Attributes:
        outcome: what it did.
        stored: the texts that are stored now, managed or not.
        changes: what it did to each setting, changes of the ledger alone included.
    """

    outcome: Outcome
    stored: Mapping[Key, str] = field(default_factory=dict)
    changes: Mapping[Key, Change] = field(default_factory=dict)

    def merge_earlier_attempt(self, earlier: "Applied | None") -> "Applied":
        """Merge an earlier attempt whose COMMIT had no answer. What this attempt read tells whether it succeeded."""
        if earlier is None:
            return self
        merged = {
            key: change.merge_earlier(earlier.changes[key]) if key in earlier.changes else change
            for key, change in self.changes.items()
        }
        is_repeated = earlier.changes.keys() <= self.changes.keys()
        return Applied(self.outcome if is_repeated else earlier.outcome, self.stored, {**earlier.changes, **merged})


class ExtensionsMissingError(Exception):
    """Extensions must be created, which needs a session with ``creating_options``."""


class Transaction:
    """One attempt in one session. Without :meth:`commit` it has no effect.

    Args:
        session: a session that has run nothing yet.
        identity: the database and the construct.
        creates: whether the session was opened with ``creating_options`` and may create extensions.
    """

    def __init__(self, session: Session, identity: Identity, *, creates: bool = False) -> None:
        self._session = session
        self._target = identity.target
        self._identity = identity
        self._creates = creates
        self._installed: frozenset[str] = frozenset()

    def run(self, desired: DesiredState | None, is_owned: Callable[[LedgerRow], bool]) -> Applied:
        """Do everything but the COMMIT.

        Args:
            desired: the desired state; None for the desired values in the ledger.
            is_owned: selects the rows of the ledger that may be changed or given up.

        Raises:
            ExtensionsMissingError: extensions are missing, and this session must not create them.
            ApplyError: the cause and the remedy.
        """
        with self._translated_errors():
            self._begin()
            ledger = read_ledger(self._session, self._target)
            owned = {key for key, row in ledger.items() if is_owned(row)}
            if desired is None:
                desired = DesiredState({key: ledger[key].desired for key in owned})
            state = read_state(self._session, desired.names, desired.roles)
            self._installed = state.installed
            orphaned = self._orphaned(desired, state, {key: ledger[key].desired for key in owned})
            state, restored = self._create_extensions(desired, state, ledger)
            texts = _texts_after(restored, state.stored)
            # Settings of a role that was dropped are neither set nor given up.
            wanted = {key: value for key, value in desired.settings.items() if key not in orphaned}
            planned = self._plan(wanted, orphaned, ledger, owned, texts)
            planned = replace(planned, actions=[*restored, *planned.actions])
            stored: Mapping[Key, str] = state.stored
            refused: tuple[tuple[Key, str], ...] = ()
            if not planned.is_empty:
                stored, refused = self._execute(planned, state)
        not_reset = {key for key, _ in refused}
        managed = (ledger.keys() - set(planned.ledger_deletes)) | desired.settings.keys()
        outcome = Outcome(
            applied=tuple(wanted),
            changed=planned.changed,
            adopted=planned.adopted,
            reset=[key for key in planned.reset if key not in not_reset],
            kept_foreign=planned.kept_foreign,
            repaired=planned.repaired,
            orphaned=orphaned,
            refused=refused,
            role_overrides=find_role_overrides(desired.names, stored, state.in_all_databases, managed),
        )
        touched = {key.name for key in (*planned.changed, *planned.adopted) if not key.role}
        overridden = [pair for pair in outcome.role_overrides if pair[0] in touched]
        if overridden and not desired.allow_role_overrides:
            raise ApplyError(messages.overridden_by_role(self._target, overridden))
        return Applied(outcome, stored, planned.changes(ledger, texts, stored))

    def roll_back(self, changes: Mapping[Key, Change]) -> list[Key]:
        """Undo the changes of another transaction, but for the COMMIT; return what PostgreSQL refuses to reset."""
        with self._translated_errors():
            self._begin()
            ledger = read_ledger(self._session, self._target)
            state = read_state(self._session, (), ())
            planned = plan_rollback(changes, ledger=ledger, stored=state.stored)
            compare_with_stored(self._session, {}, {}, changes.keys(), state.stored)  # for the libraries that it loads
            _, refused = self._execute(planned, state)
        return [key for key, _ in refused]

    def commit(self) -> None:
        """Commit.

        Raises:
            ApplyError: PostgreSQL refused the commit.
        """
        with self._translated_errors():
            self._session.run(sql.COMMIT)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn errors of PostgreSQL and of the planner into an :class:`ApplyError`."""
        try:
            yield
        except ServerError as error:
            raise self._apply_error(error.answer) from None
        except OwnedByAnotherError as error:
            raise ApplyError(messages.owned_by_another(self._target, error.conflicts)) from None

    def _begin(self) -> None:
        if self._creates:
            self._session.run(sql.SEARCH_PATH, path=OVERRIDES["search_path"])
        (in_recovery, database) = self._session.run(sql.IDENTITY)[0]
        if database != self._target.database:
            raise ApplyError(
                f"{self._target}: names have at most 63 bytes, PostgreSQL took "
                f'"{messages.truncate(database, 63)}" for it; give the name that the database has'
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

    def _orphaned(self, desired: DesiredState, state: State, before: Mapping[Key, Value]) -> list[Key]:
        """The unchanged desired settings of dropped roles: a rollback must not fail because a role was dropped since.

        Raises:
            ApplyError: a changed setting is of a role that the server does not have.
        """
        orphaned = [key for key in desired.settings if key.role and key.role not in state.roles]
        unknown = {key.role: None for key in orphaned if before.get(key) != desired.settings[key]}
        if unknown:
            role, *others = unknown
            raise ApplyError(messages.role_missing(self._target, role, others))
        return orphaned

    def _create_extensions(
        self, desired: DesiredState, state: State, ledger: Mapping[Key, LedgerRow]
    ) -> tuple[State, tuple[Action, ...]]:
        """Create the extensions that are missing, and what they require.

        Their scripts may alter settings of the database, as PostGIS's alters ``search_path``. An unmanaged setting
        stays altered: it belongs to the extension. A managed one is restored.

        Returns:
            The state after that, and the actions that restore managed settings.

        Raises:
            ExtensionsMissingError: this session must not create any.
            ApplyError: PostgreSQL refuses one.
        """
        missing = [name for name in dict.fromkeys(desired.extensions) if name not in state.installed]
        if not missing:
            return state, ()
        if not self._creates:
            raise ExtensionsMissingError
        set_request(self._session, missing)
        try:
            self._session.create_extensions()
        except ServerError as error:
            is_available = not error.answer.about or self._is_available(error.answer.about)
            answer = replace(error.answer, about=error.answer.about or messages.list_names(missing, 100))
            raise ApplyError(messages.extension_refused(self._target, answer, is_available=is_available)) from None
        now = read_state(self._session, desired.names, desired.roles)
        self._installed = now.installed
        keys = sorted(state.stored.keys() | now.stored.keys())
        altered = [key for key in keys if state.stored.get(key) != now.stored.get(key)]
        restored = tuple(Action(key, state.stored.get(key), is_stored=True) for key in altered if key in ledger)
        log.info(
            "extensions_created",
            extensions=sorted(now.installed - state.installed),
            settings_altered=altered,
            settings_restored=[action.key for action in restored],
        )
        return now, restored

    def _plan(
        self,
        desired: Mapping[Key, Value],
        orphaned: Collection[Key],
        ledger: Mapping[Key, LedgerRow],
        owned: Collection[Key],
        stored: Mapping[Key, str],
    ) -> Plan:
        """Let the server check the desired values and compare them with what is stored, then plan."""
        in_place, refused = compare_with_stored(self._session, desired, ledger, owned, stored)
        if refused:
            others = [str(Key(error.about, error.role)) for error in refused[1:]]
            raise ApplyError(
                messages.setting_refused(self._target, refused[0], installed=self._installed, others=others)
            )
        return plan(
            self._identity.owner,
            self._identity.physical_id,
            desired,
            ledger=ledger,
            owned=owned,
            stored=stored,
            already_in_place=in_place,
            orphaned=orphaned,
        )

    def _execute(self, planned: Plan, state: State) -> tuple[Mapping[Key, str], tuple[tuple[Key, str], ...]]:
        """Run the plan.

        Returns:
            All texts that are stored now, and what PostgreSQL refused to reset, with the SQLSTATE.

        Raises:
            ApplyError: the user may not alter the database. PostgreSQL would refuse each reset with a SQLSTATE that is
                ignored, and the ledger would lose settings that are still stored.
        """
        if not planned.is_empty and not state.may_alter:
            raise ApplyError(messages.not_owner(self._target, state.user, state.owner))
        concerned = (
            {action.key for action in planned.actions}
            | {write.key for write in planned.ledger_writes}
            | set(planned.ledger_deletes)
        )
        request = {
            "expected": [{**_names(key), "value": state.stored.get(key)} for key in concerned],
            "actions": [
                {**_names(action.key), "elements": _elements(action), "ignorable": action.ignorable}
                for action in planned.actions
            ],
            "ledger_writes": [
                {
                    **_names(write.key),
                    "owner": write.owner,
                    "resource": write.resource,
                    "desired": write.desired,
                    "applied": write.applied,
                    "previous": write.previous,
                    "adopted": write.adopted,
                }
                for write in planned.ledger_writes
            ],
            "ledger_deletes": [_names(key) for key in planned.ledger_deletes],
        }
        result = run_block(self._session, sql.APPLY_CHANGES, request)
        refused = tuple((Key(name, role), sqlstate) for name, role, sqlstate in result["refused"])
        return by_key(result["stored"]), refused

    def _apply_error(self, answer: ServerMessage) -> ApplyError:
        if answer.about:
            return ApplyError(
                messages.setting_refused(
                    self._target, answer, installed=self._installed, is_known=self._is_known(answer.about)
                )
            )
        return ApplyError(messages.other_error(self._target, answer))

    def _is_known(self, name: str) -> bool:
        """Whether this package or the server knows the extension of a refused parameter. Ends the transaction."""
        extension = extension_of(name)
        return extension is None or not name.startswith(f"{extension}.") or self._is_available(extension)

    def _is_available(self, extension: str) -> bool:
        """Whether the server has the extension, or does not answer. Ends the transaction."""
        try:
            self._session.run(sql.ROLLBACK)
            return bool(self._session.run(sql.AVAILABLE, name=extension))
        except (ServerError, TransientError):
            return True


def _texts_after(actions: Iterable[Action], stored: Mapping[Key, str]) -> Mapping[Key, str]:
    """The texts that are stored once these actions are done."""
    texts = {action.key: action.value for action in actions}
    return {key: str(text) for key, text in {**stored, **texts}.items() if text is not None}


def _names(key: Key) -> dict[str, str]:
    return {"name": key.name, "role": key.role}


def _elements(action: Action) -> list[str] | None:
    if action.value is None:
        return None
    if isinstance(action.value, tuple):
        return list(action.value)
    return list(split_list(action.key.name, action.value)) if action.is_stored else [action.value]
