"""The transaction that brings a database to its settings: read, plan, change, note.

Each step is one statement or block, however many settings there are.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..errors import ApplyError
from ..settings import extension_of
from . import log, messages, sql
from .connection import OVERRIDES, ServerError, Session
from .deadline import TransientError
from .equivalence import elements
from .messages import ServerMessage
from .plan import Action, Change, Key, LedgerRow, OwnedByAnotherError, Plan, Value, plan, plan_rollback
from .properties import DesiredState, Identity
from .state import State, by_key, find_role_overrides, judge, read_ledger, read_state, request, result


@dataclass(frozen=True)
class Outcome:
    """What an apply did.

    Attributes:
        applied: settings asked for, which all stand now.
        changed: those whose stored value was replaced.
        adopted: those that stood so already and are managed from now on.
        reset: settings no longer asked for that were taken back: removed, or replaced by what stood before.
        left: settings no longer asked for that somebody else had changed; they stay as they are.
        repaired: those of ``changed`` that somebody else had changed.
        orphaned: settings asked for, as before, of a role that was dropped since; they are not in ``applied``.
        refused: settings that could not be taken back, with the SQLSTATE; they stay in the database, unmanaged.
        shadows: values of roles, which this library does not manage, that beat the database's, as pairs of name and
            role.
        committed_at: the server's time right after the commit, as seconds of Unix time, where it was asked for.
    """

    applied: tuple[Key, ...] = ()
    changed: tuple[Key, ...] = ()
    adopted: tuple[Key, ...] = ()
    reset: tuple[Key, ...] = ()
    left: tuple[Key, ...] = ()
    repaired: tuple[Key, ...] = ()
    orphaned: tuple[Key, ...] = ()
    refused: tuple[tuple[Key, str], ...] = ()
    shadows: tuple[tuple[str, str], ...] = ()
    committed_at: str = ""


@dataclass(frozen=True)
class Applied:
    """What a transaction leaves to verify, and to undo.

    Attributes:
        outcome: what it did.
        stored: the texts that are stored now, managed or not.
        traces: what it did to each setting that it touched, be it in the ledger alone.
    """

    outcome: Outcome
    stored: Mapping[Key, str] = field(default_factory=dict)
    traces: Mapping[Key, Change] = field(default_factory=dict)

    def after(self, earlier: "Applied | None") -> "Applied":
        """What both did. Whether the earlier one's COMMIT was done, which nobody knows, shows in what this one met."""
        if earlier is None:
            return self
        was = earlier.traces
        both = {key: one.after(was[key]) if key in was else one for key, one in self.traces.items()}
        is_done_anew = was.keys() <= self.traces.keys()
        return Applied(self.outcome if is_done_anew else earlier.outcome, self.stored, {**was, **both})

    def at(self, time: str) -> "Applied":
        """The same, with the time of the commit."""
        return replace(self, outcome=replace(self.outcome, committed_at=time))


class ExtensionsMissingError(Exception):
    """Extensions are to be created, for which the session is not the right one."""


class Transaction:
    """One attempt, in one session. Without a :meth:`commit` nothing of it is kept.

    Args:
        session: the session; it has run nothing yet.
        identity: which database, for whom.
        creates: whether the session was opened with ``creating_options``, and may create extensions.
    """

    def __init__(self, session: Session, identity: Identity, *, creates: bool = False) -> None:
        self._session = session
        self._target = identity.target
        self._identity = identity
        self._creates = creates
        self._installed: frozenset[str] = frozenset()

    def run(self, wish: DesiredState | None, is_ours: Callable[[LedgerRow], bool]) -> Applied:
        """Do everything but the COMMIT. Without a wish, what was asked for the last time is asked for again.

        Raises:
            ExtensionsMissingError: extensions are missing, and this session must not create them.
            ApplyError: why not, and what to do.
        """
        try:
            self._begin()
            ledger = read_ledger(self._session, self._target)
            ours = {key for key, row in ledger.items() if is_ours(row)}
            if wish is None:
                wish = DesiredState({key: ledger[key].desired for key in ours})
            state = read_state(self._session, wish.names, wish.roles)
            self._installed = state.installed
            orphaned = self._orphaned(wish, state, {key: ledger[key].desired for key in ours})
            state, restored = self._create(wish, state, ledger)
            texts = _texts_after(restored, state.stored)
            # What belongs to a role that is gone is neither set nor given up.
            wanted = {key: value for key, value in wish.settings.items() if key not in orphaned}
            todo = self._plan(wanted, orphaned, ledger, ours, texts)
            todo = replace(todo, actions=(*restored, *todo.actions))
            stored: Mapping[Key, str] = state.stored
            refused: tuple[tuple[Key, str], ...] = ()
            self._may_do(todo, state)
            if not todo.is_empty:
                stored, refused = self._act(todo, state.stored)
        except ServerError as error:
            failure = self._in_words(error.answer)
        except OwnedByAnotherError as error:
            failure = ApplyError(messages.owned_by_another(self._target, error.conflicts))
        else:
            unable = {key for key, _ in refused}
            managed = (ledger.keys() - set(todo.ledger_deletes)) | wish.settings.keys()
            outcome = Outcome(
                applied=tuple(wanted),
                changed=todo.changed,
                adopted=todo.adopted,
                reset=tuple(key for key in todo.reset if key not in unable),
                left=todo.left,
                repaired=todo.repaired,
                orphaned=tuple(orphaned),
                refused=refused,
                shadows=find_role_overrides(wish.names, stored, state.everywhere, managed),
            )
            touched = {key.name for key in (*todo.changed, *todo.adopted) if not key.role}
            hidden = [shadow for shadow in outcome.shadows if shadow[0] in touched]
            if hidden and not wish.allow_role_overrides:
                raise ApplyError(messages.shadowed(self._target, hidden))
            return Applied(outcome, stored, todo.traces(ledger, texts, stored))
        raise failure

    def restore(self, traces: Mapping[Key, Change]) -> list[Key]:
        """Do everything but the COMMIT of what undoes another transaction; answers with what cannot be taken back."""
        try:
            self._begin()
            ledger = read_ledger(self._session, self._target)
            state = read_state(self._session, (), ())
            todo = plan_rollback(traces, ledger=ledger, stored=state.stored)
            # Each refusal would be borne, and the ledger would forget what still stands.
            self._may_do(todo, state)
            judge(self._session, {}, {}, traces.keys(), state.stored)  # for the libraries that it loads
            _, refused = self._act(todo, state.stored)
        except ServerError as error:
            failure = self._in_words(error.answer)
        else:
            return [key for key, _ in refused]
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
        if self._creates:
            self._session.run(sql.SEARCH_PATH, path=OVERRIDES["search_path"])
        (in_recovery, database) = self._session.run(sql.IDENTITY)[0]
        if database != self._target.database:
            raise ApplyError(
                f'{self._target}: names have at most 63 bytes, PostgreSQL took "{messages.truncate(database, 63)}" for it; '
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

    def _orphaned(self, wish: DesiredState, state: State, before: Mapping[Key, Value]) -> list[Key]:
        """What is asked for, as it was before, of roles that are gone: a way back must not fail for one dropped since.

        Raises:
            ApplyError: something else is asked for of a role that the server does not have.
        """
        orphaned = [key for key in wish.settings if key.role and key.role not in state.roles]
        unknown = {key.role: None for key in orphaned if before.get(key) != wish.settings[key]}
        if unknown:
            role, *others = unknown
            raise ApplyError(messages.role_missing(self._target, role, others))
        return orphaned

    def _create(
        self, wish: DesiredState, state: State, ledger: Mapping[Key, LedgerRow]
    ) -> tuple[State, tuple[Action, ...]]:
        """Create the extensions that are missing, and what they require.

        Their scripts may alter settings of the database, as PostGIS's alter ``search_path``. What nobody manages stays
        so: it belongs to the extension. What the ledger has goes back to what stood there.

        Returns:
            What the database has now, and the actions that put managed settings back.

        Raises:
            ExtensionsMissingError: this session must not create any.
            ApplyError: PostgreSQL refuses one.
        """
        missing = [name for name in dict.fromkeys(wish.extensions) if name not in state.installed]
        if not missing:
            return state, ()
        if not self._creates:
            raise ExtensionsMissingError
        request(self._session, missing)
        try:
            self._session.create_extensions()
        except ServerError as error:
            refused = error.answer
        else:
            now = read_state(self._session, wish.names, wish.roles)
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
        is_offered = not refused.about or self._is_offered(refused.about)
        answer = replace(refused, about=refused.about or messages.names(missing, 100))
        raise ApplyError(messages.extension_refused(self._target, answer, is_offered=is_offered))

    def _plan(
        self,
        wanted: Mapping[Key, Value],
        orphaned: Collection[Key],
        ledger: Mapping[Key, LedgerRow],
        ours: Collection[Key],
        stored: Mapping[Key, str],
    ) -> Plan:
        """Let the server check and canonicalise what is desired and what stands, then plan."""
        standing, refused = judge(self._session, wanted, ledger, ours, stored)
        if refused:
            others = [str(Key(error.about, error.role)) for error in refused[1:]]
            raise ApplyError(
                messages.setting_refused(self._target, refused[0], installed=self._installed, others=others)
            )
        return plan(
            self._identity.owner,
            self._identity.physical_id,
            wanted,
            ledger=ledger,
            ours=ours,
            stored=stored,
            standing=standing,
            orphaned=orphaned,
        )

    def _may_do(self, todo: Plan, state: State) -> None:
        if not todo.is_empty and not state.may_alter:
            raise ApplyError(messages.not_owner(self._target, state.user, state.owner))

    def _act(self, todo: Plan, stored: Mapping[Key, str]) -> tuple[Mapping[Key, str], tuple[tuple[Key, str], ...]]:
        """Change and note; answers with all that is stored now, and with what could not be taken back."""
        concerned = (
            {action.key for action in todo.actions} | {row.key for row in todo.writes} | set(todo.ledger_deletes)
        )
        request(
            self._session,
            {
                "expected": [{**_names(key), "value": stored.get(key)} for key in concerned],
                "actions": [
                    {
                        **_names(action.key),
                        "elements": _elements(action.key.name, action.value, is_stored=action.is_stored),
                        "ignorable": action.ignorable,
                    }
                    for action in todo.actions
                ],
                "writes": [
                    {
                        **_names(row.key),
                        "owner": row.owner,
                        "resource": row.resource,
                        "desired": row.desired,
                        "applied": row.applied,
                        "previous": row.previous,
                        "adopted": row.adopted,
                    }
                    for row in todo.writes
                ],
                "ledger_deletes": [_names(key) for key in todo.ledger_deletes],
            },
        )
        self._session.run(sql.APPLY_CHANGES)
        answer = result(self._session)
        refused = tuple((Key(name, role), sqlstate) for name, role, sqlstate in answer["refused"])
        return by_key(answer["stored"]), refused

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
        return extension is None or not name.startswith(f"{extension}.") or self._is_offered(extension)

    def _is_offered(self, extension: str) -> bool:
        """Whether the server has such an extension, or cannot be asked; it ends the work."""
        try:
            self._session.run(sql.ROLLBACK)
            return bool(self._session.run(sql.AVAILABLE, name=extension))
        except (ServerError, TransientError):
            return True


def _texts_after(actions: Iterable[Action], stored: Mapping[Key, str]) -> Mapping[Key, str]:
    """What is stored once these texts were put back."""
    texts = {action.key: action.value for action in actions}
    return {key: str(text) for key, text in {**stored, **texts}.items() if text is not None}


def _names(key: Key) -> dict[str, str]:
    return {"name": key.name, "role": key.role}


def _elements(name: str, value: Value | None, *, is_stored: bool) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        return list(value)
    return list(elements(name, value)) if is_stored else [value]
