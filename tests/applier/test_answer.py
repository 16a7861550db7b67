"""Responses and messages are short for any input. No server is needed."""

import json

import pytest

from cdk_pinsafe.applier import handler
from cdk_pinsafe.applier.messages import (
    LONGEST,
    ServerMessage,
    Target,
    list_names,
    owned_by_another,
    setting_refused,
    truncate,
)
from cdk_pinsafe.applier.plan import Key
from cdk_pinsafe.applier.transaction import Applied, Outcome
from cdk_pinsafe.errors import ApplyError

from .harness import LambdaContext, properties

LONG = "🐘" * 400 + "\n\x1b[31m" + "x" * 5000


def test_500_role_overrides_fit_the_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation takes 4096 bytes; the names that do not fit are counted."""
    every = tuple(Key(f"extension_{number}.parameter_with_a_long_name") for number in range(500))
    outcome = Outcome(every, every, every, every, role_overrides=tuple((key.name, "role") for key in every))
    monkeypatch.setattr(handler, "apply", lambda *_, **__: Applied(outcome))
    given = properties({}, Host="h" * 250, Database="🐘" * 15)
    answer = handler.on_event({"RequestType": "Create", "ResourceProperties": given}, LambdaContext())
    assert len(json.dumps(answer).encode()) < 3000
    assert answer["Data"]["Applied"] == "500"
    assert answer["Data"]["OverriddenByRole"].endswith("more")
    assert all(isinstance(value, str) for value in answer["Data"].values())


def test_messages_fit_for_any_input() -> None:
    """The remedy at the end is never truncated."""
    target = Target(LONG, 5432, LONG)
    error = ServerMessage("22023", LONG, LONG, LONG, LONG)
    message = setting_refused(target, error, installed=[], others=[LONG] * 500)
    assert "correct the value" in truncate(message, LONGEST)
    assert len(message) < 1000
    assert len(message.encode()) < 2500
    assert len(owned_by_another(target, {Key(f"{number}{LONG}", LONG): LONG for number in range(500)})) < 1000


def test_lines_are_one_and_printable() -> None:
    """Control characters of a server's message do not reach CloudFormation's console."""
    assert truncate("a\nb\x1b[31m\tc\u2028d", 100) == "a b [31m c d"
    assert truncate("x" * 10, 5) == "xxxx…"
    assert len(truncate("🐘" * 1000, LONGEST).encode()) <= 2500
    assert len(truncate("語" * 1000, LONGEST).encode()) <= 2500


def test_list_names_truncates_between_names() -> None:
    assert list_names(["ab", "cd", "ef"], 8) == "ab, cd and 1 more"
    assert list_names([], 8) == ""


def test_internal_error_hides_its_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the stack frames; neither the log nor the response has the content."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("hidden-password")

    monkeypatch.setattr(handler, "apply", broken)
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/applier")
    with pytest.raises(ApplyError) as caught:
        handler.on_event({"RequestType": "Create", "ResourceProperties": properties({})}, LambdaContext())
    assert str(caught.value).startswith("internal error of the applier (KeyError)")
    assert "log group /aws/lambda/applier" in str(caught.value)
    assert caught.value.__context__ is None
    output = capsys.readouterr().out
    assert "hidden-password" not in output
    assert "test_answer.py" in output
