"""The statistics, against a simulation and against known values."""

import random
from math import comb

import pytest

from cdk_pinsafe.probe.verdict import ALPHA, BEFORE, LOOKS, chance, is_pinned


def test_chance_is_fishers() -> None:
    """The lady tasting tea: four of four cups right by chance, 1 in 70."""
    assert chance(4, 4, 4) == pytest.approx(1 / 70)
    assert chance(0, 10, 18) == 1


def test_clear_case_is_pinned_at_the_first_look() -> None:
    assert is_pinned([True] * BEFORE, [True] * LOOKS[0])


@pytest.mark.parametrize(
    ("before", "control"),
    [([False] * BEFORE, [True] * LOOKS[-1]), ([True] * BEFORE, [False] * LOOKS[-1]), ([], [True] * LOOKS[-1])],
    ids=["never before", "control never", "nothing before"],
)
def test_one_sided_evidence_is_no_pin(before: list[bool], control: list[bool]) -> None:
    assert not is_pinned(before, control)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9])
def test_bound_holds_at_any_handover_rate(rate: float) -> None:
    """Exact, for a session that is not pinned, with a control session that always is handed over."""
    wrong = 0.0
    for rounds in LOOKS:
        for handovers in range(BEFORE + 1):
            before = [True] * handovers + [False] * (BEFORE - handovers)
            if is_pinned(before, [True] * rounds):
                likely = comb(BEFORE, handovers) * rate**handovers * (1 - rate) ** (BEFORE - handovers)
                wrong += likely * (1 - rate) ** rounds
    assert wrong <= len(LOOKS) * ALPHA


def test_random_rounds_are_no_pin() -> None:
    drawn = random.Random(1)
    for _ in range(2000):
        rate = drawn.random()
        before = [drawn.random() < rate for _ in range(BEFORE)]
        control = [drawn.random() < rate for _ in range(LOOKS[-1])]
        subject = [drawn.random() < rate for _ in range(LOOKS[-1])]
        for look in LOOKS:
            assert not (is_pinned(before, control[:look]) and not any(subject[:look]))
