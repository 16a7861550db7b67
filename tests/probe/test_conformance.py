"""All rows on the emulator, on Debian's PgBouncer, and on a plain server."""

import contextlib
from collections.abc import Iterator

import pg8000.native
import psycopg
import pytest

from cdk_pinsafe.emulator import Authentication, ProxyTarget, run_in_thread
from cdk_pinsafe.localpg.server import PostgresServer
from cdk_pinsafe.probe.run import NO_HANDOVER, Comparison, Report, probe
from cdk_pinsafe.probe.verdict import Outcome

from .conftest import ALL, PASSWORD, USER, chosen, dsn, pgbouncer

LOAD = ["load-1", "load-extended", "load-transaction"]
"""Which the server refuses to a user that is not a superuser, wherever it is sent."""


def ids(report: Report, *outcomes: Outcome) -> list[str]:
    return [result.row.id for result in report.results if result.outcome in outcomes]


def test_emulator_agrees_in_every_row(emulated: Report) -> None:
    assert [
        result for result in emulated.results if result.outcome != result.row.expected and result.row.id not in LOAD
    ] == []
    assert ids(emulated, Outcome.REFUSED) == ["startup-options", *LOAD]
    assert emulated.count(Comparison.DIFFERS) == 0
    assert emulated.status == 0


def test_emulator_ignores_cancel_requests(emulated: Report) -> None:
    assert {fact.id: fact.result for fact in emulated.facts}["cancel"] == "has no effect: the statement ran to its end"


def test_legacy_emulator_pins_every_parse(target: ProxyTarget) -> None:
    """Before November 2023 every Parse pinned: what the extended protocol sends differs, and nothing else does."""
    rows = chosen(
        "schema-alone", "prepare-alone", "extended", "prepared", "pipeline", "long-parameter", "sql-prepare-2",
        "sql-prepare-4", "set-extended", "set-1", "copy-to", "several-statements", "sequence-1", "set-safe-1",
    )  # fmt: skip
    with run_in_thread(
        target, pool_size=10, legacy=True, authentication=Authentication.TRUST, users={USER: PASSWORD}
    ) as proxy:
        report = probe(proxy.dsn(), ALL, chosen=rows)
    differing = {result.row.id for result in report.results if result.comparison == Comparison.DIFFERS}
    assert differing == {"prepare-alone", "extended", "pipeline", "long-parameter"}
    assert set(ids(report, Outcome.CANNOT_TELL)) == {"prepared", "sql-prepare-2", "sql-prepare-4"}
    assert all("(prepare-alone)" in result.reason for result in report.results if result.outcome == Outcome.CANNOT_TELL)
    assert report.status == 1


@pytest.fixture(scope="module")
def pooled(server: PostgresServer) -> Iterator[tuple[Report, str]]:
    with pgbouncer(server, "transaction", 5) as where:
        yield probe(where, ALL), where


def test_pgbouncer_pins_nothing(pooled: tuple[Report, str]) -> None:
    report, _ = pooled
    assert ids(report, Outcome.PINNED) == []
    assert report.status == 1


def test_pgbouncer_leaks_are_named(pooled: tuple[Report, str]) -> None:
    """What PgBouncer leaves in its connections for other clients, and what ends with the transaction."""
    report, _ = pooled
    leaked = set(ids(report, Outcome.LEAKED))
    assert leaked >= {
        "canary", "do-block", "sql-prepare-1", "cursor-2", "temp-object-1", "temp-object-3", "temp-object-6",
        "temp-object-7", "advisory-lock-1", "advisory-lock-2", "advisory-lock-3", "listen-1",
    }  # fmt: skip
    shared = set(ids(report, Outcome.SHARED))
    assert shared >= {"set-local-1", "set-config-2", "cursor-1", "temp-object-2", "set-rolled-back", "sequence-1"}
    # Before 1.21, a prepared statement stays behind in the connection, where the client may or may not find it again.
    assert "prepared" in ids(report, Outcome.REFUSED, Outcome.LEAKED, Outcome.SHARED)


def test_nothing_harmful_is_sent_to_a_leaking_pooler(pooled: tuple[Report, str]) -> None:
    """A SET search_path or DISCARD ALL would change what other clients do."""
    report, _ = pooled
    not_sent = {result.row.id for result in report.results if result.reason.startswith("not sent: session state")}
    assert not_sent == {result.row.id for result in report.results if result.row.harms_others}
    assert {"set-1", "set-5", "set-9", "set-config-1", "discard-1", "sql-prepare-6", "advisory-lock-7"} <= not_sent


def test_leaks_are_removed(pooled: tuple[Report, str], admin: pg8000.native.Connection) -> None:
    """After the probe, the pooler's connections hold nothing of it."""
    _, where = pooled
    assert admin.run("SELECT FROM pg_locks WHERE locktype = 'advisory'") == []
    assert admin.run("SELECT relname FROM pg_class WHERE relname LIKE 'pinsafe%'") == []
    assert admin.run("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pinsafe%'") == []
    with contextlib.ExitStack() as stack:
        for _ in range(5):  # all of the pool at the same time
            one = stack.enter_context(psycopg.connect(where, prepare_threshold=None))
            assert one.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'pinsafe%'").fetchall() == []
            assert one.execute("SELECT name FROM pg_cursors WHERE name LIKE 'pinsafe%'").fetchall() == []
            assert one.execute("SELECT pg_listening_channels()").fetchall() == []
            assert one.execute("SHOW search_path").fetchone() == ('"$user", public',)


@pytest.mark.parametrize("mode", ["session", "plain"])
def test_without_multiplexing_nothing_can_be_told(server: PostgresServer, mode: str) -> None:
    with pgbouncer(server, "session") if mode == "session" else contextlib.nullcontext(dsn(server.port)) as where:
        report = probe(where, ALL)
    untold = [result for result in report.results if result.row.id != "startup-options"]
    assert {result.outcome for result in untold} == {Outcome.CANNOT_TELL}
    assert {result.reason.removeprefix("not sent: ") for result in untold} == {NO_HANDOVER}
    assert report.status == 2
