"""Conversion of Python values to texts for PostgreSQL."""

import pytest
from aws_cdk import Duration, Size
from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.errors import SettingError
from cdk_pinsafe.settings import SettingValue, to_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("64MB", "64MB"),
        ("", ""),
        ('it\'s \\ "quoted" 🐘', 'it\'s \\ "quoted" 🐘'),
        (True, "on"),
        (False, "off"),
        (0, "0"),
        (-1, "-1"),
        (1.1, "1.1"),
        (0.00001, "1e-05"),
        (Duration.millis(0), "0ms"),
        (Duration.millis(1500), "1500ms"),
        (Duration.seconds(30), "30s"),
        (Duration.seconds(90), "90s"),
        (Duration.minutes(2), "2min"),
        (Duration.hours(36), "36h"),
        (Duration.days(2), "2d"),
        (Size.bytes(0), "0B"),
        (Size.bytes(1000), "1000B"),
        (Size.kibibytes(64), "64kB"),
        (Size.mebibytes(64), "64MB"),
        (Size.mebibytes(1536), "1536MB"),
        (Size.gibibytes(3), "3GB"),
        (Size.tebibytes(1), "1TB"),
    ],
)
def test_value_becomes_text(value: SettingValue, text: str) -> None:
    assert to_text("work_mem", value) == text


@given(st.integers(min_value=0, max_value=2**53))
def test_duration_keeps_its_length(milliseconds: int) -> None:

    class Milliseconds:
        def to_milliseconds(self) -> int:
            return milliseconds

    text = to_text("statement_timeout", Milliseconds())
    assert isinstance(text, str)
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}[text[len(number) :]]
    assert int(number) * unit == milliseconds


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (["chat", "public"], ["chat", "public"]),
        (("$user",), ["$user"]),
        ("chat", ["chat"]),
        (["odd, name"], ["odd, name"]),
        ([], [""]),
        ("", [""]),
    ],
)
def test_list_parameter_becomes_elements(value: SettingValue, elements: list[str]) -> None:
    assert to_text("Search_Path", value) == elements


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("search_path", "chat, public", r"the one string 'chat, public'.*pass \['chat', 'public'\]"),
        ("temp_tablespaces", '"a","b"', r"pass \['a', 'b'\]"),
        ("search_path", 5, "expects a list of names, got '5'"),
        ("search_path", ["a", 1], r"expects a list of str, got \['a', 1\]"),
        ("DateStyle", ["ISO", "DMY"], "takes one value.*pass one string, such as 'ISO, DMY'"),
        ("work_mem", "a\0b", "NUL"),
        ("search_path", ["a\0b"], "NUL"),
        ("work_mem", "\ud800", "not valid Unicode"),
        ("work_mem", float("nan"), "got nan: expected a finite number"),
        ("work_mem", float("-inf"), "got -inf: expected a finite number"),
        ("work_mem", None, "type NoneType: expected str, int, float, bool, list of str, Duration or Size"),
        ("work_mem", b"64MB", "type bytes"),
        ("work_mem", Size.bytes(0.5), r"0\.5 B: expected a whole number"),
    ],
)
def test_invalid_value(name: str, value: SettingValue, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        to_text(name, value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
