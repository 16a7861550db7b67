"""No wrong verdict, whatever the proxy's pool is like: an outcome is right, or it cannot be told."""

import contextlib
from collections.abc import Sequence

import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, run_in_thread
from cdk_pinsafe.emulator.server import EmulatorOptions
from cdk_pinsafe.probe.rows import Row
from cdk_pinsafe.probe.run import Options, Result, probe
from cdk_pinsafe.probe.verdict import Outcome

from .conftest import PASSWORD, USER, chosen, dsn
from .doubles import at_random, busy, choose_by, nodes, oldest, sticky, widen

# One that pins, one that does not, one whose state leaks.
ROWS = chosen("several-statements", "do-block")


def options(pool_size: int) -> EmulatorOptions:
    return EmulatorOptions(pool_size=pool_size, authentication=Authentication.TRUST, users={USER: PASSWORD})


def measured(where: str, rows: Sequence[Row] = ROWS, seconds: float = 120) -> dict[str, Result]:
    return {result.row.id: result for result in probe(where, Options(seconds=seconds), chosen=rows).results}


def wrong(results: dict[str, Result]) -> list[Result]:
    """Those with an outcome that is not what the emulator does; a leak that was not seen is no wrong outcome."""
    return [
        result
        for result in results.values()
        if result.outcome not in (Outcome.CANNOT_TELL, result.row.expected)
        and (result.outcome, result.row.expected) != (Outcome.SHARED, Outcome.LEAKED)
    ]


def runs(long: bool, few: int = 1) -> range:
    return range(100 if long else few)


def test_pool_of_two(target: ProxyTarget, long: bool) -> None:
    for _ in runs(long):
        with run_in_thread(target, options(2)) as proxy:
            results = measured(proxy.dsn())
            assert wrong(results) == []
            assert results["canary"].outcome == Outcome.PINNED


def test_pool_of_one(target: ProxyTarget) -> None:
    """A pinned session leaves nothing for the control session, so nothing can be told."""
    with run_in_thread(target, options(1)) as proxy:
        assert wrong(measured(proxy.dsn(), chosen())) == []


@pytest.mark.parametrize("size", [3, 40])
def test_random_connections(target: ProxyTarget, monkeypatch: pytest.MonkeyPatch, long: bool, size: int) -> None:
    for number in runs(long, 2):
        choose_by(monkeypatch, at_random(number))
        with run_in_thread(target, options(size)) as proxy:
            widen(proxy.dsn(), size)
            results = measured(proxy.dsn())
            assert wrong(results) == []
            assert results["canary"].outcome == Outcome.PINNED


@pytest.mark.parametrize("size", [5, 40])
def test_wide_pool_in_turn(target: ProxyTarget, monkeypatch: pytest.MonkeyPatch, long: bool, size: int) -> None:
    choose_by(monkeypatch, oldest)
    for _ in runs(long):
        with run_in_thread(target, options(size)) as proxy:
            widen(proxy.dsn(), size)
            assert wrong(measured(proxy.dsn())) == []


def test_each_session_gets_its_own_again(target: ProxyTarget, monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    """Where sessions keep their connections without a pin, nothing is called pinned."""
    for _ in runs(long):
        choose_by(monkeypatch, sticky())
        with run_in_thread(target, options(40)) as proxy:
            widen(proxy.dsn(), 40)
            assert wrong(measured(proxy.dsn())) == []


def test_several_nodes(target: ProxyTarget, long: bool) -> None:
    """A session that is alone on its node of the proxy is never handed over, though the control session is."""
    for number in runs(long, 2):
        with contextlib.ExitStack() as stack:
            ports = [stack.enter_context(run_in_thread(target, options(6))).port for _ in range(3)]
            assert wrong(measured(dsn(stack.enter_context(nodes(ports, number))), [*ROWS, *ROWS[1:]])) == []


def test_busy_proxy(target: ProxyTarget, long: bool) -> None:
    for _ in range(20 if long else 1):
        with run_in_thread(target, options(10)) as proxy, busy(proxy.dsn(), 50 if long else 12):
            assert wrong(measured(proxy.dsn())) == []
