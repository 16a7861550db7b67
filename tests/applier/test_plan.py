"""The planner with random events of several owners, and manual changes in between."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_pinsafe.applier.plan import Change, Key, LedgerRow, LedgerWrite, OwnedByAnotherError, Plan, plan

NAMES = (Key("a"), Key("b"), Key("a", "role"))
OWNERS = ("one", "two")
VALUES = ("x", "X", "y", "Y", "z")  # case is spelling: "x" and "X" are equivalent


@dataclass
class FakeDatabase:
    """A database and manual changes of it."""

    stored: dict[Key, str]
    ledger: dict[Key, LedgerRow] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)

    def apply(self, owner: str, desired: dict[Key, str]) -> Plan:
        """Execute a plan as the server would."""
        in_place = {name for name, value in desired.items() if self.stored.get(name, "").lower() == value.lower()}
        owned = {name for name, row in self.ledger.items() if row.owner == owner}
        planned = plan(
            owner,
            f"id-{owner}",
            desired,
            ledger=self.ledger,
            owned=owned,
            stored=self.stored,
            already_in_place=in_place,
        )
        for action in planned.actions:
            if action.value is None:
                self.stored.pop(action.key, None)
            else:
                assert isinstance(action.value, str)
                self.stored[action.key] = action.value
        for row in planned.ledger_writes:
            applied = self.stored[row.key]
            self.ledger[row.key] = LedgerRow(owner, f"id-{owner}", row.desired, applied, row.previous, row.adopted)
        for key in planned.ledger_deletes:
            del self.ledger[key]
        return planned


values = st.sampled_from(VALUES)
desired_settings = st.dictionaries(st.sampled_from(NAMES), values)
Step = tuple[str | Key, object]
steps = st.one_of(
    st.tuples(st.sampled_from(OWNERS), desired_settings),
    st.tuples(st.sampled_from(NAMES), st.none() | values),
)


@settings(max_examples=400, deadline=None)
@given(desired_settings, st.lists(steps, max_size=12))
def test_owners_do_not_interfere_and_removal_restores(begin: dict[Key, str], steps: list[Step]) -> None:
    """After each event the owner has its desired settings, and the others keep theirs. In the end all is as at the
    beginning, but for manual changes."""
    database = FakeDatabase(dict(begin))
    for subject, new in steps:
        if isinstance(subject, Key):
            assert new is None or isinstance(new, str)
            database.touched.add(subject)
            database.stored.pop(subject, None)
            if new is not None:
                database.stored[subject] = new
            continue
        assert isinstance(new, dict)
        stored, ledger = dict(database.stored), dict(database.ledger)
        if any(name in ledger and ledger[name].owner != subject for name in new):
            with pytest.raises(OwnedByAnotherError):
                database.apply(subject, new)
            assert (database.stored, database.ledger) == (stored, ledger)
            continue
        planned = database.apply(subject, new)
        assert {name for name, row in database.ledger.items() if row.owner == subject} == set(new)
        assert all(database.stored[name].lower() == value.lower() for name, value in new.items())
        mine = {name for name, row in ledger.items() if row.owner == subject} | set(new)
        assert {n: v for n, v in database.stored.items() if n not in mine} == {
            n: v for n, v in stored.items() if n not in mine
        }
        assert all(database.stored.get(name) == stored.get(name) for name in planned.kept_foreign)
        assert set(planned.repaired) <= set(planned.changed)
        assert database.apply(subject, new).is_empty
    for owner in OWNERS:
        database.apply(owner, {})
    assert database.ledger == {}
    untouched = set(NAMES) - database.touched
    assert {n: v for n, v in database.stored.items() if n in untouched} == {
        n: v for n, v in begin.items() if n in untouched
    }


@settings(max_examples=200, deadline=None)
@given(desired_settings, desired_settings, desired_settings)
def test_update_and_rollback_restore_all(begin: dict[Key, str], old: dict[Key, str], new: dict[Key, str]) -> None:
    """An adopted value may differ in spelling."""
    database = FakeDatabase(dict(begin))
    database.apply("one", old)
    before = {name: value.lower() for name, value in database.stored.items()}
    previous = {name: row.previous for name, row in database.ledger.items()}
    database.apply("one", new)
    database.apply("one", old)
    assert {name: value.lower() for name, value in database.stored.items()} == before
    assert {name: row.previous for name, row in database.ledger.items() if name in new} == {
        name: text for name, text in previous.items() if name in new
    }


def test_renamed_owner_is_written_to_ledger() -> None:
    """A kept setting is written under its new owner."""
    row = LedgerRow("old", "id", "x", "x", None, adopted=False)
    a = Key("a")
    planned = plan("new", "id", {a: "x"}, ledger={a: row}, owned={a}, stored={a: "x"}, already_in_place={a})
    assert [write.key for write in planned.ledger_writes] == [a]
    assert planned.actions == []
    kept = plan(
        "new",
        "id",
        {a: "x"},
        ledger={a: replace(row, owner="new")},
        owned={a},
        stored={a: "x"},
        already_in_place={a},
    )
    assert kept.is_empty


def test_orphaned_setting_is_written_only_under_new_owner() -> None:
    """Under another owner or resource the row is kept; else the plan is empty."""
    key = Key("a", "role")
    row = LedgerRow("old", "id", "x", "x", "y", adopted=True)
    for owner, resource in (("old", "id"), ("new", "id"), ("old", "id2")):
        planned = plan(
            owner, resource, {}, ledger={key: row}, owned={key}, stored={}, already_in_place=(), orphaned={key}
        )
        write = LedgerWrite(key, owner, resource, "x", "y", True, "x")
        assert planned == Plan(ledger_writes=[] if (owner, resource) == ("old", "id") else [write])


def test_merged_attempts_follow_the_row_found() -> None:
    """The first attempt has the state before, unless it had no effect or another client changed the text."""
    old, new = (LedgerRow("me", "id", text, text, None, adopted=False) for text in "xy")
    first = Change("x", old, "y", new)
    for met, text, row in (
        (Change("y", new, "y", new), "x", old),
        (Change("z", new, "y", new), "z", old),
        (Change("y", old, "y", new), "y", old),
        (Change("z", None, "y", new), "z", None),
    ):
        assert met.merge_earlier(first) == Change(text, row, "y", new)


def test_conflicts_are_all_named() -> None:
    row = LedgerRow("other", "id", "x", "x", None, adopted=False)
    a, b, c = NAMES
    with pytest.raises(OwnedByAnotherError) as caught:
        plan("me", "id2", {a: "x", b: "y", c: "z"}, ledger={a: row, c: row}, owned=(), stored={}, already_in_place=())
    assert caught.value.conflicts == {a: "other", c: "other"}
