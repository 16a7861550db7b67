"""Real servers of all installations of this machine."""

from collections.abc import Iterator

import pytest

from cdk_pinsafe.localpg.server import PostgresServer, installations


@pytest.fixture(scope="package", params=installations(), ids=lambda one: f"pg{one.major}-{one.bin.parts[1]}")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Each server of this machine in turn."""
    with PostgresServer(request.param, tmp_path_factory.mktemp("server")) as running:
        yield running
