"""Each client through the stand-in, as it comes and as the catalogue of clients recommends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from cdk_pinsafe.pinning.clients import Pins, recognise
from cdk_pinsafe.pinning.conditions import Evidence
from cdk_pinsafe.pinning.statements import analyse
from cdk_pinsafe.rehearsal import toolchain
from cdk_pinsafe.standin import Pin, running

from .conftest import CLIENTS, DATABASE, PASSWORD, USER, Shop
from .matrix import MATRIX, Driven

JAR = Path("/usr/share/java/postgresql.jar")
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: Version(folder.parent.name))

pytestmark = pytest.mark.parametrize("driven", MATRIX, ids=lambda driven: driven.client)


def test_what_pins_by_default_is_what_the_catalogue_says(
    driven: Driven, shop: Shop, request: pytest.FixtureRequest
) -> None:
    """A client as it comes meets exactly the conditions of its row, by statements that are known as its own."""
    told, pins = run(driven, "default", shop, request)
    row = driven.row
    assert {finding.condition.id for pin in pins for finding in analyse(pin.statement).findings} == set(row.conditions)
    assert not row.marks or any(row in recognise(pin.digest or "") for pin in pins)
    assert told.get("refused") == ("0A000" if row.pins is Pins.REFUSED else None)
    assert Evidence.LOCAL in row.evidence


def test_nothing_pins_as_recommended(driven: Driven, shop: Shop, request: pytest.FixtureRequest) -> None:
    """A client that is told what its row says, before a database with what its row lists, works and pins nothing."""
    assert set(driven.after) <= set(driven.row.settings)
    told, pins = run(driven, "recommended", shop, request)
    assert [pin.statement for pin in pins] == []
    assert "refused" not in told


def run(
    driven: Driven, form: str, shop: Shop, request: pytest.FixtureRequest
) -> tuple[dict[str, str], tuple[Pin, ...]]:
    """Run a client's application, and see that it did its work; return what it told, and every statement that pins."""
    command, folder = application(driven.script, request)
    shop.prepare(driven.before if form == "default" else driven.after)
    with running(shop.target, pool_size=6, borrow_timeout=10) as proxy:
        where = {"PGHOST": proxy.host, "PGPORT": str(proxy.port), "PGDATABASE": DATABASE, "PGUSER": USER}
        ran = subprocess.run(
            command,
            cwd=folder,
            env={**environment(), **where, "PGPASSWORD": PASSWORD, "FORM": form},
            capture_output=True,
            text=True,
            timeout=120,
        )
        pins = proxy.statements
    assert ran.returncode == 0, ran.stderr
    assert shop.items() == ["committed"]
    told = dict(line.split(" ", 1) for line in ran.stdout.splitlines())
    if not driven.covers(told["version"]):
        message = f"{driven.client} is {told['version']} here, and what is expected holds for {driven.versions}"
        pytest.fail(message) if driven.ours else pytest.skip(message)
    return told, pins


def application(script: str, request: pytest.FixtureRequest) -> tuple[list[str], Path]:
    """The command that runs a client's application, and its folder; skips where the machine lacks what it needs."""
    root = request.config.rootpath
    match Path(script).suffix:
        case ".py":
            return [sys.executable, "-W", "error", "-m", f"{__package__}.{CLIENTS.name}.{Path(script).stem}"], root
        case ".mjs":
            return [str(toolchain.node()), script], request.getfixturevalue("node_folder")
        case ".java":
            if not JAR.exists() or not shutil.which("javac"):
                pytest.skip("pgjdbc or a JDK is missing: Debian's libpostgresql-jdbc-java and default-jdk-headless")
            return ["java", "-cp", str(JAR), str(CLIENTS / script)], root
        case _:
            if not POSTGRESQL:
                pytest.skip("psql and pgbench are missing: Debian's postgresql")
            return ["sh", str(CLIENTS / script)], root


def environment() -> dict[str, str]:
    """This process's, without settings of libpq, and with PostgreSQL's programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PATH": os.pathsep.join((*map(str, POSTGRESQL[-1:]), kept.get("PATH", os.defpath)))}
