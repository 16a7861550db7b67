"""Text from elsewhere, fit for a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from cdk_pinsafe.terminal import one_line, plain


@given(st.text())
def test_only_what_is_printable_is_left(text: str) -> None:
    """No control, no mark that turns the writing around and no lone surrogate is left, and offsets still hold."""
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(after == before or after in " \ufffd" for before, after in zip(text, shown, strict=True))
    line = one_line(text)
    assert line.isprintable()
    assert line.split(" ") == [""] or "" not in line.split(" ")


def test_what_becomes_of_hostile_text() -> None:
    """White space is a space, whatever else a terminal would act upon a replacement character, all else as it was."""
    assert plain("a\tb\n \x1b[2J\u202e é😀\ud800") == "a b  \ufffd[2J\ufffd é😀\ufffd"
    assert one_line(" a\tb\n \x1b[2J\u202e é ") == "a b \ufffd[2J\ufffd é"
