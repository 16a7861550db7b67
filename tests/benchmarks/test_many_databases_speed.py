"""Many databases through one applier, against psql: as long as plain ALTERs, or not much longer, and in flat memory."""

import contextlib
import os
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pg8000.native
import pytest

from cdk_pinsafe.applier import connection, secret
from cdk_pinsafe.applier.handler import on_event
from cdk_pinsafe.localpg.server import Installation, installations
from cdk_pinsafe.localpg.tls import CertificateAuthority

from ..applier.conftest import running
from ..applier.harness import MASTER, Cluster, FakeSecretsManager, LambdaContext, properties
from ..applier.many_settings import many_settings

SETTINGS = 20


def _installation() -> Installation:
    """One that has both SSL of its own, so that no front stands in the way, and psql."""
    found = [one for one in installations() if one.has_ssl and (one.bin / "psql").exists()]
    if not found:
        pytest.skip("no installation here has SSL and psql: install Debian's postgresql")
    return found[-1]


@contextlib.contextmanager
def _databases(cluster: Cluster, number: int) -> Iterator[list[str]]:
    names = [f"many_{index}" for index in range(number)]
    for name in names:
        cluster.admin.run(f"CREATE DATABASE {name} OWNER {MASTER} TEMPLATE template0 STRATEGY file_copy")
    try:
        yield names
    finally:
        for name in names:
            cluster.admin.run(f"DROP DATABASE {name} WITH (FORCE)")


def _apply(cluster: Cluster, names: list[str], settings: dict[str, str]) -> float:
    given = properties(settings, Database=None, Databases=names, Port=str(cluster.port))
    event = {"RequestType": "Create", "ResourceProperties": given}
    start = time.perf_counter()
    answer = on_event(event, LambdaContext(900))
    taken = time.perf_counter() - start
    assert answer["Data"]["Applied"] == answer["Data"]["Changed"] == str(SETTINGS * len(names))
    return taken


def _by_psql(cluster: Cluster, scripts: list[tuple[str, Path]]) -> float:
    """One ``psql -d database -f file`` after the other, as a shell script would."""
    environment = {
        **os.environ,
        "PGHOST": cluster.server.host,
        "PGPORT": str(cluster.port),
        "PGUSER": MASTER,
        "PGPASSWORD": cluster.password,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(cluster.authority.certificate),
    }
    program = str(cluster.installation.bin / "psql")
    start = time.perf_counter()
    for name, script in scripts:
        command = [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", name, "-f", str(script)]
        subprocess.run(command, env=environment, check=True)
    return time.perf_counter() - start


def _script(path: Path, names: list[str], settings: dict[str, str]) -> Path:
    path.write_text(
        "".join(
            f"ALTER DATABASE {name} SET {setting} TO {pg8000.native.literal(value)};\n"
            for name in names
            for setting, value in settings.items()
        )
    )
    return path


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_many_databases_take_at_most_half_as_long_again_as_psql(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    """200 databases (1,000 with --long) of 20 settings each: creating and changing them by one event, against one
    ``psql -f`` of plain ALTERs a database; and, for comparison only, against one psql session that alters them all,
    which connects once, looks at nothing and notes nothing. What Python holds meanwhile grows by next to nothing."""
    number = 1000 if long else 200
    directory = tmp_path_factory.mktemp("many")
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    secrets_manager = FakeSecretsManager()
    monkeypatch.setattr(secret, "read", secrets_manager.read)
    monkeypatch.setenv(connection.CA_BUNDLE_VARIABLE, str(authority.certificate))
    first, second = many_settings(SETTINGS, 0), many_settings(SETTINGS, 1)
    with (
        running(_installation(), authority, directory) as cluster,
        cluster.fresh_database(secrets_manager),
        _databases(cluster, number) as names,
    ):
        scripts = [(name, _script(directory / f"{name}.sql", [name], second)) for name in names]
        all_at_once = [("postgres", _script(directory / "all.sql", names, first))]
        create = _apply(cluster, names, first)
        each = [_by_psql(cluster, scripts)]
        change = _apply(cluster, names, first)
        each.append(_by_psql(cluster, scripts))
        one = _by_psql(cluster, all_at_once)
        # The settings of 50 databases, before and after, in the same process.
        few, many = _held(cluster, names[:50], second), _held(cluster, names, second)
    ratios = create / min(each), change / min(each)
    print(
        f"{number} databases of {SETTINGS} settings: create {create:.1f} s, change {change:.1f} s, one psql each "
        f"{min(each):.1f} s (ratios {ratios[0]:.2f} and {ratios[1]:.2f}), one psql for all {one:.1f} s; "
        f"held at most {few:.1f} MB for 50 and {many:.1f} MB for {number}"
    )
    assert max(ratios) <= 1.5
    assert many < few + 0.01 * number


def _held(cluster: Cluster, names: list[str], settings: dict[str, str]) -> float:
    """The most that Python's objects held, in MB, while so many databases are brought to other settings."""
    for name in names:
        cluster.admin.run(f"ALTER DATABASE {name} RESET ALL")
    tracemalloc.start()
    try:
        _apply(cluster, names, settings)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
