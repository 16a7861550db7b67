"""What a test that pins is told, and the summary of a whole suite, as text. It must not know pytest or the stand-in."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ..terminal import plain

if TYPE_CHECKING:
    from ..emulator import Pin

__all__ = ["Statement", "failure", "statements", "summary"]

_WIDTH: Final = 110
_INDENT: Final = " " * 13
# The characters that are shown of a statement: so many before the part that pins, so many from there.
_BEFORE: Final = 200
_AFTER: Final = 400
_MOST: Final = 10  # statements of one condition
_PHASES: Final = {"setup": "while it was set up", "call": "", "teardown": "while it was torn down"}


@dataclass(frozen=True)
class Statement:
    """A statement that pins, as often as one test ran it in one of its phases.

    Attributes:
        condition: the condition's id.
        meaning: what pins by this condition.
        evidence: how well that is known, and where it is from.
        text: the statement, or what is near the part that pins.
        part: the part that pins; "" for all of it.
        remedy: what to write instead.
        clients: the sessions that ran it.
        when: how often, and in which phase; "" for once, by the test itself.
        times: how often.
        allowed: whether the test may.
    """

    condition: str
    meaning: str
    evidence: str
    text: str
    part: str
    remedy: str
    clients: tuple[str, ...]
    when: str
    times: int
    allowed: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the way from one process to another."""
        return {**asdict(self), "clients": list(self.clients)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Statement":
        """From those values."""
        return cls(**{**values, "clients": tuple(values["clients"])})


def statements(pins: "Sequence[tuple[str, Pin]]", allowed: frozenset[str]) -> list[Statement]:
    """The pins of a test, each with its phase; what was run several times in a phase is there once."""
    groups: dict[tuple[str, str], list[Pin]] = {}
    for phase, pin in pins:
        groups.setdefault((phase, pin.statement), []).append(pin)
    return [_statement(phase, group, allowed) for (phase, _), group in groups.items()]


def failure(found: Sequence[Statement]) -> str:
    """What is told of statements that are not allowed. Its first line says it in short."""
    ids = list(dict.fromkeys(one.condition for one in found))
    lines = [f"pins behind RDS Proxy: {', '.join(ids)}"]
    for name in ids:
        same = [one for one in found if one.condition == name]
        for one in same[:_MOST]:
            lines += ["", *_row("statement", one.text), *_row("pins by", one.part), *_row("when", one.when)]
            lines += [*_row("client", "\n".join(one.clients)), *_row("remedy", _wrapped(one.remedy))]
        if len(same) > _MOST:
            lines += ["", *_row("and", f"{_number(len(same) - _MOST, 'statement')} more")]
        lines += ["", *_row("condition", _wrapped(f"{name}: {same[0].meaning}"))]
        lines += _row("evidence", _wrapped(same[0].evidence))
    listed = ", ".join(f'"{name}"' for name in ids)
    lines += ["", f"More: pinsafe conditions {ids[0]}   Accept it: @pytest.mark.pinsafe(allow=[{listed}])"]
    return "\n".join(lines)


def summary(tests: "Sequence[tuple[str, int, Sequence[Statement]]]") -> list[str]:
    """What pins in a suite: of each test its name, the number of its requests to the proxy, and what pinned.

    Returns:
        Lines: each statement with the tests that ran it, then the numbers.
    """
    through = [test for test in tests if test[1]]
    if not through:
        return [f"nothing came through the stand-in from {_number(len(tests), 'test')}: do they use its DSN?"]
    groups: dict[tuple[str, str], dict[str, list[Statement]]] = {}
    for name, _, found in through:
        for one in found:
            groups.setdefault((one.condition, one.part or one.text), {}).setdefault(name, []).append(one)
    lines = []
    for (condition, text), by_test in sorted(groups.items()):
        lines.append(f"{condition}: {plain(textwrap.shorten(text, _WIDTH - 20, placeholder=' …'))}")
        for name, same in by_test.items():
            times = sum(one.times for one in same)
            lines.append(f"  {name}" + f", {times} times" * (times > 1) + " (allowed)" * same[0].allowed)
    pinning = [found for _, _, found in through if found]
    allowed = sum(1 for found in pinning if all(one.allowed for one in found))
    requests = sum(number for _, number, _ in through)
    lines.append(
        f"{_number(len(through), 'test')} sent {_number(requests, 'request')} through the stand-in; "
        f"{len(pinning)} pinned, {allowed} of them as allowed"
    )
    return lines


def _statement(phase: str, group: "Sequence[Pin]", allowed: frozenset[str]) -> Statement:
    pin, times = group[0], len(group)
    condition = pin.condition
    assert condition is not None  # noqa: S101 - it is in legacy mode alone
    before, part, after = pin.statement[: pin.start], pin.statement[pin.start : pin.end], pin.statement[pin.end :]
    whole = not (before.strip() or after.strip("; \n\t\r"))
    clients: dict[int, str] = {}
    for one in group:
        clients.setdefault(one.client_connection, _client(one))
    first = max(0, pin.start - _BEFORE)
    text = pin.statement[first : pin.start + _AFTER]
    return Statement(
        condition=condition.id,
        meaning=condition.pins,
        evidence=f"{', '.join(pin.evidence)}: {' '.join(condition.source)}",
        text="… " * bool(first) + text.strip() + " …" * (pin.start + _AFTER < len(pin.statement)),
        part="" if whole else _cut(part),
        remedy=_cut(pin.remedy),
        clients=tuple(clients.values()),
        when=", ".join(filter(None, (f"{times} times" if times > 1 else "", _PHASES[phase]))),
        times=times,
        allowed=condition.id in allowed,
    )


def _client(pin: "Pin") -> str:
    name = f"application_name {pin.application_name}, " if pin.application_name else ""
    before = ", pinned already" if pin.repeated else ""
    return f"connection {pin.client_connection}, {name}user {pin.user}, database {pin.database}{before}"


def _row(name: str, text: str) -> list[str]:
    """A name and what there is to it, on as many lines as it has; no line at all for nothing."""
    lines = [plain(line).rstrip() for line in text.splitlines() if line.strip()]
    return [f"  {name:<11}{lines[0]}", *(_INDENT + line for line in lines[1:])] if lines else []


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False)


def _cut(text: str) -> str:
    return text if len(text) <= _AFTER else text[:_AFTER] + " …"


def _number(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)
