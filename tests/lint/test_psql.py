"""Scripts for psql."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.lint.linter import lint_text
from cdk_pinsafe.lint.psql import without_psql

SCRIPTS = {
    "a meta-command is blank to the end of its line": ("\\set x 'SET a'\nSELECT 1;", "              \nSELECT 1;"),
    "a second backslash ends a meta-command": ("\\pset x \\\\ SELECT 1;", "           SELECT 1;"),
    "\\gexec sends the statement": ("SELECT 1 \\gexec\nSET a = b", "SELECT 1 ;     \nSET a = b"),
    "\\g with a file sends the statement": ("SELECT 1 \\g out.txt\nSET a = b", "SELECT 1 ;         \nSET a = b"),
    "\\gset is not \\g": ("SELECT 1 \\gset p_\nSELECT 2", "SELECT 1 ;       \nSELECT 2"),
    "a meta-command ends where the next begins": (
        "SELECT $1 \\bind 5 \\g\nSELECT 2 \\set a b \\gx\nSET a = b;",
        "SELECT $1         ; \nSELECT 2          ;  \nSET a = b;",
    ),
    "a backslash in quotes begins none": (
        "SELECT 1 \\set a 'it\\'s \\g' \\set b \"\\g\" `\\g`\n, 2;",
        "SELECT 1                                   \n, 2;",
    ),
    "a quote without an end ends with its line": ("\\echo it's\nSET a = b;", "          \nSET a = b;"),
    "a pipe takes the line": ("SELECT 1 \\g | sed 's/\\\\x//'\nSET a = b", "SELECT 1 ;                 \nSET a = b"),
    "\\parse sends the statement": ("SELECT $1 \\parse s\nSET a = b", "SELECT $1 ;       \nSET a = b"),
    "\\copy has data, too": (
        "\\copy t from stdin csv\nSET a;\n\\.\nSET a = b;",
        "                      \n      \n  \nSET a = b;",
    ),
    "\\copy takes the line": ("\\copy t from 'f' ;\nSELECT 1", "                  \nSELECT 1"),
    "\\; separates": ("SELECT 1\\; SELECT 2;", "SELECT 1;  SELECT 2;"),
    "a variable is a name": ("SELECT :a + :'b' + :\"c\"", "SELECT _a +  'b' +  \"c\""),
    "a cast is no variable": ("SELECT a::text \\g", "SELECT a::text ; "),
    "an array's bounds are no variables": ("SELECT a[1:n], b[x:y] \\g", "SELECT a[1:n], b[x:y] ; "),
    "a test of a variable is true": (":{?a} ", "true  "),
    "strings are left alone": ("SELECT ':a \\x', E'\\':b', $$:c \\y$$, $t$ :d $t$;", None),
    "comments are left alone": ("-- :a \\x\n/* :b /* \\y */ :c */ SELECT 1;", None),
    "quoted names are left alone": ('SELECT "a:b \\x";', None),
    "data is blank up to its end": (
        "COPY t FROM STDIN;\n1\tSET\n\\N\t;\n\\.\nSET a = b;",
        "COPY t FROM STDIN;\n \t   \n  \t \n  \nSET a = b;",
    ),
    "data ends with the file": ("copy t (a) from stdin with csv;\n\\x\n", "copy t (a) from stdin with csv;\n  \n"),
    "COPY from a file has no data": ("COPY t FROM '/f';\n\\x\n", "COPY t FROM '/f';\n  \n"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name: str) -> None:
    script, expected = SCRIPTS[name]
    wanted = script if expected is None else expected
    assert without_psql(script).replace("\t", " ") == wanted.replace("\t", " ")


@given(st.text(alphabet="\\:'\"$;-/*\n aEcopyfrmstdin{}?.()1_é", max_size=200))
def test_length_and_lines_are_kept(text: str) -> None:
    sql = without_psql(text)
    assert len(sql) == len(text)
    assert [i for i, c in enumerate(sql) if c == "\n"] == [i for i, c in enumerate(text) if c == "\n"]


def test_findings_in_a_psql_script() -> None:
    script = (
        "\\set schema app\n\\if :{?x}\nCOPY t FROM STDIN;\nSET x = y;\n\\.\n\\endif\n"
        "SET search_path TO :schema; SELECT 'a' \\gset\n  SET lock_timeout = :'wait';\nSET work_mem = '1MB' \\g\n"
    )
    report = lint_text("a.sql", script, {})
    assert [(one.start, one.rule.id) for one in report.findings] == [((7, 1), "set"), ((8, 3), "set"), ((9, 1), "set")]
    assert report.not_parsed == []
    assert 'settings={"search_path": [...]}' in report.findings[0].remedy
    assert 'settings={"lock_timeout": ...}' in report.findings[1].remedy
    assert 'settings={"work_mem": "1MB"}' in report.findings[2].remedy
