"""Messages of pins that are many, long, or contain unprintable characters."""

import json
from datetime import UTC, datetime

from cdk_pinsafe.emulator import PinEvent
from cdk_pinsafe.pinning.conditions import CONDITIONS, condition
from cdk_pinsafe.testing.message import PinningStatement, failure, statements, summary


def pin(statement: str, part: str = "", *, id: str = "set", client: int = 1, name: str = "") -> PinEvent:
    met = condition(id)
    start = statement.index(part)
    return PinEvent(
        statement=statement,
        condition=met,
        evidence=met.evidence,
        reason="",
        digest=None,
        remedy=met.remedy,
        start=start,
        end=start + len(part or statement),
        client_connection=client,
        db_connection=1,
        user="app",
        database="shop",
        application_name=name,
        client_address="127.0.0.1:50412",
        when=datetime.now(UTC),
        repeated=False,
    )


def message_of(*pins: PinEvent) -> list[str]:
    return failure(statements([("call", one) for one in pins], frozenset())).splitlines()


def test_message_has_evidence_and_remedy() -> None:
    """For each condition the message has its meaning, evidence, sources and remedy in full."""
    for one in CONDITIONS:
        text = " ".join(" ".join(message_of(pin(one.pinning_examples[0][:1000], id=one.id))).split())
        for wanted in (one.pins, one.remedy, ", ".join(one.evidence), *one.source, f'allow=["{one.id}"]'):
            assert " ".join(wanted.split()) in text


def test_long_statement_is_shortened() -> None:
    """A long statement is shown around the part that pins, and that part by itself."""
    part = "set_config('a.b', 'c', false)"
    lines = message_of(pin("SELECT " + "1, " * 2000 + part + ", 2" * 2000, part))
    [statement] = [line for line in lines if line.startswith("  statement  … ")]
    assert statement.endswith(" …")
    assert f"1, {part}, 2" in statement
    assert len(statement) < 700
    assert f"  pins by    {part}" in lines


def test_statement_of_several_lines() -> None:
    """Lines are kept, aligned below the first; empty ones are removed."""
    lines = message_of(pin("\n\nSET\n\n  search_path TO app;\n"))
    assert lines[2:4] == ["  statement  SET", "               search_path TO app;"]
    assert not any(line.startswith("  pins by") for line in lines)


def test_number_of_statements_is_limited() -> None:
    """Ten statements of a condition are shown, with the number of others, and the condition once."""
    lines = message_of(*(pin(f"SET work_mem = '{number}MB'") for number in range(25)))
    assert sum(line.startswith("  statement") for line in lines) == 10
    assert "  and        15 statements more" in lines
    assert sum(line.startswith("  condition") for line in lines) == 1


def test_each_session_is_listed_once() -> None:
    """A statement that several sessions ran is shown once, with its clients."""
    lines = message_of(*(pin("SET jit = off", client=number) for number in (7, 8, 7)))
    place = lines.index("  when       3 times")
    assert [line[13:] for line in lines[place + 1 : place + 3]] == [
        "connection 7, user app, database shop",
        "connection 8, user app, database shop",
    ]


def test_control_characters_are_replaced() -> None:
    found = statements([("call", pin("SET jit = off -- \x1b[2J", name="\x1b]0;title\x07\x9b"))], frozenset())
    for text in (failure(found), "\n".join(summary([("test_it\n", 1, found)]))):
        assert text.replace("\n", "").isprintable()


def test_statement_survives_serialization() -> None:
    """pytest-xdist's workers send statements as JSON."""
    found = statements([("setup", pin("SET jit = off"))], frozenset({"set"}))
    assert [PinningStatement.from_dict(json.loads(json.dumps(one.as_dict()))) for one in found] == found
    assert found[0].allowed
