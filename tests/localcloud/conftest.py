"""A local cloud and its certificate authority, started once for all tests that use their own stacks in it."""

from collections.abc import Iterator

import pytest

from cdk_pinsafe.localcloud.client import LocalCloud
from cdk_pinsafe.localpg.tls import CertificateAuthority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path_factory.mktemp("cloud"), authority) as cloud:
        yield cloud
