"""Comments that silence the linter."""

import pytest

from cdk_pinsafe.lint.linter import lint_text

SILENT = {
    "on the line": ("a.sql", "SET a = 1; -- pinsafe: ignore[set]"),
    "on the line before": ("a.sql", "-- pinsafe: ignore[set]\nSET a = 1;"),
    "before other comments and blank lines": ("a.sql", "-- pinsafe: ignore[set]\n\n-- why\nSET a = 1;"),
    "inside the statement": ("a.sql", "SET a =\n  1 -- pinsafe: ignore[set]\n;"),
    "of all rules": ("a.sql", "SET a = 1; -- pinsafe: ignore"),
    "of several rules": (
        "a.sql",
        "SELECT set_config('a', nextval('b')::text, true); -- pinsafe: ignore[sequence, set-config]",
    ),
    "in a block comment": ("a.sql", "/* pinsafe: ignore[set] */ SET a = 1;"),
    "for the file": ("a.sql", "SET a = 1;\nSET b = 1;\n-- pinsafe: ignore-file[set]\n"),
    "for the file, all rules": ("a.sql", "-- pinsafe:ignore-file\nSET a = 1;\nLISTEN x;"),
    "in Python": ("a.py", 'execute("SET a.b = 1")  # pinsafe: ignore[set]'),
    "in Python, before the statement": ("a.py", '# pinsafe: ignore[set]\nexecute(\n    "SET a.b = 1",\n)'),
    "in Python, at the statement's first line": ("a.py", 'execute(  # pinsafe: ignore[set]\n    "SET a.b = 1",\n)'),
    "in the SQL of Python": ("a.py", 'execute("""\n-- pinsafe: ignore[set]\nSET a.b = 1""")'),
    "in Python, behind a string of several lines": (
        "a.py",
        'execute("""\n    SET a.b = 1;\n    SELECT 1\n""")  # pinsafe: ignore[set]',
    ),
    "in TypeScript": ("a.ts", "// pinsafe: ignore[listen]\nawait client.query('LISTEN x');"),
    "in YAML": ("database.yml", "a:\n  adapter: postgresql # pinsafe: ignore[rails-session]\n"),
    "in an environment file": (".env", "# pinsafe: ignore[startup-options]\nPGOPTIONS='-c jit=off'\n"),
}
NOT_SILENT = {
    "another rule": ("a.sql", "SET a = 1; -- pinsafe: ignore[listen]"),
    "behind the statement before": ("a.sql", "SELECT 1; -- pinsafe: ignore[set]\nSET a = 1;"),
    "a line too early": ("a.sql", "-- pinsafe: ignore[set]\nSELECT 1;\nSET a = 1;"),
    "after the statement": ("a.sql", "SET a = 1;\n-- pinsafe: ignore[set]\n"),
    "a longer word": ("a.sql", "SET a = 1; -- pinsafe: ignored by our team"),
    "no ids": ("a.sql", "SET a = 1; -- pinsafe: ignore[]"),
    "not a comment": ("a.py", 'execute("SET a.b = 1", "pinsafe: ignore[set]")'),
    "on another string of a long statement": (
        "a.py",
        'x = [\n    # pinsafe: ignore[set]\n    execute("SET a.b = 1"),\n    1,\n    execute("SET a.c = 1"),\n]',
    ),
}


@pytest.mark.parametrize("name", SILENT)
def test_comment_silences(name: str) -> None:
    assert lint_text(*SILENT[name], {}).findings == []


@pytest.mark.parametrize("name", NOT_SILENT)
def test_comment_silences_nothing_else(name: str) -> None:
    assert len(lint_text(*NOT_SILENT[name], {}).findings) == 1


def test_unknown_id_is_reported() -> None:
    """The other ids of the comment apply."""
    [finding] = lint_text("a.sql", "SET a = 1; -- pinsafe: ignore[set, sett]", {}).findings
    assert (finding.rule.id, finding.start, finding.end) == ("unknown-ignore", (1, 36), (1, 40))
    assert "'sett'" in finding.message
