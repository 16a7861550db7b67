"""The servers of this machine, as references for the catalogue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pg8000.native
import pytest

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.localpg.server import installations
from cdk_pinsafe.settings.catalogue import check
from tests.settings.generate_catalogue import loaded


@dataclass
class ReferenceServer:
    """A superuser's session of a server with all available modules loaded."""

    major: int
    connection: pg8000.native.Connection
    modules: Mapping[str, str]

    def refusals(self, settings: Sequence[tuple[str, str]]) -> list[str | None]:
        """PostgreSQL's error for each name and value as a database's default; None if it accepts them."""
        names, values = zip(*settings, strict=True)
        rows = self.connection.run(
            "SELECT pg_temp.rejection(n, v) FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) "
            "WITH ORDINALITY AS given(n, v, number) ORDER BY number",
            names=list(names),
            values=list(values),
        )
        return [said for [said] in rows or []]

    def known(self) -> set[str]:
        """The names of this server's parameters."""
        return {name for [name] in self.connection.run("SELECT lower(name) FROM pg_settings") or []}


@pytest.fixture(scope="session", params=installations(), ids=lambda installation: f"pg{installation.major}")
def reference(request: pytest.FixtureRequest) -> Iterator[ReferenceServer]:
    """Each server of this machine in turn."""
    with loaded(request.param) as (connection, modules):
        yield ReferenceServer(request.param.major, connection, modules)


def verdict(name: str, text: str, major: int) -> str | None:
    """The catalogue's error for a setting."""
    try:
        check(name, text, major)
    except SettingError as error:
        return str(error)
    return None
