"""The catalogue: its data, look-ups, errors and warnings."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.settings import extension_of
from cdk_pinsafe.settings.catalogue import MAJORS, check, find, measured_on, names, versions_of
from cdk_pinsafe.settings.catalogue.reading import read_integer, read_real

from .conftest import ReferenceServer, verdict
from .generate_catalogue import DATA, VECTOR, measure

ANY_TEXT = st.text(max_size=20)


def test_measured_servers() -> None:
    """Each major version was measured on a server with all modules, and several releases of pgvector."""
    servers = [(int(one["server"].split()[1].split(".")[0]), one["modules"]) for one in measured_on()]
    for major in MAJORS:
        modules = {module for version, have in servers if version == major for module in have}
        assert {"auto_explain", "pg_stat_statements", "pg_trgm", "plpgsql"} <= modules
    assert {have[VECTOR] for _, have in servers if VECTOR in have} >= {"0.7.4", "0.8.0", "0.8.5"}


def test_data_agree_with_this_machines_servers(reference: ReferenceServer) -> None:
    """Every fact of every parameter of a server here stands in the data, and the version has no parameter beside them.

    Where this fails after an update of a server, tests/settings/generate_catalogue.py writes the data anew.
    """
    measured = measure(reference.connection, reference.modules)
    for name, facts in measured.parameters.items():
        known = find(name, reference.major)
        assert known is not None, name
        assert (known.name, known.context, known.type, known.unit, known.minimum, known.maximum) == (
            name,
            *(facts[key] for key in ("context", "type", "unit", "min", "max")),
        )
        # How a server was built decides on some values.
        assert set(facts["values"] or ()) <= set(known.values)
        assert set(facts.get("hidden", ())) == set(known.hidden_values)
    here = {name for name in names(reference.major) if (extension_of(name) or "plpgsql") in reference.modules}
    assert here == set(measured.parameters)


def test_data_have_one_row_per_line() -> None:
    """Sorted by name and version."""
    lines = DATA.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"name"')]
    assert len(rows) == len(json.loads(DATA.read_text(encoding="utf-8"))["parameters"])
    for before, after in itertools.pairwise(rows):
        assert before["name"] != after["name"] or before["majors"][1] < after["majors"][0]


def test_find_in_any_case() -> None:
    found = find("TIMEZONE", 17)
    assert found is not None
    assert (found.name, found.type, found.context, found.majors) == ("TimeZone", "string", "user", MAJORS)
    work_mem = find("work_mem", 14)
    assert work_mem is not None
    assert (work_mem.unit, work_mem.minimum, work_mem.maximum) == ("kB", 64, 2_147_483_647)
    scan = find("hnsw.iterative_scan", 16)
    assert scan is not None
    assert (scan.extension, scan.since, scan.values) == ("vector", "0.8.0", ["off", "relaxed_order", "strict_order"])
    assert find("search_path", 18).is_list  # type: ignore[union-attr]
    assert find("io_method", 17) is None
    assert [row.majors for row in versions_of("maintenance_work_mem")] == [range(14, 17), range(17, 19)]
    assert list(versions_of("nothing")) == []


@pytest.mark.parametrize(
    ("name", "text", "major", "message"),
    [
        ("statment_timeout", "1", 17, "is not a parameter of PostgreSQL 17; did you mean 'statement_timeout'?"),
        ("wrok_mem", "1", 14, "is not a parameter of PostgreSQL 14; did you mean 'work_mem'?"),
        ("workers_per_gather", "1", 18, "did you mean 'max_parallel_workers_per_gather'?"),
        ("xyzzy", "1", 16, "is not a parameter of PostgreSQL 16; remove it"),
        (
            "hnsw.itertive_scan",
            "off",
            18,
            "is not a parameter of extension 'vector', as far as it is known; did you mean 'hnsw.iterative_scan'?",
        ),
        ("pg_trgm.nothing", "1", 18, "is not a parameter of extension 'pg_trgm', as far as it is known; remove it"),
        ("force_parallel_mode", "on", 17, "is not a parameter of PostgreSQL 17, but of 14 and 15; remove it"),
        ("io_method", "sync", 14, "is not a parameter of PostgreSQL 14, but of 18; remove it"),
        ("transaction_timeout", "1s", 16, "is not a parameter of PostgreSQL 16, but of 17 and 18; remove it"),
        ("auto_explain.log_parameter_max_length", "1", 15, "of PostgreSQL 15, but of 16, 17 and 18; remove it"),
        ("sort_mem", "1MB", 16, "is an old name of 'work_mem', which PostgreSQL stores; use that"),
        (
            "work_mem",
            "64mb",
            17,
            "got '64mb', and 'mb' is not a unit of it: expected a whole number from 64kB to 2147483647kB, "
            "in B, kB, MB, GB or TB; did you mean '64MB'?",
        ),
        (
            "statement_timeout",
            "30 seconds",
            17,
            "and 'seconds' is not a unit of it: expected a whole number from 0ms to 2147483647ms, "
            "in us, ms, s, min, h or d",
        ),
        ("hnsw.ef_search", "40ms", 16, "got '40ms': expected a whole number from 1 to 1000, without a unit"),
        ("hnsw.ef_search", "4000", 16, "got '4000': expected a whole number from 1 to 1000"),
        ("work_mem", "10B", 16, "got '10B', which is 0kB: expected a whole number from 64kB to 2147483647kB"),
        ("temp_buffers", "50", 16, "got '50', which is 400kB: expected a whole number from 800kB to 8589934584kB"),
        ("work_mem", "lots", 16, "got 'lots': expected a whole number from 64kB to 2147483647kB"),
        ("work_mem", "x" * 200, 16, f"got '{'x' * 79}…': expected"),
        ("cursor_tuple_fraction", "1.5", 16, "got '1.5': expected a number from 0 to 1"),
        ("random_page_cost", "-1", 16, "got '-1': expected a number of at least 0"),
        ("vacuum_cost_delay", "1s", 16, "got '1s', which is 1000ms: expected a number from 0ms to 100ms"),
        ("vacuum_cost_delay", "1e308", 16, "got '1e308', which is 1e+308ms: expected a number from 0ms to 100ms"),
        ("vacuum_buffer_usage_limit", "64kB", 17, "expected a whole number that is 0 or from 128kB to 16777216kB"),
        ("io_combine_limit", "64", 17, "got '64', which is 512kB: expected a whole number from 8kB to 256kB"),
        ("hnsw.iterative_scan", "banana", 16, "got 'banana': expected one of off, relaxed_order, strict_order"),
        ("jit", "maybe", 16, "got 'maybe': expected on or off"),
        ("jit", "2", 16, "got '2': expected on or off"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_invalid_settings(name: str, text: str, major: int, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        check(name, text, major)
    assert str(caught.value).startswith(f"setting {name!r} ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "context", "major"),
    [
        ("shared_buffers", "postmaster", 17),
        ("autovacuum_naptime", "sighup", 17),
        ("block_size", "internal", 17),
        ("log_connections", "superuser-backend", 17),
        ("ignore_system_indexes", "backend", 17),
        ("Max_Connections", "postmaster", 17),
        ("autovacuum_max_workers", "postmaster", 17),
        ("autovacuum_max_workers", "sighup", 18),
        ("shared_buffers", "postmaster", None),
        ("pg_stat_statements.max", "postmaster", 15),
    ],
)
def test_server_parameter(name: str, context: str, major: int | None) -> None:
    """The error names the parameter group, also for an unknown version."""
    with pytest.raises(SettingError, match=rf"context {context}\); put it in a parameter group"):
        check(name, "1", major)


@pytest.mark.parametrize("major", [None, 13, 19])
def test_unknown_version(major: int | None) -> None:
    [warning] = check("new_parameter", "1", major)
    assert warning.kind == "UnknownEngineVersion"
    assert "the catalogue of parameters knows 14 to 18" in warning.message


@pytest.mark.parametrize("name", ["pg_hint_plan.debug_print", "apg_enable_function_migration"])
def test_unknown_extension(name: str) -> None:
    """Also names of Aurora."""
    [warning] = check(name, "1", 16)
    assert warning.kind == "UnknownParameter"
    assert name in warning.message


@pytest.mark.parametrize(
    ("name", "text", "rounded"),
    [
        ("tcp_keepalives_idle", "1500ms", "2s, as it counts in s"),
        ("tcp_keepalives_idle", "400ms", "0s, as it counts in s"),
        ("temp_buffers", "1001kB", None),
        ("temp_buffers", "803kB", None),
        ("temp_buffers", "100.5", None),
        ("min_parallel_index_scan_size", "12kB", "16kB, as it counts in 8kB"),
        ("statement_timeout", "0.4", "0ms, as it counts in ms"),
        ("geqo_threshold", "2.6", "3"),
        ("work_mem", "30.1GB", None),
        ("work_mem", "100000000B", None),
        ("vacuum_cost_delay", "0.5us", None),
        ("statement_timeout", "0.0", None),
    ],
)
def test_noticeable_rounding(name: str, text: str, rounded: str | None) -> None:
    """A change of more than a hundredth gives a warning."""
    messages = [warning.message for warning in check(name, text, 16) if warning.kind == "RoundedValue"]
    assert messages == ([f"setting {name!r} got {text!r}, which PostgreSQL rounds to {rounded}"] if rounded else [])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "statement_timeout",
            "30",
            "reads as 30ms; write '30ms' or Duration.millis(30), or '30s' or Duration.seconds(30) if that was meant",
        ),
        ("statement_timeout", "30000", "reads as 30000ms; write '30s' or Duration.seconds(30)"),
        ("statement_timeout", " 1500", "reads as 1500ms; write '1500ms' or Duration.millis(1500)"),
        ("idle_session_timeout", "0x10", "reads as 16ms; write '16ms' or Duration.millis(16), or '16s' or"),
        ("tcp_keepalives_idle", "60", "reads as 60s; write '1min' or Duration.minutes(1)"),
        (
            "work_mem",
            "256",
            "reads as 256kB; write '256kB' or Size.kibibytes(256), or '256MB' or Size.mebibytes(256) if that was meant",
        ),
        (
            "effective_cache_size",
            "100",
            "reads as 800kB; write '800kB' or Size.kibibytes(800), or '100MB' or Size.mebibytes(100) if that was meant",
        ),
        ("vacuum_cost_delay", "0.5", "reads as 0.5ms; write '0.5ms', or '0.5s' if that was meant"),
    ],
)
def test_bare_number(name: str, text: str, words: str) -> None:
    """The warning has the number with its unit, and what else it can mean."""
    [warning] = check(name, text, 16)
    assert warning.kind == "BareNumber"
    assert warning.message.startswith(f"setting {name!r} got {text!r} without a unit, which PostgreSQL {words}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("statement_timeout", "0"),
        ("statement_timeout", "0.0"),
        ("vacuum_cost_delay", "0"),
        ("statement_timeout", "30ms"),
        ("statement_timeout", "30 s"),
        ("work_mem", "0x100kB"),
        ("geqo_threshold", "20"),
        ("random_page_cost", "1.1"),
        ("maintenance_io_concurrency", "10"),
        ("log_min_duration_statement", "-1"),
    ],
)
def test_unambiguous_number(name: str, text: str) -> None:
    """Off and the default, a number with a unit, a parameter without one."""
    assert "BareNumber" not in [warning.kind for warning in check(name, text, 16)]


def test_proposal_for_a_bare_number_is_equal() -> None:
    checked = 0
    for major in MAJORS:
        for name in names(major):
            parameter = find(name, major)
            if parameter is None or not parameter.is_settable or parameter.unit is None:
                continue
            bounds = (parameter.minimum, parameter.maximum)
            for number in {1, 7, 1000, 1024, 90_000, *(bound for bound in bounds if bound is not None)}:
                text = str(number)
                try:
                    warnings = [warning for warning in check(name, text, major) if warning.kind == "BareNumber"]
                except SettingError:
                    continue
                assert bool(warnings) == (number not in (0, -1))
                for warning in warnings:
                    proposed = warning.message.partition("write '")[2].partition("'")[0]
                    read = read_integer if parameter.type == "integer" else read_real
                    assert read(proposed, parameter.unit).rounded == number, warning.message
                    checked += 1
    assert checked > 500


@pytest.mark.parametrize(
    ("name", "extensions", "kind"),
    [
        ("hnsw.ef_search", [], "MissingExtension"),
        ("ivfflat.probes", ["pg_trgm"], "MissingExtension"),
        ("HNSW.ef_search", ["vector"], None),
        ("hnsw.ef_search", None, None),
        ("pg_trgm.similarity_threshold", [], "MissingExtension"),
        ("plpgsql.extra_warnings", [], None),
        ("log_statement", [], "SuperuserParameter"),
        ("auto_explain.log_analyze", [], "SuperuserParameter"),
        ("pg_stat_statements.track", [], "SuperuserParameter"),
        ("app.jwt_secret", [], "CustomParameter"),
        ("app.jwt_secret", ["app"], "UnknownParameter"),
        ("pgaudit.log", [], "UnknownParameter"),
    ],
)
@pytest.mark.parametrize("major", [16, None])
def test_warning_about_a_name(name: str, extensions: list[str] | None, kind: str | None, major: int | None) -> None:
    kinds = [warning.kind for warning in check(name, None, major, extensions)]
    if major is None:
        assert kinds.pop() == "UnknownEngineVersion"
        kind = None if kind == "UnknownParameter" else kind
    assert kinds == ([kind] if kind else [])


def test_warning_hides_no_error() -> None:
    with pytest.raises(SettingError, match="did you mean 'hnsw.ef_search'"):
        check("hnsw.ef_serch", "1", 16, [])
    with pytest.raises(SettingError, match="is not a parameter of PostgreSQL 16, but of 18"):
        check("log_lock_failures", "on", 16)


@given(st.sampled_from(["work_mem", "jit", "random_page_cost", "hnsw.iterative_scan", "app.x", "timezone"]), ANY_TEXT)
def test_any_value_gives_one_line(name: str, text: str) -> None:
    said = verdict(name, text, 17) or ""
    assert said.isprintable() or not said
    assert len(said) < 500
