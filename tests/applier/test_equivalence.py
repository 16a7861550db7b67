"""Lists and spellings that PostgreSQL keeps as written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.applier.equivalence import is_equivalent, split_list

from .harness import Database

element = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def _quoted(names: list[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


@given(st.lists(element, min_size=1, max_size=5))
def test_split_list_inverts_quoting(names: list[str]) -> None:
    """For any names."""
    assert split_list("search_path", _quoted(names)) == tuple(names)


@given(element)
def test_split_list_takes_any_text(text: str) -> None:
    """A catalog may have any text."""
    assert split_list("search_path", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"$user", public', ("$user", "public")),
        ("chat,public", ("chat", "public")),
        (" Chat , PUBLIC ", ("chat", "public")),
        ('""', ("",)),
        ("", ("",)),
        ('"a""b", "c, d"', ('a"b', "c, d")),
        ('"unclosed', ('"unclosed',)),
        ("a,", ("a,",)),
        ('"a" b', ('"a" b',)),
    ],
)
def test_lists_as_postgresql_writes_them(text: str, expected: tuple[str, ...]) -> None:
    """Bare names are in lower case, quoted ones unchanged; a text that is no list is one element."""
    assert split_list("search_path", text) == expected


def test_other_parameters_have_no_elements() -> None:
    assert split_list("datestyle", "ISO, DMY") == ("ISO, DMY",)
    assert split_list("session_preload_libraries", "Auto, explain") == ("Auto", "explain")


def test_canonical_texts_decide_equivalence() -> None:
    """Without them, the texts themselves are compared."""
    assert is_equivalent("work_mem", "65536kB", "64MB", ("64MB", "64MB"))
    assert not is_equivalent("work_mem", "65536kB", "64MB", (None, "64MB"))
    assert is_equivalent("log_statement", "all", "all", (None, None))
    assert not is_equivalent("datestyle", "DMY", "SQL, DMY", ("SQL, DMY", "SQL, DMY"))
    assert is_equivalent("search_path", ("a", "b"), "a,b", (None, None))


def test_split_list_inverts_the_server(database: Database) -> None:
    """PostgreSQL's stored text of a list is split into the list."""
    names = ["$user", 'quo"te', "it's", "Upper", "a,b", " space ", "é🐘", "select", "plain", ""]
    database.create({"search_path": names})
    assert split_list("search_path", database.stored()["search_path"]) == tuple(names)
    assert json.loads(json.dumps(database.ledger()["search_path"]["desired"])) == names
