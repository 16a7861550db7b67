"""Lists and spellings that PostgreSQL leaves as they were written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.applier.equivalence import elements, same

from .harness import Database

element = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def _quoted(names: list[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


@given(st.lists(element, min_size=1, max_size=5))
def test_a_quoted_list_comes_apart_as_it_went_together(names: list[str]) -> None:
    """Splitting is the inverse of quoting, whatever is in the names."""
    assert elements("search_path", _quoted(names)) == tuple(names)


@given(element)
def test_any_text_comes_apart_without_an_error(text: str) -> None:
    """A catalogue may hold anything."""
    assert elements("search_path", text)


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
    """Bare names are in lower case, quoted ones as they are; what is no list stays whole."""
    assert elements("search_path", text) == expected


def test_other_parameters_have_no_elements() -> None:
    """Only list parameters come apart."""
    assert elements("datestyle", "ISO, DMY") == ("ISO, DMY",)
    assert elements("session_preload_libraries", "Auto, explain") == ("Auto", "explain")


def test_values_mean_the_same_by_what_the_server_says() -> None:
    """The server's canonical texts decide; without them, the texts themselves."""
    assert same("work_mem", "65536kB", "64MB", ("64MB", "64MB"))
    assert not same("work_mem", "65536kB", "64MB", (None, "64MB"))
    assert same("log_statement", "all", "all", (None, None))
    assert not same("datestyle", "DMY", "SQL, DMY", ("SQL, DMY", "SQL, DMY"))
    assert same("search_path", ("a", "b"), "a,b", (None, None))


def test_the_server_quotes_as_it_is_taken_apart_here(database: Database) -> None:
    """What PostgreSQL stores for a list comes apart into the list."""
    names = ["$user", 'quo"te', "it's", "Upper", "a,b", " space ", "é🐘", "select", "plain", ""]
    database.create({"search_path": names})
    assert elements("search_path", database.stored()["search_path"]) == tuple(names)
    assert json.loads(json.dumps(database.ledger()["search_path"]["desired"])) == names
