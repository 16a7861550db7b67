"""Text for people: untrusted text made safe for a terminal, and numbers with their nouns.

The Lambda function cannot import this module and has its own. ``pinsafe logs`` writes escapes instead, which its JSON
and its page keep, too.
"""

__all__ = ["one_line", "plain", "plural"]


def plain(text: str) -> str:
    """Return the text with one printable character for each character, so that offsets stay valid.

    White space becomes spaces. Other unprintable characters become U+FFFD: control characters, marks that change the
    direction of writing, and code points that Python does not know.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def one_line(text: str) -> str:
    """Return the text in one line, with single spaces."""
    return plain(" ".join(text.split()))


def plural(number: float, noun: str) -> str:
    """Return a whole number with its noun, as `1 pin` or `2,000 pins`."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"
