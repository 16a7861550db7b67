"""Each client through the emulator, as it comes and as the catalogue of clients recommends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from cdk_pinsafe.emulator import PinEvent, run_in_thread
from cdk_pinsafe.localcloud import toolchain
from cdk_pinsafe.pinning.clients import Pins, recognise
from cdk_pinsafe.pinning.conditions import Evidence
from cdk_pinsafe.pinning.statements import analyse

from .conftest import CLIENTS, DATABASE, PASSWORD, USER, Shop
from .matrix import MATRIX, Driven

JAR = Path("/usr/share/java/postgresql.jar")
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: Version(folder.parent.name))

each_client = pytest.mark.parametrize("driven", MATRIX, ids=lambda driven: driven.client)
each_older = pytest.mark.parametrize(
    ("driven", "package"),
    [pytest.param(one, package, id=f"{one.client}-{package}") for one in MATRIX for package in one.older],
)


@each_client
def test_what_pins_by_default_is_what_the_catalogue_says(
    driven: Driven, shop: Shop, request: pytest.FixtureRequest
) -> None:
    """A client as it comes meets exactly the conditions of its row, by statements that are known as its own."""
    told, pins = run(driven, "default", shop, request)
    check_version(driven, told["version"])
    row = driven.row
    assert conditions(pins) == set(row.conditions)
    assert not row.digest_prefixes or any(row in recognise(pin.digest or "") for pin in pins)
    assert told.get("refused") == ("0A000" if row.pins is Pins.REFUSED else None)
    assert Evidence.LOCAL in row.evidence


@each_client
def test_nothing_pins_as_recommended(driven: Driven, shop: Shop, request: pytest.FixtureRequest) -> None:
    """A client that is told what its row says, before a database with what its row lists, works and pins nothing."""
    assert set(driven.after) <= set(driven.row.settings)
    told, pins = run(driven, "recommended", shop, request)
    check_version(driven, told["version"])
    assert [pin.statement for pin in pins] == []
    assert "refused" not in told


@each_older
def test_older_versions_do_the_same(
    driven: Driven, package: str, shop: Shop, request: pytest.FixtureRequest, tmp_path: Path, long: bool
) -> None:
    """What a row says of older versions holds for each of them, in both forms."""
    if not long:
        pytest.skip("only with --long")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), package)
    subprocess.run([sys.executable, *install], check=True, timeout=300)
    _, by_default = run(driven, "default", shop, request, PYTHONPATH=str(tmp_path))
    _, as_recommended = run(driven, "recommended", shop, request, PYTHONPATH=str(tmp_path))
    assert conditions(by_default) == set(driven.row.conditions)
    assert as_recommended == ()


def conditions(pins: tuple[PinEvent, ...]) -> set[str]:
    """All conditions that the statements meet, where a log names one for each."""
    return {finding.condition.id for pin in pins for finding in analyse(pin.statement).findings}


def check_version(driven: Driven, version: str) -> None:
    """Fail, or skip where the machine chose it, at a version for which the expectations are not meant."""
    if not driven.covers(version):
        message = f"{driven.client} is {version} here, and what is expected holds for {driven.versions}"
        pytest.fail(message) if driven.ours else pytest.skip(message)


def run(
    driven: Driven, form: str, shop: Shop, request: pytest.FixtureRequest, **more: str
) -> tuple[dict[str, str], tuple[PinEvent, ...]]:
    """Run a client's application, and see that it did its work; return what it told, and every statement that pins."""
    command, folder = application(driven.script, request)
    shop.prepare(driven.before if form == "default" else driven.after)
    with run_in_thread(shop.target, pool_size=6, borrow_timeout=10) as proxy:
        where = {"PGHOST": proxy.host, "PGPORT": str(proxy.port), "PGDATABASE": DATABASE, "PGUSER": USER}
        ran = subprocess.run(
            command,
            cwd=folder,
            env={**environment(), **where, "PGPASSWORD": PASSWORD, "FORM": form, **more},
            capture_output=True,
            text=True,
            timeout=120,
        )
        pins = proxy.statements
    assert ran.returncode == 0, ran.stderr
    assert shop.items() == ["committed"]
    return dict(line.split(" ", 1) for line in ran.stdout.splitlines()), pins


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
