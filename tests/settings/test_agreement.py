"""The catalogue's check against real servers: names, values and rounding."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.settings import DENIED
from cdk_pinsafe.settings.catalogue import Parameter, check, find
from cdk_pinsafe.settings.catalogue.check import OLD_NAMES
from cdk_pinsafe.settings.catalogue.reading import read_integer, read_real, units_of

from .conftest import ReferenceServer, verdict

# The server decides on the time; a failure is in the message, not in a folder.
BARE: Any = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

UNITS = ("B", "kB", "MB", "GB", "TB", "us", "ms", "s", "min", "h", "d")
BOOLEANS = ("on", "off", "true", "false", "yes", "no", "1", "0")
BLANKS = " \t\n\v\f\r"
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
# The stack that the operating system gives decides on it, too.
OF_THE_MACHINE = {"max_stack_depth"}
# Of how the server was built.
OF_THE_BUILD = {("default_toast_compression", "lz4"), ("wal_compression", "lz4"), ("wal_compression", "zstd")}

EDGES = (
    "", " ", "0", "-0", "+1", "1", " 1", "1 ", "\t\n\v\f\r1", "1 1", "--1", "+-1", "- 1", "1_000", "1,5", "\u0661",
    "08", "010", "0x", "0x10", "0X1F", "-0x1", "0xg", "0x1.8", "0x1p3", "0x.8", "0x1e", "0o7",
    "1.", ".5", " .5", "-.5", "+.5", "1.5", "2.5", "0.5", "1e2", "1e", "1e+", "1E2", "1e-3", "e5", ".", ".e1", "1.e1",
    "2147483647", "2147483648", "-2147483648", "-2147483649", "2147483647.4", "2147483647.5", "1e400", "1e-400",
    "99999999999999999999", "99999999999999999999B", "99999999999999999999us", "99999999999999999999e-19",
    "1e20", "9223372036854775807", "9223372036854775808", "0777777777777777777777777",
    "inf", "-inf", "Infinity", "nan", "NaN", "nan(1)", "infinit", "0e999999999",
    "1kB", "1 kB", "1kB ", "1 kB x", "1KB", "1kb", "1k", "1MB", "1mb", "0.5MB", "1.5GB", "0.1TB", "1TB", "100B",
    "8192B",
    "1ms", "1 ms", "1MS", "100us", "1s", "1 S", "1min", "0.5min", "1.3h", "1h", "1d", "0x10ms", "1e3ms", "1 e3",
    "1minute", "1m", "1ß", "1\u00a0kB",
    "on", "ON", "o", "of", "off", "offf", "t", "tr", "TRUE", "truee", "f", "fals", "y", "yes", "YeS", "n", "no", "nope",
    " on", "on ", "10", "00", "default", "DEFAULT", "null",
)  # fmt: skip


def checked(reference: ReferenceServer) -> list[Parameter]:
    """Every parameter of the server that a database can set and whose values the catalogue judges."""
    found = [find(name, reference.major) for name in sorted(reference.known() - OF_THE_MACHINE)]
    return [one for one in found if one and one.is_settable and one.type != "string"]


def compare(reference: ReferenceServer, given: Sequence[tuple[str, str]]) -> None:
    """Both refuse, or both accept."""
    differing = [
        (name, text, ours, theirs)
        for (name, text), theirs in zip(given, reference.refusals(given), strict=True)
        if ((ours := verdict(name, text, reference.major)) is None) != (theirs is None)
        and (name, text.lower()) not in OF_THE_BUILD
    ]
    assert differing == []


def around(parameter: Parameter) -> Iterator[str]:
    """The bounds and what lies just beside them, with and without units, and an enum's every spelling."""
    for bound in (parameter.minimum, parameter.maximum):
        if bound is not None:
            step = 1 if parameter.type == "integer" else 1e-6
            yield from (repr(value) for value in (bound - step, bound, bound + step))
            yield from (f"{value!r}{unit}" for value in (bound, bound + step) for unit in units_of(parameter.unit))
            yield from (f"{bound + offset}" for offset in (-0.51, -0.5, -0.49, 0.49, 0.5, 0.51))
    for value in (*parameter.values, *parameter.hidden_values):
        yield from (value, value.upper(), value[:-1], f"{value} ", f"{value}x")


def test_limits_of_every_parameter(reference: ReferenceServer) -> None:
    """Bounds, values and odd texts."""
    parameters = checked(reference)
    assert len(parameters) > 150
    for parameter in parameters:
        compare(reference, [(parameter.name, text) for text in (*EDGES, *around(parameter))])


@st.composite
def numbers(draw: st.DrawFn, parameter: Parameter) -> str:
    """A number in one of C's notations, or nearly so, mostly near the parameter's bounds."""
    near = [int(bound) for bound in (parameter.minimum, parameter.maximum) if bound is not None] or [0]
    middle = draw(st.sampled_from([*near, 0, 2**31, 2**63]))
    whole = st.integers(middle - 3, middle + 3) | st.integers(-(2**70), 2**70) | st.integers(-2000, 2000)
    written = draw(
        st.one_of(
            whole.map(str),
            whole.map(hex),
            whole.map(lambda value: f"{'-' * (value < 0)}0{abs(value):o}"),
            st.floats(allow_nan=True, allow_infinity=True).map(repr),
            st.floats(-2, 2).map(lambda offset: repr(middle + offset)),
            st.floats(-1e6, 1e6).map(float.hex),
            st.decimals(-10_000, 10_000, places=3).map(str),
            st.tuples(st.integers(-99, 99), st.integers(-12, 12)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
            st.from_regex(r"[+-]?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{0,2})?", fullmatch=True),
        )
    )
    blank = st.text(BLANKS, max_size=2)
    unit = draw(st.sampled_from(["", "", *units_of(parameter.unit), *UNITS]) | st.text("BKMGTkmsuhidn", max_size=4))
    return f"{draw(blank)}{draw(st.sampled_from(['', '', '+', '-']))}{written}{draw(blank)}{unit}{draw(blank)}"


def words(parameter: Parameter) -> st.SearchStrategy[str]:
    """A boolean's or an enum's spelling, cut, extended, or in another case."""
    known = st.sampled_from([*BOOLEANS, *parameter.values, *parameter.hidden_values])
    cut = st.tuples(known, st.integers(0, 6)).map(lambda pair: pair[0][: pair[1]])
    longer = st.tuples(known, ANY_TEXT).map("".join)
    return st.one_of(known, cut, longer, known.map(str.upper), known.map(str.title), cut.map(str.swapcase))


@st.composite
def batches(draw: st.DrawFn, names: Sequence[str], major: int) -> list[tuple[str, str]]:
    """Some values for one parameter."""
    parameter = find(draw(st.sampled_from(names)), major)
    assert parameter is not None
    value = numbers(parameter) if parameter.type in ("integer", "real") else words(parameter)
    return [(parameter.name, text) for text in draw(st.lists(value | ANY_TEXT, min_size=1, max_size=30))]


def test_any_value(reference: ReferenceServer, long: bool) -> None:
    """In every notation, and near misses."""
    names = [parameter.name for parameter in checked(reference)]

    @settings(max_examples=10_000 if long else 400, **BARE)
    @given(batches(names, reference.major))
    def agree(batch: list[tuple[str, str]]) -> None:
        compare(reference, batch)

    agree()


@pytest.mark.parametrize(
    "name",
    [
        "log_parameter_max_length",  # B
        "work_mem",  # kB
        "temp_buffers",  # 8kB
        "lock_timeout",  # ms; others would end the session or its statements
        "tcp_keepalives_idle",  # s
        "geqo_threshold",
        "vacuum_cost_delay",  # a real, ms
        "random_page_cost",
    ],
)
def test_number_is_rounded_like_the_server(reference: ReferenceServer, name: str, long: bool) -> None:
    """To the last digit that the server shows."""
    parameter = find(name, reference.major)
    assert parameter is not None
    read = read_integer if parameter.type == "integer" else read_real

    @settings(max_examples=400 if long else 40, **BARE)
    @given(st.lists(numbers(parameter), min_size=1, max_size=20))
    def agree(texts: list[str]) -> None:
        accepted = [text for text in texts if verdict(name, text, reference.major) is None]
        if name.startswith("tcp_"):  # the operating system takes no others
            accepted = [text for text in accepted if 1 <= read(text, parameter.unit).rounded <= 32_767]
        for text in accepted:
            reference.connection.run("SELECT set_config(:name, :text, false)", name=name, text=text)
            [[shown]] = reference.connection.run("SELECT setting FROM pg_settings WHERE name = :name", name=name) or []
            # Plus zero: without the sign that a zero may have.
            assert f"{read(text, parameter.unit).rounded + 0.0:g}" == f"{float(shown) + 0.0:g}", text

    agree()


def test_names_are_known(reference: ReferenceServer) -> None:
    """Each passes if a database can set it, and is not denied."""
    for name in sorted(reference.known() - set(DENIED)):
        parameter = find(name, reference.major)
        assert parameter is not None, name
        said = verdict(name, "", reference.major) or ""
        assert ("cannot be set in a database" in said) is not parameter.is_settable, said


@pytest.mark.parametrize("name", sorted(OLD_NAMES))
def test_old_name_is_an_alias(reference: ReferenceServer, name: str) -> None:
    reference.connection.run("SELECT set_config(:name, '12345', false)", name=name)
    [[value]] = reference.connection.run("SELECT setting FROM pg_settings WHERE name = :now", now=OLD_NAMES[name]) or []
    assert value == "12345"
    with pytest.raises(SettingError, match=f"is an old name of '{OLD_NAMES[name]}'"):
        check(name, "1MB", reference.major)
