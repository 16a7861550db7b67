"""Every example of every condition, in every tool."""

from datetime import UTC, datetime

import postgast
import pytest

from cdk_pinsafe.emulator.classifier import StatementClassifier
from cdk_pinsafe.lint.linter import lint_text
from cdk_pinsafe.lint.sql_detection import STATEMENT_STARTS
from cdk_pinsafe.pinning.conditions import CONDITIONS, Condition
from cdk_pinsafe.pinning.log_lines import classify, parse_line, pinned, reason_for
from cdk_pinsafe.pinning.statements import digest

PINNING = pytest.mark.parametrize(
    ("one", "sql"),
    [pytest.param(one, sql, id=f"{one.id}-{sql[:60]}") for one in CONDITIONS for sql in one.pinning_examples],
)
SAFE = pytest.mark.parametrize(
    "sql", [pytest.param(sql, id=f"{one.id}-{sql[:60]}") for one in CONDITIONS for sql in one.safe_examples]
)
BEFORE = ("", "END; ", "UNLISTEN *; ", "ANALYZE orders; ", "CLOSE ALL; NOTIFY jobs; VACUUM; ")


def rules(path: str, text: str) -> list[str]:
    return [finding.rule.id for finding in lint_text(path, text, {}).findings]


@PINNING
@pytest.mark.parametrize("before", BEFORE)
def test_sql_file(one: Condition, sql: str, before: str) -> None:
    assert rules("a.sql", f"{before}{sql};\n") == [one.id]


@PINNING
@pytest.mark.parametrize("before", BEFORE)
def test_string_of_a_program(one: Condition, sql: str, before: str) -> None:
    assert rules("a.py", f"cursor.execute({before + sql!r})\n") == [one.id]


@SAFE
@pytest.mark.parametrize("before", BEFORE)
def test_safe_example_gives_no_finding(sql: str, before: str) -> None:
    assert rules("a.sql", f"{before}{sql};\n") == []
    assert rules("a.py", f"cursor.execute({before + sql!r})\n") == []


@PINNING
@pytest.mark.parametrize("before", ["", "end;", "unlisten *;"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_digest_in_the_log(one: Condition, sql: str, before: str, cut: bool) -> None:
    text = None if one.id == "oversized" else before + digest(sql)
    if cut and text is not None:
        text += " [...]"
    line = parse_line(pinned(datetime(2026, 1, 1, tzinfo=UTC), 1, 2, reason_for(one), text))
    assert line is not None
    found = classify(line.reason, line.digest)
    assert found is not None
    assert found.id == one.id


@PINNING
def test_emulator(one: Condition, sql: str) -> None:
    reason = StatementClassifier().classify(sql.encode())
    assert reason is not None
    assert reason.condition is one


@SAFE
def test_emulator_does_not_pin_safe_example(sql: str) -> None:
    assert StatementClassifier().classify(sql.encode()) is None


def test_first_words_of_statements() -> None:
    """The parser accepts each as a first word, and no other keyword."""
    keywords = {name.removesuffix("_P").lower() for name in dict(postgast.pg_query_pb2.Token.items())}
    begins = set()
    for word in keywords:
        try:
            postgast.parse(f"{word} +")
        except postgast.PgQueryError as error:
            if error.cursorpos != 1:
                begins.add(word)
    assert begins == STATEMENT_STARTS
