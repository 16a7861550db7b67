"""Text for people: untrusted text made safe, numbers with their nouns."""

from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.terminal import one_line, plain, plural


@given(st.text())
def test_result_is_printable(text: str) -> None:
    """No control character, direction mark or lone surrogate remains, and offsets stay valid."""
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(after == before or after in " \ufffd" for before, after in zip(text, shown, strict=True))
    line = one_line(text)
    assert line.isprintable()
    assert line.split(" ") == [""] or "" not in line.split(" ")


def test_hostile_text() -> None:
    assert plain("a\tb\n \x1b[2J\u202e é😀\ud800") == "a b  \ufffd[2J\ufffd é😀\ufffd"
    assert one_line(" a\tb\n \x1b[2J\u202e é ") == "a b \ufffd[2J\ufffd é"


def test_plural() -> None:
    assert [plural(number, "pin") for number in (0, 1, 2, 1234.0)] == ["0 pins", "1 pin", "2 pins", "1,234 pins"]
