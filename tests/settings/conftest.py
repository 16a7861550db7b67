"""The servers of this machine, as judges of what the catalogue says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pg8000.native
import pytest

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.localpg.server import installations
from cdk_pinsafe.settings.catalogue import check
from tests.settings.generate_catalogue import loaded


@dataclass
class Judge:
    """A superuser's session of a server in which every module that there is was loaded."""

    major: int
    connection: pg8000.native.Connection
    modules: Mapping[str, str]

    def refusals(self, settings: Sequence[tuple[str, str]]) -> list[str | None]:
        """What PostgreSQL says against each name and value as a database's default; None where it takes them."""
        names, values = zip(*settings, strict=True)
        rows = self.connection.run(
            "SELECT pg_temp.judge(n, v) FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) WITH ORDINALITY "
            "AS given(n, v, number) ORDER BY number",
            names=list(names),
            values=list(values),
        )
        return [said for [said] in rows or []]

    def known(self) -> set[str]:
        """The names of the parameters that this server knows."""
        return {name for [name] in self.connection.run("SELECT lower(name) FROM pg_settings") or []}


@pytest.fixture(scope="session", params=installations(), ids=lambda installation: f"pg{installation.major}")
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """Each server of this machine in turn."""
    with loaded(request.param) as (connection, modules):
        yield Judge(request.param.major, connection, modules)


def verdict(name: str, text: str, major: int) -> str | None:
    """What the catalogue says against a setting."""
    try:
        check(name, text, major)
    except SettingError as error:
        return str(error)
    return None
