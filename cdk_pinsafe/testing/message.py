"""Failure messages and the summary of the pytest plugin. Imports neither pytest nor the emulator."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ..terminal import plain, plural

if TYPE_CHECKING:
    from ..emulator import PinEvent

__all__ = ["PinningStatement", "failure", "statements", "summary"]

_WIDTH: Final = 110
_INDENT: Final = " " * 13
# The characters of a statement that are shown: before the part that pins, and from there on.
_BEFORE: Final = 200
_AFTER: Final = 400
_MAX_STATEMENTS: Final = 10  # per condition
_PHASES: Final = {"setup": "in its setup", "call": "", "teardown": "in its teardown"}


@dataclass(frozen=True)
class PinningStatement:
    """A statement that pins, with all its runs in one phase of a test.

    Attributes:
        condition: the id of the condition.
        meaning: what pins by this condition.
        evidence: how well that is known, with the sources.
        text: the statement, or an excerpt around the part that pins.
        part: the part that pins; "" if it is the whole statement.
        remedy: what to write instead.
        clients: the sessions that ran it.
        when: how often and in which phase; "" for once, in the test itself.
        times: how often.
        allowed: whether the test allows the condition.
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
        """Return plain values, to pass between processes."""
        return {**asdict(self), "clients": list(self.clients)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PinningStatement":
        """Restore a statement from `as_dict`."""
        return cls(**{**values, "clients": tuple(values["clients"])})


def statements(pins: "Sequence[tuple[str, PinEvent]]", allowed: frozenset[str]) -> list[PinningStatement]:
    """Group the pins of a test, each with its phase: one entry for each statement and phase."""
    groups: dict[tuple[str, str], list[PinEvent]] = {}
    for phase, pin in pins:
        groups.setdefault((phase, pin.statement), []).append(pin)
    return [_statement(phase, group, allowed) for (phase, _), group in groups.items()]


def failure(found: Sequence[PinningStatement]) -> str:
    """Return the failure message of statements that are not allowed. The first line is a summary."""
    ids = list(dict.fromkeys(one.condition for one in found))
    lines = [f"pins behind RDS Proxy: {', '.join(ids)}"]
    for name in ids:
        same = [one for one in found if one.condition == name]
        for one in same[:_MAX_STATEMENTS]:
            lines += ["", *_row("statement", one.text), *_row("pins by", one.part), *_row("when", one.when)]
            lines += [*_row("client", "\n".join(one.clients)), *_row("remedy", _wrapped(one.remedy))]
        if len(same) > _MAX_STATEMENTS:
            lines += ["", *_row("and", f"{plural(len(same) - _MAX_STATEMENTS, 'statement')} more")]
        lines += ["", *_row("condition", _wrapped(f"{name}: {same[0].meaning}"))]
        lines += _row("evidence", _wrapped(same[0].evidence))
    listed = ", ".join(f'"{name}"' for name in ids)
    lines += ["", f"More: pinsafe conditions {ids[0]}   Accept it: @pytest.mark.pinsafe(allow=[{listed}])"]
    return "\n".join(lines)


def summary(tests: "Sequence[tuple[str, int, Sequence[PinningStatement]]]") -> list[str]:
    """Summarize a suite: for each test its name, the number of requests through the proxy, and its pins.

    Returns:
        Lines: each statement with the tests that ran it, then the totals.
    """
    through = [test for test in tests if test[1]]
    if not through:
        return [f"{plural(len(tests), 'test')} sent nothing through the emulator: check that they use its DSN"]
    groups: dict[tuple[str, str], dict[str, list[PinningStatement]]] = {}
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
        f"{plural(len(through), 'test')} sent {plural(requests, 'request')} through the emulator; "
        f"{len(pinning)} pinned, {allowed} of them as allowed"
    )
    return lines


def _statement(phase: str, group: "Sequence[PinEvent]", allowed: frozenset[str]) -> PinningStatement:
    pin, times = group[0], len(group)
    condition = pin.condition
    assert condition is not None  # noqa: S101 - it is None only in legacy mode
    before, part, after = pin.statement[: pin.start], pin.statement[pin.start : pin.end], pin.statement[pin.end :]
    is_whole = not (before.strip() or after.strip("; \n\t\r"))
    clients: dict[int, str] = {}
    for one in group:
        clients.setdefault(one.client_connection, _client(one))
    first = max(0, pin.start - _BEFORE)
    text = pin.statement[first : pin.start + _AFTER]
    return PinningStatement(
        condition=condition.id,
        meaning=condition.pins,
        evidence=f"{', '.join(pin.evidence)}: {' '.join(condition.source)}",
        text="… " * bool(first) + text.strip() + " …" * (pin.start + _AFTER < len(pin.statement)),
        part="" if is_whole else _shorten(part),
        remedy=_shorten(pin.remedy),
        clients=tuple(clients.values()),
        when=", ".join(filter(None, (f"{times} times" if times > 1 else "", _PHASES[phase]))),
        times=times,
        allowed=condition.id in allowed,
    )


def _client(pin: "PinEvent") -> str:
    name = f"application_name {pin.application_name}, " if pin.application_name else ""
    before = ", pinned already" if pin.repeated else ""
    return f"connection {pin.client_connection}, {name}user {pin.user}, database {pin.database}{before}"


def _row(name: str, text: str) -> list[str]:
    """Return a label and its text, one line for each line of text; no lines for an empty text."""
    lines = [plain(line).rstrip() for line in text.splitlines() if line.strip()]
    return [f"  {name:<11}{lines[0]}", *(_INDENT + line for line in lines[1:])] if lines else []


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False)


def _shorten(text: str) -> str:
    return text if len(text) <= _AFTER else text[:_AFTER] + " …"
