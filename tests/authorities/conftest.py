"""Every app is synthesized once; all authorities read what that left."""

from collections.abc import Mapping

import pytest

from .apps import APPS
from .synthesis import Synthesized, synthesize


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Synthesized]:
    """All apps, by name."""
    return {name: synthesize(name, tmp_path_factory.mktemp(name)) for name in APPS}
