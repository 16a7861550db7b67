"""What is told of pins that are many, long, or not meant to be printed."""

import json
from datetime import UTC, datetime

from cdk_pinsafe.emulator import Pin
from cdk_pinsafe.pinning.conditions import CONDITIONS, condition
from cdk_pinsafe.testing.message import Statement, failure, statements, summary


def pin(statement: str, part: str = "", *, id: str = "set", client: int = 1, name: str = "") -> Pin:
    met = condition(id)
    start = statement.index(part)
    return Pin(
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


def told(*pins: Pin) -> list[str]:
    return failure(statements([("call", one) for one in pins], frozenset())).splitlines()


def test_every_condition_is_told_with_its_evidence_and_remedy() -> None:
    """Whatever the condition, its meaning, how well it is known and by whom, and the remedy are there in full."""
    for one in CONDITIONS:
        text = " ".join(" ".join(told(pin(one.pinning_examples[0][:1000], id=one.id))).split())
        for wanted in (one.pins, one.remedy, ", ".join(one.evidence), *one.source, f'allow=["{one.id}"]'):
            assert " ".join(wanted.split()) in text


def test_a_long_statement_is_shown_near_what_pins() -> None:
    """Of a long statement what stands before and after the part that pins is shown, and the part by itself."""
    part = "set_config('a.b', 'c', false)"
    lines = told(pin("SELECT " + "1, " * 2000 + part + ", 2" * 2000, part))
    [statement] = [line for line in lines if line.startswith("  statement  … ")]
    assert statement.endswith(" …")
    assert f"1, {part}, 2" in statement
    assert len(statement) < 700
    assert f"  pins by    {part}" in lines


def test_a_statement_of_many_lines_keeps_them() -> None:
    """Lines stay lines, each at its place below the first, and empty ones are left out."""
    lines = told(pin("\n\nSET\n\n  search_path TO app;\n"))
    assert lines[2:4] == ["  statement  SET", "               search_path TO app;"]
    assert not any(line.startswith("  pins by") for line in lines)


def test_many_statements_are_not_all_shown() -> None:
    """Of one condition ten statements are shown, with the number of the others, and the condition once."""
    lines = told(*(pin(f"SET work_mem = '{number}MB'") for number in range(25)))
    assert sum(line.startswith("  statement") for line in lines) == 10
    assert "  and        15 statements more" in lines
    assert sum(line.startswith("  condition") for line in lines) == 1


def test_each_session_is_named_once() -> None:
    """What several sessions ran is one statement with its clients."""
    lines = told(*(pin("SET jit = off", client=number) for number in (7, 8, 7)))
    place = lines.index("  when       3 times")
    assert [line[13:] for line in lines[place + 1 : place + 3]] == [
        "connection 7, user app, database shop",
        "connection 8, user app, database shop",
    ]


def test_clients_do_not_write_to_the_terminal() -> None:
    """Control characters of a statement or a name are replaced."""
    found = statements([("call", pin("SET jit = off -- \x1b[2J", name="\x1b]0;title\x07\x9b"))], frozenset())
    for text in (failure(found), "\n".join(summary([("test_it\n", 1, found)]))):
        assert text.replace("\n", "").isprintable()


def test_statements_go_from_process_to_process() -> None:
    """A worker's statements arrive as they were."""
    found = statements([("setup", pin("SET jit = off"))], frozenset({"set"}))
    assert [Statement.from_dict(json.loads(json.dumps(one.as_dict()))) for one in found] == found
    assert found[0].allowed
