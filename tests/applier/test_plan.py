"""The planner against a plain model: random events of several owners, and hands in between."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdk_pinsafe.applier.plan import Change, Key, LedgerRow, OwnedByAnotherError, Plan, Write, plan

NAMES = (Key("a"), Key("b"), Key("a", "role"))
OWNERS = ("one", "two")
VALUES = ("x", "X", "y", "Y", "z")  # case is spelling: "x" and "X" mean the same


@dataclass
class World:
    """A database, what hands did to it, and how it began."""

    stored: dict[Key, str]
    ledger: dict[Key, LedgerRow] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)

    def apply(self, owner: str, desired: dict[Key, str]) -> Plan:
        """Carry a plan out as the server would."""
        standing = {name for name, value in desired.items() if self.stored.get(name, "").lower() == value.lower()}
        ours = {name for name, row in self.ledger.items() if row.owner == owner}
        todo = plan(owner, f"id-{owner}", desired, ledger=self.ledger, ours=ours, stored=self.stored, standing=standing)
        for action in todo.actions:
            if action.value is None:
                self.stored.pop(action.key, None)
            else:
                assert isinstance(action.value, str)
                self.stored[action.key] = action.value
        for row in todo.writes:
            applied = self.stored[row.key]
            self.ledger[row.key] = LedgerRow(owner, f"id-{owner}", row.desired, applied, row.previous, row.adopted)
        for key in todo.ledger_deletes:
            del self.ledger[key]
        return todo


values = st.sampled_from(VALUES)
wishes = st.dictionaries(st.sampled_from(NAMES), values)
Step = tuple[str | Key, object]
steps = st.one_of(
    st.tuples(st.sampled_from(OWNERS), wishes),
    st.tuples(st.sampled_from(NAMES), st.none() | values),
)


@settings(max_examples=400, deadline=None)
@given(wishes, st.lists(steps, max_size=12))
def test_owners_keep_apart_and_everything_comes_back(begin: dict[Key, str], story: list[Step]) -> None:
    """After each event the owner has what it asked for, the others what they had; in the end all is as it began, but
    for what hands changed."""
    world = World(dict(begin))
    for who, what in story:
        if isinstance(who, Key):
            assert what is None or isinstance(what, str)
            world.touched.add(who)
            world.stored.pop(who, None)
            if what is not None:
                world.stored[who] = what
            continue
        assert isinstance(what, dict)
        stored, ledger = dict(world.stored), dict(world.ledger)
        if any(name in ledger and ledger[name].owner != who for name in what):
            with pytest.raises(OwnedByAnotherError):
                world.apply(who, what)
            assert (world.stored, world.ledger) == (stored, ledger)
            continue
        todo = world.apply(who, what)
        assert {name for name, row in world.ledger.items() if row.owner == who} == set(what)
        assert all(world.stored[name].lower() == value.lower() for name, value in what.items())
        mine = {name for name, row in ledger.items() if row.owner == who} | set(what)
        assert {n: v for n, v in world.stored.items() if n not in mine} == {
            n: v for n, v in stored.items() if n not in mine
        }
        assert all(world.stored.get(name) == stored.get(name) for name in todo.left)
        assert set(todo.repaired) <= set(todo.changed)
        assert world.apply(who, what).is_empty
    for owner in OWNERS:
        world.apply(owner, {})
    assert world.ledger == {}
    untouched = set(NAMES) - world.touched
    assert {n: v for n, v in world.stored.items() if n in untouched} == {
        n: v for n, v in begin.items() if n in untouched
    }


@settings(max_examples=200, deadline=None)
@given(wishes, wishes, wishes)
def test_a_rollback_ends_where_it_began(begin: dict[Key, str], old: dict[Key, str], new: dict[Key, str]) -> None:
    """An update and its way back mean the same as no update; an adopted value may differ in spelling."""
    world = World(dict(begin))
    world.apply("one", old)
    before = {name: value.lower() for name, value in world.stored.items()}
    previous = {name: row.previous for name, row in world.ledger.items()}
    world.apply("one", new)
    world.apply("one", old)
    assert {name: value.lower() for name, value in world.stored.items()} == before
    assert {name: row.previous for name, row in world.ledger.items() if name in new} == {
        name: text for name, text in previous.items() if name in new
    }


def test_a_rename_of_the_owner_is_written_down() -> None:
    """A kept setting is noted under its new owner."""
    row = LedgerRow("old", "id", "x", "x", None, adopted=False)
    a = Key("a")
    todo = plan("new", "id", {a: "x"}, ledger={a: row}, ours={a}, stored={a: "x"}, standing={a})
    assert [write.key for write in todo.writes] == [a]
    assert todo.actions == ()
    kept = plan(
        "new",
        "id",
        {a: "x"},
        ledger={a: replace(row, owner="new")},
        ours={a},
        stored={a: "x"},
        standing={a},
    )
    assert kept.is_empty


def test_what_is_of_a_role_that_is_gone_is_noted_only_where_it_goes_over() -> None:
    """Under another owner or resource it is written as it was; else nothing is to be done, not even in the ledger."""
    key = Key("a", "role")
    row = LedgerRow("old", "id", "x", "x", "y", adopted=True)
    for owner, resource in (("old", "id"), ("new", "id"), ("old", "id2")):
        todo = plan(owner, resource, {}, ledger={key: row}, ours={key}, stored={}, standing=(), orphaned={key})
        writes = () if (owner, resource) == ("old", "id") else (Write(key, owner, resource, "x", "y", True, "x"),)
        assert todo == Plan((), writes, ())


def test_what_two_attempts_did_is_told_by_the_row_that_the_second_met() -> None:
    """What the first one met is what stood before, unless it left nothing, or a hand changed its text since."""
    old, new = (LedgerRow("me", "id", text, text, None, adopted=False) for text in "xy")
    first = Change("x", old, "y", new)
    for met, text, row in (
        (Change("y", new, "y", new), "x", old),
        (Change("z", new, "y", new), "z", old),
        (Change("y", old, "y", new), "y", old),
        (Change("z", None, "y", new), "z", None),
    ):
        assert met.after(first) == Change(text, row, "y", new)


def test_conflicts_are_all_named() -> None:
    """The error has every name with its owner."""
    row = LedgerRow("other", "id", "x", "x", None, adopted=False)
    a, b, c = NAMES
    with pytest.raises(OwnedByAnotherError) as caught:
        plan("me", "id2", {a: "x", b: "y", c: "z"}, ledger={a: row, c: row}, ours=(), stored={}, standing=())
    assert caught.value.conflicts == {a: "other", c: "other"}
