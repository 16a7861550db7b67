"""What is sent is what the table speaks of, and nothing of somebody else's."""

import re

import pytest

from cdk_pinsafe.pinning.clients import CLIENTS
from cdk_pinsafe.pinning.conditions import CONDITIONS
from cdk_pinsafe.pinning.statements import analyse
from cdk_pinsafe.probe.rows import NOT_SENT, Row, adapted, rows
from cdk_pinsafe.probe.verdict import Outcome

ROWS = rows()
EXAMPLES = [(one.id, example) for one in CONDITIONS for example in one.pinning_examples]
SAFE = [(one.id, example) for one in CONDITIONS for example in one.safe_examples if example not in NOT_SENT]
OF_CLIENTS = [statement for one in CLIENTS for statement in one.statements]


def conditions(text: str) -> list[str]:
    return sorted({finding.condition.id for finding in analyse(text).findings})


@pytest.mark.parametrize(("id", "example"), EXAMPLES, ids=lambda value: value[:40])
def test_adapted_example_meets_its_condition(id: str, example: str) -> None:
    assert conditions(adapted(example)) == conditions(example)
    assert any(step.text == adapted(example) for row in ROWS if row.group == id for step in row.steps)


@pytest.mark.parametrize(("id", "example"), SAFE, ids=lambda value: value[:40])
def test_adapted_safe_example_is_safe(id: str, example: str) -> None:
    assert conditions(adapted(example)) == []
    assert any(step.text == adapted(example) for row in ROWS if row.group == id for step in row.steps)


@pytest.mark.parametrize("statement", OF_CLIENTS, ids=lambda value: value[:40])
def test_every_client_statement_is_sent(statement: str) -> None:
    assert conditions(adapted(statement)) == conditions(statement)
    assert any(step.text == adapted(statement) for row in ROWS for step in row.steps)


def test_ids_are_unique() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_prerequisites_come_first() -> None:
    seen: set[str] = set()
    for row in ROWS:
        assert set(row.prerequisites) <= seen
        seen.add(row.id)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_expectation_is_what_the_steps_do(row: Row) -> None:
    """The parser's judgement of all that a row sends: one place that the expectation is not derived from."""
    pins = {condition for step in row.steps if step.how != "pipeline" for condition in conditions(step.text)}
    assert bool(pins) == (row.expected == Outcome.PINNED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_what_is_created_is_temporary_or_rolled_back(row: Row) -> None:
    """No row commits an object, a lock on a table, or data."""
    texts = [step.text for step in row.steps]
    writing = [
        text for text in texts if re.search(r"\b(CREATE|INSERT|UPDATE|COPY \S+ \(|LOCK TABLE|INTO \S+ FROM)", text)
    ]
    permanent = [text for text in writing if not re.search(r"\bTEMP|pg_temp\.", text)]
    assert not permanent or (texts[-1] == "ROLLBACK" and "BEGIN" in texts and "COMMIT" not in texts)
    assert not writing or row.writes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_locks_are_the_probes_own(row: Row) -> None:
    """Never the key of Prisma, of an application, or of an example."""
    for step in row.steps:
        for keys in re.findall(r"advisory_\w*lock\w*\(([^)]+)\)", step.text):
            assert keys in ("700700700", "1, 700700700")


def test_other_clients_queries_pin_nothing() -> None:
    assert [row.id for row in ROWS if row.trace and conditions(row.trace)] == []
