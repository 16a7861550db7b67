"""The applier on a real server, compared with a plain model of its contract."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from .harness import MASTER, Cluster, Database, FakeSecretsManager
from .state_machine import ApplierStateMachine


@pytest.fixture
def second_database(cluster: Cluster, secrets_manager: FakeSecretsManager) -> Iterator[Database]:
    with cluster.fresh_database(secrets_manager) as fresh:
        yield fresh


@pytest.mark.timeout(3600)
def test_applier_matches_model(
    database: Database, second_database: Database, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """After every event and every manual change, the server, the ledger and the response are as in the model. Once
    everything is deleted, each database is as at the beginning, but for manual changes."""
    role = f"reader_of_{database.name}"
    database.admin.run(f"GRANT SET ON PARAMETER model.text TO {MASTER}")
    ApplierStateMachine.databases, ApplierStateMachine.role, ApplierStateMachine.steps = (
        [database, second_database],
        role,
        0,
    )
    start = time.monotonic()
    rounds = settings(
        max_examples=60 if long else 8,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    try:
        while not ApplierStateMachine.steps or (long and ApplierStateMachine.steps < 10_000):
            run_state_machine_as_test(ApplierStateMachine, settings=rounds)
    finally:
        for one in (database, second_database):
            one.clean()
        database.admin.run(f"DROP ROLE IF EXISTS {role}")
        database.admin.run(f"REVOKE SET ON PARAMETER model.text FROM {MASTER}")
    if long:
        with capsys.disabled():
            print(f"\n{ApplierStateMachine.steps} steps, none differing, in {time.monotonic() - start:.0f} s")
