"""Applying 50 settings against applying 1, through TLS, in one run."""

import statistics
import time

import pytest

from cdk_pinsafe.applier import connection, secret
from cdk_pinsafe.localpg.server import wheel_installation
from cdk_pinsafe.localpg.tls import CertificateAuthority

from ..applier.conftest import running
from ..applier.harness import Database, FakeSecretsManager
from ..applier.many_settings import many_settings

ROUNDS = 15


@pytest.mark.benchmark
def test_fifty_settings_take_at_most_twice_as_long_as_one(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The median of an update that changes 50 settings is at most twice that of one that changes 1."""
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    secrets_manager = FakeSecretsManager()
    monkeypatch.setattr(secret, "read", secrets_manager.read)
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    with (
        running(wheel_installation(18), authority, tmp_path_factory.mktemp("speed")) as cluster,
        cluster.fresh_database(secrets_manager) as one,
        cluster.fresh_database(secrets_manager) as fifty,
    ):
        times: dict[int, list[float]] = {1: [], 50: []}
        one.create(many_settings(1, 1))
        fifty.create(many_settings(50, 1))
        for turn in range(ROUNDS):
            # In turns, so that whatever else the machine does falls on both.
            for database, number in ((one, 1), (fifty, 50)):
                times[number].append(_update(database, number, turn % 2))
    medians = {number: statistics.median(taken) for number, taken in times.items()}
    ratio = medians[50] / medians[1]
    print(f"1 setting {medians[1] * 1000:.1f} ms, 50 settings {medians[50] * 1000:.1f} ms, ratio {ratio:.2f}")
    assert ratio <= 2


def _update(database: Database, number: int, variant: int) -> float:
    desired, old = many_settings(number, variant), many_settings(number, 1 - variant)
    start = time.perf_counter()
    answer = database.update(desired, old)
    taken = time.perf_counter() - start
    assert answer.counts == (number, number, 0, 0)
    return taken
