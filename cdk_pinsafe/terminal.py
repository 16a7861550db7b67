"""Text from elsewhere, fit for a terminal: whatever it holds, it is only shown.

The Lambda function has its own, as it travels without this module. ``pinsafe logs`` writes escapes instead, which its
JSON and its page keep, too.
"""

__all__ = ["one_line", "plain"]


def plain(text: str) -> str:
    """The text letter for letter, so that offsets into it hold: white space as spaces, what is not printable as U+FFFD.

    Not printable are controls, marks that turn the direction of writing around, and what Python does not know.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def one_line(text: str) -> str:
    """The text as a part of a line, with single spaces."""
    return plain(" ".join(text.split()))
